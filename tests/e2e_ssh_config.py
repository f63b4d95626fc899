#!/usr/bin/python3
"""`eice ssh-config`, and what is built on OpenSSH's configuration: scp, sftp, rsync, git, Ansible.

    tests/e2e_ssh_config.py [--eice PROGRAM] [name …]
"""

import os
import shlex
import sys

from e2elib import check, contains, equal, main, need, test

WEB = "i-0123456789abcdef0"
UBUNTU = "10.20.1.24"


def identity(w, name="test_id"):
    path = w.path(name)
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f",
           path]).expect(0)
    return path


def stanzas(w, *words, before=()):
    """Our stanzas in a file, with a key made for them."""
    path = identity(w)
    result = w.eice(*before, "ssh-config", "--identity", path, *words).expect(0)
    return w.write("conf", result.text + "Host *\nBatchMode yes\nLogLevel ERROR\n"
                   "GlobalKnownHostsFile none\n")


def openssh(w, program, conf, *words, **options):
    return w.run([need(program, "openssh-client"), "-F", conf, *words], **options)


@test
def any_instance(w):
    """Both know the same host keys, whoever came first."""
    conf = stanzas(w)
    equal(openssh(w, "ssh", conf, WEB, "echo in; exit 7").expect(7).text, "in\n", "ssh")
    w.eice("ssh", "--hostkey-policy", "strict", "web-1", "true").expect(0)
    os.unlink(w.known_hosts)
    w.eice("ssh", WEB, "true").expect(0)
    openssh(w, "ssh", conf, "-o", "StrictHostKeyChecking=yes", WEB, "true").expect(0)
    equal([r["params"]["InstanceOSUser"] for r in w.requests("SendSSHPublicKey")][0], "ec2-user",
          "login")


@test
def named_targets(w):
    conf = stanzas(w, "web-1", f"ubuntu@{UBUNTU}")
    for host in ("web-1", UBUNTU):
        openssh(w, "ssh", conf, host, "true").expect(0)
    users = [r["params"]["InstanceOSUser"] for r in w.requests("SendSSHPublicKey")]
    equal(users, ["ec2-user", "ubuntu"], "logins")
    w.eice("ssh", "--hostkey-policy", "strict", "web-1", "true").expect(0)
    told = w.run([need("ssh", "openssh-client"), "-G", "-F", conf, "web-1"]).expect(0).text
    contains(told, f"hostkeyalias {WEB}\n", "the name of the key")
    contains(told, f"hostname {WEB}\n", "the instance")
    contains(w.eice("ssh-config", "no-such").expect(1).err, "no-such", "an unknown target")
    check(not w.eice("ssh-config", "web-*").expect(2).out, "a pattern as target")


@test
def options_are_carried(w):
    """Quoted for ssh_config and the shell alike: what arrives is what was given."""
    seen = w.path("seen")
    script = w.write("the 100% eice's", f'#!/bin/sh\nprintf "%s\\n" "$@" >{seen}\n', 0o700)
    options = ["--region", "eu-west-1", "--profile", "it's 100% \"mine\" $HOME `x`", "--fips",
               "--connect-timeout", "7", "--max-tunnel-duration", "600", "--ca-bundle",
               "a b.pem", "--connect-to", "::h:1", "--connect-to", "a:1:b:2"]
    result = w.eice(*options, "ssh-config", "--host-pattern", "i-* web-?").expect(0)
    text = result.text.replace(w.program + " ", shlex.quote(script).replace("%", "%%") + " ")
    openssh(w, "ssh", w.write("conf", text), "web-9", "true").expect(255)
    with open(seen, encoding="utf-8") as f:
        got = f.read().splitlines()
    wanted = [w.path("a b.pem") if word == "a b.pem" else word for word in options]
    equal(sorted(got[:len(wanted)]), sorted(wanted), "the options")
    equal(got[len(wanted):], ["proxy", "--push", "ec2-user", "web-9", "22"], "the rest")
    for bad in (["--profile", "a\nHost *"], ["--user", 'a"b'], ["--host-pattern", "a\nb"]):
        equal(w.eice("ssh-config", *bad).expect(2).out, b"", f"{bad}")


@test
def scp_and_sftp(w):
    conf = stanzas(w, "web-1")
    w.write("up", b"x" * 100001)
    openssh(w, "scp", conf, "-q", w.path("up"), "web-1:copy").expect(0)
    batch = w.write("batch", f"get copy {w.path('down')}\nrm copy\n")
    openssh(w, "sftp", conf, "-b", batch, "web-1").expect(0)
    equal(os.path.getsize(w.path("down")), 100001, "there and back")


@test
def rsync_and_git(w):
    conf = stanzas(w, "web-1")
    ssh = f"ssh -F {conf}"
    w.write("up/file", b"x" * 100001)
    w.run([need("rsync", "rsync"), "-a", "-e", ssh, w.path("up"), "web-1:"]).expect(0)
    w.run(["rsync", "-a", "-e", ssh, "web-1:up/", w.path("down")]).expect(0)
    equal(os.path.getsize(w.path("down/file")), 100001, "rsync")
    openssh(w, "ssh", conf, "web-1",
            "rm -rf up r && git init -q r && cd r && git -c user.name=t -c user.email=t@a "
            "commit -q --allow-empty -m first").expect(0)
    w.run([need("git", "git"), "clone", "-q", "web-1:r", w.path("r")],
          env=w.env(GIT_SSH_COMMAND=ssh)).expect(0)
    contains(w.run(["git", "-C", w.path("r"), "log"]).expect(0).text, "first", "the commit")


def ansible(w, *words, **variables):
    """Ping, and a file copied there."""
    program = need("ansible", "ansible-core")
    w.write("up", b"x" * 100001)
    env = w.env(ANSIBLE_NOCOLOR="1", ANSIBLE_PYTHON_INTERPRETER="/usr/bin/python3", **variables)
    place = os.path.join(w.remote_home(), "by-ansible")
    for arguments in (["-m", "ping"], ["-m", "copy", "-a", f"src={w.path('up')} dest={place}"]):
        result = w.run([program, "all", "-i", "web-1,", "-u", "ec2-user", *arguments, *words],
                       env=env, seconds=60)
        result.expect(0)
        contains(result.text, "SUCCESS" if "ping" in arguments else "CHANGED", arguments[1])
    equal(os.path.getsize(place), 100001, "the file")
    os.unlink(place)


@test(seconds=120)
def ansible_over_ssh_config(w):
    conf = stanzas(w, "web-1")
    ansible(w, ANSIBLE_SSH_ARGS=f"-C -F {conf} -o ControlMaster=no")


@test(seconds=120)
def ansible_over_eice(w):
    """Its own options as they are, ControlMaster among them."""
    link = w.path("eice-ssh")
    os.symlink(w.program, link)
    ansible(w, "-e", f"ansible_ssh_executable={link}", "-e",
            f"ansible_sftp_extra_args='-S {link}'",
            ANSIBLE_HOST_KEY_CHECKING="False")


if __name__ == "__main__":
    sys.exit(main("eice ssh-config"))
