#!/usr/bin/env python3
"""Load and rotation at once: turntable-load checks every body while it replaces the files."""

import json
import os
import subprocess

import harness
import witness

SECONDS = 5

VARIANTS = {
    "default": ["--workers", "1"],
    "slot": ["--memory", "0", "--files", "fixed", "--sendfile", "0"],
    "plain": ["--memory", "0", "--files", "plain"],
}


class Soak(harness.ServerTest):
    def load(self, server, root, *options):
        """Runs turntable-load on the files that it makes in `root`; returns its report."""
        report_path = os.path.join(self.folder(), "report.json")
        done = subprocess.run(
            [
                *(harness.program("turntable-load"), "--json", report_path),
                *("--verify", "all", "--rotate", root, *options, f"{server.url}/"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS + harness.DEADLINE_SECONDS,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertNotRegex(done.stderr, harness.ALARM_WORDS)
        with open(report_path) as file:
            return json.load(file)

    def check_soak(self, options):
        root = self.tree({})
        server = self.serve(root, *options)
        self.load(server, root, "-n", "2000", "--rotations", "0")
        before = self.fds_but_files(server, root)
        with witness.Witness() as watching:
            names = os.listdir(root)
            for name in names:
                watching.watch(os.path.join(root, name), name)
            load = ["-c", "64", "-d", str(SECONDS), "--rotations", "500"]
            report = self.load(server, root, *load)
            left = watching.wait_for(names, harness.DEADLINE_SECONDS)
            self.assertEqual(left, set(), "the kernel still has these")
        self.check_report(report)
        self.check_server(server)
        self.assertEqual(self.fds_but_files(server, root), before)

    def check_report(self, report):
        self.assertEqual(set(report["errors"].values()), {0}, report["errors"])
        verify = {name: report["verify"][name] for name in ("torn", "truncated", "stale", "wrong")}
        self.assertEqual(set(verify.values()), {0}, verify)
        self.assertEqual(report["verify"]["checked"], report["requests"])
        self.assertGreater(report["requests"], 1000)
        self.assertGreater(report["rotations"], 100 * SECONDS)
        self.assertEqual(report["witness"]["pending"], 0)

    def check_server(self, server):
        server.wait_for_connections(0)
        server.settle()
        status = server.status()
        self.assertEqual(status["aborted"], 0)
        self.assertEqual(status["responses"]["4xx"], 0)
        self.assertEqual(status["responses"]["5xx"], 0)
        self.assertGreater(status["versions_retired"], 100)

    def fds_but_files(self, server, root):
        """What is open besides served files; those are as many as /status says, and current."""
        fds = server.resting_fds()
        files = [name for name in fds if name.startswith(f"{root}/")]
        self.assertEqual(len(files), server.status()["open_files"])
        self.assertEqual([name for name in files if not os.path.exists(name)], [])
        return sorted(set(fds) - set(files))


def add_cases():
    for name, options in VARIANTS.items():

        def case(self, options=options):
            self.check_soak(options)

        setattr(Soak, f"test_soak_{name}", case)


add_cases()


if __name__ == "__main__":
    harness.main()
