#!/usr/bin/env python3
"""Tests of the house lint: each rule fires on a bad sample, and is silent on a good one."""

import os
import tempfile
import unittest

import tidy

# So that the samples of one rule are not findings of another.
BUILD = {
    "server/http/BUILD.gn": 'module("http") { sources = [ "date.c", "date_test.c", "tls.c" ] }\n',
    "server/base/BUILD.gn": 'module("base") { sources = [ "clock.c" ] }\n',
    "server/engine/uring/BUILD.gn": 'module("uring") { sources = [ "ring.c" ] }\n',
    "server/net/BUILD.gn": 'module("net") { sources = [ "plain.c", "tls.c" ] }\n',
    "loadgen/BUILD.gn": 'executable("turntable-load") { sources = [ "main.c" ] }\n',
    "config/BUILD.gn": 'module("config") { sources = [ "parser.c" ] }\n',
    "BUILD.gn": 'group("tests") { deps = [ "//server/http:tests" ] }\n',
}


def body(line_count):
    return "void walk(void)\n{\n" + "    step();\n" * line_count + "}\n"


class LintTest(unittest.TestCase):
    def findings(self, files):
        with tempfile.TemporaryDirectory() as root:
            for path, content in {**BUILD, **files}.items():
                full = os.path.join(root, path)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                with open(full, "wb") as file:
                    file.write(content if isinstance(content, bytes) else content.encode())
            return tidy.findings(root)

    def fires(self, files, expected):
        """Exactly one finding, which begins with `path:line: what`, and names a remedy."""
        found = self.findings(files)
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(expected), found[0])
        self.assertIn("; ", found[0])

    def silent(self, files):
        self.assertEqual(self.findings(files), [])


class CodeRules(LintTest):
    def test_system_header_outside_its_folder(self):
        self.fires(
            {"server/http/date.c": "#include <liburing.h>\n"},
            "server/http/date.c:1: <liburing.h> is for ",
        )
        self.fires(
            {"server/net/plain.c": "#include <openssl/ssl.h>\n"},
            "server/net/plain.c:1: <openssl/ssl.h>",
        )

    def test_system_header_in_its_folder(self):
        self.silent(
            {
                "server/engine/uring/ring.c": "#include <liburing.h>\n",
                "server/net/tls.c": "#include <openssl/ssl.h>\n",
                "loadgen/main.c": "#include <ev.h>\n",
                "server/http/date.c": "#include <string.h>\n",
            }
        )

    def test_long_line(self):
        self.fires(
            {"server/http/date.c": "int a;\n/* " + "x" * 96 + " */\n"},
            "server/http/date.c:2: 102 columns",
        )

    def test_line_of_100_columns_and_other_files(self):
        umlauts = "/* " + "ü" * 94 + " */\n"
        self.silent(
            {"server/http/date.c": umlauts, "README.md": "x" * 200, "server/a.def": "x" * 200}
        )

    def test_long_function(self):
        self.fires({"server/http/date.c": body(71)}, "server/http/date.c:2: function of 71 lines")

    def test_function_of_70_lines_or_with_a_reason(self):
        self.silent({"server/http/date.c": body(70)})
        self.silent(
            {
                "server/http/date.c": "/* tidy: one case a state, they belong together */\n" + body(
                    90
                )
            }
        )

    def test_reason_is_for_the_next_function_only(self):
        source = "/* tidy: a table */\n" + body(90) + "\n" + body(80)
        self.fires({"server/http/date.c": source}, "server/http/date.c:97: function of 80 lines")

    def test_long_file(self):
        self.fires(
            {"server/http/date.c": "int a;\n" * 801}, "server/http/date.c:1: file of 801 lines"
        )

    def test_file_of_800_lines_or_with_a_reason(self):
        self.silent({"server/http/date.c": "int a;\n" * 800})
        self.silent({"server/http/date.c": "/* tidy: one table */\n" + "int a;\n" * 900})

    def test_pragma_once_missing(self):
        self.fires(
            {"server/http/date.h": "#ifndef A\n#endif\n"},
            "server/http/date.h:1: does not begin with",
        )

    def test_pragma_once_below_the_comment(self):
        self.silent({"server/http/date.h": "/*\n * Dates.\n */\n#pragma once\n"})

    def test_own_header_not_first(self):
        files = {"server/http/date.h": "#pragma once\n"}
        bad = '#include <time.h>\n#include "server/http/date.h"\n'
        for path in ("server/http/date.c", "server/http/date_test.c"):
            self.fires({**files, path: bad}, f"{path}:1: another header comes before its own")

    def test_own_header_first(self):
        good = '/* Dates. */\n#include "server/http/date.h"\n\n#include <time.h>\n'
        self.silent({"server/http/date.h": "#pragma once\n", "server/http/date.c": good})
        self.silent({"server/http/date.c": "#include <time.h>\n"})

    def test_typedef_struct(self):
        self.fires(
            {"server/http/date.c": "typedef struct date {\n"},
            "server/http/date.c:1: typedef of a struct",
        )

    def test_typedef_of_a_callback(self):
        self.silent({"server/http/date.c": "typedef void (*done_fn)(struct date *date);\n"})

    def test_banned_calls(self):
        for call in ("strcpy(a, b)", "sprintf (a, b)", "atoi(text)", "time(NULL)"):
            name = call.split("(")[0].strip()
            self.fires(
                {"server/http/date.c": f"    x = {call};\n"},
                f"server/http/date.c:1: {name}() is banned",
            )

    def test_calls_that_only_look_banned(self):
        good = (
            "/* strcpy(a, b)"
            ' */\nputs("sprintf(");\nsnprintf(a);\nclock->time(clock);\nmy_time(1);\n'
        )
        self.silent({"server/http/date.c": good, "server/base/clock.c": "time(NULL);\n"})

    def test_excuse_on_the_line(self):
        self.silent({"server/http/date.c": "    time(NULL); /* tidy: seeds the test */\n"})


class BuildRules(LintTest):
    def test_source_that_is_not_built(self):
        self.fires({"server/http/range.c": "int a;\n"}, "server/http/range.c:1: is in no BUILD.gn")
        self.fires({"server/serve/plan.c": "int a;\n"}, "server/serve/plan.c:1: is in no BUILD.gn")

    def test_source_that_is_built(self):
        self.silent({"server/http/date.c": "int a;\n", "server/BUILD.gn": '"http/date.c"'})

    def test_tests_that_are_not_run(self):
        build = 'unit_test("plan_test") {\n}\n'
        self.fires(
            {"server/serve/BUILD.gn": build}, "server/serve/BUILD.gn:1: its tests are not part of"
        )

    def test_tests_that_are_run(self):
        self.silent({"server/http/BUILD.gn": 'fuzz_test("date_fuzz") {\n}\n'})

    def test_tests_that_are_run_through_the_parent(self):
        child = {"server/http/h1/BUILD.gn": 'group("tests") {\n}\n'}
        self.fires(child, "server/http/h1/BUILD.gn:1: its tests are not part of")
        self.silent({**child, "server/http/BUILD.gn": 'group("tests") { deps = [ "h1:tests" ] }\n'})

    def test_exec_script(self):
        call = 'x = exec_script("a.py")\n'
        self.fires({"server/http/BUILD.gn": call}, "server/http/BUILD.gn:1: exec_script outside")
        self.silent({"build/pkg_config.gni": call})


class TextRules(LintTest):
    def test_left_over(self):
        for text in (
            "/* TODO: later */",
            "/* FIXME */",
            "/* XXX why */",
            'die("not implemented");',
        ):
            self.fires({"server/http/date.c": f"int a;\n{text}\n"}, "server/http/date.c:2: '")

    def test_not_left_over(self):
        good = 'mkstemp("XXXXXX");\n/* NOTE: decided. TODOS */\nputs("501 Not Implemented");\n'
        self.silent({"server/http/date.c": good, "docs/HACKING.md": "No `TODO` on main.\n"})

    def test_path_of_a_machine(self):
        for text in ("/home/ann/site", "cd /root/x", "'/work/site/out'"):
            self.fires({"README.md": f"see {text}\n"}, "README.md:1: '/")

    def test_paths_of_any_machine(self):
        self.silent(
            {
                "README.md": (
                    "http://a.example/home/x /srv/www /etc/turntable {dir}/work/x artwork/a\n"
                )
            }
        )

    def test_large_file(self):
        self.fires({"docs/a.txt": "x" * (1024 * 1024 + 1)}, "docs/a.txt:1: 1048577 bytes")

    def test_binary_file(self):
        self.fires({"tests/data.bin": b"\0\1"}, "tests/data.bin:1: is not text")
        self.fires({"server/logo.png": b"\x89PNG\0"}, "server/logo.png:1: is not text")

    def test_binary_files_where_they_may_be(self):
        self.silent(
            {
                "docs/sample-site/img/a.png": b"\x89PNG\0",
                "tests/fuzz/date/1": b"\0",
                "docs/a.md": "ü",
            }
        )


class DocumentationRules(LintTest):
    def test_path_that_does_not_exist(self):
        self.fires(
            {"README.md": "a\nsee `server/http/gone.c`\n"},
            "README.md:2: 'server/http/gone.c' does not",
        )
        self.fires(
            {"docs/ARCHITECTURE.md": "`gone.c`\n"},
            "docs/ARCHITECTURE.md:1: 'gone.c' does not exist",
        )
        self.fires({"README.md": "`./gone`\n"}, "README.md:1: './gone' does not exist")
        self.fires(
            {"README.md": "`server/{http,gone}/`\n"}, "README.md:1: 'server/gone/' does not exist"
        )

    def test_paths_that_exist_or_are_not_ours(self):
        good = (
            "`server/http/` `server/http/BUILD.gn:12` `server/*/BUILD.gn` `date.c`"
            " `server/{http,base}/` `GET /status` `/healthz` `text/html` `out/release/turntable`"
            " `./dev` `tests/fuzz/<x>/`\n"
        )
        self.silent({"README.md": good, "dev": "", "server/http/date.c": "int a;\n"})

    def test_records_of_their_day_may_name_what_is_gone(self):
        self.silent(
            {"docs/adr/0001-x.md": "`server/gone.c`\n", "CHANGELOG.md": "`server/gone.c`\n"}
        )

    def test_function_that_does_not_exist(self):
        files = {
            "docs/ARCHITECTURE.md": "    date_format() -> gone()\n",
            "server/http/date.c": "int date_format(int a);\n",
        }
        self.fires(files, "docs/ARCHITECTURE.md:1: there is no function 'gone'")

    def test_function_only_in_a_comment_does_not_exist(self):
        files = {"docs/ARCHITECTURE.md": "`gone()`\n", "server/http/date.c": "/* gone() */\n"}
        self.fires(files, "docs/ARCHITECTURE.md:1: there is no function 'gone'")

    def test_functions_that_exist(self):
        files = {
            "docs/ARCHITECTURE.md": "`date_format()`, rename(2)\n",
            "server/http/date.c": "int date_format(int a);\n",
        }
        self.silent(files)


class OptionRule(LintTest):
    SOURCES = {
        "config/settings.def": (
            'TEXT(root, "root", "DIR", ".", "Directory")\nCOUNT(table_slots, "table-slots")\n'
        ),
        "config/parser.c": 'if (equal(arg, "--check")) {\n',
        "loadgen/main.c": '{"json", required_argument},\n',
        "dev": "--only\n",
    }

    def test_unknown_options(self):
        for text in (
            "Use --rooot.",
            "Use `--table-slot`.",
            "    turntable --root . --rooot .",
            "    ./dev test --onli x",
            "```\nturntable-load --root x\n```",
            "`cd x && turntable --json`",
        ):
            found = self.findings({**self.SOURCES, "README.md": text + "\n"})
            self.assertEqual(len(found), 1, (text, found))
            self.assertIn(" is no option of ", found[0])

    def test_unknown_option_in_a_manual_page(self):
        files = {**self.SOURCES, "docs/man/turntable.8": ".TP\n.B \\-\\-json\n"}
        self.fires(files, "docs/man/turntable.8:2: --json is no option of turntable")

    def test_known_options_and_those_of_other_programs(self):
        text = (
            "Use --root or `--table-slots N`, `--check`, [a](https://a.example/--not-one).\n"
            "    turntable --root . --check && curl --compressed x | grep --foo\n"
            "    turntable-load --json f \\\n"
            "        --json g\n"
            "    sudo ./dev test --only x\n"
            "`gn gen --args=x`\n"
        )
        man = {"docs/man/turntable.8": ".B \\-\\-table\\-slots\n\\fB\\-\\-root\\fR\n"}
        self.silent({**self.SOURCES, **man, "README.md": text})


class MetricRule(LintTest):
    COUNTERS = {"server/base/counters.def": 'COUNTER(requests, "requests_total", "", "Requests")\n'}
    LITERAL = {"server/http/date.c": 'print("turntable_drain_seconds_bucket{le=...}");\n'}

    def test_metric_that_is_not_documented(self):
        self.fires(
            self.COUNTERS,
            "server/base/counters.def:1: metric 'turntable_requests_total' is not documented",
        )
        self.fires(
            self.LITERAL, "server/http/date.c:1: metric 'turntable_drain_seconds' is not documented"
        )

    def test_documented_metric_that_does_not_exist(self):
        self.fires(
            {"docs/METRICS.md": "`turntable_gone_total`\n"}, "docs/METRICS.md:1: there is no metric"
        )

    def test_metrics_that_match(self):
        page = (
            '`turntable_requests_total{code="2xx"}` `turntable_drain_seconds`'
            " turntable_drain_seconds_sum\n"
        )
        self.silent({**self.COUNTERS, **self.LITERAL, "docs/METRICS.md": page})


class LinkRule(LintTest):
    def test_broken_links(self):
        self.fires({"README.md": "[a](docs/gone.md)\n"}, "README.md:1: link to 'docs/gone.md'")
        self.fires({"README.md": "# Use\n[a](#gone)\n"}, "README.md:2: link to '#gone'")

    def test_links_that_resolve(self):
        files = {
            "README.md": (
                "# Build, and run `x`!\n[a](docs/A.md#two-words) [b](#build-and-run-x)"
                " [c](https://a.example/x) [d](docs/)\n"
            ),
            "docs/A.md": "## Two words\n[up](../README.md) ![p](a.png) `[x](not-a-link)`\n",
            "docs/a.png": b"\x89PNG\0",
        }
        self.silent(files)


if __name__ == "__main__":
    unittest.main()
