#!/usr/bin/python3
"""`eice ssh -J`: from instance to instance over one tunnel.

    tests/e2e_jump.py [--eice PROGRAM] [name …]

The sshds of the simulator listen on 127.0.0.1, which is therefore the private address of the
instances behind the first hop.
"""

import contextlib
import hashlib
import os
import sys

from e2elib import MIB, check, contains, equal, eventually, main, test

APP = "i-0123456789abcdef1"  # "app & web-2", ubuntu
DB = "i-0123456789abcdef2"   # "db 1 (primary)", admin


@contextlib.contextmanager
def inside(w):
    """The ports of app and db, which only somebody on web-1 reaches."""
    boxes = [w.sim.world.instance(name) for name in (APP, DB)]
    before = [box["ip"] for box in boxes]
    for box in boxes:
        box["ip"] = "127.0.0.1"
    try:
        yield [w.sim.ctl("sshd", instance=name)["port"] for name in (APP, DB)]
    finally:
        for box, ip in zip(boxes, before):
            box["ip"] = ip


@test
def one_hop(w):
    with inside(w) as (port, _):
        result = w.eice("ssh", "-J", "web-1", "-p", str(port), f"ubuntu@{APP}",
                        "echo I am $LOGNAME; exit 7").expect(7)
    equal(result.text, "I am ubuntu\n", "stdout")
    eventually(w.tunnels, 0, "tunnels")


@test
def one_tunnel_and_a_key_for_each(w):
    with inside(w) as (app, db):
        result = w.eice("-v", "ssh", "-J", f"ec2-user@web-1,ubuntu@{APP}:{app}", "-p", str(db),
                        f"admin@{DB}", "echo $LOGNAME").expect(0)
    equal(result.text, "admin\n", "stdout")
    equal(w.sim.ctl("count", action="openTunnel"), 1, "tunnels opened")
    equal(w.sim.ctl("count", action="SendSSHPublicKey"), 3, "keys pushed")
    for host in ("web-1", APP, DB):
        contains(result.err, w.sim.world.instance(host)["id"], "a host key of each")


@test
def host_keys_of_the_hops(w):
    """Each is compared with its own console; --host-key is the last one's."""
    prints = w.sshd(APP)["fingerprints"]
    with inside(w) as (port, _):
        words = ["-J", "web-1", "-p", str(port), f"ubuntu@{APP}", "true"]
        equal(w.eice("ssh", *words).expect(0).err, "", "what is said")
        equal(sorted(r["params"]["InstanceId"] for r in w.requests("GetConsoleOutput")),
              ["i-0123456789abcdef0", APP], "consoles")
        for print_ in prints:
            status = w.eice("ssh", "--host-key", print_, *words).status
            equal(status, 0 if print_ == prints[0] else 255, "the key of the last one")
        equal(len(w.requests("GetConsoleOutput")), 2, "calls")


@test
def bytes_through_two_hops(w):
    data = os.urandom(4 * MIB)
    with inside(w) as (app, db):
        way = ["-q", "ssh", "-J", f"web-1,ubuntu@{APP}:{app}", "-p", str(db), f"admin@{DB}"]
        result = w.eice(*way, "cat", data=data).expect(0)
        equal(hashlib.sha256(result.out).digest(), hashlib.sha256(data).digest(), "the bytes")
        result = w.eice(*way, "cat >&2; exit 3", data=b"to stderr").expect(3)
    contains(result.err, "to stderr", "stderr")


@test
def proxy_jump_option(w):
    with inside(w) as (port, _):
        w.eice("ssh", "-o", "ProxyJump=web-1", "-p", str(port), f"ubuntu@{APP}", "true").expect(0)
        w.eice("ssh", "-o", "ProxyJump=none", "web-1", "true").expect(0)


@test
def hop_that_is_not_there(w):
    result = w.eice("ssh", "-J", "web-7", APP, "true").expect(255)
    contains(result.err, "web-7", "the hop")
    contains(result.err, "on the way", "where it failed")


@test
def address_behind_the_hop_refuses(w):
    with inside(w):
        result = w.eice("ssh", "-J", "web-1", "-p", "1", f"ubuntu@{APP}", "true").expect(255)
    contains(result.err, "127.0.0.1", "the address")
    check("hint" in result.err, "a remedy")
    eventually(w.tunnels, 0, "tunnels")


@test
def wrong_login_behind_the_hop(w):
    with inside(w) as (port, _):
        result = w.eice("ssh", "-J", "web-1", "-p", str(port), f"nobody@{APP}", "true").expect(255)
    contains(result.err, "nobody", "the login")


@test
def malformed(w):
    for words in (["-J", ""], ["-J", "@web-1"], ["-J", "web-1:0"], ["-J", "web-1:x"],
                  ["-J", ","], ["-J", ",".join(["web-1"] * 9)]):
        result = w.eice("ssh", *words, "web-1", "true").expect(255)
        contains(result.err, "-J", f"the option {words}")


if __name__ == "__main__":
    sys.exit(main("end-to-end tests of eice ssh -J"))
