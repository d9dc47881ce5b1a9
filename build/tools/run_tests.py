#!/usr/bin/env python3
"""Builds and runs every test. `./dev test` calls it, from the root of the repository.

    run_tests.py [--preset P]... [--only PATTERN] [-j N]

Stages: check (format, lint, tests of these tools), then the presets release, asan and tsan with
unit tests, fuzz targets replaying their corpus, and the integration tests; last, fuzz: everything
built by clang, each fuzz target run for a moment. Within a stage the most basic tests come first,
so that the first failure is the one to look at.

- Unit tests and fuzz targets are those of out/<preset>/tests.json, integration tests are
  tests/test_*.py.
- An integration test runs as its own process with TURNTABLE_OUT and TURNTABLE_PRESET set. Exit 77
  means skipped, the last line printed says why. `# timeout: 300` near the top raises its limit.
- Every case counts: those of cmocka and of unittest are read from what they print.
"""

import argparse
import concurrent.futures
import dataclasses
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import run_fuzz
from tree import repository_root

STAGES = ["check", "release", "asan", "tsan", "fuzz"]

TIMEOUT_SECONDS = 120
# How much slower a sanitizer may make a test.
TIMEOUT_FACTORS = {"asan": 3, "tsan": 3}

SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}

EXIT_SKIPPED = 77


@dataclasses.dataclass
class Test:
    name: str
    command: list
    kind: str  # how its cases are counted: "cmocka", "unittest", "single"
    timeout_seconds: int = TIMEOUT_SECONDS


@dataclasses.dataclass
class Result:
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    reasons: list = dataclasses.field(default_factory=list)  # why cases were skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


# ---- counting the cases of one program ----------------------------------------------------------


def count_cmocka(output):
    """The summary lines of each group: `[  PASSED  ] 3 test(s).`"""

    def total(word):
        return sum(
            int(n) for n in re.findall(rf"^\[\s*{word}\s*\] (?:\w+: )?(\d+) test", output, re.M)
        )

    result = Result(total("PASSED"), total("FAILED"), total("SKIPPED"))
    if result.passed + result.failed + result.skipped == 0:
        # It died before its summary; these had been through.
        result.passed = len(re.findall(r"^\[\s*OK \]", output, re.M))
    # Why is what the case itself printed: between `[ RUN      ] case` and `[  SKIPPED ] case`.
    skips = re.findall(
        r"^\[ RUN\s*\] (\w+)\n((?:(?!\[ RUN).*\n)*?)\[\s*SKIPPED\s*\] \1$", output, re.M
    )
    result.reasons = [
        f"{case}: {' '.join(said.split()) or 'no reason given'}" for case, said in skips
    ]
    return result


def count_unittest(output):
    """The last lines: `Ran 3 tests in 0.1s` and `FAILED (failures=1, skipped=1)`."""
    ran = re.findall(r"^Ran (\d+) tests? in ", output, re.M)
    verdict = re.findall(r"^(?:OK|FAILED|NO TESTS RAN)(?: \((.*)\))?$", output, re.M)
    if not ran or not verdict:
        return Result()
    numbers = {word: int(n) for word, n in re.findall(r"([a-z ]+)=(\d+)", verdict[-1])}
    numbers = {word.strip(): n for word, n in numbers.items()}
    failed = sum(numbers.get(word, 0) for word in ("failures", "errors", "unexpected successes"))
    skipped = numbers.get("skipped", 0)
    # One case may fail several times (subtests), and a class that is skipped as a whole has not
    # run.
    passed = max(0, int(ran[-1]) - failed - skipped)
    cases = re.findall(r"^(\w+) \(.*?\)(?:\n.*?)? \.\.\. skipped (['\"])(.*)\2$", output, re.M)
    return Result(passed, failed, skipped, [f"{case}: {reason}" for case, _, reason in cases])


def count_cases(kind, exit_code, output):
    """What one finished program is worth. A program that fails has failed at least once."""
    if exit_code == EXIT_SKIPPED:
        lines = output.strip().splitlines() or ["(it does not say why)"]
        return Result(skipped=1, reasons=[lines[-1]])
    if kind == "cmocka":
        result = count_cmocka(output)
    elif kind == "unittest":
        result = count_unittest(output)
    else:
        result = Result(passed=1 if exit_code == 0 else 0)
    if exit_code != 0 and result.failed == 0:
        result.failed = 1
    if result.passed + result.failed + result.skipped == 0:
        result.failed = 1  # a test program without a test is a mistake
    return result


# ---- running one program ------------------------------------------------------------------------

# Process groups that are running, to end them when we are interrupted.
running = set()
running_lock = threading.Lock()


def kill_group(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def group_is_empty(pid, patience_seconds=2.0):
    """Whether all processes of the group have ended; those that are about to get a moment."""
    end = time.monotonic() + patience_seconds
    while True:
        try:
            os.killpg(pid, 0)
        except ProcessLookupError:
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)


def run_program(test, env):
    """Runs one program; returns (exit code, seconds, output). Nothing of it is left running."""
    start = time.monotonic()
    # Into a file: a pipe would stay open for as long as a forgotten child of the test does.
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(
            test.command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
        )
        with running_lock:
            running.add(child.pid)
        note = ""
        try:
            exit_code = child.wait(test.timeout_seconds)
        except subprocess.TimeoutExpired:
            exit_code = -signal.SIGKILL
            note = f"\nrun_tests: no end after {test.timeout_seconds} s, killed\n"
        else:
            if exit_code < 0:
                note = f"\nrun_tests: ended by signal {-exit_code}\n"
            if not group_is_empty(child.pid):
                exit_code = exit_code or 1
                note += "\nrun_tests: it left processes running behind it, killed\n"
        kill_group(child.pid)
        child.wait()
        with running_lock:
            running.discard(child.pid)
        out.seek(0)
        output = out.read().decode(errors="replace")
    return exit_code, time.monotonic() - start, output + note


# ---- what there is to run -----------------------------------------------------------------------


def check_tests():
    python = sys.executable
    tools = "build/tools"
    release_args = '--args=import("//build/presets/release.gn")'
    tests = [
        Test("format of C", [python, f"{tools}/format.py", "--check", "c"], "single"),
        Test("format of GN", [python, f"{tools}/format.py", "--check", "gn"], "single"),
        Test("gn check", ["gn", "gen", "-q", "--check", "out/release", release_args], "single"),
        Test("tidy", [python, f"{tools}/tidy.py"], "single"),
        Test("tidy_test", [python, f"{tools}/tidy_test.py", "-v"], "unittest"),
        Test("run_tests_test", [python, f"{tools}/run_tests_test.py", "-v"], "unittest"),
    ]
    if shutil.which("shellcheck"):
        tests.append(Test("shellcheck", ["shellcheck", "dev", ".ci/run"], "single"))
    return [tests]


def timeout_of(path):
    """The limit a test asks for by `# timeout: 300` in its first 30 lines."""
    with open(path) as file:
        for line, _ in zip(file, range(30)):
            match = re.match(r"# timeout: (\d+)\s*$", line)
            if match:
                return int(match.group(1))
    return TIMEOUT_SECONDS


def without_address_randomisation():
    """A prefix for sanitized programs: their fixed maps collide with what newer kernels randomise.
    Some containers forbid it; then there is nothing to prefix."""
    prefix = ["setarch", "-R"]
    allowed = shutil.which(prefix[0]) and (
        subprocess.run([*prefix, "true"], stderr=subprocess.DEVNULL).returncode == 0
    )
    return prefix if allowed else []


def preset_tests(preset):
    """Two or three groups, most basic first."""
    out = f"out/{preset}"
    with open(f"{out}/tests.json") as file:
        listed = sorted(json.load(file), key=lambda test: (test["folder"], test["name"]))
    factor = TIMEOUT_FACTORS.get(preset, 1)
    prefix = without_address_randomisation() if preset in ("asan", "tsan", "fuzz") else []

    unit, fuzz, integration = [], [], []
    for entry in listed:
        name = f"{entry['folder']}/{entry['name']}"
        program = f"{out}/{entry['program']}"
        if entry["kind"] == "fuzz" and preset == "fuzz":
            # A moment, and the same moment every time: a test must not fail by chance.
            scratch = f"{out}/scratch/{entry['name']}"
            shutil.rmtree(scratch, ignore_errors=True)
            limits = ["-seed=1", "-runs=20000", "-max_total_time=10"]
            command = run_fuzz.fuzz_command(
                entry, scratch, f"{out}/crashes/{entry['name']}", limits
            )
            fuzz.append(Test(name, prefix + command, "single"))
        elif entry["kind"] == "fuzz":
            command = [program, entry["corpus"]]
            fuzz.append(Test(name, prefix + command, "single", TIMEOUT_SECONDS * factor))
        else:
            unit.append(Test(name, prefix + [program], "cmocka", TIMEOUT_SECONDS * factor))
    if preset == "fuzz":
        return [fuzz]

    for path in sorted(glob.glob("tests/test_*.py")):
        command = prefix + [sys.executable, path, "-v"]
        integration.append(Test(path, command, "unittest", timeout_of(path) * factor))
    return [unit, fuzz, integration]


def environment(preset):
    env = dict(os.environ)
    for name, value in SANITIZER_OPTIONS.items():
        env.setdefault(name, value)
    env["CMOCKA_MESSAGE_OUTPUT"] = "STDOUT"
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    if preset != "check":
        env["TURNTABLE_OUT"] = os.path.abspath(f"out/{preset}")
        env["TURNTABLE_PRESET"] = preset
    return env


# ---- running a stage ----------------------------------------------------------------------------


class Report:
    """Prints as results come in, and remembers what the end must say."""

    def __init__(self):
        self.total = Result()
        self.failures = []
        self.skips = []

    def add(self, stage, test, result, seconds, previous_seconds, output):
        self.total.add(result)
        word = "ok" if result.failed == 0 else "FAIL"
        if result.failed == 0 and result.passed == 0:
            word = "skip"
        previous = "-" if previous_seconds is None else f"{previous_seconds:.1f}"
        cases = result.passed + result.failed + result.skipped
        count = f" ({cases})" if cases != 1 else ""
        print(f"{word:4} {seconds:5.1f} s [{previous}] {test.name}{count}", flush=True)
        if result.failed:
            self.failures.append(f"{stage}: {test.name}")
            print(output.rstrip(), flush=True)
        self.skips += [f"{stage}: {test.name}: {reason}" for reason in result.reasons]

    def add_failed_build(self, stage):
        self.total.failed += 1
        self.failures.append(f"{stage}: build")

    def close(self):
        for title, lines in (("skipped", self.skips), ("failed", self.failures)):
            if lines:
                print(f"== {title}")
                print("\n".join(lines))
        total = self.total
        if total.passed + total.failed + total.skipped == 0:
            print("run_tests: no test ran; does --only match any?")
        skipped = f", {total.skipped} skipped" if total.skipped else ""
        print(f"{total.passed} passed, {total.failed} failed{skipped}", flush=True)
        return 1 if total.failed or total.passed + total.skipped == 0 else 0


def load_durations(path):
    try:
        with open(path) as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def run_group(stage, tests, jobs, durations, report):
    env = environment(stage)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(run_program, test, env): test for test in tests}
        try:
            for future in concurrent.futures.as_completed(futures):
                test = futures[future]
                exit_code, seconds, output = future.result()
                result = count_cases(test.kind, exit_code, output)
                report.add(stage, test, result, seconds, durations.get(test.name), output)
                durations[test.name] = round(seconds, 1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            with running_lock:
                for pid in running:
                    kill_group(pid)
            raise


def run_stage(stage, only, jobs, report):
    start = time.monotonic()
    print(f"== {stage}", flush=True)
    if stage == "check":
        groups = check_tests()
    else:
        if subprocess.run(["./dev", "build", stage, "default", "tests"]).returncode != 0:
            report.add_failed_build(stage)
            return
        groups = preset_tests(stage)

    out = f"out/{stage}"
    os.makedirs(out, exist_ok=True)
    durations = load_durations(f"{out}/durations.json")
    for tests in groups:
        chosen = [test for test in tests if re.search(only, f"{stage}: {test.name}")]
        run_group(stage, chosen, jobs, durations, report)
    with open(f"{out}/durations.json", "w") as file:
        json.dump(durations, file, indent=1, sort_keys=True)
    print(f"== {stage}: {time.monotonic() - start:.0f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev test", description="Runs every check and test.")
    parser.add_argument(
        "--preset",
        action="append",
        metavar="P",
        help=f"only this stage: {' '.join(STAGES)}, debug, coverage",
    )
    parser.add_argument(
        "--only",
        default="",
        metavar="PATTERN",
        help="only tests whose `stage: name` matches this regex",
    )
    parser.add_argument(
        "-j", type=int, default=2, metavar="N", help="how many at a time (default 2)"
    )
    args = parser.parse_args()

    os.chdir(repository_root())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    try:
        for stage in args.preset or STAGES:
            run_stage(stage, args.only, args.j, report)
    except KeyboardInterrupt:
        print("run_tests: interrupted")
        return 130
    return report.close()


if __name__ == "__main__":
    sys.exit(main())
