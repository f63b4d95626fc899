#!/usr/bin/python3
"""OpenSSH's programs, rsync and git over `eice proxy` and `eice ssh`.

    tests/e2e_openssh.py [--eice PROGRAM] [name …]
"""

import hashlib
import os
import stat
import subprocess
import sys

from e2elib import MIB, check, contains, equal, eventually, main, need, test
from sim.targets import pattern

WEB = "i-0123456789abcdef0"


def key(w, name="test_id", kind="ed25519"):
    """The path of a new private key; the public one is beside it."""
    path = w.path(name)
    bits = ["-b", "2048"] if kind == "rsa" else []
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", kind, *bits, "-N", "", "-C",
           "tester", "-f", path]).expect(0)
    return path


def config(w, proxy, *lines):
    """An ssh_config for every host; `proxy` are the words behind `eice proxy`."""
    text = ["Host *", f"ProxyCommand {w.program} {proxy} %h %p", "User ec2-user", "BatchMode yes",
            "StrictHostKeyChecking no", f"UserKnownHostsFile {w.path('openssh_hosts')}",
            "GlobalKnownHostsFile /dev/null", "LogLevel ERROR", *lines]
    return w.write("ssh_config", "\n".join(text) + "\n")


def pushing(w, kind="ed25519"):
    """The usual arrangement: a key file, pushed for whatever login is asked for."""
    path = key(w, kind=kind)
    return config(w, f"proxy --push %r:{path}.pub", f"IdentityFile {path}", "IdentitiesOnly yes",
                  "IdentityAgent none")


def openssh(w, program, path, *words, **options):
    return w.run([need(program, "openssh-client"), "-F", path, *words], **options)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def file_digest(path):
    with open(path, "rb") as f:
        return digest(f.read())


def tree(directory):
    """Path and digest of every file."""
    out = {}
    for base, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(base, name)
            out[os.path.relpath(path, directory)] = file_digest(path)
    return out


def make_tree(w, name):
    for number, size in enumerate((0, 1, 32768, 100001, 3 * MIB)):
        w.write(f"{name}/dir {number % 2}/file {number}", pattern(size + number)[number:])
    return w.path(name)


# ssh

@test
def pushed_key_file(w):
    for kind in ("ed25519", "rsa"):
        for name in ("test_id", "test_id.pub"):
            if os.path.exists(w.path(name)):
                os.unlink(w.path(name))
        path = pushing(w, kind)
        result = openssh(w, "ssh", path, "web-1", "echo out; echo err >&2; exit 7").expect(7)
        equal((result.out, result.err), (b"out\n", "err\n"), f"streams with {kind}")
    openssh(w, "ssh", path, "ubuntu@10.20.1.24", "true").expect(0)
    users = [r["params"]["InstanceOSUser"] for r in w.requests("SendSSHPublicKey")]
    equal(users, ["ec2-user", "ec2-user", "ubuntu"], "logins pushed for")


@test(seconds=60)
def big_download(w):
    data = pattern(64 * MIB)
    remote = os.path.join(w.remote_home(), "big")
    with open(remote, "wb") as f:
        f.write(data)
    os.chmod(remote, 0o644)
    result = openssh(w, "ssh", pushing(w), "web-1", "cat big", seconds=60).expect(0)
    equal((len(result.out), digest(result.out)), (len(data), digest(data)), "64 MiB")
    w.note(f"64 MiB in {result.seconds:.1f} s")


@test(seconds=60)
def big_upload(w):
    data = pattern(64 * MIB)
    result = openssh(w, "ssh", pushing(w), "web-1", "sha256sum", data=data, seconds=60).expect(0)
    equal(result.text.split()[0], digest(data), "64 MiB")
    w.note(f"64 MiB in {result.seconds:.1f} s")


@test(seconds=60)
def both_directions_at_once(w):
    data = pattern(16 * MIB)
    result = openssh(w, "ssh", pushing(w), "web-1", "cat", data=data, seconds=60).expect(0)
    equal((len(result.out), digest(result.out)), (len(data), digest(data)), "16 MiB of echo")


@test
def usual_key_file(w):
    """--push USER without a key takes ~/.ssh/id_ed25519.pub."""
    path = key(w)
    with open(path + ".pub", encoding="ascii") as f:
        w.write(".ssh/id_ed25519.pub", f.read())
    conf = config(w, "proxy --push %r", f"IdentityFile {path}", "IdentitiesOnly yes")
    openssh(w, "ssh", conf, "web-1", "true").expect(0)


@test
def missing_key_file(w):
    conf = config(w, f"proxy --push %r:{w.path('missing.pub')}")
    result = openssh(w, "ssh", conf, "web-1", "true").expect(255)
    contains(result.err, "missing.pub", "which file")
    equal(w.requests(), [], "requests")


@test
def pushed_before_the_first_byte(w):
    """The key is there even when the service is slow to take it."""
    w.sim.ctl("fault", kind="latency", action="SendSSHPublicKey", ms=1500)
    openssh(w, "ssh", pushing(w), "web-1", "true").expect(0)


@test
def key_that_cannot_be_pushed(w):
    w.sim.ctl("fault", kind="http-error", action="SendSSHPublicKey", status=400,
              code="EC2InstanceNotFoundException", message="no such instance")
    result = openssh(w, "ssh", pushing(w), "web-1", "true").expect(255)
    contains(result.err, "eice: ", "our reason")


@test
def key_of_an_agent(w):
    agent = w.path("agent")
    process = w.start([need("ssh-agent", "openssh-client"), "-D", "-a", agent],
                      stdout=subprocess.DEVNULL)
    eventually(lambda: os.path.exists(agent), True, "the agent listens")
    env = w.env(SSH_AUTH_SOCK=agent)
    conf = config(w, "proxy --push %r:agent", f"IdentityAgent {agent}")
    empty = openssh(w, "ssh", conf, "web-1", "true", env=env).expect(255)
    contains(empty.err, "agent", "an agent without keys")
    # the first key is of a type that EC2 Instance Connect does not take
    for name, kind in (("test_ec", "ecdsa"), ("test_id", "ed25519")):
        w.run([need("ssh-add", "openssh-client"), "-q", key(w, name, kind)], env=env).expect(0)
    openssh(w, "ssh", conf, "web-1", "true", env=env).expect(0)
    with open(w.path("test_id.pub"), encoding="ascii") as f:
        pushed = w.requests("SendSSHPublicKey")[0]["params"]["SSHPublicKey"]
        equal(pushed.split()[:2], f.read().split()[:2], "key pushed")
    process.terminate()
    process.wait(10)
    result = openssh(w, "ssh", conf, "web-1", "true", env=env).expect(255)
    contains(result.err, "agent", "no agent")


@test
def ephemeral_agent(w):
    """ssh signs through our socket; the key is never in a file."""
    place = w.path("s.sock")
    conf = config(w, f"proxy --agent-socket {place}", f"IdentityAgent {place}",
                  "IdentityFile none")
    process = w.start([need("ssh", "openssh-client"), "-F", conf, "web-1", "echo up; cat"],
                      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    equal(process.stdout.readline(), b"up\n", "first line")
    mode = os.stat(place).st_mode
    equal((stat.S_ISSOCK(mode), stat.S_IMODE(mode)), (True, 0o600), "the socket")
    listed = w.run([need("ssh-add", "openssh-client"), "-L"], env=w.env(SSH_AUTH_SOCK=place))
    pushed = w.requests("SendSSHPublicKey")[0]["params"]["SSHPublicKey"]
    equal(listed.expect(0).text.split()[:2], pushed.split()[:2], "the key it has")
    equal(process.communicate(b"x", timeout=10)[0], b"x", "cat")
    equal(process.returncode, 0, "status")
    eventually(lambda: os.path.exists(place), False, "the socket is there")
    ubuntu = config(w, f"proxy --push %r --agent-socket {place}", f"IdentityAgent {place}",
                    "IdentityFile none")
    openssh(w, "ssh", ubuntu, "ubuntu@10.20.1.24", "true").expect(0)
    equal(len({r["params"]["SSHPublicKey"] for r in w.requests("SendSSHPublicKey")}), 2, "keys")


@test(seconds=60)
def ephemeral_agent_of_rsa(w):
    """For servers that take nothing else; with either hash."""
    place = w.path("s.sock")
    conf = config(w, f"proxy --key-type rsa --agent-socket {place}", f"IdentityAgent {place}",
                  "IdentityFile none")
    for name in ("rsa-sha2-256", "rsa-sha2-512"):
        with w.restart_sshd("web-1", PubkeyAcceptedAlgorithms=name):
            openssh(w, "ssh", conf, "-o", f"PubkeyAcceptedAlgorithms={name}", "web-1",
                    "true").expect(0, name)
    equal([r["params"]["SSHPublicKey"].split()[0] for r in w.requests("SendSSHPublicKey")],
          ["ssh-rsa"] * 2, "pushed")


@test
def agent_socket_in_use(w):
    place = w.write("s.sock", "not a socket")
    result = w.eice("proxy", "--agent-socket", place, "web-1").expect(1)
    contains(result.err, place, "which path")
    equal(w.requests(), [], "requests")
    check(os.path.isfile(place), "a file of the user was removed")


@test
def pushed_by_hand(w):
    path = key(w)
    conf = config(w, "proxy", f"IdentityFile {path}", "IdentitiesOnly yes", "IdentityAgent none")
    openssh(w, "ssh", conf, "web-1", "true").expect(255)
    w.eice("push-key", "web-1", path + ".pub").expect(0)
    openssh(w, "ssh", conf, "web-1", "true").expect(0)


# files

@test
def scp(w):
    conf = pushing(w)
    local = make_tree(w, "up")
    for mode in ("-O", "-s"):
        name = "scp" + mode
        openssh(w, "scp", conf, mode, "-q", "-r", local, f"web-1:{name}").expect(0)
        equal(tree(os.path.join(w.remote_home(), name)), tree(local), f"up with {mode}")
        openssh(w, "scp", conf, mode, "-q", "-r", f"web-1:{name}", w.path(name)).expect(0)
        equal(tree(w.path(name)), tree(local), f"down with {mode}")


@test
def sftp(w):
    conf = pushing(w)
    data = pattern(3 * MIB)
    w.write("a", data)
    batch = w.write("batch", f"mkdir sub\ncd sub\nput {w.path('a')} b\nrename b c\n"
                             f"get c {w.path('d')}\nls -l\n")
    result = openssh(w, "sftp", conf, "-b", batch, "web-1").expect(0)
    contains(result.text, str(len(data)), "the size listed")
    equal(file_digest(w.path("d")), digest(data), "there and back")


def sync(w, shell):
    program = need("rsync", "rsync")
    local = make_tree(w, "up")
    for _ in range(2):
        w.run([program, "-a", "-e", shell, local + "/", "web-1:sync/"]).expect(0)
        equal(tree(os.path.join(w.remote_home(), "sync")), tree(local), "up")
        w.write("up/dir 0/file 2", b"changed")
    w.run([program, "-a", "-z", "--delete", "-e", shell, "ec2-user@web-1:sync/",
           w.path("down")]).expect(0)
    equal(tree(w.path("down")), tree(os.path.join(w.remote_home(), "sync")), "down")
    w.run(["/bin/rm", "-rf", os.path.join(w.remote_home(), "sync")]).expect(0)


@test
def rsync_over_openssh(w):
    path = key(w)
    sync(w, f"ssh -F none -q -i {path} -o IdentitiesOnly=yes -o StrictHostKeyChecking=no "
            f"-o UserKnownHostsFile={w.path('openssh_hosts')} -l ec2-user "
            f"-o 'ProxyCommand={w.program} proxy --push ec2-user:{path}.pub %h %p'")


@test
def rsync_over_eice(w):
    sync(w, f"{w.program} ssh")


def wrapper(w):
    """`eice ssh` as one word, for programs that take no options with it."""
    return w.write("wrapper", f'#!/bin/sh\nexec {w.program} ssh "$@"\n', 0o700)


@test
def scp_and_sftp_over_eice(w):
    """-S: our own client instead of ssh, with the options that scp and sftp give it."""
    place = wrapper(w)
    local = make_tree(w, "up")
    for mode in ("-O", "-s"):
        name = "own" + mode
        w.run([need("scp", "openssh-client"), "-S", place, mode, "-q", "-r", local,
               f"web-1:{name}"]).expect(0)
        equal(tree(os.path.join(w.remote_home(), name)), tree(local), f"scp {mode}")
    batch = w.write("batch", f"get \"own-s/dir 0/file 4\" {w.path('d')}\n")
    w.run([need("sftp", "openssh-client"), "-S", place, "-b", batch, "web-1"]).expect(0)
    equal(file_digest(w.path("d")), file_digest(os.path.join(local, "dir 0/file 4")), "sftp get")


# git

@test
def git_over_eice(w):
    program = need("git", "git")
    env = w.env(GIT_SSH_COMMAND=f"{w.program} ssh", GIT_CONFIG_NOSYSTEM="1",
                GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@example.com", GIT_COMMITTER_NAME="t",
                GIT_COMMITTER_EMAIL="t@example.com")

    def git(*words):
        return w.run([program, *words], env=env).expect(0, f"git {words}")

    w.eice("ssh", "web-1", "rm -rf repo.git && git init -q --bare -b main repo.git").expect(0)
    git("init", "-q", "-b", "main", w.path("one"))
    w.write("one/file", pattern(MIB))
    git("-C", w.path("one"), "add", "file")
    git("-C", w.path("one"), "commit", "-q", "-m", "first")
    git("-C", w.path("one"), "push", "-q", "ec2-user@web-1:repo.git", "main")
    git("clone", "-q", "web-1:repo.git", w.path("two"))
    equal(file_digest(w.path("two/file")), digest(pattern(MIB)), "file in the clone")
    home = w.eice("ssh", "web-1", "pwd").expect(0).text.strip()
    git("clone", "-q", f"ssh://ec2-user@web-1{home}/repo.git", w.path("three"))
    equal(git("-C", w.path("three"), "rev-parse", "main").text,
          git("-C", w.path("one"), "rev-parse", "main").text, "commit")


if __name__ == "__main__":
    sys.exit(main("OpenSSH's programs, rsync and git over eice"))
