#!/usr/bin/env python3
"""The options: what --help, the manual page and config/settings.def say is the same, and every wrong
option or configuration ends with code 2, the right words on standard error and nothing on standard output.

The program is $TURNTABLE_OUT/turntable (default out/release). Without it the tests that need it are skipped.
"""

import os
import pathlib
import re
import subprocess
import tempfile
import unittest

TREE = pathlib.Path(__file__).resolve().parent.parent
OUT = pathlib.Path(os.environ.get("TURNTABLE_OUT", TREE / "out/release"))
PROGRAM = TREE / OUT / "turntable"
TIMEOUT_SECONDS = 20

# Options of the command line that are no settings: config/command.def.
COMMANDS = ("config", "check", "version", "help")


def arguments_of(text):
    """The arguments of one macro call: strings without their quotes, the rest as it stands."""
    parts = re.findall(r'"((?:[^"\\]|\\.)*)"|([^,\s][^,]*)', text)
    return [literal or word.strip() for literal, word in parts]


def macro_rows(path, kinds):
    """Yields (kind, arguments) for each row of an X-macro file."""
    for line in (TREE / path).read_text().splitlines():
        match = re.fullmatch(r"(%s)\((.*)\)" % "|".join(kinds), line)
        if match:
            yield match[1], arguments_of(match[2])


def choice_words():
    """{enum's name: its word} and {enum type: all its words}, out of config/setting_row.c."""
    source = (TREE / "config/setting_row.c").read_text()
    word_of, words_of = {}, {}
    for match in re.finditer(r"(\w+)_words\[\] = \{(.*?)\};", source, re.S):
        pairs = re.findall(r'\[(\w+)\] = "(\w+)"', match[2])
        word_of.update(pairs)
        words_of[match[1]] = [word for _, word in pairs]
    return word_of, words_of


def scaled(number, units):
    """A number in the largest unit that leaves no fraction."""
    for suffix, factor in units:
        if number and number % factor == 0:
            return f"{number // factor}{suffix}"
    return "0"


def settings_rows():
    """{option: (argument, default, help)} as settings.def has it, written as --help writes it."""
    word_of, words_of = choice_words()
    rows = {}
    for kind, args in macro_rows("config/settings.def", ["TEXT", "LIST", "COUNT", "SIZE", "DURATION", "CHOICE"]):
        option, argument, preset, text = args[1], args[2], args[3], args[-1]
        if kind == "CHOICE":
            argument, preset = "|".join(words_of[argument]), word_of[preset]
        elif kind == "COUNT" and int(preset) < int(args[4]):
            preset = "auto"
        elif kind == "SIZE":
            preset = scaled(int(preset), (("G", 1 << 30), ("M", 1 << 20), ("K", 1 << 10), ("", 1)))
        elif kind == "DURATION":
            preset = scaled(int(preset), (("h", 3600000), ("m", 60000), ("s", 1000), ("ms", 1)))
        rows[option] = (argument, preset, text)
    return rows


def expected_options():
    """{option with its argument: its text} over both tables."""
    options = {}
    for option, (argument, preset, text) in settings_rows().items():
        options[f"--{option} {argument}"] = text + (f" (default {preset})" if preset else "")
    for _, (_, option, argument, text) in macro_rows("config/command.def", ["COMMAND"]):
        options[f"--{option} {argument}".strip()] = text
    return options


def help_options(text):
    """{option with its argument: its text}, out of what --help printed."""
    options, option = {}, None
    for line in text.splitlines():
        match = re.fullmatch(r"  (--\S+(?: \S+)?)(?:  +(.*))?", line)
        if match:
            option = match[1]
            options[option] = match[2] or ""
        elif option and line.startswith(" " * 20):
            options[option] = f"{options[option]} {line.strip()}".strip()
        else:
            option = None
    return options


def unroff(text):
    """Roff source without its escapes."""
    for escape, plain in ((r"\-", "-"), (r"\(aq", "'"), (r"\&", ""), (r"\(ha", "^"), (r"\(ti", "~")):
        text = text.replace(escape, plain)
    return text


def man_options(path):
    """{option with its argument: first paragraph}, out of the section OPTIONS of a manual page."""
    section = path.read_text().split(".SH OPTIONS\n")[1].split("\n.SH ")[0]
    options = {}
    for item in section.split(".TP\n")[1:]:
        head, _, body = item.partition("\n")
        name = " ".join(unroff(re.sub(r"^\.BI? ", "", head)).replace('"', "").split())
        paragraph = re.split(r"\n\.", body)[0]
        options[name] = unroff(" ".join(paragraph.split()))
    return options


def run(*arguments, **options):
    return subprocess.run(
        [PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        **options,
    )


class ManualTest(unittest.TestCase):
    """Needs no program."""

    maxDiff = None

    def test_manual_page_has_the_options_of_the_tables(self):
        self.assertEqual(man_options(TREE / "docs/man/turntable.1"), expected_options())

    def test_tables_were_read(self):
        self.assertIn("root", settings_rows())
        self.assertGreaterEqual(len(settings_rows()), 18)

    def test_manual_pages_render_without_warnings(self):
        for page in sorted((TREE / "docs/man").glob("*.1")):
            with self.subTest(page=page.name):
                try:
                    done = subprocess.run(
                        ["groff", "-man", "-Tutf8", "-ww", "-z", page],
                        capture_output=True,
                        text=True,
                        timeout=TIMEOUT_SECONDS,
                        check=False,
                    )
                except FileNotFoundError:
                    self.skipTest("groff is not installed")
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def test_examples_set_known_options_only(self):
        for example in sorted((TREE / "config/examples").glob("*.yaml")):
            with self.subTest(example=example.name):
                keys = re.findall(r"^#?([a-z-]+):(?: |$)", example.read_text(), re.M)
                self.assertTrue(keys)
                self.assertLessEqual(set(keys), set(settings_rows()))


@unittest.skipUnless(PROGRAM.exists(), f"{PROGRAM} is not built")
class ProgramTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="turntable-options-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def expect_wrong(self, words, *arguments, **options):
        """Code 2, the words on standard error, nothing on standard output."""
        done = run(*arguments, **options)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertIn(words, done.stderr)
        self.assertTrue(done.stderr.startswith("turntable: "))
        return done.stderr

    def configuration(self, text):
        path = self.folder / "site.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def test_help_has_the_options_of_the_tables(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(help_options(done.stdout), expected_options())

    def test_help_teaches(self):
        text = run("--help").stdout
        for words in ("Usage: turntable ", "Examples:", "Signals:", "TERM, INT", "USR1", "Exit codes:"):
            self.assertIn(words, text)
        self.assertEqual(len(re.findall(r"^  turntable ", text, re.M)), 3)

    def test_help_notices_a_full_disk(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run(
                [PROGRAM, "--help"], stdout=full, stderr=subprocess.PIPE, timeout=TIMEOUT_SECONDS, check=False
            )
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No space left on device", done.stderr)

    def test_version(self):
        done = run("--version")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertRegex(done.stdout, r"\Aturntable \d+\.\d+\.\d+\S*\n\Z")

    def test_check(self):
        path = self.configuration(f"root: {self.folder}\nlisten: [':0', 'unix:x']\nworkers: auto\n")
        for arguments in (["--root", str(self.folder)], ["--config", str(path)]):
            done = run("--check", *arguments)
            self.assertEqual((done.returncode, done.stdout), (0, "configuration ok\n"), done.stderr)

    def test_check_accepts_the_examples_but_for_their_paths(self):
        for example in sorted((TREE / "config/examples").glob("*.yaml")):
            with self.subTest(example=example.name):
                done = run("--check", "--config", example, "--root", self.folder, "--access-log", "none")
                self.assertEqual((done.returncode, done.stdout), (0, "configuration ok\n"), done.stderr)

    def test_every_option_takes_its_default(self):
        """From the command line and from the file, each in its own way of writing."""
        for option, (_, preset, _) in settings_rows().items():
            if preset:
                with self.subTest(option=option):
                    done = run(f"--{option}={preset}", "--check", cwd=self.folder)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    path = self.configuration(f"{option}: '{preset}'\n")
                    done = run("--check", "--config", path, cwd=self.folder)
                    self.assertEqual(done.returncode, 0, done.stderr)

    def test_wrong_options(self):
        cases = (
            ("unknown option '--rooot'; did you mean '--root'?", ["--rooot", "x"]),
            ("unknown option '--listn'; did you mean '--listen'?", ["--listn=:80"]),
            ("unknown option '--xyzzy'", ["--xyzzy"]),
            ("unknown option '-h'; did you mean '--help'?", ["-h"]),
            ("unexpected argument 'public'", ["public"]),
            ("option '--root' needs a value", ["--root"]),
            ("option '--root' needs a value, but '--check' follows", ["--root", "--check"]),
            ("option '--check' takes no value", ["--check=yes"]),
            ("option '--workers': found '0'; allowed: a whole number from 1 to 64, or auto", ["--workers", "0"]),
            ("option '--memory': found '1X'; allowed: a size from 0 to 1024G", ["--memory", "1X"]),
            ("option '--idle-timeout': found '5min'; allowed: a time from 100ms to 1h", ["--idle-timeout=5min"]),
            ("found 'fixd'; allowed: fixed or plain; did you mean 'fixed'?", ["--files", "fixd"]),
            ("option '--index': found 'a/b'; allowed: a file's bare name", ["--index", "a/b"]),
            ("option '--listen': found '8080': a port alone", ["--listen", "8080"]),
            ("an IPv6 address stands in brackets", ["--listen", "::1:80"]),
            ("this build does not offer TLS listeners", ["--listen", ":443,tls"]),
            ("this build does not offer the PROXY protocol", ["--listen", ":80,proxy"]),
            ("the path has 108 bytes, the system takes up to 107", ["--listen", "unix:" + "x" * 108]),
            ("option '--admin': found 'off'", ["--admin", "off"]),
            ("option '--access-log': found 'off'", ["--access-log", "off"]),
            ("option '--config' is given twice", ["--config=/dev/null", "--config=/dev/null"]),
        )
        for words, arguments in cases:
            with self.subTest(arguments=arguments):
                errors = self.expect_wrong(words, *arguments)
                self.assertTrue(errors.endswith("try 'turntable --help'\n"))

    def test_wrong_files(self):
        cases = (
            ("2:1: unknown option 'rooot'; did you mean 'root'?", "workers: 2\nrooot: x\n"),
            ("1:1: unknown option 'xyzzy'; allowed: root, index, listen", "xyzzy: 1\n"),
            ("1:10: 'workers': found '65'; allowed: a whole number from 1 to 64, or auto", "workers: 65\n"),
            ("1:6: 'root': found nothing; allowed: DIR", "root:\n"),
            ("1:7: 'root': found a sequence; allowed: DIR", "root: [a, b]\n"),
            ("3:5: 'listen': found '80': a port alone", "listen:\n  - :80\n  - 80\n"),
            ("2:1: 'root' is set a second time; it stands in line 1", "root: a\nroot: b\n"),
            ("1:1: found a sequence; allowed: lines of 'option: value'", "[root]\n"),
            ("1:10: not YAML: ", "listen: *:80\n"),
            ("put a value that begins with '[' in quotes", "listen: [::1]:80\n"),
            ("2:1: found a second document; allowed: one", "root: a\n---\nroot: b\n"),
            ("1:7: not text: ", b"root: \xff\n"),
        )
        for words, text in cases:
            with self.subTest(text=text):
                path = self.configuration(text)
                self.assertIn(f"{path}:", self.expect_wrong(words, "--config", path))

    def test_all_errors_at_once(self):
        path = self.configuration("rooot: a\nworkers: 0\nfiles: fixd\n")
        errors = self.expect_wrong("unknown option 'rooot'", "--config", path, "--engine", "epol", "--bogus")
        self.assertEqual(len(errors.splitlines()), 6, errors)

    def test_unreadable_files(self):
        self.expect_wrong("open() failed: No such file or directory", "--config", self.folder / "none.yaml")
        self.expect_wrong("--config takes a file, not a directory", "--config", self.folder)
        big = self.folder / "big.yaml"
        big.write_bytes(b"#" * (1024 * 1024 + 1))
        self.expect_wrong("a configuration has at most 1 MiB", "--config", big)

    def test_wrong_roots(self):
        (self.folder / "file").touch()
        (self.folder / "dangling").symlink_to("nowhere")
        (self.folder / "loop").symlink_to("loop")
        cases = (
            ("'nowhere' does not exist", "nowhere/site"),
            ("'file' is no directory, but a file", "file"),
            ("is a symbolic link that leads nowhere", "dangling"),
            ("a loop of symbolic links", "loop"),
        )
        for words, root in cases:
            for more in ([], ["--check"]):
                with self.subTest(root=root, more=more):
                    self.expect_wrong(words, "--root", root, *more, cwd=self.folder)

    def test_wrong_together(self):
        self.expect_wrong("taken by --listen '*:80' already", "--listen", "*:80", "--listen", "127.0.0.1:80")
        self.expect_wrong("taken by --listen ':81' already", "--listen", ":81", "--admin", ":81")
        self.expect_wrong("fewer than --workers 3", "--workers", "3", "--max-connections", "2")
        self.expect_wrong("'nowhere' does not exist", "--access-log", "nowhere/log", cwd=self.folder)

    def test_descriptors(self):
        limit = ["prlimit", "--nofile=64:1000"]
        done = subprocess.run(
            [*limit, PROGRAM, "--check", "--workers=1"],
            cwd=self.folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (0, "configuration ok\n"))
        self.assertIn("warn hard limit of 1000 descriptors: --table-slots lowered to 432", done.stderr)
        done = subprocess.run(
            [*limit, PROGRAM, "--check", "--table-slots=5000"],
            cwd=self.folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
        )
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, r"\d+ descriptors are needed .* the hard limit is 1000; raise it .*LimitNOFILE=")


if __name__ == "__main__":
    unittest.main()
