#!/usr/bin/env python3
"""HTTP/1.1 and 1.0 as a client sees them: requests, answers, connections."""

import email.utils
import os
import socket
import threading

import harness
import raw_http

INDEX = b"<!doctype html><title>index</title>\n"
HELLO = b"hello, world\n"
LARGE = harness.pattern(70_000, "large")
PIECES = harness.pattern(40_000, "pieces")
MTIME = 1_600_000_000
MTIME_TEXT = "Sun, 13 Sep 2020 12:26:40 GMT"

FILES = {
    "index.html": INDEX,
    "hello.txt": HELLO,
    "large.bin": LARGE,
    "pieces.bin": PIECES,
    "empty.txt": b"",
    "dir/index.html": b"in dir\n",
    "dir/page.html": b"page\n",
    "bare/file.txt": b"no index here\n",
    "sp ace/index.html": b"in sp ace\n",
    "sp ace/ä.txt": b"umlaut\n",
    "%41.txt": b"a percent in the name\n",
    "pl+us.txt": b"plus\n",
    ".hidden": b"secret\n",
    ".git/config": b"secret\n",
    "dir/.secret": b"secret\n",
    ".well-known/security.txt": b"contact\n",
    "style.css": b"p{}\n",
    "app.js": b"1\n",
    "data.json": b"{}\n",
    "picture.svg": b"<svg/>\n",
    "picture.PNG": b"png\n",
    "noextension": b"?\n",
    "trailing.dot.": b"?\n",
}


def make_tree(root):
    harness.write_tree(root, FILES)
    for path in FILES:
        os.utime(os.path.join(root, path), (MTIME, MTIME))


class HttpCase(harness.ServerTest):
    """A class of cases that share one server over FILES."""

    options = ["--workers", "1"]

    @classmethod
    def setUpClass(cls):
        root = cls.class_tree({})
        make_tree(root)
        cls.share(root, *cls.options)

    def get(self, path="/", method="GET", fields=(), **options):
        return self.server.get(path, method, fields, **options)

    def raw(self, data):
        """Sends bytes on a connection of their own; returns the one answer, and expects the end."""
        connection = self.connect()
        connection.send(data)
        response = connection.read_response()
        self.assertTrue(response.is_last, response.head)
        connection.expect_end()
        return response


class Requests:
    """What is true of every way of sending a body."""

    @classmethod
    def setUpClass(cls):
        root = cls.class_tree({})
        make_tree(root)
        cls.share(root, *cls.options)

    def test_get_answers_the_file(self):
        for path, body in (("hello.txt", HELLO), ("large.bin", LARGE), ("empty.txt", b"")):
            with self.subTest(path):
                response = self.server.get(f"/{path}")
                self.assertEqual((response.status, response.reason), (200, "OK"))
                self.assertEqual(response.body, body)
                self.assertEqual(response.content_length, len(body))

    def test_fields_of_a_file(self):
        response = self.server.get("/hello.txt")
        names = [name for name, _ in response.fields]
        wanted = ["Server", "Content-Type", "Content-Length", "Last-Modified", "ETag"]
        self.assertEqual(sorted(names), sorted(wanted + ["Accept-Ranges", "Date"]))
        self.assertEqual(response.field("Content-Type"), "text/plain; charset=utf-8")
        self.assertEqual(response.field("Last-Modified"), MTIME_TEXT)
        self.assertRegex(response.field("ETag"), r'^"[!#-~]+"$')
        self.assertEqual(response.field("Accept-Ranges"), "bytes")

    def test_date_is_now(self):
        date = email.utils.parsedate_to_datetime(self.server.get("/hello.txt").field("Date"))
        clock = email.utils.parsedate_to_datetime(email.utils.formatdate(usegmt=True))
        self.assertLess(abs((clock - date).total_seconds()), 5 * harness.SLOWNESS)

    def test_head_is_the_head_of_get(self):
        connection = self.connect()
        for path in ("/hello.txt", "/large.bin", "/empty.txt", "/missing", "/dir", "/bare/"):
            with self.subTest(path):
                get = connection.get(path)
                head = connection.get(path, "HEAD")
                self.assertEqual(head.head_without_date(), get.head_without_date())

    def test_not_modified_has_no_body(self):
        connection = self.connect()
        for path in ("/hello.txt", "/large.bin"):
            etag = connection.get(path).field("ETag")
            response = connection.get(path, fields={"If-None-Match": etag})
            self.assertEqual(response.status, 304)
            self.assertEqual(response.field("ETag"), etag)
            self.assertIsNone(response.field("Content-Type"))
            self.assertEqual(connection.get("/hello.txt").body, HELLO)

    def test_ranges_of_a_file(self):
        connection = self.connect()
        for first, last in ((0, 0), (0, 69_999), (1, 65_536), (32_768, 65_535), (69_999, 69_999)):
            with self.subTest(first=first, last=last):
                response = connection.get(
                    "/large.bin", fields={"Range": f"bytes={first}-{last}"}
                )
                self.assertEqual(response.status, 206)
                self.assertEqual(response.field("Content-Range"), f"bytes {first}-{last}/70000")
                self.assertEqual(response.body, LARGE[first : last + 1])

    def test_index_answers_for_its_directory(self):
        self.assertEqual(self.server.get("/").body, INDEX)
        response = self.server.get("/dir/")
        self.assertEqual((response.status, response.body), (200, b"in dir\n"))
        self.assertEqual(response.field("Content-Type"), "text/html; charset=utf-8")

    def test_pipelined_requests_are_answered_in_order(self):
        choice = harness.seeded(self.id())
        etag = self.server.get("/large.bin").field("ETag")
        kinds = [
            ("/hello.txt", "GET", {}, 200, HELLO),
            ("/large.bin", "GET", {}, 200, LARGE),
            ("/large.bin", "HEAD", {}, 200, b""),
            ("/large.bin", "GET", {"If-None-Match": etag}, 304, b""),
            ("/large.bin", "GET", {"Range": "bytes=1-9"}, 206, LARGE[1:10]),
            ("/empty.txt", "GET", {}, 200, b""),
            ("/missing", "GET", {}, 404, None),
            ("/dir", "GET", {}, 301, None),
            ("/dir/", "GET", {}, 200, b"in dir\n"),
        ]
        chosen = [choice.choice(kinds) for _ in range(100)]
        connection = self.connect()
        connection.send(b"".join(raw_http.request(*kind[:3]) for kind in chosen))
        for index, (path, method, _, status, body) in enumerate(chosen):
            response = connection.read_response(method)
            self.assertEqual(response.status, status, f"answer {index} to {method} {path}")
            if body is not None:
                self.assertEqual(response.body, body, f"answer {index} to {method} {path}")


harness.for_each_variant(Requests)


class Connections(HttpCase):
    def test_one_connection_serves_many_requests(self):
        connection = self.connect()
        for _ in range(200):
            response = connection.get("/hello.txt")
            self.assertEqual(response.body, HELLO)
            self.assertIsNone(response.field("Connection"))

    def test_errors_keep_the_connection(self):
        connection = self.connect()
        for path, status in (("/missing", 404), ("/bare/", 403), ("/dir", 301), ("/%zz", 400)):
            self.assertEqual(connection.get(path).status, status)
        self.assertEqual(connection.get("/hello.txt").body, HELLO)

    def test_close_is_honoured(self):
        for value in ("close", "Close", "keep-alive, close", "TE, close", "close ,te"):
            with self.subTest(value):
                connection = self.connect()
                response = connection.get("/hello.txt", fields={"Connection": value})
                self.assertEqual(response.body, HELLO)
                self.assertTrue(response.is_last)
                connection.expect_end()

    def test_nothing_is_answered_behind_a_close(self):
        connection = self.connect()
        connection.ask("/hello.txt", fields={"Connection": "close"})
        connection.ask("/hello.txt")
        self.assertEqual(connection.read_response().body, HELLO)
        connection.expect_end()

    def test_http_1_0_closes(self):
        for host in ("test", None):
            connection = self.connect()
            response = connection.get("/hello.txt", version="HTTP/1.0", host=host)
            self.assertEqual((response.status, response.body), (200, HELLO))
            self.assertNotEqual(response.field("Connection"), "keep-alive")
            connection.expect_end()

    def test_http_1_0_keeps_alive_when_asked(self):
        connection = self.connect()
        for _ in range(3):
            response = connection.get(
                "/hello.txt", fields={"Connection": "keep-alive"}, version="HTTP/1.0"
            )
            self.assertEqual(response.body, HELLO)
            self.assertEqual(response.field("Connection"), "keep-alive")

    def test_a_later_minor_version_is_1_1(self):
        connection = self.connect()
        self.assertEqual(connection.get("/hello.txt", version="HTTP/1.9").body, HELLO)
        self.assertEqual(connection.get("/hello.txt").body, HELLO)

    def test_half_closed_client_gets_its_answer(self):
        for path, body in (("/hello.txt", HELLO), ("/large.bin", LARGE)):
            with self.subTest(path):
                connection = self.connect()
                connection.ask(path)
                connection.end_of_requests()
                self.assertEqual(connection.read_response().body, body)
                connection.expect_end()

    def test_half_closed_client_gets_all_its_answers(self):
        """`printf '...' | nc -N` with several requests: what was sent before the end counts."""
        connection = self.connect(receive_buffer_bytes=8192)
        pair = raw_http.request("/large.bin") + raw_http.request("/hello.txt")
        connection.send(pair * 20)
        connection.end_of_requests()
        for index in range(20):
            try:
                self.assertEqual(connection.read_response().body, LARGE)
                self.assertEqual(connection.read_response().body, HELLO)
            except raw_http.Ended as ended:
                self.fail(f"{ended} after {index} of 20 pairs")
        connection.expect_end()

    def test_half_closed_client_with_half_a_request_is_let_go(self):
        connection = self.connect()
        connection.send(b"GET /hello.txt HTTP/1.1\r\nHost:")
        connection.end_of_requests()
        connection.read_to_end()

    def test_flood_of_pipelined_requests_with_a_slow_reader(self):
        """5000 requests in one burst: each asks for other bytes, so their order shows."""
        count = 5000
        connection = self.connect(receive_buffer_bytes=8192)
        burst = b"".join(
            raw_http.request("/pieces.bin", fields={"Range": f"bytes={i}-{i + 7}"})
            for i in range(count)
        )
        sender = threading.Thread(target=connection.send, args=(burst,))
        sender.start()
        self.addCleanup(sender.join)
        sockets = connection.socket
        for index in range(count):
            response = None
            while response is None:
                end = connection.received.find(b"\r\n\r\n")
                if end >= 0 and len(connection.received) >= end + 4 + 8:
                    response = connection.read_response()
                else:  # small bites, so that the server has to wait again and again
                    bite = sockets.recv(2000)
                    self.assertTrue(bite, f"ended after {index} of {count} answers")
                    connection.received += bite
            self.assertEqual(response.status, 206)
            self.assertEqual(response.body, PIECES[index : index + 8], f"answer {index}")
        self.assertEqual(self.server.metric('limit_hits_total{limit="pipelined_input"}'), 0)

    def test_connection_without_a_request_costs_nothing(self):
        before = self.server.metrics()
        with self.server.connect():
            self.server.wait_for_metric(
                "connections_accepted_total", before["connections_accepted_total"] + 1
            )
        self.server.wait_for_connections(0)
        after = self.server.metrics()
        for name in ("requests_received_total", 'aborted_responses_total{reason="peer"}'):
            self.assertEqual(after[name], before[name])


class SplitRequests(HttpCase):
    """However the bytes of a request arrive, the answer is the same."""

    REQUEST = raw_http.request(
        "/dir/page.html?q=1", fields={"User-Agent": "test/1", "Accept": "*/*"}
    )

    def setUp(self):
        self.other = self.connect()

    def let_server_read(self):
        """When another connection has its answer, the server has seen what was sent before."""
        self.other.get("/empty.txt")

    def test_split_at_every_byte(self):
        connection = self.connect()
        for cut in range(1, len(self.REQUEST)):
            connection.send(self.REQUEST[:cut])
            self.let_server_read()
            connection.send(self.REQUEST[cut:])
            response = connection.read_response()
            self.assertEqual((response.status, response.body), (200, b"page\n"), f"cut at {cut}")

    def test_byte_by_byte(self):
        connection = self.connect()
        for _ in range(3):
            connection.dribble(self.REQUEST, self.let_server_read)
            response = connection.read_response()
            self.assertEqual((response.status, response.body), (200, b"page\n"))

    def test_pipelined_requests_byte_by_byte(self):
        connection = self.connect()
        connection.dribble(self.REQUEST * 3, self.let_server_read)
        for _ in range(3):
            self.assertEqual(connection.read_response().body, b"page\n")

    def test_bad_request_byte_by_byte(self):
        """The refusal comes as soon as it is certain; bytes that still come do no harm."""
        connection = self.connect()
        connection.dribble(b"GET /x HTTP/1.1\r\nBad Field: 1\r\n\r\n", self.let_server_read)
        self.assertEqual(connection.read_response().status, 400)
        connection.expect_end()

    def test_two_requests_cut_in_the_second(self):
        connection = self.connect()
        for cut in range(1, len(self.REQUEST), 7):
            connection.send(self.REQUEST + self.REQUEST[:cut])
            self.assertEqual(connection.read_response().body, b"page\n")
            connection.send(self.REQUEST[cut:])
            self.assertEqual(connection.read_response().body, b"page\n")

    def test_head_larger_than_a_receive_buffer(self):
        connection = self.connect()
        for filler_bytes in (1500, 2048, 4096, 6 * 1024, 15 * 1024):
            with self.subTest(filler_bytes):
                fields = [(f"X-{i}", "y" * 500) for i in range(filler_bytes // 510)]
                self.assertEqual(connection.get("/hello.txt", fields=fields).body, HELLO)

    def test_large_heads_in_one_burst(self):
        """Each head is larger than a receive buffer, and the next one follows in the same bytes."""
        fields = [(f"X-{i}", "y" * 500) for i in range(12)]
        connection = self.connect()
        connection.send(raw_http.request("/large.bin", fields=fields) * 10)
        for _ in range(10):
            self.assertEqual(connection.read_response().body, LARGE)

    def test_empty_lines_before_a_request(self):
        connection = self.connect()
        connection.send(b"\r\n\r\n" + self.REQUEST + b"\r\n" + self.REQUEST)
        for _ in range(2):
            self.assertEqual(connection.read_response().body, b"page\n")


class Conditions(HttpCase):
    def setUp(self):
        self.etag = self.get("/hello.txt").field("ETag")

    def check(self, table):
        connection = self.connect()
        for fields, status in table:
            with self.subTest(fields):
                response = connection.get("/hello.txt", fields=fields)
                self.assertEqual(response.status, status)
                self.assertEqual(response.body == HELLO, status == 200)

    def test_if_none_match(self):
        self.check(
            [
                ({"If-None-Match": self.etag}, 304),
                ({"If-None-Match": f"W/{self.etag}"}, 304),
                ({"If-None-Match": "*"}, 304),
                ({"If-None-Match": f'"other", {self.etag}'}, 304),
                ({"If-None-Match": f'"other",{self.etag},"more"'}, 304),
                ({"If-None-Match": '"other"'}, 200),
                ({"If-None-Match": self.etag.strip('"')}, 200),
                ({"If-None-Match": self.etag.upper().replace("F", "E")[:-2] + 'x"'}, 200),
            ]
        )

    def test_if_modified_since(self):
        self.check(
            [
                ({"If-Modified-Since": MTIME_TEXT}, 304),
                ({"If-Modified-Since": "Sun, 13 Sep 2020 12:26:41 GMT"}, 304),
                ({"If-Modified-Since": "Sun, 13 Sep 2020 12:26:39 GMT"}, 200),
                ({"If-Modified-Since": "Sunday, 13-Sep-20 12:26:40 GMT"}, 304),
                ({"If-Modified-Since": "Sun Sep 13 12:26:40 2020"}, 304),
                ({"If-Modified-Since": "yesterday"}, 200),
                ({"If-Modified-Since": ""}, 200),
            ]
        )

    def test_tag_outranks_date(self):
        self.check(
            [
                ({"If-None-Match": '"other"', "If-Modified-Since": MTIME_TEXT}, 200),
                (
                    {
                        "If-None-Match": self.etag,
                        "If-Modified-Since": "Sun, 13 Sep 2020 12:26:39 GMT",
                    },
                    304,
                ),
            ]
        )

    def test_preconditions(self):
        self.check(
            [
                ({"If-Match": self.etag}, 200),
                ({"If-Match": "*"}, 200),
                ({"If-Match": '"other"'}, 412),
                ({"If-Match": f"W/{self.etag}"}, 412),
                ({"If-Unmodified-Since": MTIME_TEXT}, 200),
                ({"If-Unmodified-Since": "Sun, 13 Sep 2020 12:26:39 GMT"}, 412),
            ]
        )

    def test_head_is_conditional_too(self):
        response = self.get("/hello.txt", "HEAD", {"If-None-Match": self.etag})
        self.assertEqual(response.status, 304)

    def test_missing_file_is_missing_whatever_the_condition(self):
        self.assertEqual(self.get("/missing", fields={"If-None-Match": "*"}).status, 404)


class Ranges(HttpCase):
    def check(self, value, status, first=None, last=None, fields=()):
        response = self.get("/large.bin", fields={"Range": value, **dict(fields)})
        self.assertEqual(response.status, status)
        if status == 206:
            self.assertEqual(response.field("Content-Range"), f"bytes {first}-{last}/70000")
            self.assertEqual(response.body, LARGE[first : last + 1])
            self.assertIsNotNone(response.field("ETag"))
        elif status == 416:
            self.assertEqual(response.field("Content-Range"), "bytes */70000")
        else:
            self.assertEqual(response.body, LARGE)
            self.assertIsNone(response.field("Content-Range"))

    def test_satisfiable(self):
        for value, first, last in (
            ("bytes=0-0", 0, 0),
            ("bytes=0-", 0, 69_999),
            ("bytes=100-199", 100, 199),
            ("bytes=69999-", 69_999, 69_999),
            ("bytes=-1", 69_999, 69_999),
            ("bytes=-70000", 0, 69_999),
            ("bytes=-99999", 0, 69_999),
            ("bytes=0-99999", 0, 69_999),
            ("bytes=5-18446744073709551616", 5, 69_999),
            ("BYTES=1-2", 1, 2),
            ("bytes= 1-2", 1, 2),
        ):
            with self.subTest(value):
                self.check(value, 206, first, last)

    def test_not_satisfiable(self):
        for value in ("bytes=70000-", "bytes=70000-70001", "bytes=-0", "bytes=99999999999999999-"):
            with self.subTest(value):
                self.check(value, 416)

    def test_not_understood_is_the_whole_file(self):
        for value in (
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=2-1",
            "bytes=1-2,4-5",
            "bytes=0x1-2",
            "lines=1-2",
            "bytes 1-2",
        ):
            with self.subTest(value):
                self.check(value, 200)

    def test_head_has_no_range(self):
        response = self.get("/large.bin", "HEAD", {"Range": "bytes=0-1"})
        self.assertEqual((response.status, response.content_length), (200, 70_000))

    def test_empty_file_has_no_range(self):
        self.assertEqual(self.get("/empty.txt", fields={"Range": "bytes=0-"}).status, 200)

    def test_if_range(self):
        etag = self.get("/large.bin").field("ETag")
        for value, status in (
            (etag, 206),
            (MTIME_TEXT, 206),
            ('"other"', 200),
            (f"W/{etag}", 200),
            ("Sun, 13 Sep 2020 12:26:41 GMT", 200),
            ("nonsense", 200),
        ):
            with self.subTest(value):
                self.check("bytes=1-2", status, 1, 2, {"If-Range": value})

    def test_not_satisfiable_but_not_modified(self):
        etag = self.get("/large.bin").field("ETag")
        response = self.get("/large.bin", fields={"Range": "bytes=9-", "If-None-Match": etag})
        self.assertEqual(response.status, 304)


class BadRequests(HttpCase):
    """The answer arrives whole, then a proper end; never a reset that destroys it."""

    BAD = [
        b"\r\n\r\n\r\n\r\n\r\n\r\n",
        b"\n",
        b"\0\0\0\0",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET \r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/11\r\nHost: a\r\n\r\n",
        b"GET / FTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n\r\n",
        b"GET / HTTP/1.1\rHost: a\r\n\r\n",
        b"GET relative HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /#top HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA b: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        b"GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    ]

    def test_bad_requests(self):
        before = self.server.status()["responses"]["4xx"]
        for data in self.BAD:
            with self.subTest(data):
                self.assertEqual(self.raw(data).status, 400)
        after = self.server.status()["responses"]["4xx"]
        self.assertEqual(after - before, len(self.BAD))

    def test_nothing_behind_a_bad_request_is_answered(self):
        good = raw_http.request("/hello.txt")
        for data in self.BAD:
            with self.subTest(data):
                self.assertEqual(self.raw(data + good).status, 400)

    def test_good_answers_before_a_bad_request(self):
        connection = self.connect()
        good = raw_http.request("/large.bin")
        connection.send(good + good + b"GARBAGE\r\n\r\n" + good)
        self.assertEqual(connection.read_response().body, LARGE)
        self.assertEqual(connection.read_response().body, LARGE)
        self.assertIn(connection.read_response().status, (400, 501))
        connection.expect_end()

    def test_refusal_survives_a_client_that_goes_on_sending(self):
        """RFC 9112 9.6: a reset would destroy the answer on its way."""
        for byte_count in (1, 5_000, 100_000, 800_000):
            with self.subTest(byte_count):
                response = self.raw(b"NONSENSE / \r\n\r\n" + b"x" * byte_count)
                self.assertEqual(response.status, 400)

    def test_refusal_survives_what_is_sent_after_it(self):
        """Bytes that meet a closed socket are answered by a reset; so it must not be closed yet."""
        for data, status in (
            (b"NONSENSE / \r\n\r\n", 400),
            (raw_http.request("/x", "POST", {"Content-Length": 10**6}), 405),
            (raw_http.request("/large.bin", fields={"Connection": "close"}), 200),
        ):
            with self.subTest(status):
                connection = self.connect()
                connection.send(data)
                harness.wait_until(connection.has_news, "the answer begins to arrive")
                for _ in range(20):
                    connection.send(b"x" * 10_000)
                self.assertEqual(connection.read_response().status, status)
                connection.send(b"x" * 10_000)
                connection.expect_end()

    def test_upload_is_refused_readably(self):
        for byte_count in (1, 100_000, 500_000):
            with self.subTest(byte_count):
                head = raw_http.request("/x", "POST", {"Content-Length": byte_count})
                response = self.raw(head + b"u" * byte_count)
                self.assertEqual(response.status, 405)
                self.assertEqual(response.field("Allow"), "GET, HEAD")

    def test_body_is_not_taken_for_a_request(self):
        smuggled = raw_http.request("/hello.txt")
        for fields in ({"Content-Length": len(smuggled)}, {"Transfer-Encoding": "chunked"}):
            with self.subTest(fields):
                connection = self.connect()
                connection.send(raw_http.request("/dir/", fields=fields) + smuggled)
                response = connection.read_response()
                self.assertEqual((response.status, response.body), (200, b"in dir\n"))
                self.assertTrue(response.is_last)
                connection.expect_end()

    def test_request_without_an_end(self):
        """The peer gives up in the middle of a head: nothing is answered, nothing stays."""
        for cut in (1, 3, 14, 20, 30):
            with self.server.connect() as connection:
                connection.send(raw_http.request("/hello.txt")[:cut])
        self.server.wait_for_connections(0)


class Statuses(HttpCase):
    def check(self, path, status, method="GET", **options):
        response = self.get(path, method, **options)
        self.assertEqual(response.status, status, f"{method} {path}")
        if status >= 400 and method != "HEAD":
            self.assertIn(str(status).encode(), response.body)
            self.assertEqual(response.field("Content-Type"), "text/html; charset=utf-8")
        return response

    def test_forbidden_without_an_index(self):
        self.check("/bare/", 403)

    def test_not_found(self):
        for path in (
            "/missing",
            "/missing/",
            "/hello.txt/",
            "/hello.txt/more",
            "/dir/missing",
            "/missing/deep/er",
            "/HELLO.TXT",
            "/hello.txt%20",
            f"/{'x' * 255}",
            f"/{'x' * 256}",
            "/" + "/".join(["d" * 200] * 10),
        ):
            with self.subTest(path):
                self.check(path, 404)

    def test_dotfiles_do_not_exist(self):
        for path in (
            "/.hidden",
            "/.git/config",
            "/.git/",
            "/dir/.secret",
            "/%2ehidden",
            "/.%67it/config",
            "/.missing",
            "/dir/.well-known/x",
        ):
            with self.subTest(path):
                self.check(path, 404)

    def test_well_known_is_served(self):
        self.assertEqual(self.check("/.well-known/security.txt", 200).body, b"contact\n")

    def test_paths_that_lead_elsewhere(self):
        for path in (
            "/../etc/passwd",
            "/dir/../hello.txt",
            "/dir/..",
            "/./hello.txt",
            "/%2e%2e/etc/passwd",
            "/%2E%2e/",
            "/.%2e/etc/passwd",
            "/dir/%2e%2e/hello.txt",
            "/..%2fetc/passwd",
            "/dir%2fpage.html",
            "/dir%2Fpage.html",
            "/dir%5cpage.html",
            "/dir\\page.html",
            "/hello.txt%00",
            "/hello.txt%00.html",
            "/%00",
            "/%0a",
            "/%7f",
            "/%",
            "/%4",
            "/%zz",
            "/hello.txt%",
        ):
            with self.subTest(path):
                self.check(path, 400)

    def test_percent_is_decoded_once(self):
        self.assertEqual(self.check("/h%65llo%2etxt", 200).body, HELLO)
        self.assertEqual(self.check("/%2541.txt", 200).body, FILES["%41.txt"])
        self.check("/%41.txt", 404)
        self.check("/%252e%252e/etc/passwd", 404)
        self.check("/dir%252fpage.html", 404)

    def test_names_beyond_ascii(self):
        self.assertEqual(self.check("/sp%20ace/%c3%a4.txt", 200).body, b"umlaut\n")
        raw = "/sp%20ace/ä.txt".encode().decode("latin-1")
        self.assertEqual(self.check(raw, 200).body, b"umlaut\n")

    def test_plus_is_a_plus(self):
        self.assertEqual(self.check("/pl+us.txt", 200).body, b"plus\n")
        self.check("/sp+ace/", 404)

    def test_query_is_no_part_of_the_name(self):
        for query in ("?", "?a=b", "?a=%00", "?../..", "?a?b", "?%zz"):
            with self.subTest(query):
                self.assertEqual(self.check(f"/hello.txt{query}", 200).body, HELLO)
        self.assertEqual(self.check("/?x", 200).body, INDEX)

    def test_repeated_slashes_are_one(self):
        self.assertEqual(self.check("//hello.txt", 200).body, HELLO)
        self.assertEqual(self.check("/dir///page.html", 200).body, b"page\n")

    def test_absolute_form(self):
        self.assertEqual(self.check("http://test/hello.txt", 200).body, HELLO)
        self.assertEqual(self.check("http://test", 200).body, INDEX)
        self.assertEqual(self.check("HTTP://other:80/dir/?q", 200).body, b"in dir\n")

    def test_method_not_allowed(self):
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
            with self.subTest(method):
                response = self.check("/hello.txt", 405, method)
                self.assertEqual(response.field("Allow"), "GET, HEAD")
        self.assertEqual(self.check("*", 405, "OPTIONS").field("Allow"), "GET, HEAD")

    def test_method_not_implemented(self):
        for method in ("BREW", "get", "GETT", "X" * 33, "CONNECT"):
            with self.subTest(method):
                self.check("/hello.txt", 501, method)

    def test_uri_too_long(self):
        for byte_count in (8193, 12_000, 60_000):
            with self.subTest(byte_count):
                self.check("/" + "x" * (byte_count - 1), 414)
        self.check("/" + "a/" * 2000 + "x", 414)

    def test_longest_uri_is_understood(self):
        self.check("/hello.txt?" + "x" * (8192 - len("/hello.txt?")), 200)

    def test_fields_too_large(self):
        for fields in (
            [("X", "y" * 20_000)],
            [(f"X-{i}", "y" * 1000) for i in range(20)],
            [(f"X-{i}", "y") for i in range(100)],
            [(f"X-{i}", "y") for i in range(3000)],
        ):
            with self.subTest(count=len(fields)):
                self.check("/hello.txt", 431, fields=fields)

    def test_a_hundred_fields_are_fine(self):
        self.check("/hello.txt", 200, fields=[(f"X-{i}", "y") for i in range(99)])

    def test_version_not_supported(self):
        for version in ("HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9"):
            with self.subTest(version):
                self.check("/hello.txt", 505, version=version)

    def test_expectation(self):
        self.check("/hello.txt", 200, fields={"Expect": "100-continue"})
        self.check("/hello.txt", 417, fields={"Expect": "miracles"})

    def test_directory_without_its_slash_is_redirected(self):
        for path, location in (
            ("/dir", "/dir/"),
            ("/dir?a=b&c", "/dir/?a=b&c"),
            ("/dir?", "/dir/?"),
            ("//dir", "/dir/"),
            ("/sp%20ace", "/sp%20ace/"),
            ("/bare", "/bare/"),
            ("/dir?%0d%0aX:y", "/dir/?%0d%0aX:y"),
        ):
            with self.subTest(path):
                response = self.check(path, 301)
                self.assertEqual(response.field("Location"), location)

    def test_content_types(self):
        for path, content_type in (
            ("/style.css", "text/css; charset=utf-8"),
            ("/app.js", "text/javascript; charset=utf-8"),
            ("/data.json", "application/json; charset=utf-8"),
            ("/picture.svg", "image/svg+xml; charset=utf-8"),
            ("/picture.PNG", "image/png"),
            ("/noextension", "application/octet-stream"),
            ("/trailing.dot.", "application/octet-stream"),
        ):
            with self.subTest(path):
                self.assertEqual(self.check(path, 200).field("Content-Type"), content_type)

    def test_pages_do_not_repeat_what_was_asked(self):
        response = self.check("/<script>alert(1)</script>", 404)
        self.assertNotIn(b"script>alert", response.body)


class Deadlines(HttpCase):
    options = ["--workers", "1", "--header-timeout", "200ms"]

    def test_half_a_head_is_timed_out(self):
        for data in (b"G", b"GET /hello.txt HTTP/1.1\r\n", raw_http.request("/x")[:-1]):
            with self.subTest(data):
                self.assertEqual(self.raw(data).status, 408)

    def test_deadline_is_for_the_whole_head(self):
        """A byte now and then does not buy more time."""
        connection = self.connect()
        connection.send(b"GET /hello.txt HTTP/1.1\r\nX: ")
        connection.socket.settimeout(0.02)
        for _ in range(50 * harness.DEADLINE_SECONDS):
            connection.send(b"y")
            try:
                connection.received += connection.socket.recv(1 << 16)
                break
            except socket.timeout:
                continue
        connection.socket.settimeout(harness.DEADLINE_SECONDS)
        self.assertEqual(connection.read_response().status, 408)
        connection.expect_end()

    def test_timeouts_are_counted(self):
        before = self.server.metric('timeouts_total{phase="header"}')
        self.raw(b"GET")
        self.assertEqual(self.server.metric('timeouts_total{phase="header"}'), before + 1)

    def test_second_request_has_its_own_deadline(self):
        connection = self.connect()
        for _ in range(3):
            self.assertEqual(connection.get("/hello.txt").body, HELLO)
        connection.send(b"GET /hel")
        self.assertEqual(connection.read_response().status, 408)
        connection.expect_end()

    def test_idle_connection_is_not_timed_out_as_a_head(self):
        """It outlives a deadline that another connection, begun later, runs into."""
        idle = self.connect()
        self.assertEqual(idle.get("/hello.txt").body, HELLO)
        self.raw(b"GET")
        self.assertEqual(idle.get("/hello.txt").body, HELLO)


if __name__ == "__main__":
    harness.main()
