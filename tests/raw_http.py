"""HTTP/1.1 by hand: bytes out, and a reader that forgives nothing.

Ordinary clients repair what a server gets wrong. This one refuses it: two Content-Lengths, a bare
line feed, bytes behind the end, a reset where the end belongs.
"""

import re
import select
import socket
import struct
import time

CHUNK_BYTES = 1 << 18
HEAD_BYTES_MAX = 1 << 17

# What a head may say once only; the server repeats nothing, so this list need not be short.
SINGLE_FIELDS = {
    "accept-ranges",
    "allow",
    "connection",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "server",
}

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
DATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
    r" \d{4} \d\d:\d\d:\d\d GMT"
)


class ProtocolError(AssertionError):
    """The server sent what no server may send."""


class Ended(Exception):
    """The connection ended before the answer did; `received` is what came of it."""

    def __init__(self, received, is_reset):
        super().__init__(
            f"{'reset' if is_reset else 'end of stream'} after {len(received)} bytes:"
            f" {bytes(received[:200])!r}"
        )
        self.received = bytes(received)
        self.is_reset = is_reset


class Response:
    """One answer: `status`, `reason`, `fields` (in order), `head` (raw), `body`."""

    def __init__(self, head):
        self.head = bytes(head)
        self.body = b""
        lines = self.head.decode("latin-1").split("\r\n")
        if lines[-2:] != ["", ""]:
            raise ProtocolError(f"no empty line at the end of {self.head!r}")
        status_line, *field_lines = lines[:-2]
        if any("\n" in line or "\r" in line for line in lines):
            raise ProtocolError(f"a bare CR or LF in {self.head!r}")
        match = re.fullmatch(r"HTTP/1\.1 ([1-5]\d\d) ([\x20-\x7e]+)", status_line)
        if match is None:
            raise ProtocolError(f"status line {status_line!r}")
        self.status = int(match[1])
        self.reason = match[2]
        self.fields = [self._parse_field(line) for line in field_lines]
        self._check()

    @staticmethod
    def _parse_field(line):
        match = re.fullmatch(rf"({TOKEN}): ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)", line)
        if match is None:
            raise ProtocolError(f"field line {line!r}")
        return match[1], match[2]

    def _check(self):
        names = [name.lower() for name, _ in self.fields]
        for name in SINGLE_FIELDS & set(names):
            if names.count(name) > 1:
                raise ProtocolError(f"{name} is there {names.count(name)} times")
        if "transfer-encoding" in names:
            raise ProtocolError("a static file in chunks")
        if DATE.fullmatch(self.field("Date") or "") is None:
            raise ProtocolError(f"Date: {self.field('Date')!r}")
        if ("content-length" in names) == (self.status in (204, 304)):
            raise ProtocolError(f"Content-Length and status {self.status}")
        if not re.fullmatch(r"0|[1-9]\d*", self.field("Content-Length") or "0"):
            raise ProtocolError(f"Content-Length: {self.field('Content-Length')!r}")

    def field(self, name):
        """The value of a field, or None."""
        for other, value in self.fields:
            if other.lower() == name.lower():
                return value
        return None

    @property
    def content_length(self):
        return int(self.field("Content-Length") or 0)

    @property
    def is_last(self):
        return (self.field("Connection") or "").lower() == "close"

    def head_without_date(self):
        return re.sub(rb"(?m)^Date: .*\r\n", b"", self.head)

    def __repr__(self):
        return f"<{self.status} {self.reason}, {len(self.body)} bytes>"


def request(path="/", method="GET", fields=(), version="HTTP/1.1", host="test"):
    """The bytes of a request. `fields`: a dict, or pairs; `host` None leaves the field out."""
    pairs = list(fields.items() if isinstance(fields, dict) else fields)
    if host is not None:
        pairs.insert(0, ("Host", host))
    lines = [f"{method} {path} {version}"] + [f"{name}: {value}" for name, value in pairs]
    return "\r\n".join(lines + ["", ""]).encode("latin-1")


class Connection:
    """A socket to the server. `address` is (host, port) or the path of a unix socket."""

    def __init__(self, address, timeout_seconds, receive_buffer_bytes=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.received = bytearray()
        try:
            if receive_buffer_bytes is not None:  # before connect(): it decides the window
                self.socket.setsockopt(
                    socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes
                )
            self.socket.settimeout(timeout_seconds)
            self.socket.connect(address)
            if family == socket.AF_INET:
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def abort(self):
        """Closes with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def end_of_requests(self):
        """Half-closes: what was asked is still to be answered."""
        self.socket.shutdown(socket.SHUT_WR)

    # ---- sending ----

    def send(self, data):
        self.socket.sendall(data)

    def ask(self, path="/", method="GET", fields=(), **options):
        """Sends a request; read_response() is owed."""
        self.send(request(path, method, fields, **options))

    def get(self, path="/", method="GET", fields=(), **options):
        self.ask(path, method, fields, **options)
        return self.read_response(method)

    # ---- receiving ----

    def _receive(self, bytes_max=CHUNK_BYTES):
        """More bytes, or Ended."""
        try:
            data = self.socket.recv(bytes_max)
        except ConnectionResetError:
            raise Ended(self.received, is_reset=True) from None
        if not data:
            raise Ended(self.received, is_reset=False)
        self.received += data

    def read_head(self):
        """The next answer's head; its body is read by the caller, with read_bytes()."""
        while True:
            end = self.received.find(b"\r\n\r\n")
            if end >= 0:
                break
            if len(self.received) > HEAD_BYTES_MAX:
                raise ProtocolError(f"no head within {HEAD_BYTES_MAX} bytes")
            self._receive()
        head = self.received[: end + 4]
        del self.received[: end + 4]
        return Response(head)

    def read_bytes(self, count):
        """Exactly `count` bytes; Ended, with what came, when there are fewer."""
        if count > len(self.received):
            whole = bytearray(count)
            view = memoryview(whole)
            done = len(self.received)
            view[:done] = self.received
            self.received.clear()
            while done < count:
                try:
                    got = self.socket.recv_into(view[done:])
                except ConnectionResetError:
                    raise Ended(whole[:done], is_reset=True) from None
                if got == 0:
                    raise Ended(whole[:done], is_reset=False)
                done += got
            return bytes(whole)
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def read_response(self, method="GET"):
        response = self.read_head()
        if method != "HEAD":
            response.body = self.read_bytes(response.content_length)
        return response

    def read_to_end(self):
        """Everything until the connection ends: (bytes, whether it ended by a reset)."""
        try:
            while True:
                self._receive()
        except Ended as ended:
            self.received.clear()
            return ended.received, ended.is_reset

    def expect_end(self):
        """The server closes, properly, without another byte."""
        data, is_reset = self.read_to_end()
        if data or is_reset:
            raise ProtocolError(f"not the end, but {data[:200]!r}, reset: {is_reset}")

    def has_news(self):
        """Whether bytes, or the end, are there to be read; does not wait."""
        return bool(self.received) or bool(select.select([self.socket], [], [], 0)[0])

    def dribble(self, data, between):
        """Sends byte by byte, calling `between` after each."""
        for index in range(len(data)):
            self.send(data[index : index + 1])
            between()


def paced(pace_seconds):
    """Yields at a steady pace, for ever: for clients whose slowness is what is tested."""
    due = time.monotonic()
    while True:
        yield
        due += pace_seconds
        time.sleep(max(0.0, due - time.monotonic()))
