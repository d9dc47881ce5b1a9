#!/usr/bin/env python3
"""The end: TERM drains, and what is under way is finished. And the access log."""

import os
import re
import signal
import socket
import subprocess
import time

import harness
import raw_http

MIB = 1 << 20
SMALL_WINDOW = 8 * 1024
LARGE = harness.pattern(8 * MIB, "large")

LOG_LINE = re.compile(
    r'(?P<peer>\S+) - - \[(?P<time>\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] '
    r'"(?P<line>[^"]*)" (?P<status>\d{3}) (?P<bytes>\d+) "(?P<referer>[^"]*)" "(?P<agent>[^"]*)"'
)


class DrainCase(harness.ServerTest):
    def setUp(self):
        self.root = self.tree({"f.txt": "text", "large.bin": LARGE})

    def start_download(self, server):
        connection = self.connect(server, receive_buffer_bytes=SMALL_WINDOW)
        connection.ask("/large.bin")
        self.assertEqual(connection.read_head().status, 200)
        return connection

    def is_refused(self, server):
        try:
            with socket.create_connection(server.address, harness.DEADLINE_SECONDS):
                return False
        except (ConnectionRefusedError, ConnectionResetError):  # reset: it was in the queue
            return True

    def start_draining(self, server):
        server.signal(signal.SIGTERM)
        server.wait_for_line("draining signal=TERM")
        harness.wait_until(lambda: self.is_refused(server), "new connections are refused")


class Drain(DrainCase):
    def check_download(self, *options):
        server = self.serve(self.root, *options)
        download = self.start_download(server)
        self.start_draining(server)
        self.assertTrue(download.read_bytes(len(LARGE)) == LARGE)
        download.read_to_end()
        self.assertEqual(server.wait_for_exit(), 0)

    def test_download_under_way_is_finished(self):
        self.check_download("--workers", "1")

    def test_download_under_way_is_finished_with_two_workers(self):
        self.check_download("--workers", "2", "--memory", "0")

    def test_download_under_way_is_finished_by_reads(self):
        self.check_download("--workers", "1", "--memory", "0", "--sendfile", "0")

    def test_int_drains_as_well(self):
        server = self.serve(self.root)
        download = self.start_download(server)
        server.signal(signal.SIGINT)
        server.wait_for_line("draining signal=INT")
        self.assertTrue(download.read_bytes(len(LARGE)) == LARGE)
        self.assertEqual(server.wait_for_exit(), 0)

    def test_idle_connections_do_not_hold_it(self):
        server = self.serve(self.root)
        idle = [self.connect(server) for _ in range(20)]
        for connection in idle:
            self.assertEqual(connection.get("/f.txt").body, b"text")
        fresh = [self.connect(server) for _ in range(5)]
        server.wait_for_connections(25)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait_for_exit(5 * harness.SLOWNESS), 0)
        for connection in idle + fresh:
            connection.expect_end()

    def test_half_a_request_does_not_hold_it(self):
        server = self.serve(self.root)
        self.connect(server).send(b"GET /f.txt HTTP/1.1\r\nHost")
        server.wait_for_connections(1)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait_for_exit(5 * harness.SLOWNESS), 0)

    def test_it_is_not_ready_while_it_drains(self):
        server = self.serve(self.root)
        download = self.start_download(server)
        self.assertEqual(server.admin("/readyz").status, 200)
        self.start_draining(server)
        self.assertEqual(server.admin("/readyz").status, 503)
        self.assertEqual(server.admin("/healthz").status, 200)
        self.assertEqual(server.status()["state"], "draining")
        download.close()
        self.assertEqual(server.wait_for_exit(), 0)

    def test_drain_timeout_cuts_off(self):
        server = self.serve(
            self.root, "--drain-timeout", "300ms", expected=["warn drain timeout passed"]
        )
        download = self.start_download(server)
        begun = time.monotonic()
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait_for_exit(5 * harness.SLOWNESS), 0)
        self.assertGreaterEqual(time.monotonic() - begun, 0.3)
        with self.assertRaises(raw_http.Ended):
            download.read_bytes(len(LARGE))
        self.assertIn("answers_cut_off=1", server.wait_for_line("info stopped"))

    def test_drain_timeout_of_zero_waits_for_nobody(self):
        server = self.serve(
            self.root, "--drain-timeout", "0", expected=["warn drain timeout passed"]
        )
        self.start_download(server)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait_for_exit(5 * harness.SLOWNESS), 0)

    def test_second_term_ends_at_once(self):
        server = self.serve(self.root, expected=["warn stopping at once"])
        download = self.start_download(server)
        self.start_draining(server)
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait_for_exit(5 * harness.SLOWNESS), 0)
        with self.assertRaises(raw_http.Ended):
            download.read_bytes(len(LARGE))
        self.assertIn("answers_cut_off=1", server.wait_for_line("info stopped"))

    def test_pipelined_requests_are_not_torn(self):
        """What is answered while draining is answered whole, and says that it is the last."""
        server = self.serve(self.root)
        download = self.start_download(server)
        download.ask("/f.txt")
        download.ask("/f.txt")
        self.start_draining(server)
        self.assertTrue(download.read_bytes(len(LARGE)) == LARGE)
        data, is_reset = download.read_to_end()
        self.assertFalse(is_reset)
        if data:
            download.received += data
            response = download.read_response()
            self.assertEqual(response.body, b"text")
            self.assertTrue(response.is_last)
        download.close()
        self.assertEqual(server.wait_for_exit(), 0)

    def test_replacement_while_draining(self):
        server = self.serve(self.root, "--memory", "0")
        download = self.start_download(server)
        self.start_draining(server)
        harness.replace_file(os.path.join(self.root, "large.bin"), "new")
        self.assertTrue(download.read_bytes(len(LARGE)) == LARGE)
        self.assertEqual(server.wait_for_exit(), 0)

    def test_admin_socket_is_removed(self):
        server = self.serve(self.root)
        self.assertTrue(os.path.exists(server.admin_path))
        server.signal(signal.SIGTERM)
        self.assertEqual(server.wait_for_exit(), 0)
        self.assertFalse(os.path.exists(server.admin_path))

    def test_port_is_free_again(self):
        first = self.serve(self.root)
        connection = self.connect(first)
        self.assertEqual(connection.get("/f.txt").body, b"text")
        first.stop()
        second = self.serve(self.root, listen=f"127.0.0.1:{first.port}")
        self.assertEqual(second.get("/f.txt").body, b"text")


class AccessLog(DrainCase):
    def start(self, *options, **arguments):
        self.log_path = os.path.join(self.folder(), "access.log")
        options = ["--access-log", self.log_path, "--workers", "1", *options]
        self.server = self.serve(self.root, *options, **arguments)
        return self.server

    def lines(self, path=None):
        """What is in the log; each line in the combined format."""
        with open(path or self.log_path) as file:
            text = file.read()
        self.assertTrue(text == "" or text.endswith("\n"), text[-200:])
        matches = [LOG_LINE.fullmatch(line) for line in text.splitlines()]
        self.assertNotIn(None, matches, text)
        return matches

    def wait_for_lines(self, count, path=None):
        path = path or self.log_path

        def enough():
            with open(path) as file:
                return file.read().count("\n") >= count

        harness.wait_until(enough, f"{count} lines in {path}")
        return self.lines(path)

    def test_a_line_for_each_kind_of_answer(self):
        server = self.start()
        connection = self.connect()
        etag = connection.get("/f.txt").field("ETag")
        answers = [
            ("/f.txt", "GET", {}),
            ("/f.txt", "HEAD", {}),
            ("/f.txt", "GET", {"If-None-Match": etag}),
            ("/large.bin", "GET", {}),
            ("/large.bin", "GET", {"Range": "bytes=10-19"}),
            ("/large.bin", "GET", {"Range": "bytes=99999999-"}),
            ("/missing?a=b", "GET", {}),
            ("/missing", "HEAD", {}),
            ("/f.txt", "POST", {}),
        ]
        wanted = [("GET /f.txt HTTP/1.1", 200, 4)]
        for path, method, fields in answers:
            response = connection.get(path, method, fields)
            wanted.append((f"{method} {path} HTTP/1.1", response.status, len(response.body)))
        lines = self.wait_for_lines(len(wanted))
        got = [(line["line"], int(line["status"]), int(line["bytes"])) for line in lines]
        self.assertEqual(got, wanted)
        self.assertEqual({line["peer"] for line in lines}, {"127.0.0.1"})
        self.assertEqual(server.metric("access_log_dropped_total"), 0)

    def test_time_is_now(self):
        self.start()
        self.connect().get("/f.txt")
        text = self.wait_for_lines(1)[0]["time"]
        logged = time.mktime(time.strptime(text, "%d/%b/%Y:%H:%M:%S +0000"))
        now = time.mktime(time.gmtime())
        self.assertLess(abs(now - logged), 5 * harness.SLOWNESS)

    def test_referer_and_user_agent(self):
        self.start()
        self.connect().get(
            "/f.txt", fields={"Referer": "http://from/here", "User-Agent": "test agent/1.0"}
        )
        line = self.wait_for_lines(1)[0]
        self.assertEqual((line["referer"], line["agent"]), ("http://from/here", "test agent/1.0"))

    def test_absent_fields_are_dashes(self):
        self.start()
        self.connect().get("/f.txt")
        line = self.wait_for_lines(1)[0]
        self.assertEqual((line["referer"], line["agent"]), ("-", "-"))

    def test_what_could_forge_a_line_is_escaped(self):
        self.start()
        self.connect().get(
            '/f.txt?"%0a', fields=[("User-Agent", 'a" 200 1 "b\\n\xff\t'), ("Referer", '"')]
        )
        line = self.wait_for_lines(1)[0]
        self.assertEqual(line["line"], r"GET /f.txt?\x22%0a HTTP/1.1")
        self.assertEqual(line["agent"], r"a\x22 200 1 \x22b\x5Cn\xFF")
        self.assertEqual(line["referer"], r"\x22")

    def test_bad_request_is_logged(self):
        self.start()
        connection = self.connect()
        connection.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        response = connection.read_response()
        line = self.wait_for_lines(1)[0]
        self.assertEqual((int(line["status"]), int(line["bytes"])), (400, len(response.body)))

    def test_aborted_download_logs_what_was_sent(self):
        for options in ([], ["--memory", "0", "--sendfile", "0"]):
            with self.subTest(options):
                self.start(*options)
                connection = self.start_download(self.server)
                received = len(connection.read_bytes(5000))
                connection.abort()
                line = self.wait_for_lines(1)[0]
                self.assertEqual(line["status"], "200")
                self.assertGreaterEqual(int(line["bytes"]), received)
                self.assertLess(int(line["bytes"]), len(LARGE))

    def test_usr1_reopens_a_rotated_log(self):
        server = self.start()
        connection = self.connect()
        connection.get("/f.txt?1")
        self.wait_for_lines(1)
        rotated = f"{self.log_path}.1"
        os.rename(self.log_path, rotated)
        connection.get("/f.txt?2")
        self.wait_for_lines(2, rotated)
        server.signal(signal.SIGUSR1)
        harness.wait_until(lambda: os.path.exists(self.log_path), "the new log is there")
        connection.get("/f.txt?3")
        self.assertEqual(self.wait_for_lines(1)[0]["line"], "GET /f.txt?3 HTTP/1.1")
        self.assertEqual(len(self.lines(rotated)), 2)

    def test_rotation_under_load_loses_no_line(self):
        server = self.start()
        connection = self.connect()
        paths = []
        count = harness.rounds(2000)
        for turn in range(count):
            if turn % (count // 4) == count // 8:
                # The new log of the last time may still be on its way.
                harness.wait_until(lambda: os.path.exists(self.log_path), "the new log is there")
                paths.append(f"{self.log_path}.{turn}")
                os.rename(self.log_path, paths[-1])
                server.signal(signal.SIGUSR1)
            connection.get(f"/f.txt?{turn}")
        harness.wait_until(lambda: os.path.exists(self.log_path), "the last new log is there")
        self.server.stop()
        logged = [line["line"] for path in [*paths, self.log_path] for line in self.lines(path)]
        self.assertEqual(
            sorted(logged), sorted(f"GET /f.txt?{turn} HTTP/1.1" for turn in range(count))
        )

    def test_lines_are_all_there_at_the_end(self):
        self.start()
        connection = self.connect()
        connection.send(raw_http.request("/f.txt") * 500)
        for _ in range(500):
            connection.read_response()
        self.server.stop()
        self.assertEqual(len(self.lines()), 500)

    def test_standard_output(self):
        server = harness.Server(
            self.root, "--access-log", "-", "--workers", "1", stdout=subprocess.PIPE
        )
        with server:
            server.get("/f.txt")
            line = server.process.stdout.readline().decode()
            server.process.stdout.close()
        self.assertRegex(line.rstrip("\n"), LOG_LINE)

    def test_two_workers_write_whole_lines(self):
        log_path = os.path.join(self.folder(), "access.log")
        server = self.serve(self.root, "--access-log", log_path, "--workers", "2")
        connections = [self.connect(server) for _ in range(16)]
        for turn in range(20):
            for connection in connections:
                connection.ask(f"/f.txt?{turn}")
            for connection in connections:
                self.assertEqual(connection.read_response().status, 200)
        server.stop()
        self.assertEqual(len(self.lines(log_path)), 320)


if __name__ == "__main__":
    harness.main()
