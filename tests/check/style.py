#!/usr/bin/python3
"""Form: lengths of lines and functions, words that may not stay, scripts that are clean."""

import py_compile
import re

from common import Failure, Scratch, blank, is_script, is_text, main, must, read, tracked

COLUMNS = 100
FUNCTION_LINES = 60
OURS = ("eice.h", "tools/", "examples/")

# Put together here, so that this file does not hold them itself.
UNFINISHED = r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|#\s*if\s+0\b"
PLACES = r"(?<![\w.)}])/(work|home|root|tmp/eice)(/|\b(?=[\"'\s]))"

# Lines that name such a place for a reason: file, words of the line.
ALLOWED = []


def lines(names):
    for name in names:
        for number, line in enumerate(read(name).splitlines(), 1):
            yield name, number, line


def texts():
    return [name for name in tracked() if is_text(name)]


def complain(problems):
    for problem in problems:
        print("  " + problem)
    if problems:
        raise Failure(problems[0] + (f" (and {len(problems) - 1} more)" if problems[1:] else ""))


def columns():
    complain([f"{name}:{number} has {len(line)} columns"
              for name, number, line in lines(texts())
              if len(line) > COLUMNS and name.endswith((".c", ".h", ".py", ".sh", "Makefile"))])


def spaces():
    complain([f"{name}:{number} ends in white space or has a tab"
              for name, number, line in lines(texts())
              if name.endswith((".c", ".h", ".py", ".sh", ".md"))
              and (line != line.rstrip() or "\t" in line)])


def functions_of(name):
    """(line, name, length) of each function; its braces are in the first column."""
    code = blank(read(name)).splitlines()
    start = None
    for number, line in enumerate(code, 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            head = code[start - 2] if start > 1 else ""
            yield start, head.strip(), number - start + 1
            start = None


def functions():
    problems = []
    count = 0
    for name in texts():
        if name.startswith(OURS) and name.endswith((".c", ".h")):
            for line, head, length in functions_of(name):
                count += 1
                if length > FUNCTION_LINES:
                    problems.append(f"{name}:{line} {head[:60]} has {length} lines")
    complain(problems)
    if count < 500:
        raise Failure(f"only {count} functions were recognised")


def unfinished():
    complain([f"{name}:{number}: {line.strip()[:80]}" for name, number, line in lines(texts())
              if re.search(UNFINISHED, line)])


def places():
    complain([f"{name}:{number}: {line.strip()[:80]}" for name, number, line in lines(texts())
              if re.search(PLACES, line)
              and not any(name == n and words in line for n, words in ALLOWED)])


def shell():
    names = [name for name in tracked() if is_text(name)
             and (name.endswith(".sh") or is_script(name, "sh", "bash"))]
    if len(names) < 3:
        raise Failure(f"only these shell scripts were found: {names}")
    must(["shellcheck", "-x", *names])


def python():
    with Scratch() as tmp:
        for name in tracked():
            if name.endswith(".py") or (is_text(name) and is_script(name, "python3")):
                try:
                    py_compile.compile(name, cfile=tmp.path("out"), doraise=True)
                except py_compile.PyCompileError as e:
                    raise Failure(str(e)) from None


def tests():
    return [(f"style: no line of code above {COLUMNS} columns", columns),
            ("style: no tabs, no white space at the end of a line", spaces),
            (f"style: no function above {FUNCTION_LINES} lines", functions),
            ("style: nothing left unfinished", unfinished),
            ("style: no path of one machine", places),
            ("style: shellcheck", shell),
            ("style: Python compiles", python)]


if __name__ == "__main__":
    main(tests())
