#!/usr/bin/env python3
"""Formats the C and GN files in place; with --check it only says which ones would change.

    format.py                   both, in place
    format.py --check c|gn      exit 1 if a file would change, 77 without clang-format 14
"""

import os
import re
import shutil
import subprocess
import sys

from tree import repository_files, repository_root

# Other versions lay some lines out differently.
CLANG_FORMAT_VERSION = 14


def find_clang_format():
    for name in (f"clang-format-{CLANG_FORMAT_VERSION}", "clang-format"):
        path = shutil.which(name)
        if path is None:
            continue
        version = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
        if re.search(rf"version {CLANG_FORMAT_VERSION}\.", version):
            return path
    return None


def run(command, files):
    """True if the command succeeded for all of the files."""
    return not files or subprocess.run(command + files).returncode == 0


def format_c(files, check):
    files = [path for path in files if path.endswith((".c", ".h"))]
    clang_format = find_clang_format()
    if clang_format is None:
        print(f"clang-format {CLANG_FORMAT_VERSION} is not here; other versions format differently")
        return 77
    mode = ["--dry-run", "-Werror"] if check else ["-i"]
    return 0 if run([clang_format, *mode], files) else 1


def format_gn(files, check):
    files = [path for path in files if path == ".gn" or path.endswith((".gn", ".gni"))]
    return 0 if run(["gn", "format", *(["--dry-run"] if check else [])], files) else 1


def main(args):
    formatters = {"c": format_c, "gn": format_gn}
    os.chdir(repository_root())
    files = repository_files(".")
    check = args[:1] == ["--check"]
    codes = [formatters[kind](files, check) for kind in (args[1:] if check else formatters)]
    if check and 1 in codes:
        print("format: these files are not formatted; run ./dev fmt")
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
