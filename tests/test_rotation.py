#!/usr/bin/env python3
"""Files, directories and links change: whoever asks afterwards gets what is there (law L6)."""

# timeout: 180

import itertools
import os

import harness
import raw_http


class Rotation:
    """What holds for every way of sending a body."""

    def start(self, files, *more):
        self.root = self.tree(files)
        self.server = self.serve(self.root, *self.options, *more)
        return self.server

    def path(self, name):
        return os.path.join(self.root, name)

    # ---- files ----

    def test_request_after_a_rename_gets_the_new_file(self):
        """Thousands of rounds over four connections: none is stale."""
        server = self.start({"f.txt": "round -1"})
        connections = [self.connect() for _ in range(4)]
        choice = harness.seeded(self.id())
        stale = []
        for turn in range(harness.rounds(1000)):
            body = f"round {turn}".encode()
            harness.replace_file(self.path("f.txt"), body)
            answer = choice.choice(connections).get("/f.txt")
            if (answer.status, answer.body) != (200, body):
                stale.append((turn, answer.status, answer.body))
        self.assertEqual(stale, [])
        self.assertEqual(server.status()["responses"]["5xx"], 0)

    def test_request_after_a_rename_on_all_connections(self):
        self.start({"f.txt": "round -1"})
        connections = [self.connect() for _ in range(8)]
        stale = []
        for turn in range(harness.rounds(80)):
            body = f"round {turn}".encode() * 10_000
            harness.replace_file(self.path("f.txt"), body)
            for connection in connections:
                connection.ask("/f.txt")
            for connection in connections:
                answer = connection.read_response()
                if answer.body != body:
                    stale.append((turn, answer.status, answer.body[:20]))
        self.assertEqual(stale, [])

    def test_pipelined_requests_around_a_rename(self):
        """Those sent before may see either file; those sent after see the new one only."""
        self.start({"f.txt": "round -1"})
        connection = self.connect()
        for turn in range(harness.rounds(80)):
            connection.send(raw_http.request("/f.txt") * 5)
            body = f"round {turn}".encode()
            harness.replace_file(self.path("f.txt"), body)
            connection.send(raw_http.request("/f.txt") * 5)
            bodies = [connection.read_response().body for _ in range(10)]
            old = f"round {turn - 1}".encode()
            self.assertLessEqual(set(bodies[:5]), {old, body})
            self.assertEqual(bodies, sorted(bodies, key=lambda b: b == body))
            self.assertEqual(set(bodies[5:]), {body})

    def test_same_length_and_same_time(self):
        """Only the inode and the time of the change tell the two files apart."""
        self.start({"f.txt": "aaaa"})
        connection = self.connect()
        tags = set()
        for turn in range(harness.rounds(100)):
            body = f"{turn:06d}".encode()
            harness.replace_file(self.path("f.txt"), body, mtime_ns=10**18)
            answer = connection.get("/f.txt")
            self.assertEqual((answer.status, answer.body), (200, body))
            tags.add(answer.field("ETag"))
        self.assertEqual(len(tags), harness.rounds(100))

    def test_conditional_request_with_the_old_tag(self):
        self.start({"f.txt": "old"})
        connection = self.connect()
        for turn in range(harness.rounds(100)):
            old = connection.get("/f.txt").field("ETag")
            self.assertEqual(connection.get("/f.txt", fields={"If-None-Match": old}).status, 304)
            harness.replace_file(self.path("f.txt"), f"turn {turn}")
            answer = connection.get("/f.txt", fields={"If-None-Match": old})
            self.assertEqual((answer.status, answer.body), (200, f"turn {turn}".encode()))

    def test_delete_and_create_again(self):
        self.start({"f.txt": "first"})
        connection = self.connect()
        for turn in range(harness.rounds(80)):
            os.unlink(self.path("f.txt"))
            self.assertEqual(connection.get("/f.txt").status, 404)
            harness.write_file(self.path("f.txt"), f"turn {turn}")
            answer = connection.get("/f.txt")
            self.assertEqual((answer.status, answer.body), (200, f"turn {turn}".encode()))

    def test_file_becomes_a_directory_and_back(self):
        self.start({"f": "file"})
        connection = self.connect()
        for turn in range(harness.rounds(50)):
            self.assertEqual(connection.get("/f").status, 200)
            os.unlink(self.path("f"))
            harness.write_file(self.path("f/index.html"), f"index {turn}")
            self.assertEqual(connection.get("/f").status, 301)
            self.assertEqual(connection.get("/f/").body, f"index {turn}".encode())
            os.unlink(self.path("f/index.html"))
            self.assertEqual(connection.get("/f/").status, 403)
            os.rmdir(self.path("f"))
            self.assertEqual(connection.get("/f/").status, 404)
            harness.write_file(self.path("f"), "file")

    def test_permissions_are_looked_at_again(self):
        """chmod changes no byte, but the version: the answer is that of the file as it is."""
        self.start({"f.txt": "text"})
        connection = self.connect()
        for mode in (0o600, 0o644, 0o600, 0o644):
            os.chmod(self.path("f.txt"), mode)
            self.assertEqual(connection.get("/f.txt").body, b"text")

    # ---- directories and symlinks ----

    def test_directory_on_the_way_is_renamed(self):
        self.start({"a/b/f.txt": "0", "other/b/f.txt": "other"})
        connection = self.connect()
        for turn in range(harness.rounds(100)):
            self.assertEqual(connection.get("/a/b/f.txt").body, str(turn).encode())
            os.rename(self.path("a"), self.path("gone"))
            self.assertEqual(connection.get("/a/b/f.txt").status, 404)
            self.assertEqual(connection.get("/gone/b/f.txt").body, str(turn).encode())
            harness.replace_file(self.path("gone/b/f.txt"), str(turn + 1))
            os.rename(self.path("gone"), self.path("a"))

    def test_directories_swap_places(self):
        self.start({"a/f.txt": "A", "b/f.txt": "B"})
        connection = self.connect()
        names = ["a", "b"]
        for turn in range(harness.rounds(100)):
            os.rename(self.path("a"), self.path("tmp"))
            os.rename(self.path("b"), self.path("a"))
            os.rename(self.path("tmp"), self.path("b"))
            bodies = [connection.get(f"/{name}/f.txt").body for name in names]
            self.assertEqual(bodies, [b"B", b"A"] if turn % 2 == 0 else [b"A", b"B"])

    def test_files_not_asked_for_before_in_directories_that_swap(self):
        """What the loader remembers of directories on the way must not outlive a rename."""
        count = harness.rounds(100)
        files = {f"{d}/{i}.txt": f"{d}{i}" for d in "ab" for i in range(count)}
        self.start(files)
        connection = self.connect()
        for turn in range(count):
            old, new = ("a", "b") if turn % 2 == 0 else ("b", "a")
            os.rename(self.path("a"), self.path("tmp"))
            os.rename(self.path("b"), self.path("a"))
            os.rename(self.path("tmp"), self.path("b"))
            bodies = [connection.get(f"/{d}/{turn}.txt").body.decode() for d in "ab"]
            self.assertEqual(bodies, [f"{new}{turn}", f"{old}{turn}"])

    def test_directory_is_removed_and_made_anew(self):
        self.start({"d/f.txt": "0"})
        connection = self.connect()
        for turn in range(harness.rounds(100)):
            self.assertEqual(connection.get("/d/f.txt").body, str(turn).encode())
            os.unlink(self.path("d/f.txt"))
            os.rmdir(self.path("d"))
            self.assertEqual(connection.get("/d/f.txt").status, 404)
            harness.write_file(self.path("d/f.txt"), str(turn + 1))

    def test_symlink_on_the_way_flips(self):
        self.start({"v0/f.txt": "0", "v1/f.txt": "1", "v1/deep/f.txt": "1", "v0/deep/f.txt": "0"})
        os.symlink("v0", self.path("live"))
        connection = self.connect()
        for turn in range(harness.rounds(100)):
            wanted = str(turn % 2).encode()
            for path in ("/live/f.txt", "/live/deep/f.txt"):
                self.assertEqual(connection.get(path).body, wanted, f"turn {turn}")
            harness.replace_symlink(self.path("live"), f"v{(turn + 1) % 2}")

    def test_symlink_to_the_file_flips(self):
        self.start({"v0.txt": "0", "v1.txt": "1"})
        os.symlink("v0.txt", self.path("live.txt"))
        connection = self.connect()
        for turn in range(harness.rounds(100)):
            self.assertEqual(connection.get("/live.txt").body, str(turn % 2).encode())
            harness.replace_symlink(self.path("live.txt"), f"v{(turn + 1) % 2}.txt")

    def test_target_of_a_symlink_is_replaced(self):
        self.start({"target/f.txt": "0"})
        os.symlink("target/f.txt", self.path("link.txt"))
        connection = self.connect()
        for turn in range(harness.rounds(80)):
            self.assertEqual(connection.get("/link.txt").body, str(turn).encode())
            harness.replace_file(self.path("target/f.txt"), str(turn + 1))

    def test_root_symlink_flips(self):
        """`current -> releases/N`: the whole tree goes live at once."""
        base = self.tree({})
        files = {"index.html": "{}", "a/b.txt": "{} b", "only-{}.txt": "{}"}
        for number in range(4):
            tree = {path.format(number): text.format(number) for path, text in files.items()}
            harness.write_tree(os.path.join(base, "releases", str(number)), tree)
        current = os.path.join(base, "current")
        os.symlink("releases/0", current)
        self.server = self.serve(current, *self.options)
        connection = self.connect()
        numbers = itertools.cycle(range(4))
        number = next(numbers)
        for _ in range(harness.rounds(80)):
            self.assertEqual(connection.get("/").body, f"{number}".encode())
            self.assertEqual(connection.get("/a/b.txt").body, f"{number} b".encode())
            for other in range(4):
                status = connection.get(f"/only-{other}.txt").status
                self.assertEqual(status, 200 if other == number else 404)
            number = next(numbers)
            harness.replace_symlink(current, f"releases/{number}")

    def test_no_mixture_of_releases(self):
        """Once one path is of the new release, so is every other one asked for later."""
        base = self.tree({})
        for number in range(2):
            tree = {f"{name}.txt": str(number) for name in "abcdefgh"}
            harness.write_tree(os.path.join(base, str(number)), tree)
        current = os.path.join(base, "current")
        os.symlink("0", current)
        self.server = self.serve(current, *self.options)
        connection = self.connect()
        for turn in range(harness.rounds(80)):
            wanted = str(turn % 2)
            connection.send(b"".join(raw_http.request(f"/{name}.txt") for name in "abcdefgh"))
            harness.replace_symlink(current, str((turn + 1) % 2))
            bodies = [connection.read_response().body.decode() for _ in "abcdefgh"]
            self.assertEqual(bodies, sorted(bodies, key=lambda b: b != wanted), f"turn {turn}")
            self.assertEqual(connection.get("/a.txt").body, str((turn + 1) % 2).encode())

    def test_ancestor_of_the_root_is_renamed(self):
        base = self.tree({"up/site/f.txt": "first"})
        self.server = self.serve(os.path.join(base, "up", "site"), *self.options)
        connection = self.connect()
        for turn in range(harness.rounds(20)):
            self.assertEqual(connection.get("/f.txt").status, 200)
            os.rename(os.path.join(base, "up"), os.path.join(base, "down"))
            self.assertNotEqual(connection.get("/f.txt").status, 200)
            harness.replace_file(os.path.join(base, "down/site/f.txt"), f"turn {turn}")
            os.rename(os.path.join(base, "down"), os.path.join(base, "up"))
            self.assertEqual(connection.get("/f.txt").body, f"turn {turn}".encode())


harness.for_each_variant(Rotation)


class TwoWorkers(harness.ServerTest):
    def test_both_workers_see_every_change(self):
        """Connections until both workers have some; then each round asks all of them."""
        root = self.tree({"f.bin": harness.content(0, 50_000)})
        for options in ([], ["--memory", "0"]):
            with self.subTest(options):
                server = self.serve(root, "--workers", "2", *options)
                connections = [self.connect(server) for _ in range(32)]
                for turn in range(harness.rounds(100)):
                    body = harness.content(turn, 50_000)
                    harness.replace_file(os.path.join(root, "f.bin"), body)
                    for connection in connections:
                        connection.ask("/f.bin")
                    for connection in connections:
                        self.assertTrue(connection.read_response().body == body, f"turn {turn}")
                server.settle()

    def test_asking_and_replacing_at_the_same_time(self):
        """Requests are always under way when a file is replaced: old or new, never a mixture."""
        root = self.tree({"f.bin": harness.content(0, 20_000)})
        server = self.serve(root, "--workers", "2", "--memory", "0")
        connections = [self.connect(server) for _ in range(16)]
        for turn in range(harness.rounds(100)):
            for connection in connections:
                connection.ask("/f.bin")
            harness.replace_file(os.path.join(root, "f.bin"), harness.content(turn + 1, 20_000))
            allowed = (harness.content(turn, 20_000), harness.content(turn + 1, 20_000))
            for connection in connections:
                answer = connection.read_response()
                self.assertEqual(answer.status, 200)
                self.assertIn(answer.body, allowed)
        server.settle()


if __name__ == "__main__":
    harness.main()
