#!/usr/bin/python3
"""What compiled code shows and needs: symbols, a freestanding build, sizes."""

import os
import re

from common import ROOT, SYSTEM_HEADERS, Failure, Scratch, main, must, need

POSIX = "-D_POSIX_C_SOURCE=200809L"
PURE = ["EICE_NO_AWS", "EICE_NO_SSH", "EICE_NO_POSIX", "EICE_NO_STDLIB"]
CLOUD = ["EICE_NO_SSH", "EICE_NO_POSIX", "EICE_NO_STDLIB"]
ARM = ["clang", "--target=thumbv7em-none-eabi", "-mcpu=cortex-m4", "-ffreestanding",
       "-nostdlibinc", "-std=c99", "-Os", "-Werror", "-isystem",
       os.path.join(ROOT, "tests/compile/bare")]
STRING = r"mem(cpy|move|set|cmp|chr)|str(len|cmp|ncmp|chr)"
ARM_RUNTIME = r"__aeabi_\w+|__\w+di\d"

# Bytes of a struct at most, by machine.
SIZES = {"eice_tunnel": 32768, "eice_error": 1024}


def unit(choices, more=""):
    return ("".join(f"#define {name}\n" for name in choices)
            + f'#define EICE_IMPLEMENTATION\n#include "eice.h"\n{more}')


def build(tmp, compiler, text, *flags):
    need(compiler[0])
    made = tmp.path("unit.o")
    must([*compiler, *flags, "-I", ROOT, *SYSTEM_HEADERS, "-c", tmp.write("unit.c", text), "-o",
          made])
    return made


def symbols(path, *flags):
    listed = must(["llvm-nm", "-P", *flags, path])
    return [line.split()[0] for line in listed.splitlines()]


def exported():
    """Only eice_ names leave the unit that holds the implementation."""
    with Scratch() as tmp:
        made = build(tmp, ["gcc", "-std=c99", "-O1", POSIX], unit([]))
        names = symbols(made, "-g", "--defined-only")
    if "eice_sha256" not in names:
        raise Failure("eice_sha256 is not exported: nothing was looked at")
    wrong = [name for name in names if not name.startswith("eice_")]
    if wrong:
        raise Failure(f"exported without the prefix: {' '.join(wrong)}")


def static():
    """With EICE_STATIC nothing does."""
    with Scratch() as tmp:
        made = build(tmp, ["gcc", "-std=c99", "-O1", POSIX], unit(["EICE_STATIC"]))
        names = symbols(made, "-g", "--defined-only")
    if names:
        raise Failure(f"exported in spite of EICE_STATIC: {' '.join(names[:10])}")


def needed(choices, allowed, compiler, *flags):
    """What the object refers to lies within what is allowed."""
    with Scratch() as tmp:
        made = build(tmp, compiler, unit(choices), *flags)
        names = symbols(made, "-u")
    if not any(name.startswith("br_") for name in names):
        raise Failure("no reference to BearSSL: nothing was looked at")
    wrong = [name for name in names if not re.fullmatch(rf"br_\w+|{allowed}", name)]
    if wrong:
        raise Failure(f"needs {' '.join(wrong)}")


def sizes(compiler, *flags):
    checks = "".join(f"typedef char fits_{name}[sizeof({name}) <= {most} ? 1 : -1];\n"
                     for name, most in SIZES.items())
    with Scratch() as tmp:
        build(tmp, compiler, unit(PURE, checks), *flags)


def stack(choices, limit):
    """No frame is above the limit: it may hold a few arrays, of 512 bytes at most in the pure
    sections, and what was inlined."""
    with Scratch() as tmp:
        build(tmp, ["gcc", "-std=c99", "-Os", POSIX], unit(choices), "-fstack-usage")
        with open(tmp.path("unit.su"), encoding="utf-8") as f:
            rows = [line.rsplit("\t", 2) for line in f]
    if len(rows) < 100:
        raise Failure(f"only {len(rows)} frames were reported")
    wrong = [f"{where.rpartition(':')[2]} {size}" for where, size, kind in rows
             if int(size) > limit or kind.strip() == "dynamic"]
    if wrong:
        raise Failure(f"frames above {limit} bytes: {', '.join(wrong)}")


def tests():
    host = ["gcc", "-std=c99", "-Os"]
    return [("symbols: only eice_ is exported", exported),
            ("symbols: EICE_STATIC exports nothing", static),
            ("needs: sections 1 to 13 only BearSSL and string functions", needed, PURE, STRING
             + "|_GLOBAL_OFFSET_TABLE_", host),
            ("needs: sections 1 to 17 without libssh2 no more", needed, CLOUD, STRING
             + "|_GLOBAL_OFFSET_TABLE_", host),
            ("freestanding: sections 1 to 13 for a Cortex-M4", needed, PURE,
             f"{STRING}|{ARM_RUNTIME}", ARM),
            ("freestanding: sections 1 to 17 without libssh2 for a Cortex-M4", needed, CLOUD,
             f"{STRING}|{ARM_RUNTIME}", ARM),
            ("sizes: structs, x86-64", sizes, host),
            ("sizes: structs, Cortex-M4", sizes, ARM),
            ("stack: frames of sections 1 to 13", stack, PURE, 1536),
            ("stack: frames of sections 1 to 17", stack, CLOUD, 4096)]


if __name__ == "__main__":
    main(tests())
