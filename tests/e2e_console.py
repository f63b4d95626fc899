#!/usr/bin/python3
"""Host keys from the instance's console: `--hostkey-policy console`.

    tests/e2e_console.py [--eice PROGRAM] [name …]
"""

import os
import sys

from e2elib import check, contains, equal, json_line, main, test

WEB = "i-0123456789abcdef0"
POLICY = ["ssh", "--hostkey-policy", "console"]


def ssh(w, *more, status=0, target=WEB, credential="admin"):
    """`true` on web-1, with what is said as lines."""
    return w.eice(*more, *POLICY, target, "true",
                  env=w.env(credential=credential)).expect(status).err


def stored(w):
    """The lines of the host key file."""
    if not os.path.exists(w.known_hosts):
        return []
    with open(w.known_hosts, encoding="ascii") as f:
        return f.read().splitlines()


def key_types(w):
    return [line.split()[1] for line in stored(w)]


def asked(w):
    """The parameters of the calls for a console."""
    return [r["params"] for r in w.requests("GetConsoleOutput")]


def refused(w):
    return json_line(w.eice("--json", *POLICY, WEB, "true").expect(255).err)


def allow_all_but(w, action):
    """The policy of `limited`."""
    w.sim.ctl("policy", credential="limited", document={"Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": action, "Resource": "*"}]})


@test
def confirmed_at_first_contact(w):
    """One call, nothing to be warned of, and none the next time."""
    equal(ssh(w), "", "what is said")
    equal(asked(w), [{"InstanceId": WEB, "Latest": "true"}], "calls")
    equal(key_types(w), ["ssh-ed25519"], "stored")
    equal(ssh(w), "", "the second time")
    equal(len(asked(w)), 1, "calls in all")
    os.unlink(w.known_hosts)
    contains(ssh(w, "-v"), f"the console of {WEB} shows it", "with -v")


@test
def kept_output_when_there_is_no_latest(w):
    """Older instance types cannot tell what is on the console now."""
    w.sim.ctl("instance", id=WEB, type="t2.micro")
    equal(ssh(w), "", "what is said")
    equal([p.get("Latest") for p in asked(w)], ["true", None], "calls")


@test
def another_machine_answers(w):
    """Keys that the console does not show: nobody is logged in, nothing is stored."""
    w.sshd("web-1", "new-host-key")
    told = refused(w)
    equal((told["error"], told["stage"]), ("HOST_KEY_UNKNOWN", "host-key"), "error")
    contains(told["remedy"], "console shows other keys: do not connect", "remedy")
    equal(stored(w), [], "stored")
    equal(w.sim.ctl("journal", kind="key-lookup"), [], "logins")


@test
def silent_consoles(w):
    """Then it is trust on first use, and that is said."""
    for how in ("nothing printed", "pushed out", "not allowed"):
        if how == "nothing printed":
            w.sim.ctl("instance", id=WEB, console="login: ")
        elif how == "pushed out":
            w.sim.ctl("instance", id=WEB, console=None)
            w.sim.ctl("boot", id=WEB, how="chatter", size=70000)
        else:
            allow_all_but(w, "ec2:GetConsoleOutput")
        said = ssh(w, credential="limited" if how == "not allowed" else "admin")
        contains(said, f"warning: the console of {WEB} shows no host keys", how)
        contains(said, f"first contact with {WEB}", how)
        equal(len(stored(w)), 1, how)
        os.unlink(w.known_hosts)
    contains(said, "ec2:GetConsoleOutput", "the permission that is missing")


@test
def told_apart(w):
    """A reboot changes nothing; an instance set up anew says so on its console; anything else is
    to be feared."""
    ssh(w)
    w.sim.ctl("boot", id=WEB, how="reboot")
    equal(ssh(w), "", "after a reboot")
    w.sim.ctl("boot", id=WEB, how="restart")
    equal(ssh(w), "", "after a stop and a start")
    equal(len(asked(w)), 1, "calls")
    w.sim.ctl("boot", id=WEB, how="reimage")
    told = refused(w)
    equal(told["error"], "HOST_KEY_CHANGED", "a new root volume")
    contains(told["message"], "line 1 of", "which line")
    contains(told["remedy"], "the instance was set up anew; remove the line named", "remedy")
    os.unlink(w.known_hosts)
    equal(ssh(w), "", "the new keys")
    w.sshd("web-1", "new-host-key")
    told = refused(w)
    equal(told["error"], "HOST_KEY_CHANGED", "another machine")
    contains(told["remedy"], "do not connect", "remedy")
    w.sim.ctl("instance", id=WEB, console="login: ")
    said = w.eice("--json", *POLICY, WEB, "true").expect(255).err.splitlines()
    contains(said[0], "shows no host keys", "warning")
    told = json_line(said[1])
    equal(told["error"], "HOST_KEY_CHANGED", "a silent console")
    contains(told["remedy"], "remove the line named", "remedy")
    w.sim.ctl("boot", id=WEB, how="reimage")


@test
def replaced_by_name(w):
    """Another instance of the same name and address has an id of its own, and so keys."""
    equal(ssh(w, target="web-1"), "", "the first one")
    made = w.sim.ctl("boot", id="web-1", how="replace")["id"]
    try:
        equal(ssh(w, target="web-1"), "", "the one after it")
        equal([line.split()[0] for line in stored(w)], [WEB, made], "stored")
    finally:
        entry = dict(w.original[0]["instances"][0])
        w.sim.sshds.replace(made, entry)


@test
def only_where_it_is_wanted(w):
    for policy in ("tofu", "strict", "off"):
        w.eice("ssh", "--hostkey-policy", policy, WEB, "true")
    equal(asked(w), [], "calls of the other policies")
    said = w.eice("ssh", "--hostkey-policy", "consul", WEB, "true").expect(255).err
    contains(said, "tofu, console, strict, off", "what there is")


@test
def copies_and_forwards(w):
    """The option is theirs, too."""
    source = w.write("file", "text")
    w.eice("cp", "-q", "--hostkey-policy", "console", source, f"{WEB}:copied").expect(0)
    with open(os.path.join(w.remote_home(), "copied"), encoding="ascii") as f:
        equal(f.read(), "text", "the copy")
    check(len(asked(w)) == 1 and len(stored(w)) == 1, "the console was not asked")


if __name__ == "__main__":
    sys.exit(main(__doc__))
