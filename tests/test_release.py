#!/usr/bin/env python3
"""What a replaced or edited file does to answers under way, and that it is let go of."""

# timeout: 180

import os

import harness
import raw_http
import witness

MIB = 1 << 20

# A window this small, and a body this large: most of it is unsent for as long as nobody reads.
SMALL_WINDOW = 8 * 1024
LARGE_BYTES = 8 * MIB


class Replaced:
    """What holds for every way of sending a body."""

    def start(self, files, *more):
        self.root = self.tree(files)
        self.server = self.serve(self.root, *self.options, *more)
        return self.server

    def path(self, name):
        return os.path.join(self.root, name)

    # ---- edits in place (law L7) ----

    def get_after_edit(self, path, is_by_sendfile):
        """
        What sendfile(2) has taken may still change on its way, so an edit just behind an answer
        looks like one within it, and ends the connection. The client comes again, as clients do.
        """
        try:
            return self.connection.get(path)
        except (raw_http.Ended, ConnectionError) as error:
            if not is_by_sendfile:
                raise
            self.assertEqual(getattr(error, "received", b""), b"", "ended in mid-answer")
        self.connection = self.connect()
        return self.connection.get(path)

    def check_edits(self, name, edits, is_large=False):
        """`edits` change the file, and give what it is then."""
        self.connection = self.connect()
        is_by_sendfile = self.variant == "sendfile" or (is_large and self.variant != "reads")
        for body in edits:
            answer = self.get_after_edit(f"/{name}", is_by_sendfile)
            self.assertEqual(answer.status, 200)
            self.assertTrue(answer.body == body, f"{answer.body[:40]}, not {body[:40]}")

    def test_overwrite_in_place(self):
        self.start({"f.txt": "000000"})

        def edits():
            for turn in range(harness.rounds(100)):
                body = f"{turn:06d}".encode()
                with open(self.path("f.txt"), "r+b") as file:
                    file.write(body)
                yield body

        self.check_edits("f.txt", edits())

    def test_append_in_place(self):
        self.start({"f.txt": ""})

        def edits():
            body = b""
            for turn in range(harness.rounds(100)):
                with open(self.path("f.txt"), "ab") as file:
                    file.write(f"line {turn}\n".encode())
                body += f"line {turn}\n".encode()
                yield body

        self.check_edits("f.txt", edits())

    def test_truncate_in_place(self):
        self.start({"f.txt": "x" * 100})

        def edits():
            for size in range(100, 0, -1):
                os.truncate(self.path("f.txt"), size)
                yield b"x" * size

        self.check_edits("f.txt", edits())

    def test_large_file_overwritten_in_place(self):
        self.start({"f.bin": harness.content("first", 300_000)})

        def edits():
            for turn in range(harness.rounds(30)):
                body = harness.content(turn, 300_000)
                with open(self.path("f.bin"), "r+b") as file:
                    file.write(body)
                yield body

        self.check_edits("f.bin", edits(), is_large=True)

    # ---- one version per answer (law L1) ----

    def test_slow_download_gets_the_old_file_to_its_end(self):
        old = harness.content("old", LARGE_BYTES)
        new = harness.content("new", LARGE_BYTES + 1)
        self.start({"f.bin": old})
        slow = self.connect(receive_buffer_bytes=SMALL_WINDOW)
        slow.ask("/f.bin")
        head = slow.read_head()
        first = slow.read_bytes(1000)
        harness.replace_file(self.path("f.bin"), new)
        self.assertTrue(self.connect().get("/f.bin").body == new)
        self.assertEqual(head.content_length, len(old))
        body = first + slow.read_bytes(len(old) - len(first))
        self.assertTrue(body == old, "the slow download is not the old file")
        self.assertTrue(slow.get("/f.bin").body == new)

    def test_slow_download_of_a_deleted_file(self):
        old = harness.content("old", LARGE_BYTES)
        self.start({"f.bin": old})
        slow = self.connect(receive_buffer_bytes=SMALL_WINDOW)
        slow.ask("/f.bin")
        slow.read_head()
        os.unlink(self.path("f.bin"))
        self.assertEqual(self.connect().get("/f.bin").status, 404)
        self.assertTrue(slow.read_bytes(len(old)) == old)

    def expect_abort(self, change):
        """`change` edits the file while its body is on the way to a slow reader."""
        server = self.start({"f.bin": harness.content("old", LARGE_BYTES)})
        slow = self.connect(receive_buffer_bytes=SMALL_WINDOW)
        slow.ask("/f.bin")
        head = slow.read_head()
        slow.read_bytes(1000)
        change(self.path("f.bin"))
        with self.assertRaises(raw_http.Ended, msg="a clean 200 of a file that changed"):
            slow.read_bytes(head.content_length - 1000)
        self.assertEqual(server.metric('aborted_responses_total{reason="changed"}'), 1)
        server.wait_for_connections(0)
        with open(self.path("f.bin"), "rb") as file:
            self.assertTrue(self.connect().get("/f.bin").body == file.read())

    def test_file_that_shrinks_while_it_is_sent(self):
        self.expect_abort(lambda path: os.truncate(path, LARGE_BYTES // 2))

    def test_file_that_is_emptied_while_it_is_sent(self):
        self.expect_abort(lambda path: os.truncate(path, 0))

    def test_file_that_grows_while_it_is_sent(self):
        def grow(path):
            with open(path, "ab") as file:
                file.write(b"more")

        self.expect_abort(grow)

    def test_file_that_is_edited_while_it_is_sent(self):
        def edit(path):
            with open(path, "r+b") as file:
                file.seek(LARGE_BYTES // 2)
                file.write(b"edited")

        self.expect_abort(edit)

    # ---- release (laws L4, L5) ----

    def test_what_was_replaced_is_released(self):
        """Inotify, from outside, sees every replaced inode go."""
        server = self.start({"f.txt": "0", "g.bin": harness.content("0", 100_000)})
        for name in ("/f.txt", "/g.bin"):
            server.get(name)
        fds_before = server.resting_fds()
        connection = self.connect()
        count = harness.rounds(100)
        with witness.Witness() as watching:
            for turn in range(count):
                for name, body in (("f.txt", str(turn)), ("g.bin", harness.content(turn, 100_000))):
                    watching.watch(self.path(name), (name, turn))
                    harness.replace_file(self.path(name), body)
                    connection.get(f"/{name}")
            names = [(name, turn) for turn in range(count) for name in ("f.txt", "g.bin")]
            left = watching.wait_for(names, harness.DEADLINE_SECONDS)
            self.assertEqual(left, set(), "the kernel still has these")
        server.settle()
        status = server.status()
        self.assertEqual(status["versions_retired"], 2 * count)
        self.assertEqual(status["versions_released"], 2 * count)
        self.assertEqual(status["versions_live"], 2)
        connection.close()
        self.assertEqual(server.resting_fds(), fds_before)

    def test_deleted_files_are_released(self):
        count = 50
        files = {f"{i}.bin": harness.content(i, 100_000) for i in range(count)}
        server = self.start(files)
        connection = self.connect()
        with witness.Witness() as watching:
            for name in files:
                connection.get(f"/{name}")
                watching.watch(self.path(name), name)
            for name in files:
                os.unlink(self.path(name))
            self.assertEqual(watching.wait_for(files, harness.DEADLINE_SECONDS), set())
        server.settle()
        self.assertEqual(server.status()["open_files"], 0)
        self.assertEqual(server.status()["versions_live"], 0)

    def test_stuck_download_pins_only_its_own_version(self):
        """Law L4: whoever is stuck holds up nobody else's release."""
        old = harness.content("old", LARGE_BYTES)
        server = self.start({"stuck.bin": old, "f.bin": harness.content(0, 100_000)})
        stuck = self.connect(receive_buffer_bytes=SMALL_WINDOW)
        stuck.ask("/stuck.bin")
        stuck.read_head()
        connection = self.connect()
        connection.get("/f.bin")
        count = harness.rounds(50)
        with witness.Witness() as watching:
            watching.watch(self.path("stuck.bin"), "stuck")
            harness.replace_file(self.path("stuck.bin"), harness.content("new", LARGE_BYTES))
            self.assertEqual(connection.get("/stuck.bin", "HEAD").status, 200)
            for turn in range(count):
                watching.watch(self.path("f.bin"), turn)
                body = harness.content(turn + 1, 100_000)
                harness.replace_file(self.path("f.bin"), body)
                self.assertTrue(connection.get("/f.bin").body == body)
            self.assertEqual(watching.wait_for(range(count), harness.DEADLINE_SECONDS), set())
            self.assertNotIn("stuck", watching.gone)
            harness.wait_until(
                lambda: server.status()["generations_draining"] == 1,
                "only the stuck generation is draining",
            )
            status = server.status()
            self.assertEqual(status["versions_retired"], count + 1)
            self.assertEqual(status["versions_released"], count)
            self.assertTrue(stuck.read_bytes(LARGE_BYTES) == old)
            self.assertEqual(watching.wait_for(["stuck"], harness.DEADLINE_SECONDS), set())
        server.settle()

    def test_stuck_idle_connections_pin_nothing(self):
        server = self.start({"f.bin": harness.content(0, 100_000)})
        idle = [self.connect() for _ in range(20)]
        for connection in idle:
            connection.get("/f.bin")
        with witness.Witness() as watching:
            for turn in range(10):
                watching.watch(self.path("f.bin"), turn)
                harness.replace_file(self.path("f.bin"), harness.content(turn + 1, 100_000))
                idle[turn].get("/f.bin")
            self.assertEqual(watching.wait_for(range(10), harness.DEADLINE_SECONDS), set())
        server.settle()
        self.assertEqual(idle[-1].get("/f.bin").body, harness.content(10, 100_000))

    def test_many_files_replaced_at_once(self):
        names = [f"{i}.txt" for i in range(200)]
        server = self.start({name: "old" for name in names})
        connection = self.connect()
        for name in names:
            self.assertEqual(connection.get(f"/{name}").body, b"old")
        for turn in range(2):
            for name in names:
                harness.replace_file(self.path(name), f"{name} {turn}")
            connection.send(b"".join(raw_http.request(f"/{name}") for name in names))
            for name in names:
                self.assertEqual(connection.read_response().body, f"{name} {turn}".encode())
        server.settle()
        self.assertEqual(server.status()["versions_live"], len(names))


harness.for_each_variant(Replaced)


class Registered(harness.ServerTest):
    """What only the registered table has."""

    options = harness.variants()["slot"]

    def test_slots_go_round(self):
        """A small table, far more versions than slots: each gets a free slot, none is lost."""
        root = self.tree({"f.bin": harness.content(0, 50_000)})
        server = self.serve(root, *self.options, "--table-slots", "8")
        connection = self.connect(server)
        for turn in range(harness.rounds(500)):
            body = harness.content(turn, 50_000)
            harness.replace_file(os.path.join(root, "f.bin"), body)
            self.assertTrue(connection.get("/f.bin").body == body)
        server.settle()
        status = server.status()
        self.assertEqual(status["slots"], {"free": 7, "live": 1, "retiring": 0})
        self.assertEqual(server.metric("table_update_failures_total"), 0)

    def test_lifetime_is_probed(self):
        server = self.serve(self.tree({"f.txt": "x"}), *self.options)
        self.assertIn(server.status()["lifetime"], ("per-slot", "in-order"))
        plain = self.serve(self.tree({"f.txt": "x"}), *harness.variants()["plain"])
        self.assertEqual(plain.status()["lifetime"], "none")


if __name__ == "__main__":
    harness.main()
