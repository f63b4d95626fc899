#!/usr/bin/python3
"""`eice ssh-config`, and what is built on OpenSSH's configuration: scp, sftp, rsync, git, Ansible.

    tests/e2e_ssh_config.py [--eice PROGRAM] [name …]
"""

import hashlib
import os
import shlex
import shutil
import socket
import struct
import subprocess
import sys
import tarfile

from e2elib import Server, check, contains, equal, main, need, test

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
    equal(got[len(wanted):], ["proxy", "--known-hosts", w.known_hosts, "--push", "ec2-user",
                              "web-9", "22"], "the rest")
    for bad in (["--profile", "a\nHost *"], ["--user", 'a"b'], ["--host-pattern", "a\nb"]):
        equal(w.eice("ssh-config", *bad).expect(2).out, b"", f"{bad}")


SHOWN = ("hostname", "port", "escapechar", "serveraliveinterval", "serveralivecountmax",
         "connectionattempts", "requesttty", "connecttimeout", "setenv")


def settings(result):
    """Those of SHOWN that -G tells of."""
    lines = (line.partition(" ") for line in result.expect(0).text.splitlines())
    return [(name, value) for name, _, value in lines if name in SHOWN]


@test
def include(w):
    """As `ssh -G` has it: patterns, several and none, what they are relative to, blocks around an
    Include and inside of one, Match final on both sides, the first value counts."""
    w.write(".ssh/d/1.conf", "Host web*\n  Port 1001\n  SetEnv A=1\nHost other\n  Port 1002\n")
    w.write(".ssh/d/2.conf", "Port 1003\nServerAliveInterval 7\nMatch final\n"
            "  ConnectionAttempts 4\n")
    w.write(".ssh/d/.hidden.conf", "Port 1\n")
    w.write(".ssh/e1/x", "RequestTTY force\n")
    w.write(".ssh/e2/x", "RequestTTY no\n")
    w.write("blank name", "EscapeChar x\n")
    w.write("late", "ConnectTimeout 44\nHost web-1\n  ServerAliveCountMax 9\n"
            "Match host other\n  ServerAliveCountMax 8\n")
    conf = w.write("conf", f"""Host web-2 other
    Include no-such {w.path("no")}/*/such
    include d/[12].conf
    EscapeChar y
Include "{w.path('blank name')}" ~/.ssh/e?/x
Match final host real,other
    Include {w.path("late")}
    ConnectTimeout 55
Host *
    Include d/*.conf d/*.conf
    HostName real
""")
    for host in ("web-1", "web-2", "other", "third"):
        ours = settings(w.eice("ssh", "-F", conf, "-G", host))
        theirs = settings(openssh(w, "ssh", conf, "-G", host))
        wanted = dict(theirs)
        equal({n: v for n, v in ours if n in wanted}, wanted, f"settings of {host}")


@test
def include_depth(w):
    """16 files deep, and no deeper; a file that includes itself."""
    for n in range(17):
        w.write(f".ssh/f{n}", f"Include f{n + 1}\n")
    for name, status in (("f1", 0), ("f0", 255)):
        w.write(".ssh/f17", "Port 77\n")
        conf = w.path(".ssh", name)
        result = w.eice("ssh", "-F", conf, "-G", "web-1").expect(status)
        openssh(w, "ssh", conf, "-G", "web-1").expect(status)
        contains(result.text if status == 0 else result.err,
                 "port 77" if status == 0 else "f16 line 1", name)
    w.write(".ssh/f1", "Include f1\n")
    w.eice("ssh", "-F", w.path(".ssh/f1"), "-G", "web-1").expect(255)
    w.write("bad", "Include /dev\n")
    contains(w.eice("ssh", "-F", w.path("bad"), "-G", "web-1").expect(255).err, "/dev", "no file")


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


def link(w):
    """eice as a program that takes OpenSSH's options."""
    path = w.path("eice-ssh")
    os.symlink(w.program, path)
    return path


@test(seconds=90)
def git_as_documented(w):
    """git-config(1) and git(1): core.sshCommand, GIT_SSH, GIT_SSH_COMMAND, each with both; all the
    forms of an address, and what else goes over the wire."""
    conf = stanzas(w, "web-1")
    program = need("git", "git")
    identity_words = ["-c", "user.name=t", "-c", "user.email=t@a.example", "-c",
                      "init.defaultBranch=main", "-c", "protocol.version=2"]
    home = w.remote_home()
    shutil.rmtree(os.path.join(home, "g.git"), ignore_errors=True)
    w.eice("ssh", "web-1", "git init -q --bare -b main g.git && cd g.git && "
           "git config uploadarchive.allowUnreachable true").expect(0)

    def git(*words, at="one", **variables):
        return w.run([program, *identity_words, "-C", w.path(at), *words],
                     env=w.env(GIT_CONFIG_NOSYSTEM="1", **variables)).expect(0, f"git {words}")

    os.makedirs(w.path("one"))
    w.write("one/file", "first")
    git("init", "-q")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    git("-c", f"core.sshCommand={w.program} ssh", "push", "-q", "web-1:g.git", "main")
    ours = link(w)
    ways = [{"GIT_SSH": ours}, {"GIT_SSH_COMMAND": f"{w.program} ssh"},
            {"GIT_SSH": ours, "GIT_SSH_VARIANT": "ssh"}, {"GIT_SSH_COMMAND": f"ssh -F {conf}"},
            {"GIT_SSH_COMMAND": f"ssh -F {conf}", "GIT_SSH_VARIANT": "ssh"}]
    places = ["web-1:g.git", "ec2-user@web-1:g.git", f"ssh://ec2-user@web-1{home}/g.git",
              "ssh://web-1/~/g.git", "ssh://ec2-user@web-1:22/~ec2-user/g.git"]
    for n, (way, place) in enumerate(zip(ways, places)):
        git("clone", "-q", place, f"clone{n}", at=".", **way)
        w.write(f"clone{n}/file{n}", f"{n}")
        git("add", ".", at=f"clone{n}")
        git("commit", "-q", "-m", f"number {n}", at=f"clone{n}")
        git("push", "-q", at=f"clone{n}", **way)
        git("archive", "--remote", place, "-o", w.path(f"{n}.tar"), "main", **way)
        with tarfile.open(w.path(f"{n}.tar")) as tar:
            check(f"file{n}" in tar.getnames(), f"git archive with {way}")
    git("fetch", "-q", "web-1:g.git", "main", GIT_SSH=ours)
    equal(git("log", "--format=%s", "FETCH_HEAD").text.split("\n")[0], "number 4", "the last one")
    shutil.rmtree(os.path.join(home, "g.git"))


def socks_get(port, to):
    """What a server says that is reached through a SOCKS5 proxy."""
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.sendall(b"\5\1\0")
        equal(sock.recv(2), b"\5\0", "SOCKS")
        sock.sendall(b"\5\1\0\x03\x09localhost" + struct.pack(">H", to))
        answer = b""
        while len(answer) < 10:
            data = sock.recv(10 - len(answer))
            check(data, f"SOCKS ended: {answer}")
            answer += data
        equal(answer[1], 0, "SOCKS")
        return sock.recv(100)


@test(seconds=60)
def vs_code_remote_ssh(w):
    """-V first; then a shell that gets its script from stdin and stays, beside a SOCKS proxy
    through which the editor talks to its server (remote.SSH.enableDynamicForwarding), with -F
    where remote.SSH.configFile is set. Both with remote.SSH.path and with the stanzas."""
    conf = stanzas(w, "web-1")
    ours = link(w)
    w.eice("ssh", "web-1", "true").expect(0)
    own = w.write("own", "Host box\n  HostName web-1\n  User ec2-user\n  ForwardAgent no\n")
    with Server(lambda sock: sock.sendall(b"code server")) as server:
        for program, words in ((ours, ["web-1"]), (ours, ["-F", own, "box"]),
                               (need("ssh", "openssh-client"), ["-F", conf, "web-1"])):
            w.run([program, "-V"]).expect(0)
            with socket.create_server(("127.0.0.1", 0)) as probe:
                port = probe.getsockname()[1]
            process = w.start([program, "-v", "-T", "-D", str(port), "-o", "ConnectTimeout=15",
                               *words, "bash"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            process.stdin.write(b"echo \"a1b2: running\"; echo $((6*7))==; "
                                b"trap 'exit 0' TERM; cat\n")
            equal(process.stdout.readline(), b"a1b2: running\n", "its script")
            equal(process.stdout.readline(), b"42==\n", "its script")
            equal(socks_get(port, server.port), b"code server", "through the proxy")
            process.stdin.write(b"still here\n")
            equal(process.stdout.readline(), b"still here\n", "the shell")
            process.stdin.close()
            equal(process.wait(10), 0, "status")


def ansible(w, *words, methods=("smart",), **variables):
    """Ping, and a file copied there."""
    program = need("ansible", "ansible-core")
    path = w.write("up", os.urandom(100001))
    env = w.env(ANSIBLE_NOCOLOR="1", ANSIBLE_PYTHON_INTERPRETER="/usr/bin/python3", **variables)

    def run(*arguments, said):
        result = w.run([program, "all", "-i", "web-1,", "-u", "ec2-user", "-m", *arguments, *words],
                       env=env, seconds=60).expect(0, f"{arguments}")
        contains(result.text, said, f"{arguments}")

    run("ping", said="SUCCESS")
    place = os.path.join(w.remote_home(), "by-ansible")
    with open(path, "rb") as f:
        wanted = hashlib.sha256(f.read()).digest()
    for method in methods:
        env["ANSIBLE_SSH_TRANSFER_METHOD"] = method
        run("copy", "-a", f"src={path} dest={place}", said="CHANGED")
        with open(place, "rb") as f:
            equal(hashlib.sha256(f.read()).digest(), wanted, f"the file copied by {method}")
        os.unlink(place)


# All ways to transfer that ansible.builtin.ssh documents, two of them only in the long form.
METHODS = ("sftp", "scp", "piped") if os.environ.get("EICE_LONG") == "1" else ("sftp",)


@test(seconds=240)
def ansible_over_ssh_config(w):
    conf = stanzas(w, "web-1")
    ansible(w, methods=METHODS, ANSIBLE_SSH_ARGS=f"-C -F {conf} -o ControlMaster=no")


@test(seconds=240)
def ansible_over_eice(w):
    """Its own options as they are, ControlMaster among them."""
    ours = link(w)
    ansible(w, "-e", f"ansible_ssh_executable={ours}", "-e",
            f"ansible_sftp_extra_args='-S {ours}'", "-e", f"ansible_scp_extra_args='-S {ours}'",
            methods=METHODS, ANSIBLE_HOST_KEY_CHECKING="False")


if __name__ == "__main__":
    sys.exit(main("eice ssh-config"))
