"""Starts the server for a test, watches it, and ends it.

A Server is strict at its end: TERM must give exit code 0, nothing may have been logged as warning
or error that the test did not expect, no sanitizer may have spoken, and everything that was
replaced meanwhile must be proven released (law L5).

Nothing here sleeps for a fixed time: waiting is for a condition, and ends at a deadline. Every
process is ended by its own handle.
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import raw_http

REPOSITORY = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OUT = os.path.abspath(
    os.environ.get("TURNTABLE_OUT") or os.path.join(REPOSITORY, "out", "release")
)
PRESET = os.environ.get("TURNTABLE_PRESET") or os.path.basename(OUT)
SEED = int(os.environ.get("TURNTABLE_SEED") or "1")

# How much slower than release everything is, at most.
SLOWNESS = {"asan": 3, "tsan": 5, "debug": 2, "coverage": 2}.get(PRESET, 1)
DEADLINE_SECONDS = 15 * SLOWNESS

SOCKET_PATH_MAX = 107
POLL_SECONDS = 0.002

# Said of the machine, not of what the test does.
MACHINE_WORDS = re.compile(r"turntable: warn hard limit of \d+ descriptors")

# What no server may ever say: sanitizers, and our own ASSERT().
ALARM_WORDS = re.compile(r"Sanitizer|runtime error:|SUMMARY: |turntable: bug: ")


def program(name):
    return os.path.join(OUT, name)


def rounds(count):
    """So many rounds in release, fewer where each takes longer."""
    return max(1, count // SLOWNESS)


def seeded(name):
    """A generator of its own for each test, the same in every run."""
    return random.Random(f"{SEED} {name}")


def variants():
    """The ways in which a body gets to the socket, by name."""
    return {
        "default": ["--workers", "1"],
        "slot": ["--workers", "1", "--memory", "0", "--files", "fixed"],
        "plain": ["--workers", "1", "--memory", "0", "--files", "plain"],
        "sendfile": ["--workers", "1", "--memory", "0", "--sendfile", "1"],
        "reads": ["--workers", "1", "--memory", "0", "--sendfile", "0"],
        "workers": ["--workers", "2"],
    }


def for_each_variant(mixin):
    """Makes a test class of the mixin for each variant, with `options` and `variant`."""
    module = sys.modules[mixin.__module__]
    for name, options in variants().items():
        class_name = f"{mixin.__name__}_{name}"
        members = {"variant": name, "options": options, "__module__": mixin.__module__}
        setattr(module, class_name, type(class_name, (mixin, ServerTest), members))
    return mixin


def wait_until(condition, what, seconds=DEADLINE_SECONDS):
    """Polls until `condition()` is true, and returns what it gave."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(POLL_SECONDS)


# ---- files --------------------------------------------------------------------------------------


def write_file(path, data):
    if isinstance(data, str):
        data = data.encode()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)
    return path


def write_tree(root, files):
    """`files`: {path: contents}."""
    for path, data in files.items():
        write_file(os.path.join(root, path), data)


def replace_file(path, data, mtime_ns=None):
    """A new file takes the name: the way to replace what is served."""
    temporary = f"{path}.next"
    write_file(temporary, data)
    if mtime_ns is not None:
        os.utime(temporary, ns=(mtime_ns, mtime_ns))
    os.rename(temporary, path)


def replace_symlink(path, target):
    temporary = f"{path}.next"
    os.symlink(target, temporary)
    os.rename(temporary, path)


def pattern(byte_count, name=""):
    """Bytes that are nowhere the same as elsewhere, nor as those of another name."""
    return seeded(f"pattern {name}").randbytes(byte_count)


def content(label, byte_count):
    """Contents that say whose they are, at the front and at the end."""
    text = f"<{label}>".encode()
    return (text * (byte_count // len(text) + 1))[: byte_count - len(text)] + text


def scratch_folder(prefix):
    """A folder on the out directory's file system; the caller removes it."""
    parent = os.path.join(OUT, "scratch")
    os.makedirs(parent, exist_ok=True)
    return tempfile.mkdtemp(prefix=f"{prefix}-", dir=parent)


# ---- the server ---------------------------------------------------------------------------------


class Server:
    """One running server. Use it as a context manager, or by ServerTest.serve().

    root       directory to serve; the caller's
    options    of the command line
    expected   regexes of warnings and errors that may be logged, each at least once
    uid        user to run as, when we are root
    preexec    called in the child before the program starts
    env        additions to the environment
    stdout     where standard output goes
    """

    def __init__(
        self,
        root,
        *options,
        expected=(),
        uid=None,
        preexec=None,
        env=None,
        stdout=subprocess.DEVNULL,
        listen="127.0.0.1:0",
    ):
        self.root = root
        self.expected = list(expected)
        self.lines = []
        self.process = None
        self.port = None
        self.facts = {}
        self.folder = scratch_folder("server")
        self.admin_path = os.path.join(self.folder, "admin")
        self._socket_folder = None
        if len(self.admin_path) > SOCKET_PATH_MAX:
            self._socket_folder = tempfile.mkdtemp(prefix="tt-", dir="/tmp")
            self.admin_path = os.path.join(self._socket_folder, "admin")
        self._command = [
            program("turntable"),
            *("--root", root, "--listen", listen, "--admin", f"unix:{self.admin_path}"),
            *options,
        ]
        self._uid = uid
        self._preexec = preexec
        self._env = {**os.environ, **(env or {})}
        self._stdout = stdout
        self._changed = threading.Condition()
        self._reader = None

    # ---- its life ----

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    def spawn(self):
        """Starts the process and does not wait for it to be ready."""
        uid = self._uid
        if uid is not None:
            for folder in filter(None, (self.folder, self._socket_folder)):
                os.chown(folder, uid, uid)
        self.process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=self._stdout,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            env=self._env,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            preexec_fn=self._preexec,
        )
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()

    def start(self):
        self.spawn()
        line = self.wait_for_line(r"turntable: ready ")
        match = re.fullmatch(
            r"turntable: ready (http://\S+:(\d+)|unix:\S+)"
            r" engine=(\w+) files=(\w+) workers=(\d+)",
            line,
        )
        if match is None:
            raise AssertionError(f"the ready line is not as promised: {line!r}")
        self.url = match[1]
        self.port = int(match[2]) if match[2] else None
        self.listening_sockets = [
            name for name in self.open_fds().values() if name.startswith("socket:")
        ]
        self.facts = {"engine": match[3], "files": match[4], "workers": int(match[5])}

    def wait_for_exit(self, seconds=DEADLINE_SECONDS):
        """The exit code, once all that was logged is in `lines`."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.dump()
            raise AssertionError(f"still running after {seconds} s") from None
        self._reader.join(DEADLINE_SECONDS)
        return code

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Ends it, and checks that it ends as it should."""
        try:
            if self.process.poll() is None:
                self.settle()
                self.signal(signal.SIGTERM)
            self.check_end(self.wait_for_exit())
        except (raw_http.Ended, ConnectionError):
            self.check_end(self.wait_for_exit())  # it was about to end, or has crashed
        finally:
            self.kill()

    def kill(self):
        """Ends it anyhow, and removes what belongs to it."""
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self._reader.join(DEADLINE_SECONDS)
            self.process.stderr.close()
        for folder in filter(None, (self.folder, self._socket_folder)):
            shutil.rmtree(folder, ignore_errors=True)

    def check_end(self, code, wanted_code=0):
        """What must be true of a server that has ended."""
        problems = [] if code == wanted_code else [f"exit code {code}, not {wanted_code}"]
        for line in self.lines:
            is_loud = re.match(r"turntable: (warn|error) ", line)
            is_expected = any(re.search(regex, line) for regex in self.expected)
            is_expected = is_expected or MACHINE_WORDS.match(line)
            if ALARM_WORDS.search(line) or (is_loud and not is_expected):
                problems.append(f"logged: {line}")
        for regex in self.expected:
            if not any(re.search(regex, line) for line in self.lines):
                problems.append(f"not logged: {regex}")
        if problems:
            self.dump()
            raise AssertionError("; ".join(problems))

    # ---- its log ----

    def _read_stderr(self):
        for raw in self.process.stderr:
            with self._changed:
                self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def wait_for_line(self, regex, seconds=DEADLINE_SECONDS):
        """The first line that matches; an error when the server ends without it."""

        def find():
            return next((line for line in self.lines if re.search(regex, line)), None)

        with self._changed:
            self._changed.wait_for(
                lambda: find() is not None or not self._reader.is_alive(), seconds
            )
            line = find()
        if line is None:
            self.dump()
            raise AssertionError(f"no line {regex!r} within {seconds} s")
        return line

    def dump(self):
        """What it said, for whoever reads the failure."""
        command = " ".join(self._command)
        text = "\n".join(f"    {line}" for line in self.lines[-100:])
        print(f"\n$ {command}\n{text}", file=sys.stderr, flush=True)

    # ---- its clients ----

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def connect(self, receive_buffer_bytes=None):
        return raw_http.Connection(self.address, DEADLINE_SECONDS, receive_buffer_bytes)

    def get(self, path="/", method="GET", fields=(), **options):
        """One request on a connection of its own."""
        with self.connect() as connection:
            return connection.get(path, method, fields, **options)

    # ---- its administration ----

    def admin(self, path, method="GET"):
        with raw_http.Connection(self.admin_path, DEADLINE_SECONDS) as connection:
            return connection.get(path, method)

    def status(self):
        response = self.admin("/status")
        if response.status != 200:
            raise AssertionError(f"/status says {response.status}")
        return json.loads(response.body)

    def metrics(self):
        """{sample as written, without the prefix: value}"""
        text = self.admin("/metrics").body.decode()
        samples = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                samples[name.removeprefix("turntable_")] = float(value)
        return samples

    def metric(self, name):
        return int(self.metrics()[name])

    def wait_for_metric(self, name, minimum):
        return wait_until(
            lambda: self.metric(name) >= minimum, f"{name} >= {minimum}, is {self.metric(name)}"
        )

    def connection_count(self):
        return sum(self.status()["connections"].values())

    def wait_for_connections(self, count):
        wait_until(
            lambda: self.connection_count() == count,
            f"{count} connections, not {self.status()['connections']}",
        )

    def settle(self):
        """Waits until all that was replaced is proven released (law L5)."""

        def is_settled():
            status = self.status()
            return (
                status["versions_released"] == status["versions_retired"]
                and status["slots"]["retiring"] == 0
                and status["generations_draining"] == 0
            )

        try:
            wait_until(is_settled, "everything retired is released")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.status()}") from None

    def open_fds(self):
        """{descriptor: what it is} of the process."""
        folder = f"/proc/{self.process.pid}/fd"
        fds = {}
        for name in os.listdir(folder):
            try:
                fds[int(name)] = os.readlink(os.path.join(folder, name))
            except FileNotFoundError:
                pass  # closed meanwhile
        return fds

    def resting_fds(self, connections=0):
        """What is open, sorted, when so many connections are: the admin's close a bit later."""
        wanted = len(self.listening_sockets) + connections

        def sockets():
            return [name for name in self.open_fds().values() if name.startswith("socket:")]

        wait_until(lambda: len(sockets()) == wanted, f"{wanted} sockets, not {sockets()}")
        return sorted(self.open_fds().values())

    def limit_descriptors(self, soft):
        """Sets RLIMIT_NOFILE of the running process; returns what it was."""
        pid = self.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, before[1]))
        return before[0]

    def forbid_descriptors(self, connections):
        """No further descriptor from here on, with so many connections open. The limit before."""
        self.resting_fds(connections)
        fds = self.open_fds()
        lowest_free = next(fd for fd in range(len(fds) + 1) if fd not in fds)
        return self.limit_descriptors(lowest_free)


class ServerTest(unittest.TestCase):
    """A test case that ends what it started, and shows the server's log when it fails."""

    server = None  # where a whole class shares one

    def run(self, result=None):
        self.servers = [] if self.server is None else [self.server]
        if result is None:
            result = self.defaultTestResult()
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for server in self.servers:
                server.dump()
        return result

    @classmethod
    def share(cls, root, *options, **arguments):
        """One server for all cases of the class; call it in setUpClass()."""
        cls.server = cls.enterClassContext(Server(root, *options, **arguments))

    @classmethod
    def class_tree(cls, files):
        root = scratch_folder("test")
        cls.addClassCleanup(shutil.rmtree, root, ignore_errors=True)
        write_tree(root, files)
        return root

    def folder(self):
        """An empty folder for the time of the test."""
        path = scratch_folder("test")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def tree(self, files):
        root = self.folder()
        write_tree(root, files)
        return root

    def serve(self, root, *options, **arguments):
        server = self.enterContext(Server(root, *options, **arguments))
        self.servers.append(server)
        return server

    def connect(self, server=None, receive_buffer_bytes=None):
        return self.enterContext((server or self.server).connect(receive_buffer_bytes))


def main():
    unittest.main(verbosity=2)
