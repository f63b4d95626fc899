#!/usr/bin/python3
"""Keys, known_hosts and the agent against OpenSSH's own programs.

    keys_openssh.py HELPER [WORD]

HELPER is the program made of keys_helper.c; WORD runs only the tests whose name has it.  Prints
PASS, FAIL or SKIP lines.
"""

import base64
import glob
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile

UID = os.getuid() or 47024
USER = "tester"
SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"  # RFC 8032 7.1, TEST 2
KINDS = [("ed25519", 256), ("rsa", 1024), ("rsa", 2048), ("rsa", 4096), ("ecdsa", 256),
         ("ecdsa", 384), ("ecdsa", 521), ("dsa", 1024)]


class Failure(Exception):
    pass


class Bench:
    """A directory of keys, and the helper."""

    def __init__(self, helper, path):
        self.helper, self.path = os.path.abspath(helper), path
        self.keys = {}
        for kind, bits in KINDS:
            name = "%s%d" % (kind, bits)
            if self.run("ssh-keygen", "-q", "-t", kind, "-b", str(bits), "-N", "",
                        "-C", "a comment of " + name, "-f", self.file(name)).returncode == 0:
                self.keys[name] = self.read(name + ".pub")

    def file(self, name):
        return os.path.join(self.path, name)

    def read(self, name):
        with open(self.file(name), encoding="ascii") as f:
            return f.read()

    def write(self, name, text):
        with open(self.file(name), "w", encoding="ascii") as f:
            f.write(text)
        return self.file(name)

    def run(self, *args, **more):
        return subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False, **more)

    def ours(self, *args, key=""):
        done = self.run(self.helper, *args, input=key)
        if done.returncode != 0:
            raise Failure("%s: %s" % (" ".join(args), done.stderr.strip()))
        return done.stdout

    def pair(self, name):
        """Type and base64 of a key."""
        return " ".join(self.keys[name].split()[:2])


def same(what, got, want):
    if got != want:
        raise Failure("%s: %r, expected %r" % (what, got, want))


# --- keys -------------------------------------------------------------------

def fingerprints(bench):
    for name, line in bench.keys.items():
        theirs = bench.run("ssh-keygen", "-lf", bench.file(name + ".pub")).stdout.split()
        same(name, bench.ours("key", key=line),
             "%s %s %s\n" % (theirs[1], line.split()[0], "a comment of " + name))
    same("number of kinds of key", len(bench.keys) >= 7, True)


def broken_keys(bench):
    """What ssh-keygen takes for a key we take for one, at every truncation and more."""
    kind, text, comment = bench.keys["ed25519256"].split(maxsplit=2)
    raw = base64.b64decode(text)
    blobs = [raw[:n] for n in range(len(raw) + 1)] + [raw + b"\0", raw[:18] + b"\x1f" + raw[19:]]
    for blob in blobs:
        line = "%s %s %s" % (kind, base64.b64encode(blob).decode(), comment)
        theirs = bench.run("ssh-keygen", "-lf", bench.write("broken.pub", line)).returncode
        ours = bench.run(bench.helper, "key", input=line).returncode
        same("%d bytes" % len(blob), ours == 0, theirs == 0)


def private_keys(bench):
    """Each format; cut short anywhere and with bytes changed it does no harm."""
    for name, bits in (("ed25519256", 0), ("rsa2048", 2048), ("rsa4096", 4096),
                       ("ecdsa256", 256), ("ecdsa384", 384), ("ecdsa521", 521)):
        for form in ("", "PKCS8", "PEM") if bits else ("",):
            path = bench.write("private", bench.read(name))
            os.chmod(path, 0o600)
            if form:
                same(form, bench.run("ssh-keygen", "-q", "-p", "-N", "", "-P", "", "-m", form,
                                     "-f", path).returncode, 0)
            step = bits // (4 if "ecdsa" in name else 16) or 1
            same(name + form, bench.ours("private", str(step),
                                         key=bench.read("private")).strip(), bench.pair(name))
    pkcs8 = bench.run("openssl", "genpkey", "-algorithm", "ed25519").stdout
    path = bench.write("private", pkcs8)
    os.chmod(path, 0o600)
    bench.ours("private", "1", key=pkcs8)
    for cipher in ("aes256-ctr", "aes256-cbc", "aes192-ctr", "aes192-cbc", "aes128-ctr",
                   "aes128-cbc"):
        path = bench.write("private", bench.read("ecdsa256"))
        os.chmod(path, 0o600)
        same(cipher, bench.run("ssh-keygen", "-q", "-p", "-N", "a word", "-P", "", "-Z", cipher,
                               "-a", "3", "-f", path).returncode, 0)
        same(cipher, bench.ours("unlock", "a word", key=bench.read("private")).strip(),
             bench.pair("ecdsa256"))
    for name in ("rsa1024", "dsa1024"):
        if name in bench.keys:
            same(name, bench.run(bench.helper, "private", "1",
                                 input=bench.read(name)).returncode, 2)


# --- known_hosts ------------------------------------------------------------

HOSTS = ["i-0123456789abcdef0", "i-0fedcba9876543210", "plain.example", "PLAIN.example",
         "first.list", "third.list", "a.wild.example", "bad.wild.example", "wild.example",
         "10.0.0.7", "10.0.0.77", "fd00::1", "[port.example]:2222", "port.example",
         "[port.example]:22", "ca.example", "revoked.example", "unknown.example", "last.example"]


def known_hosts_lines(bench):
    key = bench.pair
    return ["# a comment", "",
            "i-0123456789abcdef0 " + key("ed25519256"),
            "i-0123456789abcdef0 " + key("ecdsa256") + " with a comment",
            "i-0123456789abcdef0 " + key("rsa2048") + "\r",
            "plain.example\t" + key("rsa4096"),
            "first.list,second.list,third.list " + key("ecdsa384"),
            "*.wild.example,!bad.wild.example " + key("ecdsa521"),
            "10.0.0.? " + key("ed25519256"),
            "fd00::1 " + key("ed25519256"),
            "[port.example]:2222 " + key("ed25519256"),
            "plain.example ssh-ed25519 AAAAgarbage",
            "plain.example",
            "plain.example ssh-rsa " + key("ed25519256").split()[1],
            "@cert-authority ca.example " + key("ed25519256"),
            "@revoked revoked.example " + key("ed25519256"),
            "@unknown plain.example " + key("ed25519256"),
            "   last.example " + key("ed25519256")]


def is_key(bench, pair):
    """-F prints what -l, and ssh, refuse to read."""
    path = bench.write("one.pub", " ".join(pair) + "\n")
    return bench.run("ssh-keygen", "-lf", path).returncode == 0


def find(bench, path, host):
    """What ssh-keygen -F finds: line numbers and keys, the marked ones apart."""
    out = bench.run("ssh-keygen", "-F", host, "-f", path).stdout.splitlines()
    plain, revoked = [], []
    for note, line in zip(out[::2], out[1::2]):
        found = re.match(r"# Host .* found: line (\d+) ?(CA|REVOKED)?", note)
        if found.group(2) == "REVOKED":
            revoked.append((int(found.group(1)), line.split()[2:4]))
        elif found.group(2) is None and is_key(bench, line.split()[1:3]):
            plain.append((int(found.group(1)), line.split()[1:3]))
    return plain, revoked


def verdict(key, plain, revoked):
    """The rule, applied to what ssh-keygen found."""
    pair = key.split()[:2]
    hits = ([("revoked", n) for n, k in revoked if k == pair]
            or [("match", n) for n, k in plain if k == pair]
            or [("changed", n) for n, k in plain if k[0] == pair[0]]
            or [("other", n) for n, k in plain])
    return "%s %d\n" % hits[0] if hits else "unknown 0\n"


def compare_file(bench, path, hosts=None):
    found = 0
    for host in hosts or HOSTS:
        # as ssh does before it looks: ssh-keygen -F takes the name as it is
        plain, revoked = find(bench, path, host.lower())
        found += len(plain) + len(revoked)
        same("types of " + host, bench.ours("types", path, host).split(),
             [k[0] for _, k in plain])
        for name, key in bench.keys.items():
            same("%s for %s" % (name, host), bench.ours("check", path, host, key=key),
                 verdict(key, plain, revoked))
    return found


def known_hosts(bench):
    path = bench.write("known_hosts", "\n".join(known_hosts_lines(bench)))
    same("entries found", compare_file(bench, path), 13)


def hashed(bench):
    """ssh-keygen -H splits lists, and hashes all but patterns and marked lines."""
    lines = [s for s in known_hosts_lines(bench)
             if not re.match(r"plain.example( ssh-|$)|@unknown", s)]
    path = bench.write("hashed", "\n".join(lines) + "\n")
    same("ssh-keygen -H", bench.run("ssh-keygen", "-H", "-f", path).returncode, 0)
    same("hashed", bench.read("hashed").count("|1|") >= 8, True)
    same("entries found", compare_file(bench, path), 13)


def line_writer(bench):
    for host in ("i-0123456789abcdef0", "10.0.0.1", "fd00::1", "[h.example]:2222"):
        for name, key in bench.keys.items():
            text = bench.ours("line", host, key=key)
            path = bench.write("line", text)
            same("-F %s %s" % (host, name), find(bench, path, host),
                 ([(1, key.split()[:2])], []))
            same("check", bench.ours("check", path, host, key=key), "match 1\n")


# --- agent ------------------------------------------------------------------

class Agent:
    def __init__(self, bench, step=4096):
        self.bench, self.step = bench, step
        self.socket = bench.file("agent%d" % step)

    def __enter__(self):
        self.process = subprocess.Popen([self.bench.helper, "agent", self.socket, SEED,
                                         str(self.step)], stdout=subprocess.PIPE, text=True)
        self.line = self.process.stdout.readline()
        self.environment = dict(os.environ, SSH_AUTH_SOCK=self.socket)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        os.unlink(self.socket)

    def run(self, *args, **more):
        return self.bench.run(*args, env=self.environment, **more)

    def talk(self, data, want):
        """Sends bytes, reads `want` bytes or up to the end."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(self.socket)
            s.sendall(data)
            got = b""
            while len(got) < want:
                more = s.recv(4096)
                if not more:
                    break
                got += more
        return got


def agent_list(bench):
    for step in (1, 7, 4096):
        with Agent(bench, step) as agent:
            same("ssh-add -L", agent.run("ssh-add", "-L").stdout, agent.line)
            print_of = bench.ours("key", key=agent.line).split()[0]
            same("ssh-add -l", agent.run("ssh-add", "-l").stdout.split()[1], print_of)


def agent_sign(bench):
    for step in (1, 4096):
        with Agent(bench, step) as agent:
            public = bench.write("agent.pub", agent.line)
            bench.write("allowed", "me " + agent.line)
            message = "a message\n" * 10000
            bench.write("message", message)
            if os.path.exists(bench.file("message.sig")):
                os.unlink(bench.file("message.sig"))
            done = agent.run("ssh-keygen", "-Y", "sign", "-f", public, "-n", "test",
                             bench.file("message"))
            same("sign: " + done.stderr, done.returncode, 0)
            for text, status in ((message, 0), (message + "x", 255)):
                done = bench.run("ssh-keygen", "-Y", "verify", "-f", bench.file("allowed"),
                                 "-I", "me", "-n", "test", "-s", bench.file("message.sig"),
                                 input=text)
                same("verify: " + done.stderr, done.returncode, status)


def agent_refuses(bench):
    """Nothing but the two requests: no key comes in, none goes out."""
    with Agent(bench) as agent:
        for args in (["ssh-add", bench.file("ed25519256")], ["ssh-add", "-D"],
                     ["ssh-add", "-d", bench.file("ed25519256")], ["ssh-add", "-X"],
                     ["ssh-add", "-e", "/usr/lib/none.so"]):
            done = agent.run(*args, input="secret\n")
            if done.returncode == 0:
                raise Failure("%s was accepted" % " ".join(args))
        other = bench.write("other.pub", bench.keys["ed25519256"])
        os.rename(bench.file("ed25519256"), bench.file("away"))
        bench.write("message", "x")
        done = agent.run("ssh-keygen", "-Y", "sign", "-f", other, "-n", "t", bench.file("message"))
        os.rename(bench.file("away"), bench.file("ed25519256"))
        same("signed with a key it has not", done.returncode != 0, True)
        same("ssh-add -L", agent.run("ssh-add", "-L").stdout, agent.line)


def agent_wire(bench):
    failure = b"\0\0\0\1\5"
    with Agent(bench) as agent:
        same("two at once", agent.talk(b"\0\0\0\1\0" * 2, 10), failure * 2)
        same("empty", agent.talk(b"\0\0\0\0", 1), b"")
        same("too long", agent.talk(struct.pack(">I", 4097), 1), b"")
        same("the longest", agent.talk(struct.pack(">I", 4096) + b"\x1b" * 4096, 5), failure)
        same("ssh-add -L", agent.run("ssh-add", "-L").stdout, agent.line)


SSHD = """\
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {dir}/authorized
HostKey {dir}/hostkey
PidFile none
"""


def server_command(directory):
    """sshd on stdin and stdout, never with privileges; None where parts are missing."""
    found = glob.glob("/usr/lib/*/libnss_wrapper.so") + glob.glob("/usr/lib/libnss_wrapper.so")
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
    if not found or not sshd:
        return None
    lend = "setpriv --reuid=%d --regid=%d --clear-groups " % (UID, UID)
    return ("%senv LD_PRELOAD=%s NSS_WRAPPER_PASSWD=%s/passwd NSS_WRAPPER_GROUP=%s/group "
            "%s -i -e -f %s/config" % (lend if os.getuid() == 0 else "", found[0], directory,
                                       directory, sshd, directory))


def make_server(bench, directory, authorized):
    bench.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory + "/hostkey")
    for name, text in (("config", SSHD.format(dir=directory)), ("authorized", authorized),
                       ("passwd", "%s:x:%d:%d::%s:/bin/sh\n" % (USER, UID, UID, directory)),
                       ("group", "%s:x:%d:\n" % (USER, UID))):
        with open(os.path.join(directory, name), "w", encoding="ascii") as f:
            f.write(text)
    for name in os.listdir(directory):
        os.chown(os.path.join(directory, name), UID, -1)
    os.chown(directory, UID, -1)


def log_in(agent, command, known_hosts_path, *options):
    return agent.run("ssh", "-F", "/dev/null", "-o", "ProxyCommand=" + command,
                     "-o", "UserKnownHostsFile=" + known_hosts_path,
                     "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes",
                     "-o", "BatchMode=yes", "-o", "IdentityAgent=" + agent.socket, *options,
                     USER + "@i-0123456789abcdef0", "echo in", stdin=subprocess.DEVNULL)


def ssh_login(bench):
    """OpenSSH logs in with our agent, and trusts the host by our line."""
    with tempfile.TemporaryDirectory(prefix="eice-keys-") as directory, \
            Agent(bench, 3) as agent:
        command = server_command(directory)
        if command is None:
            return "no sshd or no libnss-wrapper"
        make_server(bench, directory, agent.line)
        with open(directory + "/hostkey.pub", encoding="ascii") as f:
            known = bench.write("known", bench.ours("line", "i-0123456789abcdef0", key=f.read()))
        for hashed_file in (False, True):
            if hashed_file:
                bench.run("ssh-keygen", "-H", "-f", known)
            done = log_in(agent, command, known)
            same("login: " + done.stderr[-300:], done.stdout, "in\n")
        done = log_in(agent, command, known, "-o", "HostKeyAlias=i-0other")
        same("another host", done.returncode, 255)
    return None


CASES = [fingerprints, broken_keys, private_keys, known_hosts, hashed, line_writer, agent_list,
         agent_sign, agent_refuses, agent_wire, ssh_login]


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="eice-keys-") as directory:
        bench = Bench(sys.argv[1], directory)
        for case in CASES:
            name = "keys_" + case.__name__
            if len(sys.argv) == 3 and sys.argv[2] not in name:
                continue
            try:
                skip = case(bench)
                print("SKIP %s: %s" % (name, skip) if skip else "PASS " + name, flush=True)
            except (Failure, OSError, subprocess.SubprocessError) as e:
                failed += 1
                print("FAIL %s: %s" % (name, e), flush=True)
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
