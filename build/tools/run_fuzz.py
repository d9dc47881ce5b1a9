#!/usr/bin/env python3
"""Runs the fuzz targets of out/fuzz, one after the other.

    run_fuzz.py [target...] [--seconds N]

What a run finds worth keeping stays in out/fuzz/corpus/ for the next run; a crash lands in
out/fuzz/crashes/. The committed corpus is read, never written.
"""

import argparse
import json
import os
import subprocess
import sys

from tree import repository_root

OUT = "out/fuzz"


def fuzz_targets():
    with open(f"{OUT}/tests.json") as file:
        return [test for test in json.load(file) if test["kind"] == "fuzz"]


def fuzz_command(target, found_dir, crash_dir, limits):
    """The libFuzzer command line; it writes new inputs to the first folder, and reads both."""
    os.makedirs(found_dir, exist_ok=True)
    os.makedirs(crash_dir, exist_ok=True)
    command = [
        f"{OUT}/{target['program']}",
        *limits,
        "-timeout=10",
        f"-artifact_prefix={crash_dir}/",
    ]
    corpus = target["corpus"]
    if os.path.isdir(corpus):
        dicts = sorted(name for name in os.listdir(corpus) if name.endswith(".dict"))
        command += [f"-dict={corpus}/{name}" for name in dicts[:1]]
        return command + [found_dir, corpus]
    return command + [found_dir]


def main():
    parser = argparse.ArgumentParser(prog="./dev fuzz", description="Runs the fuzz targets.")
    parser.add_argument("targets", nargs="*", metavar="target", help="x_fuzz; all if none is named")
    parser.add_argument("--seconds", type=int, default=30, help="for each target (default 30)")
    args = parser.parse_args()

    os.chdir(repository_root())
    targets = fuzz_targets()
    unknown = set(args.targets) - {target["name"] for target in targets}
    if unknown or not targets:
        known = " ".join(target["name"] for target in targets) or "none yet"
        parser.error(f"no fuzz target {' '.join(sorted(unknown))}; there are: {known}")

    crashed = []
    for target in targets:
        name = target["name"]
        if args.targets and name not in args.targets:
            continue
        print(f"== {name}: {args.seconds} s", flush=True)
        limits = [f"-max_total_time={args.seconds}", "-print_final_stats=1"]
        command = fuzz_command(target, f"{OUT}/corpus/{name}", f"{OUT}/crashes/{name}", limits)
        if subprocess.run(command).returncode != 0:
            crashed.append(target)

    for target in crashed:
        print(
            f"fuzz: {target['name']} failed; the input is in {OUT}/crashes/{target['name']}/. With"
            f" its fix, commit it as {target['corpus']}/regression/<issue>"
        )
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
