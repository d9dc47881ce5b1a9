#!/usr/bin/env python3
"""Limits and bad input: each a defined answer and a counter, nothing leaked, the server goes on."""

# timeout: 180

import os
import signal
import socket
import stat
import subprocess
import time

import harness
import raw_http

MIB = 1 << 20
SMALL_WINDOW = 8 * 1024

NOBODY = 65534


def limit_metric(name):
    return f'limit_hits_total{{limit="{name}"}}'


def make_large(path, byte_count=16 * MIB):
    """A sparse file: large on the wire, nothing on the disk."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(byte_count)


class LimitCase(harness.ServerTest):
    def require_access(self, path, uid):
        """The whole way there must be open to that user."""
        command = ["test", "-r", path, "-a", "-x", harness.program("turntable")]
        if subprocess.run(command, user=uid, group=uid, extra_groups=[]).returncode != 0:
            self.skipTest(f"user {uid} may not search the way to {path}")

    def start_download(self, server, path="/large.bin"):
        """A client that has the head of a large body, and reads no further."""
        connection = self.connect(server, receive_buffer_bytes=SMALL_WINDOW)
        connection.ask(path)
        response = connection.read_head()
        self.assertEqual(response.status, 200)
        return connection, response


class TableSlots(LimitCase):
    COUNT = 200

    def check_eviction(self, *options):
        """More hot files than slots: the table rolls, and every answer is right."""
        files = {f"{i}.bin": harness.pattern(1000 + 601 * i, i) for i in range(self.COUNT)}
        server = self.serve(self.tree(files), "--table-slots", "4", *options)
        connections = [self.connect(server) for _ in range(8)]
        choice = harness.seeded(self.id())
        names = list(files)
        begun = time.monotonic()
        for _ in range(5):
            choice.shuffle(names)
            for start in range(0, len(names), len(connections)):
                asked = list(zip(connections, names[start : start + len(connections)]))
                for connection, name in asked:
                    connection.ask(f"/{name}")
                for connection, name in asked:
                    response = connection.read_response()
                    self.assertEqual(response.status, 200, name)
                    self.assertTrue(response.body == files[name], f"wrong bytes of {name}")
        # A request that waits for a slot goes on when there is one, not when the clock ticks.
        self.assertLess(time.monotonic() - begun, 8)
        self.assertGreater(server.metric("evictions_total"), self.COUNT)
        server.settle()
        slots = server.status()["slots"]
        workers = server.facts["workers"]
        self.assertEqual(slots["live"] + slots["free"], 4 * workers)
        self.assertLessEqual(server.status()["open_files"], 4 * workers)

    def test_eviction_of_registered_files(self):
        self.check_eviction("--memory", "0", "--workers", "1")

    def test_eviction_of_plain_files(self):
        self.check_eviction("--memory", "0", "--files", "plain", "--workers", "1")

    def test_eviction_from_memory(self):
        self.check_eviction("--workers", "1")

    def test_eviction_with_two_workers(self):
        self.check_eviction("--memory", "0", "--workers", "2")

    def test_eviction_by_reads_only(self):
        self.check_eviction("--memory", "0", "--sendfile", "0", "--workers", "1")

    def test_two_clients_take_turns_at_one_slot(self):
        """Whoever waits goes on with what frees the slot; a tick of the clock would be 500 ms."""
        files = {name: harness.pattern(20_000, name) for name in "ab"}
        for options in (["--memory", "0"], ["--memory", "0", "--files", "plain"], []):
            with self.subTest(options):
                server = self.serve(
                    self.tree(files), "--table-slots", "1", "--workers", "1", *options
                )
                asked = [(self.connect(server), name) for name in files]
                begun = time.monotonic()
                for _ in range(50):
                    for connection, name in asked:
                        connection.ask(f"/{name}")
                    for connection, name in asked:
                        self.assertTrue(connection.read_response().body == files[name])
                self.assertLess(time.monotonic() - begun, 4)

    def test_eviction_and_replacement_together(self):
        """Files are replaced while the table rolls: none is stale, all are released."""
        names = [f"{i}.bin" for i in range(40)]
        root = self.tree({name: f"{name} start" for name in names})
        server = self.serve(root, "--table-slots", "4", "--memory", "0", "--workers", "2")
        connections = [self.connect(server) for _ in range(4)]
        choice = harness.seeded(self.id())
        current = {name: f"{name} start".encode() for name in names}
        for turn in range(harness.rounds(1500)):
            name = choice.choice(names)
            if choice.random() < 0.5:
                current[name] = f"{name} {turn}".encode()
                harness.replace_file(os.path.join(root, name), current[name])
            answer = choice.choice(connections).get(f"/{name}")
            self.assertEqual((answer.status, answer.body), (200, current[name]), f"turn {turn}")
        server.settle()

    def fill_the_table(self, *options):
        root = self.tree({"small.txt": "small"})
        for index in range(4):
            make_large(os.path.join(root, f"{index}.bin"))
        server = self.serve(
            root, "--table-slots", "4", "--memory", "0", "--workers", "1", *options
        )
        downloads = [self.start_download(server, f"/{index}.bin") for index in range(4)]
        return server, downloads

    def test_request_waits_for_a_slot(self):
        """All slots are in use: the fifth file is answered as soon as one download ends."""
        server, downloads = self.fill_the_table()
        waiting = self.connect(server)
        waiting.ask("/small.txt")
        server.wait_for_metric(limit_metric("table_slots"), 1)
        other = self.connect(server)  # what has a slot is served all the while
        self.assertEqual(other.get("/0.bin", "HEAD").status, 200)
        download, response = downloads[1]
        download.read_bytes(response.content_length)
        self.assertEqual(waiting.read_response().body, b"small")

    def test_request_that_waits_too_long_is_put_off(self):
        """The downloads go on, slowly, for longer than anybody has to wait."""
        server, downloads = self.fill_the_table("--send-timeout", "300ms")
        waiting = self.connect(server)
        waiting.ask("/small.txt")
        for _ in zip(range(500), raw_http.paced(0.02)):
            for connection, _ in downloads:
                connection.read_bytes(8192)
            if waiting.has_news():
                break
        response = waiting.read_response()
        self.assertEqual((response.status, response.field("Retry-After")), (503, "1"))
        downloads[0][0].close()
        self.assertEqual(waiting.get("/small.txt").body, b"small")

    def test_replacement_while_every_slot_is_busy(self):
        """The new version has no slot to go to; then it is asked for when there is one."""
        server, downloads = self.fill_the_table()
        path = os.path.join(server.root, "0.bin")
        harness.replace_file(path, "new")
        waiting = self.connect(server)
        waiting.ask("/0.bin")
        download, response = downloads[2]
        download.read_bytes(response.content_length)
        self.assertEqual(waiting.read_response().body, b"new")
        for index in (0, 1, 3):
            connection, response = downloads[index]
            self.assertEqual(connection.read_bytes(response.content_length), bytes(16 * MIB))


class Connections(LimitCase):
    def get_stubbornly(self, connections, server, index):
        """An idle connection may be given up: then the client comes again, as clients do."""
        for _ in range(100):
            try:
                return connections[index].read_response()
            except raw_http.Ended as ended:
                self.assertEqual(ended.received, b"", "given up in mid-answer")
                connections[index] = self.connect(server)
                connections[index].ask(f"/{index}.txt")
        self.fail("given up a hundred times")

    def check_more_clients_than_places(self, *options):
        files = {f"{i}.txt": f"file {i}" for i in range(50)}
        server = self.serve(self.tree(files), "--max-connections", "8", *options)
        connections = []
        for index in range(50):
            connections.append(self.connect(server))
            connections[-1].ask(f"/{index}.txt")
        for index in range(50):
            answer = self.get_stubbornly(connections, server, index)
            self.assertEqual((answer.status, answer.body), (200, f"file {index}".encode()))
        self.assertLessEqual(server.connection_count(), 8 + server.facts["workers"])
        self.assertGreater(server.metric(limit_metric("connections")), 0)
        for connection in connections:
            connection.close()
        server.wait_for_connections(0)
        self.assertEqual(server.get("/1.txt").body, b"file 1")

    def test_more_clients_than_places(self):
        self.check_more_clients_than_places("--workers", "1")

    def test_more_clients_than_places_with_two_workers(self):
        self.check_more_clients_than_places("--workers", "2")

    def test_busy_connections_are_not_given_up(self):
        """All places are busy: the ninth client waits, and is served when one is free."""
        root = self.tree({"small.txt": "small"})
        make_large(os.path.join(root, "large.bin"))
        server = self.serve(root, "--max-connections", "8", "--workers", "1")
        downloads = [self.start_download(server) for _ in range(8)]
        ninth = self.connect(server)
        ninth.ask("/small.txt")
        server.wait_for_metric(limit_metric("connections"), 1)
        self.assertLessEqual(server.connection_count(), 9)  # it may have been accepted, to wait
        downloads[0][0].close()
        self.assertEqual(ninth.read_response().body, b"small")
        ninth.close()
        for connection, response in downloads[1:]:
            self.assertEqual(len(connection.read_bytes(response.content_length)), 16 * MIB)

    def test_connection_that_has_become_idle_is_given_up(self):
        """All places are busy when the ninth client comes; later their owners only keep them."""
        root = self.tree({"small.txt": "small"})
        make_large(os.path.join(root, "large.bin"))
        server = self.serve(root, "--max-connections", "8", "--workers", "1")
        downloads = [self.start_download(server) for _ in range(8)]
        ninth = self.connect(server)
        ninth.ask("/small.txt")
        server.wait_for_metric(limit_metric("connections"), 1)
        for connection, response in downloads:
            connection.read_bytes(response.content_length)
        self.assertEqual(ninth.read_response().body, b"small")

    def test_last_place_is_for_a_client_too(self):
        """With as many clients as places, none is given up, although all are silent at first."""
        server = self.serve(
            self.tree({"f.txt": "f"}), "--max-connections", "8", "--workers", "1"
        )
        connections = [self.connect(server) for _ in range(8)]
        server.wait_for_connections(8)
        for connection in connections:
            self.assertEqual(connection.get("/f.txt").body, b"f")

    def test_a_new_client_is_served_before_an_idle_one_is_kept(self):
        server = self.serve(
            self.tree({"f.txt": "f"}), "--max-connections", "2", "--workers", "1"
        )
        for _ in range(50):
            self.assertEqual(self.connect(server).get("/f.txt").body, b"f")


class Times(LimitCase):
    def test_idle_connection_is_closed(self):
        server = self.serve(
            self.tree({"f.txt": "f"}), "--idle-timeout", "200ms", "--workers", "1"
        )
        used, fresh = self.connect(server), self.connect(server)
        self.assertEqual(used.get("/f.txt").body, b"f")
        used.expect_end()
        fresh.expect_end()
        self.assertEqual(server.metric('timeouts_total{phase="idle"}'), 2)
        server.wait_for_connections(0)

    def check_stalled_client(self, *options):
        root = self.tree({"small.txt": "small"})
        make_large(os.path.join(root, "large.bin"))
        server = self.serve(root, "--send-timeout", "300ms", "--workers", "1", *options)
        connection, response = self.start_download(server)
        server.wait_for_metric('aborted_responses_total{reason="stalled"}', 1)
        with self.assertRaises(raw_http.Ended):
            connection.read_bytes(response.content_length)
        server.wait_for_connections(0)
        self.assertEqual(server.metric('timeouts_total{phase="send"}'), 1)
        self.assertEqual(server.metric('aborted_responses_total{reason="stalled"}'), 1)

    def test_client_that_takes_nothing_is_cut_off(self):
        self.check_stalled_client()

    def test_client_that_takes_nothing_is_cut_off_from_reads(self):
        self.check_stalled_client("--memory", "0", "--sendfile", "0")

    def check_steady_client(self, *options):
        """Slower than the send timeout as a whole, but never silent for that long."""
        root = self.tree({})
        byte_count = 4 * MIB
        harness.write_file(os.path.join(root, "large.bin"), harness.pattern(byte_count))
        server = self.serve(root, "--send-timeout", "500ms", "--workers", "1", *options)
        connection = self.connect(server, receive_buffer_bytes=64 * 1024)
        connection.ask("/large.bin")
        self.assertEqual(connection.read_head().status, 200)
        body = bytearray()
        for _ in zip(range(30), raw_http.paced(0.05)):  # three times the time limit
            body += connection.read_bytes(64 * 1024)
        body += connection.read_bytes(byte_count - len(body))
        self.assertTrue(bytes(body) == harness.pattern(byte_count))
        self.assertEqual(server.metric('aborted_responses_total{reason="stalled"}'), 0)

    def test_slow_but_steady_reader_is_not_cut_off(self):
        self.check_steady_client()

    def test_slow_but_steady_reader_is_not_cut_off_from_reads(self):
        self.check_steady_client("--memory", "0", "--sendfile", "0")


class Descriptors(LimitCase):
    """RLIMIT_NOFILE of the running server is lowered to what is open: the next one fails."""

    def start(self, **arguments):
        root = self.tree({"cached.txt": "cached", "other.txt": "other"})
        server = self.serve(root, "--memory", "0", "--workers", "1", **arguments)
        connection = self.connect(server)
        self.assertEqual(connection.get("/cached.txt").body, b"cached")
        return server, connection

    def start_full_server(self):
        """
        Two downloads take both places, so that the server stops accepting: the kernel reads the
        limit when an accept is armed, so it must be armed anew for a lower limit to count.
        """
        root = self.tree({"f.txt": "f"})
        make_large(os.path.join(root, "large.bin"))
        server = self.serve(root, "--max-connections", "2", "--workers", "1")
        self.assertEqual(server.get("/f.txt").body, b"f")
        server.wait_for_connections(0)
        downloads = []
        for count in (1, 2):
            downloads.append(self.start_download(server))
            server.resting_fds(connections=count)
        fds = server.open_fds()
        sockets = sorted(fd for fd in fds if fds[fd].startswith("socket:"))[-2:]
        return server, downloads, sockets

    def test_client_waits_for_a_descriptor(self):
        """Nobody can be given up: the client waits until there are descriptors again."""
        server, downloads, sockets = self.start_full_server()
        before = server.metric(limit_metric("descriptors"))
        limit = server.limit_descriptors(sockets[0])  # not even what the two have now
        late = self.connect(server)  # the kernel accepts; the server cannot
        late.ask("/f.txt")
        downloads[0][0].close()
        # The admin socket cannot be asked now: CPU time shows that the server does not spin.
        spent_before = self.cpu_ticks(server)
        for _ in zip(range(20), raw_http.paced(0.05)):
            self.assertFalse(late.has_news())
        spent = (self.cpu_ticks(server) - spent_before) / os.sysconf("SC_CLK_TCK")
        server.limit_descriptors(limit)
        self.assertEqual(late.read_response().body, b"f")
        self.assertGreater(server.metric(limit_metric("descriptors")), before)
        self.assertLess(spent, 0.5, "seconds of CPU in one second of waiting")

    def test_idle_connection_is_given_up_for_its_descriptor(self):
        server, downloads, sockets = self.start_full_server()
        limit = server.limit_descriptors(sockets[0] + 1)  # room for one of the two
        first, response = downloads[0]
        first.read_bytes(response.content_length)
        late = self.connect(server)
        late.ask("/f.txt")
        downloads[1][0].close()
        self.assertEqual(late.read_response().body, b"f")
        first.expect_end()
        server.limit_descriptors(limit)
        self.assertEqual(server.get("/f.txt").body, b"f")

    @staticmethod
    def cpu_ticks(server):
        with open(f"/proc/{server.process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def test_loader_without_descriptors(self):
        """What is cached is served; what is not has to wait for better times."""
        server, connection = self.start(
            expected=["error loading 'other.txt' failed: Too many open files .*LimitNOFILE"]
        )
        limit = server.forbid_descriptors(connections=1)
        for _ in range(3):
            response = connection.get("/other.txt")
            self.assertEqual(response.status, 503)
            self.assertEqual(response.field("Retry-After"), "1")
            self.assertEqual(connection.get("/cached.txt").body, b"cached")
        server.limit_descriptors(limit)
        self.assertEqual(connection.get("/other.txt").body, b"other")
        self.assertGreaterEqual(server.metric("loader_failures_total"), 3)

    def test_replacement_without_descriptors(self):
        """Law L8: a look that fails leaves the old version; the new one comes when it can."""
        server, connection = self.start(
            expected=["error loading 'cached.txt' failed: Too many open files .*LimitNOFILE"]
        )
        limit = server.forbid_descriptors(connections=1)
        harness.replace_file(os.path.join(server.root, "cached.txt"), "new")
        answer = connection.get("/cached.txt")
        self.assertIn((answer.status, answer.body[:6]), [(200, b"cached"), (503, answer.body[:6])])
        server.limit_descriptors(limit)
        harness.wait_until(
            lambda: connection.get("/cached.txt").body == b"new", "the new version is served"
        )
        server.settle()


class OddFiles(LimitCase):
    """What is in the tree besides regular files."""

    @classmethod
    def setUpClass(cls):
        root = cls.class_tree({"f.txt": "f", "dir/f.txt": "in dir"})
        outside = cls.class_tree({"secret.txt": "secret", "dir/f.txt": "secret"})
        cls.root = root
        os.mkfifo(os.path.join(root, "fifo"))
        cls.listening = socket.socket(socket.AF_UNIX)
        cls.addClassCleanup(cls.listening.close)
        here = os.getcwd()
        os.chdir(root)  # the path may be too long for a socket's name
        try:
            cls.listening.bind("socket")
        finally:
            os.chdir(here)
        for name, target in (
            ("loop-a", "loop-b"),
            ("loop-b", "loop-a"),
            ("loop-self", "loop-self"),
            ("loop-dir", "loop-dir/x"),
            ("dangling", "nowhere"),
            ("out", os.path.join(outside, "secret.txt")),
            ("out-dir", os.path.join(outside, "dir")),
            ("out-relative", os.path.relpath(os.path.join(outside, "secret.txt"), root)),
            ("out-up", ".."),
            ("out-etc", "/etc/passwd"),
            ("proc", "/proc/self/root/etc/passwd"),
            ("inside", "f.txt"),
            ("inside-dir", "dir"),
            ("dir/up", "../f.txt"),
            ("to-fifo", "fifo"),
        ):
            os.symlink(target, os.path.join(root, name))
        cls.share(root, "--workers", "1")

    def check(self, path, status):
        response = self.server.get(path)
        self.assertEqual(response.status, status, path)
        self.assertNotIn(b"secret", response.body)
        self.assertNotIn(b"root:", response.body)
        return response

    def test_fifo_is_forbidden(self):
        self.check("/fifo", 403)
        self.check("/to-fifo", 403)

    def test_unix_socket_is_forbidden(self):
        self.check("/socket", 403)

    def test_device_is_forbidden(self):
        path = os.path.join(self.root, "device")
        try:
            os.mknod(path, 0o644 | stat.S_IFCHR, os.makedev(1, 5))  # /dev/zero
        except PermissionError:
            self.skipTest("only root may make a device node")
        self.addCleanup(os.unlink, path)
        self.check("/device", 403)

    def test_symlink_loops_lead_nowhere(self):
        for path in ("/loop-a", "/loop-b", "/loop-self", "/loop-dir", "/loop-dir/y", "/loop-a/"):
            with self.subTest(path):
                self.check(path, 404)

    def test_dangling_symlink_leads_nowhere(self):
        self.check("/dangling", 404)

    def test_symlinks_out_of_the_root_are_forbidden(self):
        for path in ("/out", "/out-dir/f.txt", "/out-relative", "/out-up/x", "/out-etc", "/proc"):
            with self.subTest(path):
                self.check(path, 403)

    def test_symlinks_within_the_root_are_followed(self):
        self.assertEqual(self.check("/inside", 200).body, b"f")
        self.assertEqual(self.check("/inside-dir/f.txt", 200).body, b"in dir")
        self.assertEqual(self.check("/dir/up", 200).body, b"f")
        self.assertEqual(self.check("/inside-dir", 301).field("Location"), "/inside-dir/")

    def test_names_that_are_not_text(self):
        name = b"\xff\xfe \x80.txt"
        harness.write_file(os.fsdecode(os.path.join(os.fsencode(self.root), name)), "bytes")
        self.assertEqual(self.check("/%ff%fe%20%80.txt", 200).body, b"bytes")

    def test_names_of_the_greatest_length(self):
        name = "n" * 255
        harness.write_file(os.path.join(self.root, name), "long")
        self.assertEqual(self.check(f"/{name}", 200).body, b"long")
        self.check(f"/{name}n", 404)

    def test_deep_directories(self):
        parts = ["d" * 100] * 20
        harness.write_file(os.path.join(self.root, *parts, "f.txt"), "deep")
        self.assertEqual(self.check(f"/{'/'.join(parts)}/f.txt", 200).body, b"deep")

    def test_nothing_stays_open(self):
        before = self.server.resting_fds()
        for path in ("/fifo", "/socket", "/loop-a", "/out", "/dangling", "/dir", "/missing"):
            self.server.get(path)
        self.assertEqual(self.server.resting_fds(), before)


class Permissions(LimitCase):
    """As a user who may not read everything."""

    def start(self, files, prepare, **arguments):
        root = self.tree(files)
        prepare(root)
        uid = NOBODY if os.geteuid() == 0 else None
        if uid is not None:
            os.chmod(root, 0o755)
            self.require_access(root, uid)
        return self.serve(root, "--workers", "1", uid=uid, **arguments)

    def test_unreadable_file_is_forbidden(self):
        server = self.start(
            {"f.txt": "secret", "g.txt": "open"},
            lambda root: os.chmod(os.path.join(root, "f.txt"), 0),
        )
        response = server.get("/f.txt")
        self.assertEqual(response.status, 403)
        self.assertNotIn(b"secret", response.body)
        self.assertEqual(server.get("/g.txt").body, b"open")

    def test_file_that_becomes_readable_is_served(self):
        server = self.start({"f.txt": "text"}, lambda root: None)
        path = os.path.join(server.root, "f.txt")
        connection = self.connect(server)
        for _ in range(5):
            os.chmod(path, 0)
            self.assertEqual(connection.get("/f.txt").status, 403)
            os.chmod(path, 0o644)
            self.assertEqual(connection.get("/f.txt").body, b"text")

    def test_directory_without_search_permission_is_forbidden(self):
        server = self.start(
            {"d/f.txt": "secret"},
            lambda root: os.chmod(os.path.join(root, "d"), 0),
            expected=[r"warn inotify_add_watch\(\) failed for '.*/d': Permission denied"],
        )
        self.assertEqual(server.get("/d/f.txt").status, 403)
        self.assertEqual(server.get("/d/").status, 403)
        os.chmod(os.path.join(server.root, "d"), 0o755)
        self.assertEqual(server.get("/d/f.txt").body, b"secret")

    def test_unwatchable_directory_is_served_and_stays_fresh(self):
        """Search but not read: inotify refuses such a directory, so it is looked at instead."""
        server = self.start(
            {"d/f.txt": "first"},
            lambda root: os.chmod(os.path.join(root, "d"), 0o311),
            expected=[r"warn inotify_add_watch\(\) failed for '.*/d': Permission denied"],
        )
        connection = self.connect(server)
        self.assertEqual(connection.get("/d/f.txt").body, b"first")
        harness.replace_file(os.path.join(server.root, "d/f.txt"), "second")
        harness.wait_until(
            lambda: connection.get("/d/f.txt").body == b"second", "the new file is found by looking"
        )


class Start(LimitCase):
    """A start that fails says why, and what to do."""

    def run_to_end(self, root, *options, code, says, **arguments):
        server = harness.Server(root, *options, **arguments)
        self.addCleanup(server.kill)
        server.spawn()
        self.assertEqual(server.wait_for_exit(), code, server.lines)
        text = "\n".join(server.lines)
        for regex in says:
            self.assertRegex(text, regex)
        self.assertNotRegex(text, harness.ALARM_WORDS)
        return text

    def test_missing_root(self):
        self.run_to_end("/nowhere/at/all", code=2, says=["/nowhere", "does not exist"])

    def test_root_that_is_a_file(self):
        root = self.tree({"f.txt": "f"})
        self.run_to_end(os.path.join(root, "f.txt"), code=2, says=["f.txt", "director"])

    def test_unreadable_root(self):
        root = self.tree({"f.txt": "f"})
        os.chmod(root, 0)
        uid = NOBODY if os.geteuid() == 0 else None
        if uid is not None:
            self.require_access(harness.OUT, uid)
        try:
            self.run_to_end(root, code=2, uid=uid, says=["may not|cannot be read", "chmod|let"])
        finally:
            os.chmod(root, 0o755)

    def test_port_in_use(self):
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            address = f"127.0.0.1:{holder.getsockname()[1]}"
            text = self.run_to_end(
                self.tree({}), listen=address, code=1, says=[address, "another program"]
            )
        self.assertNotIn("turntable: ready", text)

    def test_two_servers_on_one_admin_socket(self):
        root = self.tree({"f.txt": "f"})
        first = self.serve(root, "--workers", "1")
        self.run_to_end(
            root, "--admin", f"unix:{first.admin_path}", code=1, says=["admin", "another|already"]
        )
        self.assertEqual(first.get("/f.txt").body, b"f")
        self.assertEqual(first.admin("/healthz").status, 200)

    def test_admin_socket_of_a_dead_server_is_taken_over(self):
        root = self.tree({"f.txt": "f"})
        first = harness.Server(root, "--workers", "1")
        self.addCleanup(first.kill)
        first.start()
        first.signal(signal.SIGKILL)
        first.process.wait()
        self.assertTrue(os.path.exists(first.admin_path))
        second = harness.Server(root, "--workers", "1", "--admin", f"unix:{first.admin_path}")
        second.admin_path = first.admin_path
        with second:
            self.assertEqual(second.status()["state"], "serving")
        self.assertFalse(os.path.exists(first.admin_path))

    def test_admin_path_that_is_a_file_is_left_alone(self):
        root = self.tree({"f.txt": "f"})
        path = harness.write_file(os.path.join(self.folder(), "file"), "precious")
        self.run_to_end(root, "--admin", f"unix:{path}", code=1, says=["admin"])
        with open(path) as file:
            self.assertEqual(file.read(), "precious")

    def test_bad_option(self):
        self.run_to_end(self.tree({}), "--wrokers", "2", code=2, says=["--wrokers", "--workers"])


class UnixListener(LimitCase):
    def test_serving_on_a_unix_socket(self):
        root = self.tree({"f.txt": "f", "large.bin": harness.pattern(3 * MIB)})
        folder = self.folder()
        path = os.path.join(folder, "http")
        if len(path) > harness.SOCKET_PATH_MAX:
            self.skipTest(f"too long a path for a socket: {path}")
        for options in (["--memory", "0"], ["--memory", "0", "--sendfile", "0"], []):
            with self.subTest(options):
                with harness.Server(root, *options, listen=f"unix:{path}") as server:
                    self.assertEqual(server.url, f"unix:{path}")
                    with raw_http.Connection(path, harness.DEADLINE_SECONDS) as connection:
                        self.assertEqual(connection.get("/f.txt").body, b"f")
                        body = connection.get("/large.bin").body
                        self.assertTrue(body == harness.pattern(3 * MIB))
                self.assertFalse(os.path.exists(path))

    def test_stalled_client_of_a_unix_socket(self):
        root = self.tree({})
        make_large(os.path.join(root, "large.bin"))
        path = os.path.join(self.folder(), "http")
        if len(path) > harness.SOCKET_PATH_MAX:
            self.skipTest(f"too long a path for a socket: {path}")
        server = self.serve(root, "--send-timeout", "300ms", listen=f"unix:{path}")
        with raw_http.Connection(path, harness.DEADLINE_SECONDS) as connection:
            connection.ask("/large.bin")
            head = connection.read_head()
            server.wait_for_metric('aborted_responses_total{reason="stalled"}', 1)
            with self.assertRaises(raw_http.Ended):
                connection.read_bytes(head.content_length)


if __name__ == "__main__":
    harness.main()
