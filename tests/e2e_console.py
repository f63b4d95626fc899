#!/usr/bin/python3
"""Host keys from the instance's console: what `--hostkey-policy auto`, which is the default, and
`console` make of them.

    tests/e2e_console.py [--eice PROGRAM] [name …]
"""

import os
import re
import sys

from e2elib import check, contains, equal, eventually, json_line, main, matches, need, test

WEB = "i-0123456789abcdef0"
TYPES = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]
KEEPS = ["--known-hosts", "/dev/null"]
LATEST = {"InstanceId": WEB, "Latest": "true"}


def ssh(w, *more, status=0, target=WEB, credential="admin"):
    """`true` on web-1; what is said."""
    return w.eice("ssh", *more, target, "true", env=w.env(credential=credential)).expect(status).err


def stored(w):
    """The lines of the host key file."""
    if not os.path.exists(w.known_hosts):
        return []
    with open(w.known_hosts, encoding="ascii") as f:
        return f.read().splitlines()


def asked(w):
    """The parameters of the calls for a console."""
    return [r["params"] for r in w.requests("GetConsoleOutput")]


def refused(w, *more):
    return json_line(w.eice("--json", "ssh", *more, WEB, "true").expect(255).err)


def allow_all_but(w, action):
    """The policy of `limited`."""
    w.sim.ctl("policy", credential="limited", document={"Statement": [
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Effect": "Deny", "Action": action, "Resource": "*"}]})


@test
def confirmed_at_first_contact(w):
    """One call, nothing to be warned of, all keys stored; and no call the next time."""
    for policy in (["--hostkey-policy", "console"], []):
        w.sim.journal.clear()
        equal(ssh(w, *policy), "", "what is said")
        equal(asked(w), [LATEST], "calls")
        lines = [line.split() for line in stored(w)]
        equal([line[1] for line in lines], TYPES, "stored")
        equal({(line[0], line[3]) for line in lines}, {(WEB, "console")}, "for whom, and how")
        keys = {" ".join(key.split()[:2]) for key in w.sshd("web-1")["host_keys"]}
        equal({" ".join(line[1:3]) for line in lines}, keys, "the keys")
        equal(ssh(w, *policy), "", "the second time")
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
def beside_the_handshake(w):
    """It costs no time while it takes no longer than the tunnel and the key exchange."""
    w.sim.ctl("fault", kind="dial-delay", ms=1500)
    w.sim.ctl("fault", kind="latency", ms=1200, action="GetConsoleOutput")
    told = w.eice("-v", "ssh", WEB, "true").expect(0).err
    shown = int(re.search(r"\+(\d+) ms +\S+ +ec2 GetConsoleOutput", told)[1])
    key = int(re.search(r"\+(\d+) ms +host-key +the console", told)[1])
    check(shown >= 1200, f"the console took {shown} ms")
    at = [int(re.search(rf"(\d+) ms +\+\d+ ms +{what}", told)[1])
          for what in ("api +ec2 GetConsoleOutput", "ssh-kex")]
    check(at[0] < at[1], f"the console came at {at[0]} ms, the key exchange at {at[1]} ms")
    check(key >= shown, "the key was stored before the console was seen")


@test
def another_machine_answers(w):
    """Keys that the console does not show: nobody is logged in, nothing is stored."""
    w.sim.ctl("boot", id=WEB, how="reboot")  # its log is there now
    w.sshd("web-1", "new-host-key")
    for policy in ([], ["--hostkey-policy", "console"]):
        told = refused(w, *policy)
        equal((told["error"], told["stage"]), ("HOST_KEY_UNKNOWN", "host-key"), "error")
        contains(told["remedy"], "console shows other keys: do not connect", "remedy")
    equal(stored(w), [], "stored")
    equal(w.sim.ctl("journal", kind="key-lookup"), [], "logins")
    # who knows better has a way
    ssh(w, "--host-key", re.search(r"--host-key (\S+?)\)?$", told["remedy"])[1])
    contains(ssh(w, "--hostkey-policy", "tofu"), "first contact", "tofu")
    w.sim.ctl("boot", id=WEB, how="reimage")


SILENT = (("nothing printed", "its console shows no host keys"),
          ("pushed out", "its console shows no host keys"),
          ("not allowed", "ec2:GetConsoleOutput is not allowed"),
          ("no keys for it", "access key AKIA.*AuthFailure|not take|credentials"),
          ("no answer", "not done in the time given"))


def silence(w, how):
    w.sim.ctl("clear")
    w.sim.ctl("instance", id=WEB, console=None)
    if how == "nothing printed":
        w.sim.ctl("instance", id=WEB, console="login: ")
    elif how == "pushed out":
        w.sim.ctl("boot", id=WEB, how="chatter", size=70000)
    elif how == "not allowed":
        allow_all_but(w, "ec2:GetConsoleOutput")
    elif how == "no keys for it":
        w.sim.ctl("fault", kind="http-error", status=401, code="AuthFailure",
                  message="AWS was not able to validate the provided access credentials",
                  action="GetConsoleOutput")
    else:
        w.sim.ctl("fault", kind="hang", action="GetConsoleOutput")


@test(seconds=60)
def silent_consoles(w):
    """Then the default is trust on first use, and one line says why; `console` refuses."""
    for how, why in SILENT:
        silence(w, how)
        credential = "limited" if how == "not allowed" else "admin"
        said = ssh(w, credential=credential).splitlines()
        equal(len(said), 1, f"lines: {said}")
        matches(said[0], rf"^eice: warning: first contact with {WEB}, unconfirmed \(.*({why})",
                how)
        equal([line.split()[3] for line in stored(w)], ["first-contact"], how)
        w.sim.ctl("clear-faults")
        equal(ssh(w, credential=credential), "", "it is known")
        os.unlink(w.known_hosts)
        if how == "no answer":
            break  # `console` waits as long as for every answer
        silence(w, how)
        told = json_line(w.eice("--json", "ssh", "--hostkey-policy", "console", WEB, "true",
                                env=w.env(credential=credential)).expect(255).err)
        equal((told["error"], stored(w)), ("HOST_KEY_UNKNOWN", []), how)
        contains(told["remedy"], "--hostkey-policy auto", how)


def age(w, days=1):
    """What is stored was stored before today."""
    with open(w.known_hosts, encoding="ascii") as f:
        text = re.sub(r"\d{8}(T\d{6}Z)", r"20260101\1", f.read())
    w.write(os.path.relpath(w.known_hosts, w.home), text)


def accept(w, told):
    """The command that is offered."""
    command = told["remedy"].rpartition(": ")[2]
    contains(command, "ssh-keygen -R " + WEB, "the command")
    need("ssh-keygen", "openssh-client")
    w.run(["sh", "-c", command]).expect(0)
    equal(stored(w), [], "what is left")


@test(seconds=60)
def told_apart(w):
    """A reboot changes nothing; an instance set up anew says so on its console; anything else is
    to be feared. One call each time."""
    ssh(w)
    w.sim.ctl("boot", id=WEB, how="reboot")
    equal(ssh(w), "", "after a reboot")
    w.sim.ctl("boot", id=WEB, how="restart")
    equal(ssh(w), "", "after a stop and a start")
    equal(len(asked(w)), 1, "calls")
    age(w)
    w.sim.ctl("boot", id=WEB, how="reimage")
    w.sim.journal.clear()
    told = refused(w)
    equal((told["error"], told["stage"]), ("HOST_KEY_CHANGED", "host-key"), "a new root volume")
    contains(told["message"], "line 1 of", "which line")
    matches(told["remedy"], r"its console shows this key, and it was launched anew after the "
            r"stored one \(20\d\d-.*\): it was set up anew; to accept it: ", "remedy")
    equal(asked(w), [LATEST], "calls")
    accept(w, told)
    equal(ssh(w), "", "the new keys")


@test(seconds=60)
def keys_made_anew(w):
    """No launch since: the console that showed the old keys shows others now. When nobody knows
    whose the old ones were, that is said."""
    for how, wanted in (("console", "no longer the stored one: its keys were made anew"),
                        ("first-contact", "or something else answered at first contact")):
        ssh(w, *(["--hostkey-policy", "tofu"] if how == "first-contact" else []))
        equal(stored(w)[0].split()[3], how, "stored")
        launched = w.sim.world.instance(WEB)["launched"]
        w.sim.ctl("boot", id=WEB, how="reimage")
        w.sim.ctl("instance", id=WEB, launched=launched)
        told = refused(w)
        contains(told["remedy"], wanted, how)
        accept(w, told)
        equal(ssh(w), "", "the new keys")
        os.unlink(w.known_hosts)


@test(seconds=60)
def attacks(w):
    """Keys change, and the console knows nothing of it."""
    ssh(w)
    w.sshd("web-1", "new-host-key")
    w.sim.journal.clear()
    for policy in ("auto", "console"):
        told = refused(w, "--hostkey-policy", policy)
        equal(told["error"], "HOST_KEY_CHANGED", "another machine")
        contains(told["remedy"], "its console still shows the stored key: do not connect", policy)
    equal(len(asked(w)), 2, "calls")
    w.sim.ctl("instance", id=WEB, console="login: ")
    told = refused(w)
    equal(told["error"], "HOST_KEY_CHANGED", "a silent console")
    contains(told["remedy"], "its console shows no host keys: find out", "a silent console")
    equal(w.sim.ctl("journal", kind="key-lookup"), [], "logins")
    w.sim.journal.clear()
    for policy in ("tofu", "strict"):
        told = refused(w, "--hostkey-policy", policy)
        contains(told["remedy"], "--hostkey-policy auto asks its console", policy)
    equal(asked(w), [], "those do not ask")
    w.sim.ctl("instance", id=WEB, console=None)
    w.sim.ctl("boot", id=WEB, how="reimage")


@test
def replaced_by_name(w):
    """Another instance of the same name and address has an id of its own, and so keys."""
    equal(ssh(w, target="web-1"), "", "the first one")
    made = w.sim.ctl("boot", id="web-1", how="replace")["id"]
    try:
        equal(ssh(w, target="web-1"), "", "the one after it")
        equal([line.split()[0] for line in stored(w)], [WEB] * 3 + [made] * 3, "stored")
        equal([p["InstanceId"] for p in asked(w)], [WEB, made], "whose console")
    finally:
        entry = dict(w.original[0]["instances"][0])
        w.sim.sshds.replace(made, entry)


@test
def only_where_it_is_wanted(w):
    for words in (["--hostkey-policy", "tofu"], ["--hostkey-policy", "strict"],
                  ["--hostkey-policy", "off"], ["-o", "StrictHostKeyChecking=accept-new"],
                  ["--host-key", "SHA256:" + 43 * "A"]):
        w.eice("ssh", *KEEPS, *words, WEB, "true")
    equal(asked(w), [], "calls of the other policies")
    ssh(w, *KEEPS, "-o", "StrictHostKeyChecking=ask")
    equal(len(asked(w)), 1, "calls of OpenSSH's default")
    said = w.eice("ssh", "--hostkey-policy", "consul", WEB, "true").expect(255).err
    contains(said, "auto, console, tofu, strict, off", "what there is")


@test
def copies_forwards_and_doctor(w):
    """The same for all that log in; doctor stores nothing."""
    w.eice("doctor", WEB).expect(0)
    equal((len(asked(w)), stored(w)), (1, []), "doctor")
    source = w.write("file", "text")
    w.eice("cp", "-q", source, f"{WEB}:copied").expect(0)
    with open(os.path.join(w.remote_home(), "copied"), encoding="ascii") as f:
        equal(f.read(), "text", "the copy")
    equal((len(asked(w)), len(stored(w))), (2, 3), "cp")
    os.unlink(w.known_hosts)
    process = w.spawn("-q", "forward", WEB, "0:127.0.0.1:1")
    eventually(lambda: (len(asked(w)), len(stored(w))), (3, 3), "forward")
    process.terminate()
    process.wait(15)


def stanza(w, *words):
    """OpenSSH's configuration from ours, with a key."""
    path = w.path("test_id")
    if not os.path.exists(path):
        w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f",
               path]).expect(0)
    text = w.eice("ssh-config", "--identity", path, *words).expect(0).text
    return w.write("conf", text + "Host *\nBatchMode yes\nLogLevel ERROR\n"
                   "GlobalKnownHostsFile none\n")


def openssh(w, *words):
    conf = stanza(w, *words)
    return w.run([need("ssh", "openssh-client"), "-F", conf, WEB, "true"])


@test(seconds=60)
def through_openssh(w):
    """`eice proxy` has the keys stored before OpenSSH sees the first byte."""
    equal(openssh(w).expect(0).err, "", "what is said")
    equal((asked(w), len(stored(w))), ([LATEST], 3), "at first contact")
    openssh(w, "--hostkey-policy", "strict").expect(0)
    equal(openssh(w).expect(0).err, "", "the second time")
    equal(len(asked(w)), 1, "calls")
    os.unlink(w.known_hosts)
    equal(openssh(w, "--hostkey-policy", "console").expect(0).err, "", "console")
    os.unlink(w.known_hosts)
    w.sshd("web-1", "new-host-key")
    contains(openssh(w).expect(255).err, "IDENTIFICATION HAS CHANGED", "another machine answers")
    os.unlink(w.known_hosts)
    w.sim.ctl("instance", id=WEB, console="login: ")
    contains(openssh(w, "--hostkey-policy", "console").expect(255).err, "nothing to compare",
             "console")
    matches(openssh(w).expect(0).err, rf"^eice: warning: first contact with {WEB}: nothing to "
            r"compare its host key with \(its console shows no host keys\)\n$", "the default")
    w.sim.journal.clear()
    for policy in ("tofu", "off"):
        os.unlink(w.known_hosts)
        openssh(w, "--hostkey-policy", policy).expect(0)
    equal(asked(w), [], "those do not ask")
    w.sim.ctl("instance", id=WEB, console=None)
    w.sim.ctl("boot", id=WEB, how="reimage")


if __name__ == "__main__":
    sys.exit(main(__doc__))
