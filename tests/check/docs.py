#!/usr/bin/python3
"""What is told to people is true: the README's program compiles, the man page and --help agree.
(The quick start of the manual is run by tests/examples.py.)"""

import glob
import os
import re

from common import ROOT, SYSTEM_HEADERS, WARNINGS, Failure, Scratch, main, must, read

EICE = os.path.join(ROOT, "build/eice")


def readme_program():
    programs = re.findall(r"^```c\n(.*?)^```", read("README.md"), re.M | re.S)
    if not programs:
        raise Failure("README.md shows no program")
    libraries = [os.path.join(ROOT, f"build/native/lib{name}.a") for name in ("ssh2", "bearssl")]
    with Scratch() as tmp:
        for program in programs:
            must(["gcc", "-std=gnu99", *WARNINGS, "-I", ROOT, *SYSTEM_HEADERS,
                  tmp.write("readme.c", program), *libraries, "-o", tmp.path("readme")])


def readme_files():
    """Every file and make target that the README names is there."""
    text = read("README.md")
    files = set(re.findall(r"`((?:tools|tests|examples)/[\w./-]*|LICENSE|eice\.h)`", text))
    missing = [name for name in files if not os.path.exists(os.path.join(ROOT, name))]
    targets = set(re.findall(r"(?:^|`|&& )make ([a-z-]+)", text, re.M))
    rules = read("Makefile")
    missing += [f"make {name}" for name in targets
                if not re.search(rf"^{name}:.*## ", rules, re.M)]
    if missing or not targets:
        raise Failure(f"README.md names {', '.join(missing) or 'no target'}")


def commands():
    told = must([EICE, "--help"])
    listed = told.split("commands:")[1].split("\n\n")[0]
    return re.findall(r"^  ([a-z][a-z0-9-]+) +\S", listed, re.M)


def helped():
    """The options of --help, with and without a command."""
    texts = [must([EICE, "--help"])] + [must([EICE, name, "--help"]) for name in commands()]
    return set(re.findall(r"^  (?:-\w, |    )(--[a-z][a-z-]+)", "\n".join(texts), re.M))


def man_page():
    """Every option of --help is in the man page, and none that is not."""
    page = read("tools/eice/eice.1").replace("\\-", "-")
    defined = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page))
    missing = sorted(helped() - defined)
    if missing or len(defined) < 10:
        raise Failure(f"the man page lacks {' '.join(missing)}")
    options = page[page.index(".SH OPTIONS"):page.index(".SH ESCAPES")]
    heads = set(re.findall(r"^\.(?:B|BR|BI|IP|TP|RB).*?(--[a-z][a-z-]+)", options, re.M))
    unknown = sorted(heads - helped())
    if unknown:
        raise Failure(f"the man page has {' '.join(unknown)}, which --help does not")


def man_commands():
    page = read("tools/eice/eice.1").replace("\\-", "-")
    part = page[page.index(".SH COMMANDS"):page.index(".SH OPTIONS")]
    missing = [name for name in commands() if not re.search(rf"\b{name}\b", part)]
    if missing or len(commands()) < 5:
        raise Failure(f"the man page lacks the commands {missing}")


def examples_are_listed():
    """The manual names no example that is not there."""
    named = set(re.findall(r"examples/(\w+\.c)", read("eice.h")))
    here = {os.path.basename(path) for path in glob.glob(os.path.join(ROOT, "examples/*.c"))}
    if not named <= here:
        raise Failure(f"eice.h names {', '.join(sorted(named - here))}")


def tests():
    return [("docs: the README's program compiles", readme_program),
            ("docs: what the README names is there", readme_files),
            ("docs: man page and --help have the same options", man_page),
            ("docs: man page and --help have the same commands", man_commands),
            ("docs: examples that the manual names", examples_are_listed)]


if __name__ == "__main__":
    main(tests())
