#!/usr/bin/python3
"""Keys of long-lived commands: one search for many connections, renewal in time, and what happens
when it fails, end to end.

    tests/cred_renew.py [--eice PROGRAM] [name …]
"""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import sys
import time

from e2elib import ROOT, check, contains, equal, main, matches, need, test

sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim.roles import role_arn  # noqa: E402  (needs the path set above)

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


def profile(w, seconds):
    """A role whose keys live for some seconds; the environment without keys."""
    entry = w.sim.world.credential("admin")
    w.write(".aws/config", f"[profile base]\naws_access_key_id = {entry['access_key']}\n"
            f"aws_secret_access_key = {entry['secret']}\n"
            f"[profile p]\nsource_profile = base\nrole_arn = {role_arn('Ops')}\n")
    with w.sim.world.lock:
        w.sim.world.settings["sts_seconds"] = seconds
    return w.env(*KEYS)


class Forward:
    """`eice forward`, where each connection to its port is a tunnel of its own."""

    def __init__(self, w, env):
        self.log = w.path("log")
        ours, theirs = os.pipe()
        with open(self.log, "wb") as err:
            self.process = w.spawn("--profile", "p", "forward", "-v", "--ready-fd", str(theirs),
                                   "echo-box", "0:22", env=env, stderr=err, pass_fds=(theirs,))
        os.close(theirs)
        with os.fdopen(ours, encoding="utf-8") as ready:
            line = ready.readline()
        check(line, f"no ready line: {self.err}")
        self.port = json.loads(line)["listen"][0]["bind_port"]

    @property
    def err(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def echo(self, text=b"x"):
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as sock:
            sock.sendall(text)
            return sock.recv(10)


@contextlib.contextmanager
def forward(w, env):
    running = Forward(w, env)
    try:
        yield running
    finally:
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(15)


def assumed(w):
    return len(w.requests("AssumeRole"))


def together(f, count):
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: f.echo(), range(count)))


@test
def one_search_for_many(w):
    with forward(w, profile(w, 0)) as f:
        equal(together(f, 4), [b"x"] * 4, "echoes")
        equal(f.echo(), b"x", "echo")
        equal(assumed(w), 1, "AssumeRole")


@test
def renewed_before_they_expire(w):
    """700 s are less than 15 minutes: the next connection renews them, others need not wait."""
    with forward(w, profile(w, 700)) as f:
        for _ in range(2):
            before = assumed(w)
            equal(f.echo(), b"x", "echo")
            equal(assumed(w), before + 1, "AssumeRole")


@test
def one_renewal_for_several(w):
    """500 s are less than 10 minutes: all wait for the one that renews them."""
    with forward(w, profile(w, 500)) as f:
        equal(f.echo(), b"x", "echo")
        before = assumed(w)
        w.sim.ctl("fault", kind="latency", ms=1500, times=1, action="AssumeRole")
        equal(together(f, 4), [b"x"] * 4, "echoes")
        equal(assumed(w), before + 1, "AssumeRole")


@test
def the_old_ones_while_they_last(w):
    with forward(w, profile(w, 700)) as f:
        equal(f.echo(), b"x", "echo")
        w.sim.ctl("fault", kind="http-error", action="AssumeRole", status=403,
                  code="AccessDenied")
        equal(f.echo(), b"x", "echo")
        matches(f.err, r"warning: the keys are valid for \d+ s more, and cannot be renewed: "
                r"AssumeRole: AccessDenied", "warning")


@test
def refused_by_open_tunnel(w):
    """Keys that AWS has revoked are looked for again by the next connection; those that only may
    not do this are kept."""
    with forward(w, profile(w, 0)) as f:
        equal(f.echo(), b"x", "echo")
        for code, more in (("AccessDeniedException", 0), ("ExpiredTokenException", 1),
                           ("UnrecognizedClientException", 1)):
            before = assumed(w)
            w.sim.ctl("fault", kind="http-error", action="openTunnel", status=403, code=code,
                      times=1)
            with contextlib.suppress(OSError):
                check(not f.echo(), f"a tunnel in spite of {code}")
            equal(f.echo(), b"x", f"echo after {code}")
            equal(assumed(w) - before, more, f"AssumeRole after {code}")


@test
def expired_for_good(w):
    with forward(w, profile(w, 3)) as f:
        equal(f.echo(), b"x", "echo")
        w.sim.ctl("fault", kind="http-error", action="AssumeRole", status=403,
                  code="AccessDenied")
        time.sleep(3.2)
        with contextlib.suppress(OSError):
            check(not f.echo(), "a tunnel with keys that have expired")
        contains(f.err, "AccessDenied", "error")
        w.sim.ctl("clear")
        equal(f.echo(), b"x", "echo with new keys")


PROGRAM = r"""
#define EICE_NO_SSH
#define EICE_IMPLEMENTATION
#include "eice.h"

#include <poll.h>

static char **given;

static eice_err provide(void *user, eice_provided *out, eice_error *e)
{
    int *asked = (int *)user;

    (void)e;
    if (++*asked % 2 == 1) {
        out->later = true;
        return EICE_OK;
    }
    out->keys.access_key_id = eice_str_c(given[1]);
    out->keys.secret_access_key = eice_str_c(given[2]);
    out->expires_unix_s = eice_posix_now().unix_s + atoi(given[3]);
    out->name = "test";
    return *asked == 4 && given[4] != NULL
               ? eice_fail(e, EICE_E_CREDENTIALS, EICE_STAGE_CREDENTIALS, "shut")
               : EICE_OK;
}

int main(int argc, char **argv)
{
    eice_posix *x = eice_posix_new(NULL, NULL);
    eice_conn_opts o;
    eice_conn *c;
    int asked = 0;
    int i;

    (void)argc;
    given = argv;
    memset(&o, 0, sizeof o);
    o.goal = EICE_GOAL_CALLS;
    o.provider = provide;
    o.provider_user = &asked;
    c = eice_conn_new(&o, eice_posix_now(), NULL);
    (void)eice_posix_add(x, c);
    for (i = 0; i < 3; i++) {
        eice_call call;

        memset(&call, 0, sizeof call);
        call.op = EICE_OP_GET_CALLER_IDENTITY;
        (void)eice_conn_call(c, &call);
        while (!call.done) {
            struct pollfd fds[16];
            size_t n = eice_posix_fds(x, fds, 16);

            (void)poll(fds, (nfds_t)n, 20);
            eice_posix_process(x, fds, n);
        }
        printf("%d %d %s\n", asked, (int)call.error.code, call.error.text);
        if (atoi(argv[3]) < 10) {
            sleep(2);
        }
    }
    eice_posix_free(x);
    eice_conn_free(c);
    return 0;
}
"""


@test
def calls_of_one_connection(w):
    """A connection for calls that stays open: its provider says "later" first, then has keys."""
    source = w.write("program.c", PROGRAM)
    w.run([need("gcc", "gcc"), "-O0", "-D_GNU_SOURCE", "-I", ROOT, "-isystem",
           os.path.join(ROOT, "build/deps/include"), source,
           os.path.join(ROOT, "build/native/libbearssl.a"), "-o", w.path("test_program")],
          seconds=120).expect(0, "compiler")
    entry = w.sim.world.credential("admin")
    env = w.env(*KEYS, "EICE_CONNECT_TO", AWS_ENDPOINT_URL_STS=f"https://localhost:{w.sim.port}")

    def asked(*arguments):
        said = w.run([w.path("test_program"), entry["access_key"], entry["secret"], *arguments],
                     env=env).expect(0).text
        return [(int(n), int(code)) for n, code in re.findall(r"(?m)^(\d+) (-?\d+)", said)]
    equal(asked("3600"), [(2, 0)] * 3, "keys that live for long")
    equal(asked("1"), [(2, 0), (4, 0), (6, 0)], "keys that expire between the calls")
    equal([code for _, code in asked("1", "shut")], [0, -702, -702], "a provider that fails")


if __name__ == "__main__":
    sys.exit(main(__doc__))
