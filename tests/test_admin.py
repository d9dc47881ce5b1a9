#!/usr/bin/env python3
"""The admin listener and turntablectl."""

import json
import os
import re
import stat
import subprocess

import harness
import raw_http

STATUS_FIELDS = {
    "version": str,
    "kernel": str,
    "engine": str,
    "files": str,
    "lifetime": str,
    "generation": int,
    "generations_draining": int,
    "versions_live": int,
    "versions_retired": int,
    "slots": {"free": int, "live": int, "retiring": int},
    "connections": {"active": int, "idle": int},
    "requests": int,
    "responses": {"2xx": int, "3xx": int, "4xx": int, "5xx": int},
    "bytes_sent": int,
    "aborted": int,
    "open_files": int,
    "uptime_seconds": int,
}

# What INTERFACES.md promises by name.
PROMISED_METRICS = [
    'requests_total{code="2xx"}',
    'connections{state="active"}',
    'connections{state="idle"}',
    'table_slots{state="free"}',
    'table_slots{state="live"}',
    'table_slots{state="retiring"}',
    "generation",
    "generations_draining",
    "generation_drain_seconds_count",
    "versions_retired",
    "freshness_seconds_count",
    'aborted_responses_total{reason="peer"}',
    'aborted_responses_total{reason="changed"}',
    "watch_overflows_total",
]

METRIC_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({METRIC_NAME})(\{{{LABEL}(?:,{LABEL})*\}})? (\d+(?:\.\d+)?)")


class AdminCase(harness.ServerTest):
    def setUp(self):
        self.root = self.tree({"f.txt": "text", "g.bin": harness.pattern(100_000)})
        self.server = self.serve(self.root, "--workers", "2")


class Pages(AdminCase):
    def test_health(self):
        response = self.server.admin("/healthz")
        self.assertEqual((response.status, response.body), (200, b"ok\n"))

    def test_readiness(self):
        self.assertEqual(self.server.admin("/readyz").status, 200)

    def test_head(self):
        for path in ("/healthz", "/status", "/metrics"):
            response = self.server.admin(path, "HEAD")
            self.assertEqual(response.status, 200)
            self.assertGreater(response.content_length, 0)

    def test_query_is_no_part_of_the_name(self):
        self.assertEqual(self.server.admin("/healthz?now").status, 200)

    def test_unknown_page(self):
        for path in ("/nothing", "/healthz/", "/f.txt", "/../status"):
            self.assertEqual(self.server.admin(path).status, 404, path)

    def test_other_methods(self):
        for method in ("POST", "PUT", "DELETE"):
            response = self.server.admin("/status", method)
            self.assertEqual(response.status, 405)
            self.assertIn("GET", response.field("Allow"))

    def test_bad_requests(self):
        for data, status in (
            (b"garbage\r\n\r\n", 400),
            (b"GET /status HTTP/1.1\r\n\r\n", 400),
            (b"GET /status HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"GET /status HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000, 431),
        ):
            with self.subTest(data[:30]):
                with raw_http.Connection(
                    self.server.admin_path, harness.DEADLINE_SECONDS
                ) as connection:
                    try:
                        connection.send(data)
                    except BrokenPipeError:
                        pass  # it has heard enough
                    self.assertEqual(connection.read_response().status, status)

    def test_pages_are_not_on_the_public_listener(self):
        for path in ("/healthz", "/readyz", "/status", "/metrics", "/generations"):
            self.assertEqual(self.server.get(path).status, 404)

    def test_socket_is_private(self):
        self.assertEqual(stat.S_IMODE(os.stat(self.server.admin_path).st_mode), 0o600)

    def test_many_at_once(self):
        connections = [
            self.enterContext(
                raw_http.Connection(self.server.admin_path, harness.DEADLINE_SECONDS)
            )
            for _ in range(100)
        ]
        for connection in connections:
            try:
                connection.ask("/healthz")
            except BrokenPipeError:
                pass  # one too many: it was told so, and closed
        statuses = {connection.read_response().status for connection in connections}
        self.assertLessEqual(statuses, {200, 503})
        self.assertIn(200, statuses)
        for connection in connections:
            connection.close()
        harness.wait_until(lambda: self.server.admin("/status").status == 200, "there is room again")

    def test_generations(self):
        response = self.server.admin("/generations")
        self.assertEqual(response.status, 200)
        self.assertEqual(json.loads(response.body)["generation"], 0)


class Status(AdminCase):
    def check_fields(self, status, wanted, where=""):
        for name, kind in wanted.items():
            self.assertIn(name, status, where)
            if isinstance(kind, dict):
                self.check_fields(status[name], kind, f"{where}{name}.")
            else:
                self.assertIsInstance(status[name], kind, f"{where}{name}")

    def test_all_promised_fields(self):
        response = self.server.admin("/status")
        self.assertEqual(response.field("Content-Type"), "application/json")
        status = json.loads(response.body)
        self.check_fields(status, STATUS_FIELDS)
        self.assertEqual(status["engine"], self.server.facts["engine"])
        self.assertEqual(status["files"], self.server.facts["files"])
        self.assertEqual(status["kernel"], os.uname().release)
        self.assertIn(status["lifetime"], ("per-slot", "in-order", "none"))

    def test_numbers_move(self):
        before = self.server.status()
        connection = self.connect()
        for path in ("/f.txt", "/g.bin", "/missing"):
            connection.get(path)
        connection.get(
            "/f.txt", fields={"If-None-Match": connection.get("/f.txt", "HEAD").field("ETag")}
        )
        after = self.server.status()
        self.assertEqual(after["requests"] - before["requests"], 5)
        self.assertEqual(after["responses"], {"2xx": 3, "3xx": 1, "4xx": 1, "5xx": 0})
        self.assertGreater(after["bytes_sent"] - before["bytes_sent"], 100_000)
        self.assertEqual(after["versions_live"], 2)
        self.assertEqual(after["slots"]["live"], 2)
        # The last answer is here before the server knows that it is sent.
        harness.wait_until(
            lambda: self.server.status()["connections"] == {"active": 0, "idle": 1},
            "the connection is idle",
        )

    def test_generation_moves(self):
        connection = self.connect()
        connection.get("/f.txt")
        for turn in range(10):
            harness.replace_file(os.path.join(self.root, "f.txt"), f"turn {turn}")
            connection.get("/f.txt")
        self.server.settle()
        status = self.server.status()
        self.assertEqual(status["generation"], 10)
        self.assertEqual(status["versions_retired"], 10)
        self.assertEqual(status["versions_live"], 1)


class Metrics(AdminCase):
    def families(self):
        """{name: (type, [(labels, value)])}, checked against the text format."""
        response = self.server.admin("/metrics")
        self.assertEqual(response.field("Content-Type"), "text/plain; version=0.0.4; charset=utf-8")
        text = response.body.decode()
        self.assertTrue(text.endswith("\n"))
        families = {}
        helped = set()
        current = None
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name = line.split(" ")[2]
                self.assertNotIn(name, helped, "a family in two places")
                helped.add(name)
            elif line.startswith("# TYPE "):
                _, _, current, kind = line.split(" ")
                self.assertIn(kind, ("counter", "gauge", "histogram"))
                self.assertNotIn(current, families)
                families[current] = (kind, [])
            else:
                match = SAMPLE.fullmatch(line)
                self.assertIsNotNone(match, line)
                name = match[1]
                kind = families[current][0]
                if kind == "histogram":
                    name = re.sub("_(bucket|sum|count)$", "", name)
                self.assertEqual(name, current, "a sample outside its family")
                self.assertTrue(name.startswith("turntable_"))
                families[current][1].append((match[1], match[2], float(match[3])))
        self.assertEqual(helped, set(families))
        return families

    def test_text_is_well_formed(self):
        for name, (kind, samples) in self.families().items():
            self.assertTrue(samples, name)
            self.assertEqual(kind == "counter", name.endswith("_total"), name)
            keys = [sample[:2] for sample in samples]
            self.assertEqual(len(keys), len(set(keys)), f"{name}: a sample twice")

    def test_histograms_add_up(self):
        connection = self.connect()
        for turn in range(5):
            connection.get("/f.txt")
            harness.replace_file(os.path.join(self.root, "f.txt"), f"turn {turn}")
        connection.get("/f.txt")
        self.server.settle()
        for name, (kind, samples) in self.families().items():
            if kind != "histogram":
                continue
            buckets = [value for key, _, value in samples if key.endswith("_bucket")]
            count = next(value for key, _, value in samples if key.endswith("_count"))
            self.assertEqual(buckets, sorted(buckets), name)
            self.assertEqual(buckets[-1], count, name)
            self.assertEqual(count, 5, name)

    def test_promised_metrics(self):
        samples = self.server.metrics()
        for name in PROMISED_METRICS:
            self.assertIn(name, samples)

    def test_counters_move(self):
        before = self.server.metrics()
        connection = self.connect()
        for path in ("/f.txt", "/f.txt", "/missing", "/%zz"):
            connection.get(path)
        after = self.server.metrics()

        def moved(name):
            return after[name] - before[name]

        self.assertEqual(moved("requests_received_total"), 4)
        self.assertEqual(moved('requests_total{code="2xx"}'), 2)
        self.assertEqual(moved('requests_total{code="4xx"}'), 2)
        self.assertEqual(moved("connections_accepted_total"), 1)
        self.assertEqual(moved("loader_misses_total"), 2)
        self.assertGreater(moved("sent_bytes_total"), 500)
        self.assertGreater(moved("admin_requests_total"), 0)

    def test_counters_never_shrink(self):
        names = [
            key + (labels or "")
            for kind, samples in self.families().values()
            for key, labels, _ in samples
            if kind == "counter"
        ]
        before = self.server.metrics()
        for _ in range(5):
            self.server.get("/f.txt")
            after = self.server.metrics()
            for name in names:
                short = name.removeprefix("turntable_")
                self.assertGreaterEqual(after[short], before[short])
            before = after


class Turntablectl(AdminCase):
    def ctl(self, *arguments, admin=True):
        command = [harness.program("turntablectl")]
        if admin:
            command += ["--admin", f"unix:{self.server.admin_path}"]
        return subprocess.run(
            command + list(arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=harness.DEADLINE_SECONDS,
        )

    def test_status_for_people(self):
        self.server.get("/f.txt")
        done = self.ctl("status")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        for word in ("generation", "slots", "connections", "requests"):
            self.assertIn(word, done.stdout)

    def test_status_as_json(self):
        done = self.ctl("status", "--json")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        status = json.loads(done.stdout)
        self.assertEqual(set(status), set(self.server.status()))

    def test_wrong_usage(self):
        for arguments in ([], ["nonsense"], ["status", "--nonsense"], ["status", "more"]):
            with self.subTest(arguments):
                done = self.ctl(*arguments)
                self.assertEqual(done.returncode, 2)
                self.assertEqual(done.stdout, "")
                self.assertIn("turntablectl", done.stderr)

    def test_help_and_version(self):
        for option in ("--help", "--version"):
            done = self.ctl(option, admin=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn("turntablectl", done.stdout)

    def test_no_server(self):
        missing = os.path.join(self.server.folder, "nobody")
        done = self.ctl("--admin", f"unix:{missing}", "status", admin=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn(missing, done.stderr)

    def test_server_that_is_gone(self):
        self.server.stop()
        self.assertEqual(self.ctl("status").returncode, 3)


if __name__ == "__main__":
    harness.main()
