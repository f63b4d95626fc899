#!/usr/bin/python3
"""The header compiles without a warning: every standard, every choice of sections, C and C++."""

import itertools
import os

from common import (C_WARNINGS, HEADER, ROOT, SYSTEM_HEADERS, WARNINGS, Failure, Scratch, main,
                    must, need, run)

INCLUDE = ["-I", ROOT]
POSIX = "-D_POSIX_C_SOURCE=200809L"
IMPLEMENTATION = '#define EICE_IMPLEMENTATION\n#include "eice.h"\n'
USE = '#include "eice.h"\neice_err use(void);\neice_err use(void)\n{\n    return EICE_OK;\n}\n'
PARTS = [f"EICE_NO_{name}" for name in ("CALLS", "ROLES", "WEB_IDENTITY", "SSO", "LOGIN", "PROCESS",
                                        "CONTAINER", "IMDS")]
CHOICES = ["EICE_NO_SSH", "EICE_NO_POSIX", "EICE_NO_AWS", "EICE_NO_STDLIB"]


def flags(compiler, standard):
    cxx = "+" in compiler
    return [f"-std={standard}", *(["-x", "c++"] if cxx else C_WARNINGS), *WARNINGS, *INCLUDE]


def compile_text(compiler, standard, text, *more):
    need(compiler)
    with Scratch() as tmp:
        name = tmp.write("unit.cc" if "+" in compiler else "unit.c", text)
        return must([compiler, *flags(compiler, standard), *more, "-c", name, "-o",
                     tmp.path("unit.o")])


def implementation(compiler, standard, *more):
    compile_text(compiler, standard, IMPLEMENTATION, POSIX, *SYSTEM_HEADERS, *more)


def declarations(compiler, standard):
    """Without BearSSL and libssh2 on the path, and with nothing else included."""
    compile_text(compiler, standard, USE)


def choice(names, compiler, standard):
    text = "".join(f"#define {name}\n" for name in names) + IMPLEMENTATION
    compile_text(compiler, standard, text, POSIX, *SYSTEM_HEADERS, "-fsyntax-only")


def no_ssh_header():
    """With EICE_NO_SSH nobody needs libssh2.h."""
    with Scratch() as tmp:
        source = os.path.join(ROOT, "build/deps/include")
        for name in os.listdir(source):
            if name.startswith("bearssl"):
                os.symlink(os.path.realpath(os.path.join(source, name)), tmp.path(name))
        compile_text("gcc", "c99", "#define EICE_NO_SSH\n" + IMPLEMENTATION, POSIX, "-isystem",
                     tmp.name, "-fsyntax-only")


def posix_guard():
    """-std=c99 hides POSIX: the reader is told what to do, not shown forty errors."""
    with Scratch() as tmp:
        name = tmp.write("unit.c", IMPLEMENTATION)
        done = run(["gcc", "-std=c99", "-fsyntax-only", *INCLUDE, *SYSTEM_HEADERS, name])
    if done.returncode == 0:
        raise Failure("compiles without _POSIX_C_SOURCE: nothing guards >>posix")
    text = next((line for line in done.stdout.splitlines() if "#error" in line), "")
    if "_POSIX_C_SOURCE" not in text:
        raise Failure(f"no #error that names _POSIX_C_SOURCE, but: {done.stdout[:120]}")


def knobs():
    text = "".join(f"#define {name} {value}\n" for name, value in
                   (("EICE_TLS_OUT", 1024), ("EICE_MAX_BODY", "65536u"), ("EICE_MAX_QUERY", 12),
                    ("EICE_MAX_HEADERS", 10), ("EICE_MAX_CHANNELS", 2),
                    ("EICE_BUILD_TIME", 1800000000), ("EICE_GETADDRINFO", "")))
    compile_text("gcc", "c99", text + IMPLEMENTATION, POSIX, *SYSTEM_HEADERS, "-fsyntax-only")


# --- units ---------------------------------------------------------------------------------------


def link(compiler, standard, *names):
    """Files of tests/compile together make a program that runs."""
    need(compiler)
    libraries = [os.path.join(ROOT, f"build/native/{lib}.a") for lib in ("libssh2", "libbearssl")]
    with Scratch() as tmp:
        objects = []
        for name in names:
            made = tmp.path(name + ".o")
            must([compiler, *flags(compiler, standard), POSIX, *SYSTEM_HEADERS, "-c",
                  os.path.join(ROOT, "tests/compile", name + ".c"), "-o", made])
            objects.append(made)
        must([compiler, *objects, *libraries, "-o", tmp.path("program")])
        must([tmp.path("program")])


def tests():
    out = [(f"compile {c} {s}", implementation, c, s, *more)
           for c, s, *more in (("gcc", "c99", "-O2"), ("clang", "c99", "-O1"),
                               ("g++", "c++17", "-O2"), ("clang++", "c++17", "-O1"))]
    out += [(f"compile {c} {s}", implementation, c, s, "-fsyntax-only")
            for c, s in itertools.product(("gcc", "clang"), ("c11", "c17", "c2x", "gnu99"))]
    out += [(f"compile {c} c++20", implementation, c, "c++20", "-fsyntax-only")
            for c in ("g++", "clang++")]
    out += [("compile musl-gcc c99", implementation, "musl-gcc", "c99", "-O1")]
    out += [(f"declarations alone, {c} {s}", declarations, c, s)
            for c, s in (("gcc", "c99"), ("gcc", "c2x"), ("clang", "c99"), ("clang", "c2x"),
                         ("g++", "c++17"), ("clang++", "c++17"))]
    for count in range(1, len(CHOICES) + 1):
        for names in itertools.combinations(CHOICES, count):
            for compiler, standard in (("gcc", "c99"), ("clang++", "c++17")):
                short = " ".join(n.removeprefix("EICE_") for n in names)
                out.append((f"compile {short}, {compiler}", choice, names, compiler, standard))
    out += [(f"compile {name}, gcc", choice, [name], "gcc", "c99") for name in PARTS]
    out += [(f"compile without all parts, {'no' if more else 'with'} SSH, {c}", choice,
             PARTS + more, c, s) for c, s in (("gcc", "c99"), ("clang++", "c++17"))
            for more in ([], ["EICE_NO_SSH"])]
    out += [(f"compile EICE_STATIC, {c}", choice, ["EICE_STATIC"], c, s)
            for c, s in (("gcc", "c99"), ("clang", "c99"), ("g++", "c++17"),
                         ("clang++", "c++17"))]
    out += [("compile EICE_STATIC NO_AWS, gcc", choice, ["EICE_STATIC", "EICE_NO_AWS"], "gcc",
             "c99"),
            ("compile EICE_NO_SSH without libssh2's header", no_ssh_header),
            ("compile with other knobs", knobs),
            ("-std=c99 alone gets an #error that says the cure", posix_guard)]
    for compiler, standard in (("gcc", "c99"), ("clang++", "c++17")):
        out += [(f"two units, {compiler}", link, compiler, standard, "use", "implement"),
                (f"two units, the implementation first, {compiler}", link, compiler, standard,
                 "implement", "use"),
                (f"declarations, then the implementation, {compiler}", link, compiler, standard,
                 "declare_first"),
                (f"implementation included twice, {compiler}", link, compiler, standard, "twice"),
                (f"EICE_STATIC in two units, {compiler}", link, compiler, standard, "static_1",
                 "static_2")]
    return out


if __name__ == "__main__":
    assert os.path.exists(HEADER)
    main(tests())
