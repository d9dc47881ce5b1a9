#!/usr/bin/env python3
"""A real site, fetched by a real client: wget mirrors Python's documentation, byte for byte."""

# timeout: 300

import filecmp
import glob
import os
import shutil
import subprocess
import sys
import urllib.parse

import harness

FILES_MIN = 1000

VARIANTS = {
    "default": [],
    "fixed": ["--memory", "0", "--files", "fixed"],
    "plain": ["--memory", "0", "--files", "plain"],
}


def files_below(folder):
    """Relative paths of all files; those that begin with a dot are not served."""
    return {
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".")
    }


def find_site():
    """The largest tree with an index below /usr/share/doc, of a thousand files at least."""
    candidates = glob.glob("/usr/share/doc/python3*-doc/html/index.html")
    candidates += glob.glob("/usr/share/doc/python3.*/html/index.html")
    candidates += glob.glob("/usr/share/doc/*/html/index.html")
    for index in candidates:
        folder = os.path.realpath(os.path.dirname(index))
        if len(files_below(folder)) >= FILES_MIN:
            return folder
    return None


class Mirror(harness.ServerTest):
    @classmethod
    def setUpClass(cls):
        cls.site = cls.class_tree({})
        # As files only: where a package's links lead differs between releases.
        shutil.copytree(
            find_site(), cls.site, dirs_exist_ok=True, ignore_dangling_symlinks=True
        )
        cls.paths = files_below(cls.site)

    def wget(self, *arguments):
        """Returns what wget says when it fails."""
        command = ["wget", "--no-verbose", "--no-config", "--no-host-directories", "--tries=1"]
        done = subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "no_proxy": "*", "LC_ALL": "C.UTF-8"},
        )
        return done.returncode, done.stdout

    def check_mirror(self, options):
        server = self.serve(self.site, *options)
        copy = self.folder()
        code, said = self.wget("--mirror", "--no-parent", "-P", copy, f"{server.url}/")
        # 8: the server said 404 somewhere, since the documentation links to what is not packaged.
        self.assertIn(code, (0, 8), said)
        followed = files_below(copy)
        urls = harness.write_file(  # what no page links to
            os.path.join(self.folder(), "urls"),
            "".join(
                f"{server.url}/{urllib.parse.quote(path)}\n"
                for path in sorted(self.paths - followed)
            ),
        )
        code, said = self.wget("--force-directories", "-P", copy, "-i", urls)
        self.assertEqual(code, 0, said)
        self.compare(copy)
        status = server.status()
        self.assertGreaterEqual(status["responses"]["2xx"], len(self.paths))
        self.assertEqual(status["responses"]["5xx"], 0)
        self.assertEqual(status["aborted"], 0)

    def compare(self, copy):
        for path in self.paths:
            self.assertTrue(os.path.isfile(os.path.join(copy, path)), f"{path} was not fetched")
        _, different, failed = filecmp.cmpfiles(self.site, copy, self.paths, shallow=False)
        self.assertEqual((different, failed), ([], []))
        self.assertGreaterEqual(len(self.paths), FILES_MIN)


def add_cases():
    for name, options in VARIANTS.items():

        def case(self, options=options):
            self.check_mirror(options)

        setattr(Mirror, f"test_mirror_{name}", case)


add_cases()


if __name__ == "__main__":
    if shutil.which("wget") is None:
        print("wget is not installed")
        sys.exit(77)
    if find_site() is None:
        print(f"no documentation of {FILES_MIN} files below /usr/share/doc (python3-doc has it)")
        sys.exit(77)
    harness.main()
