#!/usr/bin/env python3
"""Bodies: the same bytes and the same head, whichever way they take to the socket (law L10)."""

# timeout: 180

import contextlib
import os
import shutil

import harness
import raw_http

PAGE = 4096
GIB = 1 << 30
MIB = 1 << 20

# Around a page, the largest body in memory (32 KiB), the smallest by sendfile(2) (64 KiB), the
# output buffer (68 KiB), and well beyond.
SIZES = [
    *(0, 1, PAGE - 1, PAGE, PAGE + 1),
    *(32767, 32768, 32769, 65535, 65536, 65537),
    *(68 * 1024 - 300, 68 * 1024, 68 * 1024 + 1, 70000),
    *(MIB, 5 * MIB + 3),
]

# A sparse file, with a marker now and then: around 4 GiB, where 32 bits end, above all.
SPARSE_BYTES = 5 * GIB
MARKER_BYTES = 64
MARKERS = [
    0,
    4097,
    GIB - 10,
    2 * GIB - 32,
    3 * GIB + 1,
    4 * GIB - 65536,
    4 * GIB - 32,
    4 * GIB + 65535,
    5 * GIB - MARKER_BYTES,
]


def name_of(size):
    return f"size-{size}.bin"


def marker(offset):
    return harness.pattern(MARKER_BYTES, f"marker {offset}")


def make_sparse(path):
    with open(path, "wb") as file:
        file.truncate(SPARSE_BYTES)
        for offset in MARKERS:
            file.seek(offset)
            file.write(marker(offset))


def expected_sparse(first, count):
    """The bytes of the sparse file's range."""
    data = bytearray(count)
    for offset in MARKERS:
        begin = max(first, offset)
        end = min(first + count, offset + MARKER_BYTES)
        if begin < end:
            data[begin - first : end - first] = marker(offset)[begin - offset : end - offset]
    return bytes(data)


def is_in_memory(fd):
    try:
        os.preadv(fd, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    return True


def evict_pages(path):
    """Drops a file from the page cache; False if the file system does not do that."""
    with open(path, "rb") as file:
        fd = file.fileno()
        os.fsync(fd)  # dirty pages would stay

        def evicted():  # pages that a socket still has stay as well, for a moment
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            return not is_in_memory(fd)

        try:
            return harness.wait_until(evicted, "the pages are gone", seconds=2)
        except AssertionError:
            return False


class AllVariants(harness.ServerTest):
    """All variants serve one root at once, so that their answers can be held side by side."""

    @classmethod
    def setUpClass(cls):
        cls.root = cls.class_tree({name_of(size): cls.content(size) for size in SIZES})
        cls.all = {
            name: cls.enterClassContext(harness.Server(cls.root, *options))
            for name, options in harness.variants().items()
        }

    @staticmethod
    def content(size):
        return harness.pattern(size, size)

    def check_size(self, size):
        """Bytes and head are right, and nothing but Date differs between the variants."""
        path = f"/{name_of(size)}"
        heads = {}
        for name, server in self.all.items():
            connection = self.connect(server)
            for turn in ("first", "cached"):
                get = connection.get(path)
                self.assertEqual(get.status, 200)
                self.assertTrue(get.body == self.content(size), f"{name}, {turn}: wrong bytes")
                head = connection.get(path, "HEAD")
                self.assertEqual(head.head_without_date(), get.head_without_date())
                heads[name, turn] = get.head_without_date()
        self.assertEqual(len(set(heads.values())), 1, heads)

    def check_range(self, size, first, last):
        path = f"/{name_of(size)}"
        heads = set()
        for name, server in self.all.items():
            part = server.get(path, fields={"Range": f"bytes={first}-{last}"})
            self.assertEqual(part.status, 206)
            wanted = self.content(size)[first : last + 1]
            self.assertTrue(part.body == wanted, f"{name}: wrong bytes of {first}-{last}")
            heads.add(part.head_without_date())
        self.assertEqual(len(heads), 1, heads)

    def test_ranges_are_the_same(self):
        size = 5 * MIB + 3
        for first, last in (
            (0, size - 1),
            (1, PAGE),
            (PAGE, 3 * PAGE - 1),
            (65535, 65536 + 65536),
            (MIB - 1, 3 * MIB + 1),
            (size - 1, size - 1),
        ):
            with self.subTest(first=first, last=last):
                self.check_range(size, first, last)

    def test_errors_are_the_same(self):
        for method, path, status in (
            ("GET", "/missing", 404),
            ("HEAD", "/missing", 404),
            ("GET", "/", 403),
            ("POST", "/x", 405),
            ("GET", "/%", 400),
        ):
            with self.subTest(path):
                answers = {
                    (answer.status, answer.head_without_date(), answer.body)
                    for answer in (server.get(path, method) for server in self.all.values())
                }
                self.assertEqual(len(answers), 1)
                self.assertEqual(answers.pop()[0], status)

    def test_every_way_was_taken(self):
        """The variants are what they claim to be: bodies_total says which way a body went."""
        wanted = {
            "default": {"memory", "sendfile"},
            "slot": {"slot", "sendfile"},
            "plain": {"plain", "sendfile"},
            "sendfile": {"sendfile"},
            "reads": {"slot"},
            "workers": {"memory", "sendfile"},
        }
        for name, server in self.all.items():
            for size in (PAGE, 5 * MIB + 3):
                server.get(f"/{name_of(size)}")
            taken = {
                source
                for source in ("memory", "slot", "plain", "sendfile")
                if server.metric(f'bodies_total{{source="{source}"}}') > 0
            }
            self.assertEqual(taken, wanted[name], name)

    def test_pages_that_are_not_in_memory(self):
        """They come from the disk, and are right."""
        for size in (70000, MIB, 5 * MIB + 3):
            for name, server in self.all.items():
                connection = self.connect(server)
                with self.subTest(size=size, variant=name):
                    path = os.path.join(self.root, name_of(size))
                    if not evict_pages(path):
                        self.skipTest("this file system keeps its pages")
                    body = connection.get(f"/{name_of(size)}").body
                    self.assertTrue(body == self.content(size))

    def test_half_of_the_pages_in_memory(self):
        path = os.path.join(self.root, name_of(5 * MIB + 3))
        for name, server in self.all.items():
            with self.subTest(variant=name):
                if not evict_pages(path):
                    self.skipTest("this file system keeps its pages")
                with open(path, "rb") as file:
                    for offset in range(0, 5 * MIB, 640 * 1024):
                        os.pread(file.fileno(), 200 * 1024, offset)
                body = server.get(f"/{name_of(5 * MIB + 3)}").body
                self.assertTrue(body == self.content(5 * MIB + 3))


def add_size_cases():
    for size in SIZES:

        def case(self, size=size):
            self.check_size(size)

        setattr(AllVariants, f"test_size_{size}", case)


add_size_cases()


class BeyondFourGiB(harness.ServerTest):
    @classmethod
    def setUpClass(cls):
        if shutil.disk_usage(harness.OUT).free < 1 * GIB:
            cls.skipTest(cls, "less than 1 GiB of disk is free")
        cls.root = cls.class_tree({})
        make_sparse(os.path.join(cls.root, "sparse.bin"))

    def check_ranges(self, server):
        """Short ones around each marker, and one over the border of 4 GiB."""
        connection = self.connect(server)
        parts = [(max(0, offset - 100), 300) for offset in MARKERS[:-1]]
        parts += [(SPARSE_BYTES - 300, 300), (4 * GIB - 300_000, 600_000), (4 * GIB, 1)]
        for first, count in parts:
            with self.subTest(first=first, count=count):
                value = f"bytes={first}-{first + count - 1}"
                response = connection.get("/sparse.bin", fields={"Range": value})
                self.assertEqual(response.status, 206)
                self.assertEqual(
                    response.field("Content-Range"),
                    f"bytes {first}-{first + count - 1}/{SPARSE_BYTES}",
                )
                self.assertTrue(response.body == expected_sparse(first, count))

    def test_whole_file(self):
        """Read to the last byte: everything between the markers is zero."""
        server = self.serve(self.root, *harness.variants()["sendfile"])
        connection = self.connect(server)
        connection.ask("/sparse.bin")
        head = connection.read_head()
        self.assertEqual(head.content_length, SPARSE_BYTES)
        zeros = bytes(MIB)
        file = self.enterContext(open(os.path.join(self.root, "sparse.bin"), "rb"))
        for offset in range(0, SPARSE_BYTES, MIB):
            block = connection.read_bytes(MIB)
            has_marker = any(offset - MARKER_BYTES < at < offset + MIB for at in MARKERS)
            wanted = expected_sparse(offset, MIB) if has_marker else zeros
            self.assertTrue(block == wanted, f"wrong bytes in {offset}..{offset + MIB}")
            if offset % (64 * MIB) == 0:  # or 5 GiB of memory would fill with its pages
                os.posix_fadvise(file.fileno(), 0, offset, os.POSIX_FADV_DONTNEED)
        self.assertEqual(connection.get("/sparse.bin", "HEAD").content_length, SPARSE_BYTES)

    def test_end_of_the_file_from_the_border_on(self):
        """A body that begins below 4 GiB and goes on for a while, by reads."""
        server = self.serve(self.root, *harness.variants()["reads"])
        first = 4 * GIB - 8 * MIB
        count = 16 * MIB
        value = f"bytes={first}-{first + count - 1}"
        body = server.get("/sparse.bin", fields={"Range": value}).body
        self.assertTrue(body == expected_sparse(first, count))


def add_sparse_cases():
    for name, options in harness.variants().items():

        def case(self, options=options):
            self.check_ranges(self.serve(self.root, *options))

        setattr(BeyondFourGiB, f"test_ranges_{name}", case)


add_sparse_cases()


class Clients:
    """Clients that are slow, or go away."""

    LARGE = "large.bin"
    LARGE_BYTES = 16 * MIB

    @classmethod
    def setUpClass(cls):
        root = cls.class_tree({name_of(size): harness.pattern(size, size) for size in (MIB,)})
        with open(os.path.join(root, cls.LARGE), "wb") as file:
            file.truncate(cls.LARGE_BYTES)
        cls.share(root, *cls.options)

    def test_slow_reader_gets_everything(self):
        """A small window and small bites: the server has to wait many times."""
        connection = self.connect(receive_buffer_bytes=16 * 1024)
        connection.ask(f"/{name_of(MIB)}")
        response = connection.read_head()
        body = bytearray()
        choice = harness.seeded(self.id())
        while len(body) < response.content_length:
            bite_bytes = min(choice.randint(1, 12_000), response.content_length - len(body))
            body += connection.read_bytes(bite_bytes)
        self.assertTrue(bytes(body) == harness.pattern(MIB, MIB))
        self.assertEqual(connection.get(f"/{name_of(MIB)}", "HEAD").status, 200)

    def test_slow_readers_at_once(self):
        """Twenty of them take turns; each gets its own range."""
        connections = []
        for index in range(20):
            connection = self.connect(receive_buffer_bytes=8 * 1024)
            first = index * 20_000
            connection.ask(
                f"/{name_of(MIB)}", fields={"Range": f"bytes={first}-{first + 199_999}"}
            )
            connections.append((connection, first, bytearray()))
        for connection, _, _ in connections:
            self.assertEqual(connection.read_head().status, 206)
        for _ in range(200):
            for connection, _, body in connections:
                body += connection.read_bytes(1000)
        content = harness.pattern(MIB, MIB)
        for _, first, body in connections:
            self.assertTrue(bytes(body) == content[first : first + 200_000])

    def test_clients_that_leave_in_mid_body_leak_nothing(self):
        with self.server.connect() as connection:  # what is opened once is open now
            connection.get(f"/{self.LARGE}", fields={"Range": "bytes=0-99999"})
        self.server.wait_for_connections(0)
        fds_before = self.server.resting_fds()
        aborted_before = self.server.metric('aborted_responses_total{reason="peer"}')
        slots_before = self.server.status()["slots"]
        count = 200
        for index in range(count):
            with contextlib.closing(self.server.connect(8 * 1024)) as connection:
                connection.ask(f"/{self.LARGE}")
                self.assertEqual(connection.read_head().status, 200)
                connection.read_bytes(1000)
                if index % 2 == 0:
                    connection.abort()
        self.server.wait_for_connections(0)
        self.server.settle()
        self.assertEqual(self.server.status()["slots"], slots_before)
        self.assertEqual(self.server.resting_fds(), fds_before)
        aborted = self.server.metric('aborted_responses_total{reason="peer"}')
        self.assertEqual(aborted - aborted_before, count)
        self.assertEqual(self.server.get(f"/{name_of(MIB)}").content_length, MIB)

    def test_clients_that_leave_before_the_answer(self):
        for _ in range(50):
            connection = self.server.connect()
            connection.send(raw_http.request(f"/{self.LARGE}") * 3)
            connection.abort()
        self.server.wait_for_connections(0)
        self.assertEqual(self.server.get(f"/{name_of(MIB)}").content_length, MIB)


harness.for_each_variant(Clients)


if __name__ == "__main__":
    harness.main()
