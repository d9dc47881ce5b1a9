#!/usr/bin/env python3
"""The house lint: what neither the compiler nor GN sees. Prints `path:line: what is wrong; remedy`.

    tidy.py [ROOT]      exit 1 if there is a finding

A rule may be broken where a comment on the same line says why: `tidy: reason`. For a long function
it stands in the lines just above, for a long file in the first 20 lines. Each rule below is one
function over the tree and has its tests in tidy_test.py: that it fires, and that it is silent.
"""

import fnmatch
import functools
import os
import re
import sys
import typing

from tree import repository_files, repository_root

LINE_COLUMNS_MAX = 100
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
FILE_BYTES_MAX = 1 << 20

# Which files may include which system header: the part of build/deps that GN cannot see.
HEADER_USERS = [
    ("liburing.h", ["server/engine/uring/*", "bench/*"]),
    ("liburing/*", ["server/engine/uring/*", "bench/*"]),
    ("linux/io_uring.h", ["server/engine/uring/*", "bench/*"]),
    ("ev.h", ["server/engine/epoll/*", "server/control/*", "loadgen/*"]),
    ("openssl/*", ["*tls.c", "*tls_test.c"]),
    ("llhttp.h", ["server/http/*"]),
    ("cyaml/*", ["config/*"]),
    ("yaml.h", ["config/*"]),
    ("jansson.h", ["server/control/*", "server/ctl/*", "loadgen/*", "bench/*"]),
    ("xxhash.h", ["server/table/*", "server/catalog/*", "server/http/*", "loadgen/*"]),
    ("cmocka.h", ["*_test.c", "*_test.h"]),
]

# Each with what to use instead.
BANNED_CALLS = {
    "strcpy": "copy with a known size (memcpy, snprintf)",
    "strcat": "append with a known size (snprintf)",
    "sprintf": "use snprintf",
    "vsprintf": "use vsnprintf",
    "gets": "use fgets or read",
    "strtok": "walk a span",
    "atoi": "use strtol or a checked parser",
    "atol": "use strtol or a checked parser",
    "atoll": "use strtoll or a checked parser",
    "alloca": "use a buffer of a known size",
    "time": "ask the struct clock that you were given",
}
TIME_USERS = "server/base/clock*"

# Programs and where their options are written down.
OPTION_SOURCES = {
    "turntable": ["config/*.def", "config/*.c", "server/main.c"],
    "turntablectl": ["server/ctl/*.c", "server/ctl/*.def"],
    "turntable-load": ["loadgen/*.c", "loadgen/*.def"],
    "turntable-bench": ["bench/*.c", "bench/*.def"],
    "dev": ["dev", "build/tools/*.py", "tests/*.py", "bench/*.py", "config/*.def", "config/*.c", "server/main.c"],
}

# Kinds of file that may hold bytes other than text, and where.
BINARY_FILES = ["docs/*.png", "docs/*.ico", "docs/*.woff", "docs/*.woff2", "tests/fuzz/*"]

# These name what they look for.
NOT_SEARCHED = ["build/tools/tidy.py", "build/tools/tidy_test.py"]


class Finding(typing.NamedTuple):
    path: str
    line: int
    what: str
    remedy: str


class Tree:
    """The repository's files, read once."""

    def __init__(self, root):
        self.root = root
        self.paths = repository_files(root)

    @functools.lru_cache(maxsize=None)
    def data(self, path):
        with open(os.path.join(self.root, path), "rb") as file:
            return file.read()

    @functools.lru_cache(maxsize=None)
    def text(self, path):
        return self.data(path).decode(errors="replace")

    def lines(self, path):
        """(line number, line) of the file."""
        return enumerate(self.text(path).splitlines(), 1)

    def line(self, path, number):
        lines = self.text(path).splitlines()
        return lines[number - 1] if number <= len(lines) else ""

    @functools.lru_cache(maxsize=None)
    def code(self, path):
        """C without comments and the contents of strings, line for line."""
        return strip_c(self.text(path))

    def matching(self, *patterns):
        return [path for path in self.paths if matches(path, patterns)]

    def exists(self, path):
        return os.path.exists(os.path.join(self.root, path))

    def c_files(self):
        return self.matching("*.c", "*.h")

    def text_files(self):
        paths = [path for path in self.paths if not matches(path, NOT_SEARCHED)]
        return [path for path in paths if not is_binary(self.data(path))]

    def docs(self):
        """What people read: decision records excepted, they tell of their day."""
        docs = self.matching("*.md", "docs/*.[1-8]")
        return [path for path in docs if not matches(path, ["docs/adr/*", "CHANGELOG.md"])]


def matches(path, patterns):
    return any(fnmatch.fnmatch(path, pattern) for pattern in patterns)


def is_binary(data):
    if b"\0" in data:
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def strip_c(text):
    token = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''

    def replacement(match):
        token = match.group()
        return token[0] + blank(token[1:-1]) + token[-1] if token[0] in "\"'" else blank(token)

    return re.sub(token, replacement, text, flags=re.S)


def is_excused(line):
    return "tidy: " in line


# ---- C ------------------------------------------------------------------------------------------


def system_headers_stay_in_place(tree):
    for path in tree.c_files():
        for number, line in tree.lines(path):
            match = re.match(r"\s*#\s*include\s*<([^>]+)>", line)
            for header, users in HEADER_USERS if match else []:
                if fnmatch.fnmatch(match[1], header) and not matches(path, users):
                    yield Finding(
                        path,
                        number,
                        f"<{match[1]}> is for {', '.join(users)}",
                        "go through the module that wraps it",
                    )


def lines_fit(tree):
    for path in tree.c_files():
        for number, line in tree.lines(path):
            if len(line) > LINE_COLUMNS_MAX:
                yield Finding(
                    path,
                    number,
                    f"{len(line)} columns, at most {LINE_COLUMNS_MAX}",
                    "run ./dev fmt or wrap it",
                )


def functions_are_short(tree):
    """Relies on the format: a function's braces stand alone in the first column."""
    for path in tree.c_files():
        code, text = tree.code(path).splitlines(), tree.text(path).splitlines()
        start = None
        for index, line in enumerate(code):
            if line.rstrip() == "{":
                start = index
            elif line.rstrip() == "}" and start is not None:
                count = index - start - 1
                above = start
                while above > 0 and text[above - 1].strip() not in ("", "}"):
                    above -= 1
                if count > FUNCTION_LINES_MAX and not any(map(is_excused, text[above:start])):
                    yield Finding(
                        path,
                        start + 1,
                        f"function of {count} lines, at most {FUNCTION_LINES_MAX}",
                        "look for the seam, or say why above it: /* tidy: reason */",
                    )
                start = None


def files_are_short(tree):
    for path in tree.c_files():
        lines = tree.text(path).splitlines()
        if len(lines) > FILE_LINES_MAX and not any(map(is_excused, lines[:20])):
            yield Finding(
                path,
                1,
                f"file of {len(lines)} lines, at most {FILE_LINES_MAX}",
                "look for the seam, or say why at its top: /* tidy: reason */",
            )


def headers_say_once(tree):
    for path in tree.matching("*.h"):
        first = next((line for line in tree.code(path).splitlines() if line.strip()), "")
        if first.split() != ["#pragma", "once"]:
            yield Finding(
                path, 1, "does not begin with #pragma once", "put it first, below the comment"
            )


def own_header_comes_first(tree):
    for path in tree.matching("*.c"):
        header = re.sub(r"(_test|_fuzz|_bench)?\.c$", ".h", path)
        if header == path or not tree.exists(header):
            continue
        for number, line in tree.lines(path):
            match = re.match(r'\s*#\s*include\s*([<"][^>"]+)', line)
            if match and match[1] != f'"{header}':
                yield Finding(
                    path,
                    number,
                    "another header comes before its own",
                    f'first: #include "{header}"',
                )
            if match:
                break


def structs_keep_their_tag(tree):
    for path in tree.c_files():
        for number, line in enumerate(tree.code(path).splitlines(), 1):
            if re.match(r"\s*typedef\s+(struct|union|enum)\b", line):
                yield Finding(
                    path,
                    number,
                    "typedef of a struct, union or enum",
                    "use the tag (typedef is for callbacks)",
                )


def banned_calls(tree):
    call = re.compile(rf"(?<![\w.>])({'|'.join(BANNED_CALLS)})\s*\(")
    for path in tree.c_files():
        for number, line in enumerate(tree.code(path).splitlines(), 1):
            for name in call.findall(line):
                if name != "time" or not matches(path, [TIME_USERS]):
                    yield Finding(path, number, f"{name}() is banned", BANNED_CALLS[name])


# ---- the build ----------------------------------------------------------------------------------


def sources_are_built(tree):
    for path in tree.matching("config/*.c", "server/*.c", "loadgen/*.c", "bench/*.c"):
        folder, name = os.path.split(path)
        build = next((f for f in parents(folder) if f"{f}/BUILD.gn" in tree.paths), None)
        wanted = os.path.relpath(path, build) if build else name
        if build is None or f'"{wanted}"' not in tree.text(f"{build}/BUILD.gn"):
            yield Finding(
                path,
                1,
                "is in no BUILD.gn, so it is neither compiled nor run",
                f"list it in {folder}/BUILD.gn",
            )


def parents(folder):
    while folder:
        yield folder
        folder = os.path.dirname(folder)


def tests_are_run(tree):
    """Each folder's group("tests") is part of its parent's or of the root's."""
    for path in tree.matching("*/BUILD.gn"):
        folder = os.path.dirname(path)
        if not re.search(r'^\s*(unit_test|fuzz_test|group\("tests"\))', tree.text(path), re.M):
            continue
        parent, name = os.path.split(folder)
        for user, label in (
            ("BUILD.gn", f"//{folder}:tests"),
            (f"{parent}/BUILD.gn", f"{name}:tests"),
        ):
            if user in tree.paths and f'"{label}"' in tree.text(user):
                break
        else:
            yield Finding(
                path,
                1,
                "its tests are not part of //:tests",
                f'add "//{folder}:tests" to the root BUILD.gn',
            )


def exec_script_stays_in_place(tree):
    for path in tree.matching("*.gn", "*.gni"):
        for number, line in tree.lines(path):
            if re.search(r"\bexec_script\s*\(", line) and path != "build/pkg_config.gni":
                yield Finding(
                    path,
                    number,
                    "exec_script outside build/pkg_config.gni",
                    "use an action or a generated_file",
                )


# ---- all text -----------------------------------------------------------------------------------


def nothing_is_left_over(tree):
    for path in tree.text_files():
        if matches(path, ["tests/fuzz/*"]):
            continue
        for number, line in tree.lines(path):
            prose = re.sub(r"`[^`]*`", "", line) if path.endswith(".md") else line
            match = re.search(r"\b(TODO|FIXME|XXX|HACK)\b|\b[Nn]ot implemented\b", prose)
            if match:
                yield Finding(
                    path,
                    number,
                    f"'{match[0]}' is left over",
                    "do it, or file an issue and state what is (NOTE:)",
                )


def no_developer_paths(tree):
    for path in tree.text_files():
        for number, line in tree.lines(path):
            match = re.search(r"(?<![\w./}])/(home/[a-z]|Users/|root/|work/)[\w./-]*", line)
            if match:
                yield Finding(
                    path,
                    number,
                    f"'{match[0]}' is a path of one machine",
                    "make it relative, or take it as a parameter",
                )


def files_are_small_text(tree):
    for path in tree.paths:
        data = tree.data(path)
        if len(data) > FILE_BYTES_MAX:
            yield Finding(
                path, 1, f"{len(data)} bytes, at most {FILE_BYTES_MAX}", "make it when it is needed"
            )
        if is_binary(data) and not matches(path, BINARY_FILES):
            yield Finding(
                path,
                1,
                "is not text",
                f"make it when it is needed; allowed are {', '.join(BINARY_FILES)}",
            )


# ---- documentation ------------------------------------------------------------------------------


def code_spans(line):
    return re.findall(r"`([^`]+)`", line)


def expand_braces(path):
    match = re.search(r"\{([^{}]*)\}", path)
    if not match:
        return [path]
    return [
        expanded
        for choice in match[1].split(",")
        for expanded in expand_braces(path[: match.start()] + choice.strip() + path[match.end() :])
    ]


def path_is_there(tree, path):
    """`path` may hold a `*`, and may be a bare file name that some folder has."""
    path = path.removeprefix("./").rstrip("/")
    if tree.exists(path):
        return True
    return any(
        fnmatch.fnmatch(known, path) or ("/" not in path and os.path.basename(known) == path)
        for known in tree.paths
    )


def documented_paths_exist(tree):
    """Of what stands in backticks: paths below one of our folders, and names of source files."""
    folders = {path.split("/")[0] for path in tree.paths if "/" in path}
    folders |= {"bench", "build", "config", "docs", "loadgen", "server", "systemd", "tests"}
    for path in tree.docs():
        for number, line in tree.lines(path):
            for span in code_spans(line):
                span = re.sub(r":\d+(-\d+)?$", "", span)
                if not re.fullmatch(r"(\./)?[\w.*{},/-]+", span):
                    continue
                ours = span.removeprefix("./").split("/")[0] in folders and "/" in span
                source = re.fullmatch(r"[\w-]+\.(c|h|def|py|gn|gni)", span)
                missing = [name for name in expand_braces(span) if not path_is_there(tree, name)]
                if (ours or source or span.startswith("./")) and missing:
                    yield Finding(
                        path,
                        number,
                        f"'{missing[0]}' does not exist",
                        "name the file that took its place",
                    )


def documented_functions_exist(tree):
    code = "\n".join(tree.code(path) for path in tree.c_files())
    for path in tree.matching("docs/ARCHITECTURE.md"):
        for number, line in tree.lines(path):
            for name in re.findall(r"\b([A-Za-z_]\w*)\(\)", line):
                if not re.search(rf"\b{name}\s*\(", code):
                    yield Finding(
                        path,
                        number,
                        f"there is no function '{name}'",
                        "name the one that took its place",
                    )


def commands(tree, path):
    """(line number, program or None, words) of a doc: its prose (program None) and its commands."""
    fenced, joined = False, ""
    manual = re.fullmatch(r"(.*)\.[1-8]", os.path.basename(path))
    for number, line in tree.lines(path):
        if manual:
            yield number, manual[1], re.sub(r"\\f.", "", line.replace("\\-", "-"))
            continue
        if line.lstrip().startswith("```"):
            fenced = not fenced
            continue
        if fenced or line.startswith("    "):
            joined += line.rstrip("\\")
            if line.endswith("\\"):
                continue
            pieces, joined = [joined], ""
        else:
            pieces = code_spans(line)
            yield number, None, re.sub(r"`[^`]*`|\]\([^)]*\)|<!--.*?-->", " ", line)
        for piece in pieces:
            for command in re.split(r"&&|\|\|?|;|\$\(", piece):
                yield number, *program_of(command)


def program_of(command):
    words = command.split()
    while words and (
        words[0] in ("$", "#", "sudo", "exec", "time") or re.match(r"[A-Z_]+=", words[0])
    ):
        words.pop(0)
    if not words or words[0].startswith(("-", "[")):
        return None, command
    return os.path.basename(words[0]), " ".join(words[1:])


def documented_options_exist(tree):
    """An option of our programs is in that program's sources; one that stands alone, in any."""
    sources = {
        program: "\n".join(tree.text(path) for path in tree.matching(*patterns))
        for program, patterns in OPTION_SOURCES.items()
    }
    everything = "\n".join(sources.values())
    for path in tree.docs():
        for number, program, words in commands(tree, path):
            if program is not None and program not in sources:
                continue
            source = everything if program is None else sources[program]
            for option in re.findall(r"(?<![\w-])--([a-z][a-z0-9-]*[a-z0-9])", words):
                if not re.search(rf'(?:--|["\']){option}(?![\w-])', source):
                    owner = program or "any of our programs"
                    yield Finding(
                        path,
                        number,
                        f"--{option} is no option of {owner}",
                        "correct it or take it out",
                    )


def metrics_in_code(tree):
    """{name: (path, line)}: rows of counters.def, and names written out in the server's strings."""
    metrics = {}
    for path in tree.matching("server/*.c", "server/*.h", "server/*.def"):
        if re.search(r"_(test|fuzz|bench)\.c$", path):
            continue
        for number, line in tree.lines(path):
            names = re.findall(r'(?:COUNTER|GAUGE|HISTOGRAM)\(\w+, "(\w+)"', line)
            names = [f"turntable_{name}" for name in names]
            for string in re.findall(r'"((?:\\.|[^"\\])*)"', line):
                names += re.findall(r"\bturntable_[a-z0-9_]*[a-z0-9]\b", string)
            for name in names:
                metrics.setdefault(metric_family(name), (path, number))
    return metrics


def metric_family(name):
    return re.sub(r"_(bucket|sum|count)$", "", name)


def metrics_match_their_documentation(tree):
    in_code = metrics_in_code(tree)
    documented = set()
    for path in tree.docs():
        for number, line in tree.lines(path):
            for name in re.findall(r"\bturntable_[a-z0-9_]*[a-z0-9]\b", line):
                if path == "docs/METRICS.md":
                    documented.add(metric_family(name))
                if metric_family(name) not in in_code:
                    yield Finding(
                        path, number, f"there is no metric '{name}'", "correct it or take it out"
                    )
    for name, (path, number) in sorted(in_code.items()):
        if name not in documented:
            yield Finding(
                path, number, f"metric '{name}' is not documented", "add it to docs/METRICS.md"
            )


def heading_anchors(text):
    """As GitHub makes them."""
    headings = re.findall(r"^#+ +(.*?) *#*$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links_resolve(tree):
    for path in tree.matching("*.md"):
        for number, line in tree.lines(path):
            for link in re.findall(r"\]\(<?([^)\s>]+)", re.sub(r"`[^`]*`", "", line)):
                if re.match(r"[a-z][a-z0-9+.-]*:", link):
                    continue
                target, _, anchor = link.partition("#")
                full = (
                    os.path.normpath(os.path.join(os.path.dirname(path), target))
                    if target
                    else path
                )
                if not tree.exists(full):
                    yield Finding(
                        path,
                        number,
                        f"link to '{target}', which does not exist",
                        "correct the link",
                    )
                elif (
                    anchor
                    and full.endswith(".md")
                    and anchor not in heading_anchors(tree.text(full))
                ):
                    yield Finding(
                        path,
                        number,
                        f"link to '#{anchor}', which is no heading",
                        "correct the link",
                    )


RULES = [
    system_headers_stay_in_place,
    lines_fit,
    functions_are_short,
    files_are_short,
    headers_say_once,
    own_header_comes_first,
    structs_keep_their_tag,
    banned_calls,
    sources_are_built,
    tests_are_run,
    exec_script_stays_in_place,
    nothing_is_left_over,
    no_developer_paths,
    files_are_small_text,
    documented_paths_exist,
    documented_functions_exist,
    documented_options_exist,
    metrics_match_their_documentation,
    links_resolve,
]


def findings(root):
    tree = Tree(root)
    found = sorted(finding for rule in RULES for finding in rule(tree))
    return [
        f"{finding.path}:{finding.line}: {finding.what}; {finding.remedy}"
        for finding in found
        if not is_excused(tree.line(finding.path, finding.line))
    ]


def main(args):
    found = findings(args[0] if args else repository_root())
    for finding in found:
        print(finding)
    if found:
        print(f"tidy: {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
