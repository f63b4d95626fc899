#!/usr/bin/python3
"""The program on libssh2 as it is released, without our patches: what works with them works, and
what takes one is refused by name. The library's session is tested by ssh_servers.py."""

import os
import sys

import e2e
import e2e_cp
import e2e_forward
import e2e_jump
import e2elib
from e2e_forward import black_hole, dial, forwarding, known, socks5
from e2elib import Server, contains, equal, main, matches, test

# Of the other end-to-end tests: one of each kind of channel, and what strains libssh2 most.
SHARED = {
    e2e.exit_statuses, e2e.streams_apart, e2e.big_download, e2e.big_upload,
    e2e.both_directions_at_once, e2e.host_key_is_stored, e2e.revoked_host_key,
    e2e_forward.many_local, e2e_forward.many_dynamic, e2e_forward.many_remote,
    e2e_forward.curl_through, e2e_forward.half_closed, e2e_forward.unix_sockets,
    e2e_forward.lost_session, e2e_cp.odd_names, e2e_jump.one_hop,
}
e2elib.TESTS[:] = [body for body in e2elib.TESTS if body in SHARED]

UNPATCHED = "this libssh2 is unpatched"
REMEDY = "takes libssh2 with the patch"


@test
def version(w):
    """Says what it is made of, and what is missing."""
    text = w.eice("version").expect(0).text
    matches(text, r"(?m)^libssh2 \S+ unpatched$", "the library")
    for patch in ("01-decrypt-failure: chacha20-poly1305", "04-streamlocal-forward: UNIX sockets",
                  "06-rekey: new keys", "07-sign-at-once: ", "08-channel-open: several channels"):
        contains(text, f"\n  without {patch}", "what is missing")


@test
def remote_socket(w):
    known(w)
    there = os.path.join(w.remote_home(), "listens.sock")
    words = ["-R", f"{there}:localhost:1"]
    result = w.eice("ssh", *words, "web-1", "echo on").expect(0)
    equal(result.out, b"on\n", "the command runs")
    contains(result.err, f"listening on a UNIX socket of the server: {UNPATCHED}", "the error")
    contains(result.err, f"{REMEDY} 04-streamlocal-forward", "the remedy")
    w.eice("ssh", "-o", "ExitOnForwardFailure=yes", *words, "web-1", "true").expect(255)


@test
def rekey_limit(w):
    result = w.eice("ssh", "-o", "RekeyLimit=1M", "web-1", "true").expect(255)
    contains(result.err, f"new keys after so many bytes: {UNPATCHED}", "the error")
    contains(result.err, f"{REMEDY} 06-rekey", "the remedy")
    w.eice("ssh", "-o", "RekeyLimit=default none", "web-1", "true").expect(0)


@test
def hole(w):
    """One destination that does not answer holds up the others; in the end the error says so."""
    known(w)
    listener, fillers = black_hole()
    with Server(e2e_forward.echo) as server, \
            forwarding(w, "-D", "0", "--answer-timeout", "3") as ((port,), running):
        with socks5(port, "localhost", server.port)[0] as sock:
            sock.sendall(b"before")
            equal(sock.recv(10), b"before", "echo before")
        with dial(port) as sock:
            sock.sendall(b"\5\1\0\5\1\0\1\x7f\0\0\1"
                         + listener.getsockname()[1].to_bytes(2, "big"))
            running.process.wait(20)
        equal(running.process.returncode, 255, "status")
        contains(running.err, "did not open the channel in time", "the error")
        contains(running.err, "without the patch 08-channel-open", "the remedy")
    for sock in [*fillers, listener]:
        sock.close()


if __name__ == "__main__":
    sys.exit(main(__doc__))
