#!/usr/bin/python3
"""`eice ssh` on a terminal: size, modes, signals, escapes, and the terminal as it was afterwards.

    tests/e2e_terminal.py [--eice PROGRAM] [name …]
"""

import contextlib
import os
import signal
import subprocess
import sys
import termios
import time

from e2elib import (Terminal, check, contains, equal, eventually, main, matches, stat_fields,
                    test)

PROMPT = r"\$ "


def shell_prompt(w, t, *more):
    """Waits for the remote shell, and gives it a prompt that is easy to find."""
    t.expect(PROMPT)
    for line in ("PS1=; PS2=; bind 'set enable-bracketed-paste off' 2>/dev/null", *more):
        t.send(line + "\r")
    t.send("echo rea''dy\r")
    t.expect(r"ready\r\n")


@contextlib.contextmanager
def script(w, text):
    """Lines of sh on a terminal, in which $E is the program."""
    terminal = Terminal(["/bin/sh", "-c", text], w.env(E=w.program))
    try:
        yield terminal
    finally:
        terminal.close()


def state_of(t):
    return stat_fields(t.process.pid)[0]


@test
def quick_commands(w):
    """What comes together with the answer to the start is shown at once, keys or no keys."""
    w.eice("-q", "ssh", "web-1", "true").expect(0)
    for _ in range(30):
        with w.terminal("-q", "ssh", "web-1", "echo in") as t:
            t.expect("in\r\n", 5)
            equal(t.wait(), 0, "status")


@test
def prompt_and_exit(w):
    with w.terminal("ssh", "web-1") as t:
        shell_prompt(w, t)
        check(t.modes() != t.before, "the terminal is raw meanwhile")
        t.send("tty; exit 7\r")
        t.expect(r"/dev/pts/\d+")
        equal(t.wait(), 7, "status")
        t.restored("after exit")
        contains(t.seen.decode(), "closed", "the end is told")


@test
def end_of_file_key(w):
    """Behind a prompt that is seen: before it the shell has not taken the terminal over yet, and
    the kernel would take Ctrl-D for the end of a line that nobody reads."""
    with w.terminal("ssh", "web-1") as t:
        shell_prompt(w, t)
        t.send("PS1='next'': '\r")
        t.expect("next: ")
        t.send("\x04")
        equal(t.wait(), 0, "status")
        t.restored("after Ctrl-D")


@test
def size_and_resize(w):
    with w.terminal("ssh", "web-1", columns=101, rows=37) as t:
        shell_prompt(w, t)
        t.send("stty size\r")
        t.expect("37 101\r\n")
        t.send("trap 'echo resized $(stty size)' WINCH; echo is-''set\r")
        t.expect("is-set\r\n")
        t.resize(66, 22, t.process.pid)
        time.sleep(0.3)
        t.send("\r")
        t.expect("resized 22 66")
        t.send("exit\r")
        equal(t.wait(), 0, "status")


@test
def interrupt_key(w):
    """Ctrl-C goes to the remote command; we live on."""
    with w.terminal("ssh", "web-1") as t:
        shell_prompt(w, t)
        t.send("sleep 60; echo status $?\r")
        time.sleep(0.3)
        started = time.monotonic()
        t.send("\x03")
        t.send("echo status $?\r")
        t.expect(r"status 130")
        check(time.monotonic() - started < 5, "the sleep was not interrupted")
        t.send("exit 3\r")
        equal(t.wait(), 3, "status")


@test
def remote_modes(w):
    """The remote terminal gets our modes: what erases here erases there."""
    with w.terminal("ssh", "web-1") as t:
        t.expect(PROMPT)
        t.send("stty -a\r")
        shown = t.expect(r"(?s)speed.*-?iexten.*?\r\n")[0].decode()
    contains(shown, "erase = ^?", "erase")
    contains(shown, "intr = ^C", "interrupt")
    matches(shown, r"(?<!-)\becho\b", "echo")
    matches(shown, r"(?<!-)\bonlcr\b", "line ends")


@test
def odd_modes(w):
    with script(w, 'stty erase ^H ixany; exec "$E" ssh -t web-1 stty -a') as t:
        shown = t.expect(r"(?s)speed.*-?iexten.*?\r\n")[0].decode()
        equal(t.wait(), 0, "status")
    contains(shown, "erase = ^H", "erase")
    matches(shown, r"(?<!-)\bixany\b", "ixany")


@test
def terminal_type(w):
    for given, wanted in (("xterm-256color", "xterm-256color"), ("vt100", "vt100")):
        with w.terminal("ssh", "-t", "web-1", "echo type=$TERM", env=w.env(TERM=given)) as t:
            t.expect(f"type={wanted}\r\n")
            equal(t.wait(), 0, "status")
    with w.terminal("ssh", "-t", "web-1", "echo type=$TERM", env=w.env("TERM")) as t:
        t.expect("type=dumb\r\n")


@test
def when_there_is_a_terminal(w):
    ask = "test -t 0 && echo yes-tty || echo no-tty"
    cases = [([ask], True, "no-tty"), (["-t", ask], True, "yes-tty"), (["-T", ask], True, "no-tty"),
             (["-o", "RequestTTY=yes", ask], True, "yes-tty"), (["-t", ask], False, "no-tty"),
             (["-tt", ask], False, "yes-tty"), (["-o", "RequestTTY=force", ask], False, "yes-tty"),
             ([ask], False, "no-tty")]
    for words, terminal, wanted in cases:
        if terminal:
            with w.terminal("ssh", "web-1", *words) as t:
                t.expect(wanted)
                equal(t.wait(), 0, f"status of {words}")
                t.restored(f"after {words}")
        else:
            result = w.eice("ssh", "web-1", *words).expect(0)
            contains(result.text, wanted, f"{words} without a terminal")


@test
def shell_without_terminal(w):
    result = w.eice("-q", "ssh", "web-1", data=b"echo from a script\nexit 9\n").expect(9)
    equal(result.text, "from a script\n", "stdout")
    with w.terminal("ssh", "-T", "web-1") as t:
        equal(t.modes(), t.before, "modes with -T")
        t.send("echo wor''ks; exit 4\n")
        t.expect("works\r\n")
        equal(t.wait(), 4, "status")


@test
def hang_up_escape(w):
    with w.terminal("ssh", "web-1") as t:
        shell_prompt(w, t, "sleep 60 &")
        t.send("\r~.")
        started = time.monotonic()
        equal(t.wait(), 255, "status")
        check(time.monotonic() - started < 2, "slow to end")
        t.restored("after ~.")
    eventually(w.tunnels, 0, "tunnels")


@test
def help_and_literal_escapes(w):
    with w.terminal("ssh", "web-1") as t:
        shell_prompt(w, t, "stty -echo")
        t.send("~?")
        t.expect(r"Supported escape sequences")
        t.expect(r"\r\n.*newline.*\r\n")
        t.send("echo a~.b\r")
        t.expect(r"a~\.b\r\n")
        t.send("cat\r")
        time.sleep(0.3)
        t.send("~~tilde\r")
        t.expect(r"~tilde\r\n")
        t.send("~xyz\r")
        t.expect(r"~xyz\r\n")
        t.send("~")
        time.sleep(0.2)
        t.send("~split\r")
        t.expect(r"~split\r\n")
        equal(b"~~" in t.seen, False, "doubled")
        t.send("\x04exit\r")
        equal(t.wait(), 0, "status")


@test
def other_escape_characters(w):
    with w.terminal("ssh", "-e", "none", "web-1") as t:
        shell_prompt(w, t)
        t.send("\r~.\r")
        t.expect(r"~\.: .*(not found|directory)")
        t.send("exit 5\r")
        equal(t.wait(), 5, "status with -e none")
    with w.terminal("ssh", "-e", "^]", "web-1") as t:
        shell_prompt(w, t)
        t.send("\r\x1d.")
        equal(t.wait(), 255, "status with -e ^]")
        t.restored("after ^].")


@test
def suspend_escape(w):
    with w.terminal("ssh", "web-1", columns=80, rows=24) as t:
        shell_prompt(w, t)
        t.send("\r~\x1a")
        eventually(lambda: state_of(t), "T", "process state")
        t.restored("while it is suspended")
        t.resize(90, 30, None)
        os.kill(t.process.pid, signal.SIGCONT)
        eventually(lambda: state_of(t) in "SR", True, "process runs again")
        eventually(lambda: t.modes() != t.before, True, "raw again")
        t.drain()
        t.seen = b""
        t.send("stty size\r")
        t.expect("30 90\r\n")
        t.send("exit 6\r")
        equal(t.wait(), 6, "status")
        t.restored("at last")


@test
def stopped_from_outside(w):
    """SIGSTOP cannot be caught; after SIGCONT the terminal is raw whatever the shell did to it."""
    with w.terminal("ssh", "web-1") as t:
        shell_prompt(w, t)
        os.kill(t.process.pid, signal.SIGSTOP)
        eventually(lambda: state_of(t), "T", "process state")
        termios.tcsetattr(t.slave, termios.TCSANOW, t.before)
        os.kill(t.process.pid, signal.SIGCONT)
        eventually(lambda: t.modes() != t.before, True, "raw again")
        t.send("exit 2\r")
        equal(t.wait(), 2, "status")
        t.restored("at last")


@test
def ending_signals(w):
    for number in (signal.SIGTERM, signal.SIGHUP):
        with w.terminal("ssh", "web-1") as t:
            shell_prompt(w, t)
            os.kill(t.process.pid, number)
            equal(t.wait(), 255, f"status after signal {number}")
            t.restored(f"after signal {number}")
        eventually(w.tunnels, 0, "tunnels")


@test
def broken_connection(w):
    """The terminal is put back when the network is gone too."""
    w.sim.ctl("fault", kind="expire", ms=2500, how="rst")
    with w.terminal("ssh", "web-1") as t:
        t.expect(PROMPT)
        equal(t.wait(), 255, "status")
        t.restored("after a reset")
        matches(t.seen.decode(), r"eice: \w", "a reason")


@test
def interrupted_connect(w):
    """Ctrl-C before the session is open is ours."""
    w.sim.ctl("fault", kind="hang", action="DescribeInstances")
    with w.terminal("ssh", "web-1") as t:
        time.sleep(0.5)
        t.send("\x03")
        started = time.monotonic()
        equal(t.wait(), 255, "status")
        check(time.monotonic() - started < 2, "slow to end")
        t.restored("after Ctrl-C")


@test
def typed_ahead(w):
    """What is typed while the connection is made reaches the shell."""
    with w.terminal("ssh", "web-1") as t:
        t.send("echo typed-''ahead\n")
        t.expect(r"typed-ahead\r\n")
        t.send("exit\r")
        equal(t.wait(), 0, "status")


@test
def big_output(w):
    with w.terminal("ssh", "-t", "web-1", "seq 1 60000; echo the-end") as t:
        t.expect(r"59999\r\n60000\r\nthe-end\r\n", 30)
        equal(t.wait(), 0, "status")


@test
def output_elsewhere(w):
    """stdin is a terminal, stdout a file: only the remote side's bytes are in it."""
    path = w.path("out")
    with script(w, f'exec "$E" -q ssh -t web-1 echo hi >{path}') as t:
        equal(t.wait(), 0, "status")
        t.restored("afterwards")
    with open(path, "rb") as f:
        equal(f.read(), b"hi\r\n", "the file")


@test
def proxy_refuses_terminals(w):
    with w.terminal("proxy", "web-1") as t:
        equal(t.wait(), 2, "status")
        contains(t.seen.decode(), "eice ssh", "advice")


@test
def colours_only_on_terminals(w):
    """Nothing here sends escape sequences of its own when nobody looks."""
    result = w.eice("-v", "ssh", "web-1", "true", stderr=subprocess.PIPE).expect(0)
    equal("\x1b" in result.err, False, "escape sequences in stderr")


if __name__ == "__main__":
    sys.exit(main("end-to-end tests of eice on a terminal"))
