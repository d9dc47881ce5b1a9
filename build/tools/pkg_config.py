#!/usr/bin/env python3
"""Asks pkg-config for GN.

    pkg_config.py PACKAGE...    prints a GN scope a package: found, cflags, ldflags, libs, lib_dirs

A package that may be missing is written `PACKAGE?`.
"""

import json
import subprocess
import sys


def flags_of(package):
    """The flags of one package as one string; None where it is not installed."""
    try:
        answer = subprocess.run(
            ["pkg-config", "--cflags", "--libs", package], capture_output=True, text=True
        )
    except FileNotFoundError:
        sys.exit("pkg-config is not installed; run ./dev setup")
    return answer.stdout if answer.returncode == 0 else None


def scope_of(flags):
    scope = {"found": True, "cflags": [], "ldflags": [], "libs": [], "lib_dirs": []}
    for flag in flags.split():
        if flag.startswith("-l"):
            scope["libs"].append(flag[2:])
        elif flag.startswith("-L"):
            scope["lib_dirs"].append(flag[2:])
        elif flag.startswith("-I"):
            # As a system directory: our warnings are not for other people's headers.
            scope["cflags"].append("-isystem" + flag[2:])
        elif flag.startswith("-Wl,"):
            scope["ldflags"].append(flag)
        else:
            scope["cflags"].append(flag)
    return scope


def main(args):
    missing = []
    for arg in args:
        package = arg.rstrip("?")
        flags = flags_of(package)
        if flags is not None:
            scope = scope_of(flags)
        else:
            scope = {"found": False}
            if package == arg:
                missing.append(package)
        print(f"{package} = {{")
        for name, value in scope.items():
            print(f"  {name} = {json.dumps(value)}")
        print("}")
    if missing:
        sys.exit(f"not installed: {' '.join(missing)}; run ./dev setup")


if __name__ == "__main__":
    main(sys.argv[1:])
