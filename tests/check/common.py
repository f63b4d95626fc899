"""What the checks of the source share: running them, compiling, the sections of eice.h."""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HEADER = os.path.join(ROOT, "eice.h")
SYSTEM_HEADERS = ["-isystem", os.path.join(ROOT, "build/deps/include")]

# For C and C++ alike, then for C only.
WARNINGS = """-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wcast-qual -Wundef
-Wvla -Wimplicit-fallthrough -Wwrite-strings -Werror""".split()
C_WARNINGS = ["-Wstrict-prototypes", "-Wmissing-prototypes"]


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def need(program):
    if shutil.which(program) is None:
        raise Skip(f"{program} is not installed")


def run(argv, **more):
    """The finished process, with its output as text."""
    need(argv[0])
    return subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False, **more)


def must(argv, **more):
    """The output of a command that has to succeed."""
    done = run(argv, **more)
    if done.returncode != 0:
        print(f"$ {' '.join(argv)}\n{done.stdout[-3000:]}")
        first = next((line for line in done.stdout.splitlines() if "error" in line), "")
        raise Failure(first.strip() or f"{argv[0]} ended with status {done.returncode}")
    return done.stdout


def _one(test):
    name, function, *arguments = test
    try:
        function(*arguments)
        return f"PASS {name}", True
    except Skip as e:
        return f"SKIP {name}: {e}", True
    except Failure as e:
        return f"FAIL {name}: {str(e)[:300]}", False


def main(tests, jobs=2):
    """Runs (name, function, argument, ...) rows, `jobs` at a time; exits with the status."""
    os.chdir(ROOT)
    words = sys.argv[1:]
    chosen = [t for t in tests if not words or any(w in t[0] for w in words)]
    good = True
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        for line, passed in pool.map(_one, chosen):
            print(line, flush=True)
            good &= passed
    sys.exit(0 if good else 1)


class Scratch(tempfile.TemporaryDirectory):
    """A directory for the files of one test."""

    def write(self, name, text):
        path = os.path.join(self.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        return path

    def path(self, name):
        return os.path.join(self.name, name)

    def __enter__(self):
        return self


# --- sections ------------------------------------------------------------------------------------

BANNER = re.compile(r"^ \* (\d+) +(.*?) +>>(\w+)  \*$", re.M)
SPLIT = "*    IMPLEMENTATION "


class Section:
    def __init__(self, number, title, tag, text):
        self.number = number
        self.title = title
        self.tag = tag
        self.text = text
        self.code = blank(text)


def blank(text):
    """C source with comments and strings emptied; every line keeps its number."""
    token = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", re.S)

    def empty(match):
        found = match[0]
        if found[0] in "\"'":
            return found[0] * 2
        return " " + "\n" * found.count("\n")

    return token.sub(empty, text)


def _sections(text):
    marks = list(BANNER.finditer(text))
    ends = [m.start() for m in marks[1:]] + [len(text)]
    # The first line of a banner belongs to the section behind it.
    return [Section(int(m[1]), m[2], m[3], text[text.index("\n", m.end()) + 1:end])
            for m, end in zip(marks, ends)]


def halves():
    """The sections of the declarations and those of the implementation."""
    text = read("eice.h")
    if text.count(SPLIT) != 1:
        raise Failure("eice.h has no line IMPLEMENTATION between its halves")
    at = text.index(SPLIT)
    return _sections(text[:at]), _sections(text[at:])


# --- files ---------------------------------------------------------------------------------------


def tracked():
    """The files of the project, without what is built: paths from the top."""
    listed = subprocess.run(["git", "-C", ROOT, "ls-files", "-co", "--exclude-standard"],
                            capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.splitlines()
    else:
        names = [os.path.relpath(os.path.join(base, name), ROOT)
                 for base, _, files in os.walk(ROOT) for name in files]
    return sorted(name for name in names if os.path.isfile(os.path.join(ROOT, name))
                  and not name.startswith(("build/", ".git/")) and "__pycache__" not in name)


def is_text(name):
    with open(os.path.join(ROOT, name), "rb") as f:
        return b"\0" not in f.read(4096) and not name.startswith("tests/fuzz/corpus/")


def is_script(name, *interpreters):
    with open(os.path.join(ROOT, name), "rb") as f:
        first = f.readline(100)
    return first.startswith(b"#!") and first.split(b"/")[-1].split()[-1].decode() in interpreters
