#!/usr/bin/python3
"""The rules of the section map: who may call whom, and what only some sections may name."""

import glob
import os
import re

from common import ROOT, Failure, blank, halves, main, read

# What only these sections may name.
ONLY = [
    ("the heap", r"\b(malloc|calloc|realloc|free|strdup)\s*\(", {2}),
    ("errno", r"\berrno\b|\bE(AGAIN|WOULDBLOCK|INTR|INPROGRESS|NOENT)\b", {16, 18}),
    ("BearSSL", r"\b(br_|BR_)\w+", {3, 12}),
    ("libssh2", r"\b(libssh2_|LIBSSH2_)\w+", {16}),
    ("the system", r"(?<![\w.>])(socket|connect|bind|listen|accept4?|send|recv|sendto|recvfrom|"
                   r"sendmsg|recvmsg|shutdown|setsockopt|getsockopt|poll|select|open|openat|close|"
                   r"read|write|pipe|dup2?|fork|exec\w+|waitpid|kill|rename|unlink|mkdir|stat|"
                   r"fstat|fcntl|ioctl|fopen|fclose|fread|fwrite|fgets|fputs|puts|f?printf|"
                   r"sn?printf|vsn?printf|getenv|setenv|time|gettimeofday|clock_gettime|"
                   r"localtime|gmtime|mktime|usleep|nanosleep|sleep|getaddrinfo|freeaddrinfo|"
                   r"getpid|getuid|getpwuid\w*|getrandom|rand|srand|abort|exit|atexit|signal|"
                   r"sigaction|perror|syslog|strerror|isatty)\s*\(", {18}),
]

# Headers a section may include, apart from 18.
INCLUDES = {1: {"stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "string.h", "stdlib.h"},
            3: {"bearssl.h"}, 12: {"bearssl.h"}, 16: {"errno.h", "libssh2.h"}}

MAP_LINE = re.compile(r"^ \*   (\d+) +>>(\w+) ", re.M)
DEFINITION = re.compile(r"^(?:EICEI_PRIVATE|EICE_API)\b[^;{}=#]*?\b(eicei?_\w+)\s*\([^;{}]*\)\s*\{",
                        re.M)
NAME = re.compile(r"\b(?:eicei?|EICEI?)_\w+")


def lines_with(pattern, section):
    for match in re.finditer(pattern, section.code):
        yield match[0], section.code[:match.start()].count("\n") + 1


def complain(problems):
    for problem in problems:
        print("  " + problem)
    if problems:
        raise Failure(problems[0] + (f" (and {len(problems) - 1} more)" if problems[1:] else ""))


def same_banners():
    declared, implemented = halves()
    first = [(s.number, s.title, s.tag) for s in declared]
    second = [(s.number, s.title, s.tag) for s in implemented]
    if second[-1][2] != "end" or first != second[:-1]:
        raise Failure(f"the halves differ in {sorted(set(first) ^ set(second))}")
    numbers = [number for number, _, _ in second]
    if numbers != sorted(set(numbers)):
        raise Failure(f"the sections are not in order: {numbers}")


def map_is_true():
    """The section map of the manual names the banners, no more and no less."""
    text = read("eice.h")
    manual = text[:text.index("*/")]
    told = [(int(number), tag) for number, tag in MAP_LINE.findall(manual)]
    _, implemented = halves()
    real = [(s.number, s.tag) for s in implemented]
    if told != real:
        raise Failure(f"the map and the banners differ in {sorted(set(told) ^ set(real))}")


def only(pattern, allowed):
    problems = []
    seen = 0
    for half in halves():
        for section in half:
            found = list(lines_with(pattern, section))
            if section.number in allowed:
                seen += len(found)
            else:
                problems += [f">>{section.tag}, line {line} of it: {name}"
                             for name, line in found]
    complain(problems)
    if seen == 0:
        raise Failure("the pattern finds nothing where it is allowed: it proves nothing")


def includes():
    problems = []
    for half in halves():
        for section in half:
            if section.number == 18:
                continue
            allowed = INCLUDES.get(section.number, set())
            problems += [f">>{section.tag} includes {name}"
                         for name in re.findall(r"#include <(.*?)>", section.text)
                         if name not in allowed]
    complain(problems)


def homes():
    """The section each name belongs to: where it appears first, declarations before code."""
    out = {}
    for half in halves():
        for section in half:
            for name in NAME.findall(section.code):
                out.setdefault(name, section.number)
    return out


def never_up():
    """A section uses names of its own and of sections above it in the map."""
    home = homes()
    problems = []
    _, implemented = halves()
    for section in implemented:
        for match in NAME.finditer(section.code):
            if home[match[0]] > section.number:
                line = section.code[:match.start()].count("\n") + 1
                problems.append(f">>{section.tag}, line {line} of it uses {match[0]} of section "
                                f"{home[match[0]]}")
    complain(problems)


def defined_at_home():
    """A function is defined in the section that declares it."""
    home = homes()
    _, implemented = halves()
    count = 0
    problems = []
    for section in implemented:
        for name in DEFINITION.findall(section.code):
            count += 1
            if home[name] != section.number:
                problems.append(f"{name} is declared in section {home[name]} and defined in "
                                f">>{section.tag}")
    if count < 500:
        raise Failure(f"only {count} function definitions were recognised")
    complain(problems)


def no_globals():
    """No variable that changes, apart from libssh2's count of users in >>ssh."""
    pattern = r"^ *static (?!const\b|inline\b)(?![^;={]*\()[^;={]*[;=]"
    problems = []
    for half in halves():
        for section in half:
            if section.number != 16:
                code = section.code
                problems += [f">>{section.tag}: {m[0].strip()}"
                             for m in re.finditer(pattern, code, re.M)
                             if not re.match(r" *static [\w ]*\bconst\b", m[0])
                             and "*const " not in m[0]]
    complain(problems)


def program_is_public():
    """tools/eice and the examples use no private name."""
    problems = []
    for path in sorted(glob.glob(os.path.join(ROOT, "tools/eice/*.[ch]"))
                       + glob.glob(os.path.join(ROOT, "examples/*.c"))):
        for number, line in enumerate(blank(read(path)).splitlines(), 1):
            if re.search(r"\b(eicei_|EICEI_|libssh2_|br_)", line):
                problems.append(f"{os.path.relpath(path, ROOT)}:{number}: {line.strip()}")
    complain(problems)


def tests():
    out = [("sections: both halves have the same banners", same_banners),
           ("sections: the map in the manual is true", map_is_true)]
    out += [(f"layers: {what} only in {', '.join(map(str, sorted(allowed)))}", only, pattern,
             allowed) for what, pattern, allowed in ONLY]
    out += [("layers: headers", includes), ("layers: nothing is used from a section below",
                                            never_up),
            ("layers: functions are defined where they are declared", defined_at_home),
            ("layers: no variable that changes", no_globals),
            ("layers: the program and the examples use public names only", program_is_public)]
    return out


if __name__ == "__main__":
    main(tests())
