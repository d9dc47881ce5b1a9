#!/usr/bin/env python3
"""Tests of the test runner: that it counts right, and that nothing can hang it or pass it by."""

import contextlib
import io
import os
import sys
import tempfile
import unittest

import run_tests
from run_tests import Report, Result, Test, count_cases

CMOCKA_OUTPUT = """\
[==========] main: Running 3 test(s).
[ RUN      ] sums_bytes
[       OK ] sums_bytes
[ RUN      ] needs_root
not root
[  SKIPPED ] needs_root
[ RUN      ] refuses_null
[  ERROR   ] --- 1 != 2
[  FAILED  ] refuses_null
[==========] main: 3 test(s) run.
[  PASSED  ] 1 test(s).
[  SKIPPED ] 1 test(s), listed below:
[  SKIPPED ] needs_root

[  FAILED  ] main: 1 test(s), listed below:
[  FAILED  ] refuses_null
"""

UNITTEST_OUTPUT = """\
test_serves (__main__.Basics.test_serves) ... ok
test_chroot (__main__.Basics.test_chroot)
Needs a root of its own. ... skipped 'not root'
----------------------------------------------------------------------
Ran 5 tests in 0.012s

FAILED (failures=1, errors=1, skipped=1, expected failures=1)
"""


def run_python(source, timeout_seconds=20):
    test = Test("sample", [sys.executable, "-c", source], "single", timeout_seconds)
    return run_tests.run_program(test, dict(os.environ))


class Counting(unittest.TestCase):
    def counts(self, kind, exit_code, output):
        result = count_cases(kind, exit_code, output)
        return (result.passed, result.failed, result.skipped)

    def test_cmocka_summary(self):
        # cmocka 1.1.7 puts the group's name before some of its numbers, 1.1.5 does not.
        for output in (CMOCKA_OUTPUT, CMOCKA_OUTPUT.replace("main: ", "")):
            self.assertEqual(self.counts("cmocka", 1, output), (1, 1, 1))

    def test_cmocka_skip_reason(self):
        self.assertEqual(count_cases("cmocka", 1, CMOCKA_OUTPUT).reasons, ["needs_root: not root"])

    def test_cmocka_groups_add_up(self):
        self.assertEqual(self.counts("cmocka", 2, CMOCKA_OUTPUT * 2), (2, 2, 2))

    def test_cmocka_crash_before_summary(self):
        output = "[==========] Running 2 test(s).\n[       OK ] sums_bytes\n[ RUN      ] crashes\n"
        self.assertEqual(self.counts("cmocka", -11, output), (1, 1, 0))

    def test_sanitizer_report_after_a_good_summary(self):
        self.assertEqual(
            self.counts("cmocka", 23, "[  PASSED  ] 4 test(s).\nLeakSanitizer\n"), (4, 1, 0)
        )

    def test_unittest_summary(self):
        self.assertEqual(self.counts("unittest", 1, UNITTEST_OUTPUT), (2, 2, 1))

    def test_unittest_skip_reason(self):
        reasons = count_cases("unittest", 1, UNITTEST_OUTPUT).reasons
        self.assertEqual(reasons, ["test_chroot: not root"])

    def test_unittest_all_ok(self):
        self.assertEqual(self.counts("unittest", 0, "Ran 2 tests in 1.0s\n\nOK\n"), (2, 0, 0))

    def test_unittest_class_skipped_as_a_whole(self):
        output = "Ran 0 tests in 0.0s\n\nNO TESTS RAN (skipped=1)\n"
        self.assertEqual(self.counts("unittest", 0, output), (0, 0, 1))

    def test_exit_77_is_a_skip_with_its_last_line(self):
        result = count_cases("unittest", 77, "setting up\nio_uring is disabled\n")
        self.assertEqual(result, Result(skipped=1, reasons=["io_uring is disabled"]))

    def test_a_program_without_tests_fails(self):
        for kind in ("cmocka", "unittest"):
            self.assertEqual(self.counts(kind, 0, ""), (0, 1, 0))

    def test_failed_exit_fails_whatever_was_printed(self):
        self.assertEqual(self.counts("unittest", 1, "Ran 2 tests in 1.0s\n\nOK\n"), (2, 1, 0))
        self.assertEqual(self.counts("single", 1, ""), (0, 1, 0))


class Running(unittest.TestCase):
    def test_output_and_exit_code(self):
        exit_code, _, output = run_python("print('hello'); raise SystemExit(3)")
        self.assertEqual((exit_code, output), (3, "hello\n"))

    def test_timeout_kills(self):
        exit_code, seconds, output = run_python("import time; time.sleep(60)", timeout_seconds=1)
        self.assertLess(exit_code, 0)
        self.assertLess(seconds, 10)
        self.assertIn("no end after 1 s", output)

    def test_processes_left_behind_are_a_failure(self):
        source = "import subprocess; subprocess.Popen(['sleep', '60'])"
        exit_code, seconds, output = run_python(source)
        self.assertEqual(exit_code, 1)
        self.assertLess(seconds, 10)
        self.assertIn("left processes running", output)

    def test_signal_is_named(self):
        exit_code, _, output = run_python("import os; os.abort()")
        self.assertEqual(exit_code, -6)
        self.assertIn("signal 6", output)


class Closing(unittest.TestCase):
    def close(self, *results):
        report = Report()
        with contextlib.redirect_stdout(io.StringIO()) as out:
            for result in results:
                report.add("release", Test("sample", [], "single"), result, 0.1, None, "")
            exit_code = report.close()
        return exit_code, out.getvalue().splitlines()[-1]

    def test_last_line(self):
        self.assertEqual(self.close(Result(passed=2), Result(passed=1)), (0, "3 passed, 0 failed"))

    def test_last_line_with_skips(self):
        self.assertEqual(self.close(Result(1, 0, 2, ["why"])), (0, "1 passed, 0 failed, 2 skipped"))

    def test_failure_sets_the_exit_code(self):
        self.assertEqual(self.close(Result(passed=2), Result(1, 1)), (1, "3 passed, 1 failed"))

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(self.close(), (1, "0 passed, 0 failed"))


class Timeouts(unittest.TestCase):
    def timeout_of(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write(text)
            file.flush()
            return run_tests.timeout_of(file.name)

    def test_default(self):
        self.assertEqual(self.timeout_of("import unittest\n"), run_tests.TIMEOUT_SECONDS)

    def test_raised(self):
        self.assertEqual(self.timeout_of('"""Big files."""\n# timeout: 300\n'), 300)


if __name__ == "__main__":
    unittest.main()
