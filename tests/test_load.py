#!/usr/bin/env python3
"""turntable-load against a scripted server: whatever is wrong with an answer is counted under its
name and under no other.

The server below answers each request with the steps that a test's script returns for it. Versions
of files are not made here but by turntable-load itself: a first run leaves version 1 of each file,
which is copied, the run under test makes version 2, and the script serves bytes of either.

The program is that of $TURNTABLE_OUT, by default out/release.
"""

import collections
import errno
import json
import os
import pathlib
import pty
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / os.environ.get("TURNTABLE_OUT", "out/release") / "turntable-load"

# The presets whose programs fail where $TURNTABLE_FAULTS says (server/base/fault.h).
HAS_FAULT_POINTS = os.environ.get("TURNTABLE_PRESET") in ("debug", "asan", "tsan")

# No step waits for time to pass; these only end what hangs.
WAIT_SECONDS = 60

CLEAN, BAD, USAGE = 0, 1, 2

CLOSE, RESET, HANG = "close", "reset", "hang"

ERRORS = ["connect", "timeout", "reset", "status", "protocol"]
VERDICTS = ["torn", "truncated", "stale", "wrong", "unverifiable"]


def head(body_bytes, *fields, status="200 OK"):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {body_bytes}", *fields]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def answer(body, *fields, status="200 OK"):
    return [head(len(body), *fields, status=status) + body]


def good(_number, _path):
    return answer(b"hello")


class Server:
    """Answers with the steps of `script(number, path)`: bytes to send, CLOSE, RESET or HANG.

    Requests are numbered from 1 in the order of their arrival, over all connections.
    """

    def __init__(self, script, port=0, receive_buffer=None):
        self.script = script
        self.on_end = lambda: None  # on each connection's thread, when it has ended
        self.paths = []
        self.lock = threading.Lock()
        self.arrived = threading.Condition(self.lock)
        self.is_closed = False
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer is not None:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(256)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Refuses connections from now on; those that are there go on."""
        with self.lock:
            if self.is_closed:
                return
            self.is_closed = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        received = bytearray()
        try:
            while True:
                searched = 0
                while (end := received.find(b"\r\n\r\n", max(0, searched - 3))) < 0:
                    searched = len(received)
                    piece = connection.recv(1 << 20)
                    if not piece:
                        return
                    received += piece
                path = received.split(b" ", 2)[1].decode()
                del received[: end + 4]
                if not self.perform(connection, self.script(self.count(path), path)):
                    return
        except OSError:
            pass  # the client is free to go away
        finally:
            connection.close()
            self.on_end()

    def count(self, path):
        with self.arrived:
            self.paths.append(path)
            self.arrived.notify_all()
            return len(self.paths)

    def wait_for_requests(self, count):
        with self.arrived:
            if not self.arrived.wait_for(lambda: len(self.paths) >= count, WAIT_SECONDS):
                raise AssertionError(f"{len(self.paths)} requests came, not {count}")

    @staticmethod
    def perform(connection, steps):
        for step in steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif step == CLOSE:
                return False
            elif step == RESET:
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                return False
            elif step == HANG:
                while connection.recv(65536):
                    pass
                return False
        return True


class Run:
    """One run of the program, with its JSON."""

    def __init__(self, *arguments, **options):
        with tempfile.TemporaryDirectory() as directory:
            file = pathlib.Path(directory, "report.json")
            command = [PROGRAM, "--json", file, *map(str, arguments)]
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False, **options
            )
            self.text = done.stdout
            self.complaint = done.stderr
            self.exit_status = done.returncode
            self.json = json.loads(file.read_text()) if file.exists() and file.stat().st_size else {}

    def counted(self):
        """{name: count} of everything bad."""
        found = {name: self.json["errors"][name] for name in ERRORS}
        found.update({name: self.json["verify"][name] for name in VERDICTS})
        return {name: count for name, count in found.items() if count}


def at(number, steps, others=good):
    """A script: these steps for that request, good answers for the others."""
    return lambda n, path: steps if n == number else others(n, path)


class LoadTest(unittest.TestCase):
    def assert_counts(self, run, expected, requests=None):
        self.assertEqual(run.counted(), expected, run.text + run.complaint)
        self.assertEqual(run.exit_status, BAD if expected else CLEAN, run.text + run.complaint)
        if requests is not None:
            self.assertEqual(run.json["requests"], requests)
            # Whatever a request ended in, its time is in the histogram.
            self.assertEqual(run.json["response_us"]["count"], requests)


class Counting(LoadTest):
    def test_sends_exactly_as_many_requests_as_asked(self):
        for threads, connections, requests in ((1, 1, 1), (1, 8, 3), (3, 5, 1001), (2, 2, 64)):
            with self.subTest(threads=threads, connections=connections), Server(good) as server:
                run = Run("-t", threads, "-c", connections, "-n", requests, server.url)
                self.assert_counts(run, {}, requests)
                self.assertEqual(len(server.paths), requests)
                self.assertEqual(run.json["statuses"], {"200": requests})

    def test_counts_every_byte(self):
        body = b"x" * 3_000_000  # long enough to be dropped unread in the kernel
        with Server(lambda *_: answer(body)) as server:
            run = Run("-c", 2, "-n", 7, server.url)
        self.assert_counts(run, {}, 7)
        self.assertEqual(run.json["bytes"], 7 * len(answer(body)[0]))

    def test_stops_after_the_duration(self):
        with Server(good) as server:
            run = Run("-c", 2, "-d", "300ms", server.url)
        self.assert_counts(run, {})
        self.assertGreater(run.json["requests"], 0)
        self.assertEqual(run.json["requests"], len(server.paths))
        self.assertGreaterEqual(run.json["seconds"], 0.29)

    def test_keeps_connections(self):
        with Server(good) as server:
            run = Run("-c", 4, "-n", 400, server.url)
        self.assertEqual(run.json["connects"], 4)

    def test_requests_paths_round_robin(self):
        with tempfile.TemporaryDirectory() as directory, Server(good) as server:
            paths = pathlib.Path(directory, "paths")
            paths.write_text("a\n/b c\n\nd/e?f\n")
            run = Run("-c", 1, "-n", 9, "--paths", paths, server.url + "/base/")
        self.assert_counts(run, {}, 9)
        self.assertEqual(sorted(set(server.paths)), ["/base/a", "/base/b%20c", "/base/d/e?f"])
        self.assertEqual(server.paths[:3] * 3, server.paths)

    def test_spreads_over_several_urls(self):
        with Server(good) as first, Server(good) as second:
            run = Run("-c", 4, "-n", 40, first.url + "/one", second.url + "/two")
        self.assert_counts(run, {}, 40)
        self.assertEqual(set(first.paths), {"/one"})
        self.assertEqual(set(second.paths), {"/two"})

    def test_the_same_seed_asks_in_the_same_order(self):
        orders = []
        with tempfile.TemporaryDirectory() as directory:
            paths = pathlib.Path(directory, "paths")
            paths.write_text("".join(f"{i}\n" for i in range(1000)))
            for seed in (5, 5, 6):
                with Server(good) as server:
                    Run("-c", 1, "-n", 10, "--seed", seed, "--paths", paths, server.url)
                    orders.append(server.paths)
        self.assertEqual(orders[0], orders[1])
        self.assertNotEqual(orders[0], orders[2])

    def test_sends_long_requests_piece_by_piece(self):
        with tempfile.TemporaryDirectory() as directory:
            paths = pathlib.Path(directory, "paths")
            paths.write_text("x" * 500_000)
            with Server(good, receive_buffer=4096) as server:
                run = Run("-c", 2, "-n", 4, "--paths", paths, server.url)
        self.assert_counts(run, {}, 4)
        self.assertEqual({len(path) for path in server.paths}, {500_001})

    def test_reports_cpu_per_request(self):
        with Server(good) as server:
            run = Run("-c", 1, "-n", 200, "--server-pid", os.getpid(), server.url)
        self.assertGreater(run.json["server_cpu_us_per_request"], 0)
        self.assertGreater(run.json["client_cpu_us_per_request"], 0)
        self.assertIn(run.json["verdict"], ("client", "server", "neither"))


class GoodAnswers(LoadTest):
    def check(self, script, requests=6):
        with Server(script) as server:
            run = Run("-c", 2, "-n", requests, server.url)
        self.assert_counts(run, {}, requests)
        return run

    def test_chunked(self):
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        self.assertEqual(self.check(lambda *_: [chunked]).json["connects"], 2)

    def test_ended_by_the_close(self):
        until_close = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"
        self.assertEqual(self.check(lambda *_: [until_close, CLOSE]).json["connects"], 6)

    def test_connection_close(self):
        last = answer(b"bye", "Connection: close")
        self.assertEqual(self.check(lambda *_: [*last, CLOSE]).json["connects"], 6)

    def test_interim(self):
        self.check(lambda *_: [b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", *answer(b"x")])

    def test_byte_by_byte(self):
        self.check(lambda *_: [bytes([byte]) for byte in answer(b"abc")[0]])

    def test_empty(self):
        self.check(lambda *_: answer(b""))


class Errors(LoadTest):
    def check(self, steps, expected, *arguments):
        """One bad answer among good ones is counted once, under its name."""
        with Server(at(3, steps)) as server:
            run = Run("-c", 1, "-n", 10, *arguments, server.url + "/file")
        self.assert_counts(run, expected, 10)
        (name,) = expected
        self.assertIn(name, run.json["first"])
        self.assertIn("first: ", run.text)
        return run

    def test_status(self):
        run = self.check(answer(b"?", status="404 Not Found"), {"status": 1})
        self.assertEqual(run.json["statuses"], {"200": 9, "404": 1})
        self.assertEqual(run.json["connects"], 1)
        self.assertEqual(run.json["first"]["status"], "/file: status 404")

    def test_status_without_body(self):
        self.check([b"HTTP/1.1 304 Not Modified\r\n\r\n"], {"status": 1})

    def test_garbage(self):
        run = self.check([b"SSH-2.0-OpenSSH_9.2\r\n"], {"protocol": 1})
        self.assertEqual(run.json["connects"], 2)

    def test_garbage_that_never_ends(self):
        self.check([b"\x16\x03\x01", HANG], {"protocol": 1})

    def test_bad_field(self):
        self.check([b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"], {"protocol": 1})

    def test_two_lengths(self):
        self.check([head(5, "Content-Length: 6") + b"hello"], {"protocol": 1})

    def test_body_longer_than_its_length(self):
        self.check([head(5) + b"hello world"], {"protocol": 1})

    def test_long_body_longer_than_its_length(self):
        self.check([head(1_000_000) + b"x" * 1_000_001], {"protocol": 1})

    def test_body_shorter_than_its_length(self):
        self.check([head(500) + b"hello", CLOSE], {"protocol": 1})

    def test_long_body_shorter_than_its_length(self):
        self.check([head(1_000_000) + b"x" * 999_999, CLOSE], {"protocol": 1})

    def test_cut_in_the_head(self):
        self.check([b"HTTP/1.1 200 OK\r\nContent", CLOSE], {"protocol": 1})

    def test_closed_without_an_answer(self):
        self.check([CLOSE], {"reset": 1})

    def test_reset_without_an_answer(self):
        self.check([RESET], {"reset": 1})

    def test_never_answers(self):
        run = self.check([HANG], {"timeout": 1}, "--timeout", "0.2")
        self.assertGreater(run.json["response_us"]["max"], 200_000)

    def test_stops_in_the_middle(self):
        run = self.check([head(500) + b"hello", HANG], {"timeout": 1}, "--timeout", "0.2")
        self.assertIn("nothing came for 0.2", run.json["first"]["timeout"])

    def test_never_answers_at_all(self):
        with Server(lambda *_: [HANG]) as server:
            run = Run("-c", 3, "-d", "0.1", "--timeout", "0.2", server.url)
        self.assert_counts(run, {"timeout": 3}, 3)

    def test_server_goes_away(self):
        def script(number, _path):
            if number < 3:
                return answer(b"x")
            server.close()
            return [*answer(b"x", "Connection: close"), CLOSE]

        with Server(script) as server:
            run = Run("-c", 1, "-n", 6, server.url)
        self.assert_counts(run, {"connect": 3}, 6)
        self.assertIn("Connection refused", run.json["first"]["connect"])

    def test_each_kind_apart(self):
        steps = {
            2: answer(b"?", status="503 Service Unavailable"),
            4: [b"garbage"],
            6: [RESET],
            8: [HANG],
            10: answer(b"?", status="500 Internal Server Error"),
        }
        with Server(lambda number, path: steps.get(number, answer(b"hello"))) as server:
            run = Run("-c", 1, "-n", 12, "--timeout", "0.2", server.url)
        self.assert_counts(run, {"status": 2, "protocol": 1, "reset": 1, "timeout": 1}, 12)


class Files:
    """A directory of rotated files with their versions 1 and 2; version 2 is current in the run."""

    def __init__(self, directory, count=4):
        self.directory = pathlib.Path(directory)
        self.count = count
        self.older = self.make()

    def arguments(self, rotations=0):
        return [
            *("--verify", "all", "--rotate", self.directory),
            *("--rotate-files", self.count, "--rotations", rotations),
        ]

    def make(self):
        """A run makes the next version of each file; returns {name: bytes}."""
        with Server(good) as server:
            Run("-c", 1, "-n", 1, *self.arguments(), server.url)
        return self.read_all()

    def read_all(self):
        return {file.name: file.read_bytes() for file in self.directory.glob("rotate-*.bin")}

    def read(self, path):
        return (self.directory / path.rsplit("/", 1)[1]).read_bytes()

    def old(self, path):
        return self.older[path.rsplit("/", 1)[1]]

    def open(self, path):
        """As a correct server does it: the headers are those of what is open."""
        with open(self.directory / path.rsplit("/", 1)[1], "rb") as file:
            status = os.fstat(file.fileno())
            etag = f'"{status.st_ino}-{status.st_size}-{status.st_mtime_ns}"'
            return answer(file.read(), f"ETag: {etag}", "Last-Modified: today")

    def serve(self, _number, path):
        return self.open(path)


class Verification(LoadTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.files = Files(directory.name)

    def check(self, make_steps, expected, reason=None):
        """One bad body among good ones; `make_steps(path)` makes it."""

        def script(number, path):
            return make_steps(path) if number == 5 else self.files.open(path)

        with Server(script) as server:
            run = Run("-c", 1, "-n", 12, *self.files.arguments(), server.url + "/r")
        self.assert_counts(run, expected, 12)
        self.assertEqual(run.json["verify"]["checked"], 12)
        reasons = {reason: 1} if reason else {}
        self.assertEqual(run.json["verify"]["wrong_reasons"], reasons)
        return run

    def test_all_good(self):
        with Server(self.files.serve) as server:
            run = Run("-c", 4, "-n", 100, *self.files.arguments(), server.url + "/r/")
        self.assert_counts(run, {}, 100)
        self.assertEqual(run.json["verify"]["checked"], 100)
        self.assertEqual(set(server.paths), {f"/r/rotate-00{i}.bin" for i in range(4)})

    def test_good_in_chunks(self):
        def chunked(path):
            body = self.files.read(path)
            first, rest = body[:1000], body[1000:]
            fields = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (first, rest))
            return [fields + chunks + b"0\r\n\r\n"]

        with Server(lambda _, path: chunked(path)) as server:
            run = Run("-c", 1, "-n", 8, *self.files.arguments(), server.url)
        self.assert_counts(run, {}, 8)

    def test_good_after_an_interim_answer(self):
        hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        with Server(lambda _, path: [hints, *self.files.open(path)]) as server:
            run = Run("-c", 1, "-n", 8, *self.files.arguments(), server.url)
        self.assert_counts(run, {}, 8)

    def test_torn(self):
        def torn(path):
            new, old = self.files.read(path), self.files.old(path)
            middle = min(len(new), len(old)) // 2
            return answer(new[:middle] + old[middle:])

        self.check(torn, {"torn": 1})

    def test_torn_at_the_length_of_the_other(self):
        def torn(path):
            new, old = self.files.read(path), self.files.old(path)
            middle = min(len(new), len(old)) // 2
            return answer((old[:middle] + new[middle:])[: len(old)])

        self.check(torn, {"torn": 1})

    def test_truncated(self):
        def truncated(path):
            body = self.files.read(path)
            return [head(len(body)) + body[: len(body) // 2], CLOSE]

        self.check(truncated, {"truncated": 1})

    def test_truncated_before_its_first_byte(self):
        self.check(lambda path: [head(len(self.files.read(path))), CLOSE], {"truncated": 1})

    def test_truncated_chunks(self):
        def truncated(path):
            body = self.files.read(path)[:777]
            fields = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            return [fields + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)]

        self.check(truncated, {"truncated": 1})

    def test_stale(self):
        run = self.check(lambda path: answer(self.files.old(path)), {"stale": 1})
        self.assertEqual(run.json["staleness_us"]["count"], 1)
        self.assertGreater(run.json["staleness_us"]["max"], 0)

    def test_other_file(self):
        def other(path):
            name = next(n for n in sorted(self.files.older) if not path.endswith(n))
            return answer(self.files.read("/" + name))

        self.check(other, {"wrong": 1}, "other_file")

    def test_damaged(self):
        def damaged(path):
            body = bytearray(self.files.read(path))
            body[-1] ^= 1
            return answer(bytes(body))

        self.check(damaged, {"wrong": 1}, "damaged")

    def test_damaged_header(self):
        def damaged(path):
            body = bytearray(self.files.read(path))
            body[20] ^= 1
            return answer(bytes(body))

        self.check(damaged, {"wrong": 1}, "damaged")

    def test_error_page_with_status_200(self):
        self.check(lambda path: answer(b"<h1>Internal error</h1>"), {"wrong": 1}, "damaged")

    def test_shorter_length(self):
        self.check(lambda path: answer(self.files.read(path)[:-1]), {"wrong": 1}, "length")

    def test_longer_length(self):
        self.check(lambda path: answer(self.files.read(path) + b"\0"), {"wrong": 1}, "length")

    def test_empty_body(self):
        self.check(lambda path: answer(b""), {"wrong": 1}, "length")

    def test_version_that_was_never_made(self):
        future = self.files.make()  # version 2 ...
        for file in self.files.directory.iterdir():
            file.unlink()  # ... but the run begins with version 1 again
        self.check(
            lambda path: answer(future[path.rsplit("/", 1)[1]]), {"wrong": 1}, "unknown_version"
        )

    def test_errors_are_not_taken_for_verdicts(self):
        def script(number, path):
            body = self.files.read(path)
            steps = {
                2: answer(b"?", status="404 Not Found"),
                4: [head(len(body)) + body + b"more"],
                6: [head(len(body)) + body[:200], RESET],
                8: [head(len(body)) + body[:200], HANG],
            }
            return steps.get(number) or self.files.open(path)

        with Server(script) as server:
            arguments = ["--timeout", "0.3", *self.files.arguments()]
            run = Run("-c", 1, "-n", 12, *arguments, server.url)
        self.assert_counts(run, {"status": 1, "protocol": 1, "reset": 1, "timeout": 1}, 12)

    def test_changing_etag(self):
        def script(number, path):
            return answer(self.files.read(path), f'ETag: "{number if number == 9 else 0}-{path}"')

        with Server(script) as server:
            run = Run("-c", 1, "-n", 12, *self.files.arguments(), server.url)
        self.assert_counts(run, {"wrong": 1}, 12)
        self.assertEqual(run.json["verify"]["wrong_reasons"], {"validator_changed": 1})

    def test_unverifiable(self):
        with Server(good) as server:
            run = Run("-c", 1, "-n", 5, "--verify", "all", server.url)
        self.assert_counts(run, {"unverifiable": 5}, 5)
        self.assertIn("--rotate DIR", run.text)

    def test_versions_are_checked_without_a_rotator(self):
        def script(number, path):
            body = self.files.read(path)
            return answer(body if number != 3 else body[:500] + b"?" + body[501:])

        with Server(script) as server:
            run = Run("-c", 1, "-n", 5, "--verify", "all", server.url + "/rotate-002.bin")
        self.assert_counts(run, {"wrong": 1}, 5)


class Rotation(LoadTest):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.files = Files(directory.name, count=2)

    def run_until(self, server, rotations, *arguments):
        """Runs until the server has seen so many versions replaced, then interrupts."""
        command = [PROGRAM, "--json", "-", "-c", "2", "-d", str(WAIT_SECONDS)]
        command += map(str, [*self.files.arguments(rotations=200), *arguments, server.url + "/r"])
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                while self.newest() < rotations:
                    server.wait_for_requests(len(server.paths) + 1)
                process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=WAIT_SECONDS)
            finally:
                process.kill()
        return process.returncode, json.loads(output)

    def newest(self):
        """The highest version number of any file."""
        numbers = [struct.unpack_from("<Q", body, 16)[0] for body in self.files.read_all().values()]
        return max(numbers)

    def test_correct_server_is_found_correct(self):
        with Server(self.files.serve) as server:
            exit_status, report = self.run_until(server, 40)
        self.assertEqual(exit_status, CLEAN, report)
        self.assertGreaterEqual(report["rotations"], 30)
        self.assertEqual(report["verify"]["checked"], report["requests"])
        self.assertGreaterEqual(report["witness"]["watched"], 30)
        self.assertEqual(report["witness"]["unwatched"], 0)
        self.assertEqual(report["rotations_failed"], 0)
        self.assertEqual(report["staleness_us"], {"count": 0})

    def test_caching_server_is_found_stale(self):
        cache = {}

        def script(_number, path):
            if path not in cache:
                cache[path] = self.files.open(path)
            return cache[path]

        with Server(script) as server:
            exit_status, report = self.run_until(server, 20)
        self.assertEqual(exit_status, BAD)
        self.assertGreater(report["verify"]["stale"], 0)
        self.assertEqual(report["staleness_us"]["count"], report["verify"]["stale"])
        for name in ("torn", "truncated", "wrong", "unverifiable"):
            self.assertEqual(report["verify"][name], 0, report)

    def test_one_etag_for_all_versions_is_found_wrong(self):
        with Server(lambda _, path: answer(self.files.read(path), 'ETag: "x"')) as server:
            exit_status, report = self.run_until(server, 20)
        self.assertEqual(exit_status, BAD)
        self.assertGreater(report["verify"]["wrong"], 0)
        self.assertEqual(
            report["verify"]["wrong_reasons"], {"etag_shared": report["verify"]["wrong"]}
        )

    def test_witness_sees_when_held_files_are_released(self):
        held = collections.defaultdict(lambda: open(os.devnull, "rb"))

        def script(_number, path):
            # Each connection's thread keeps the file of its last request open until its next one.
            steps = self.files.open(path)
            held[threading.get_ident()].close()
            name = path.rsplit("/", 1)[1]
            held[threading.get_ident()] = open(self.files.directory / name, "rb")
            return steps

        with Server(script) as server:
            command = [*self.files.arguments(rotations=100), "-c", 2, "-d", "1", server.url + "/r"]
            server.on_end = lambda: held[threading.get_ident()].close()
            run = Run(*command)
        self.assertEqual(run.json["witness"]["pending"], 0, run.text)
        self.assertEqual(run.json["witness"]["released"], run.json["witness"]["watched"])
        self.assertEqual(run.json["release_us"]["count"], run.json["witness"]["released"])
        self.assertGreater(run.json["release_us"]["max"], 0)

    @unittest.skipUnless(HAS_FAULT_POINTS, "needs a build with fault points")
    def test_failing_replacements_are_reported(self):
        environment = {**os.environ, "TURNTABLE_FAULTS": f"rotator_rename:2:1000:{errno.ENOSPC}"}
        with Server(self.files.serve) as server:
            arguments = [*self.files.arguments(rotations=1000), "-d", "0.3", server.url]
            run = Run("-c", 1, *arguments, env=environment)
        self.assertEqual(run.counted(), {})
        self.assertEqual(run.exit_status, BAD)
        self.assertEqual(run.json["rotations"], 0)
        self.assertGreater(run.json["rotations_failed"], 0)
        self.assertIn("No space left on device", run.text)

    def test_files_are_left_whole_and_alone(self):
        with Server(self.files.serve) as server:
            Run("-c", 1, "-n", 50, *self.files.arguments(rotations=1000), server.url)
        names = sorted(file.name for file in self.files.directory.iterdir())
        self.assertEqual(names, ["rotate-000.bin", "rotate-001.bin"])


class Ending(LoadTest):
    def test_interrupt_prints_the_report_so_far(self):
        with Server(good) as server:
            command = [PROGRAM, "-c", "2", "-d", str(WAIT_SECONDS), server.url]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                server.wait_for_requests(20)
                process.send_signal(signal.SIGINT)
                output, _ = process.communicate(timeout=WAIT_SECONDS)
        self.assertEqual(process.returncode, CLEAN)
        self.assertIn(", interrupted\n", output)
        self.assertIn("response ", output)

    def test_interrupt_while_nothing_comes(self):
        with Server(at(3, [HANG])) as server:
            command = [PROGRAM, "--json", "-", "-c", "1", "-d", str(WAIT_SECONDS), server.url]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                server.wait_for_requests(3)
                process.send_signal(signal.SIGTERM)
                output, _ = process.communicate(timeout=WAIT_SECONDS)
        report = json.loads(output)
        self.assertEqual(report["requests"], 2)
        self.assertEqual(report["unfinished"], 1)
        self.assertTrue(report["interrupted"])

    def test_terminal_gets_a_progress_line(self):
        with Server(good) as server:
            try:
                main, side = pty.openpty()
            except OSError as error:
                self.skipTest(f"no terminal can be had here: {error}")
            with os.fdopen(main, "rb", buffering=0) as terminal:
                command = [PROGRAM, "-c", "1", "-d", "1.3", server.url]
                done = subprocess.run(
                    command, stdout=subprocess.PIPE, stderr=side, timeout=WAIT_SECONDS, check=True
                )
                os.close(side)
                self.assertIn(b"requests/s", terminal.read(65536))
        self.assertNotIn(b"\r", done.stdout)

    def test_pipe_gets_no_progress_line(self):
        with Server(good) as server:
            run = Run("-c", 1, "-d", "1.3", server.url)
        self.assertEqual(run.complaint, "")


class Usage(LoadTest):
    def check(self, arguments, exit_status, *words, **options):
        run = Run(*arguments, **options)
        self.assertEqual(run.exit_status, exit_status, run.complaint)
        for word in words:
            self.assertIn(word, run.complaint)
        self.assertTrue(run.complaint.startswith("turntable-load: "), run.complaint)
        self.assertEqual(run.complaint.count("\n"), 1)
        self.assertEqual(run.text, "")

    def test_unreachable(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/"
            self.check([url], BAD, "cannot connect", "Connection refused")
            self.check(["-n", "5", url], BAD, "cannot connect")

    def test_unknown_host(self):
        self.check(["http://no-such-host.invalid/"], BAD, "cannot look up 'no-such-host.invalid'")

    def test_bad_options(self):
        url = "http://127.0.0.1:1/"
        self.check(["--rotatons", "5", url], USAGE, "did you mean '--rotations'?")
        self.check(["-c", "many", url], USAGE, "--connections 'many'", "1 to 100000")
        self.check(["--verify", "most", url], USAGE, "'none' or 'all'")
        self.check([], USAGE, "no URL")
        self.check(["https://127.0.0.1/"], USAGE, "use http://")
        self.check(["--paths", "/no/such/list", url], USAGE, "No such file")
        self.check(["--paths", os.devnull, url], USAGE, "there is no path in it")
        self.check(["--server-pid", "4194304", url], USAGE, "no such process")

    def test_bad_files(self):
        with Server(good) as server:
            arguments = ["--rotate", "/no/such/directory", server.url]
            self.check(arguments, BAD, "--rotate '/no/such/directory': No such file")
            command = [PROGRAM, "--json", "/no/such/directory/x", server.url]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, USAGE)
            self.assertIn("--json '/no/such/directory/x': No such file", done.stderr)

    def test_too_few_descriptors(self):
        limit = (100, 100)
        self.check(
            ["-c", "500", "http://127.0.0.1:1/"],
            USAGE,
            "-c 500 needs 568 descriptors, the limit is 100",
            "ulimit -n",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
        )

    def test_help_and_manual_name_the_same_options(self):
        done = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True)
        options = set(re.findall(r"^ +(?:-\w, )?(--[a-z-]+)", done.stdout, re.M))
        self.assertIn("--rotations", options)
        manual = (ROOT / "docs/man/turntable-load.1").read_text().replace("\\-", "-")
        documented = set(re.findall(r"^\.BR? .*?(--[a-z-]+)", manual, re.M))
        self.assertEqual(documented & options, options)

    def test_version(self):
        done = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True)
        self.assertRegex(done.stdout, r"^turntable-load \d+\.\d+\.\d+\n$")


if __name__ == "__main__":
    if not PROGRAM.exists():
        print(f"no {PROGRAM}: build it first (./dev build)")
        sys.exit(1)
    unittest.main()
