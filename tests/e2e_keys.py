#!/usr/bin/python3
"""User keys of `eice ssh`: made for the login, or the user's own.

    tests/e2e_keys.py [--eice PROGRAM] [name …]
"""

import base64
import contextlib
import os
import signal
import subprocess
import sys
import termios
import time

from e2elib import Server, check, contains, equal, eventually, main, need, test

OTHER = "ubuntu@i-0123456789abcdef1"


def pushed(w):
    """Type of each key that was pushed."""
    return [r["params"]["SSHPublicKey"].split()[0] for r in w.requests("SendSSHPublicKey")]


# made for the login

@test(seconds=60)
def made_rsa(w):
    """Also with a server that takes nothing else, as in FIPS mode."""
    w.eice("-q", "ssh", "web-1", "true").expect(0)
    w.eice("ssh", "--key-type", "ed25519", "web-1", "true").expect(0)
    w.eice("ssh", "--key-type=rsa", "web-1", "true").expect(0)
    with w.restart_sshd("web-1", PubkeyAcceptedAlgorithms="rsa-sha2-256,rsa-sha2-512"):
        w.eice("ssh", "--key-type", "rsa", "web-1", "echo in").expect(0)
        w.eice("ssh", "web-1", "true").expect(255, "Ed25519 where only RSA is taken")
    equal(pushed(w), ["ssh-ed25519"] * 2 + ["ssh-rsa"] * 2 + ["ssh-ed25519"], "pushed")


@test(seconds=100)
def one_hash_of_rsa(w):
    """Servers that take one only, though OpenSSH 9.2 names both."""
    path = keygen(w, "rsa", "-t", "rsa", "-b", "2048")
    for name in ("rsa-sha2-256", "rsa-sha2-512"):
        with w.restart_sshd("web-1", PubkeyAcceptedAlgorithms=name), agent(w, path) as env:
            for words in (["--key-type", "rsa"], ["-i", path], ["-i", "agent"]):
                w.eice("-q", "ssh", *words, "web-1", "true", env=w.env(**env)).expect(0, name)
    with w.restart_sshd("web-1", PubkeyAcceptedAlgorithms="ssh-ed25519"):
        told = w.eice("ssh", "-i", path, "web-1", "true").expect(255).err
        contains(told, "rejected the key", "neither")


@test
def made_of_no_type(w):
    for bad in ("dsa", "", "RSA"):
        contains(w.eice("ssh", "--key-type", bad, "web-1").expect(255).err, "ed25519, rsa", bad)
    equal(w.requests(), [], "requests")


# the user's own

def keygen(w, name, *words, passphrase=""):
    path = w.path("test_" + name)
    w.run([need("ssh-keygen", "openssh-client"), "-q", *words, "-N", passphrase, "-C", "me",
           "-f", path]).expect(0)
    return path


def convert(w, name, *words):
    """The same key in a PEM format."""
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-p", *words, "-N", "", "-P", "", "-f",
           name]).expect(0)
    return name


@test(seconds=120)
def own_keys(w):
    """Every kind and format; the pushed key is the one ssh-keygen shows."""
    paths = [keygen(w, "ed", "-t", "ed25519"),
             keygen(w, "rsa2", "-t", "rsa", "-b", "2048"),
             keygen(w, "rsa3", "-t", "rsa", "-b", "3072"),
             convert(w, keygen(w, "pkcs1", "-t", "rsa", "-b", "2048"), "-m", "PEM"),
             convert(w, keygen(w, "pkcs8", "-t", "rsa", "-b", "2048"), "-m", "PKCS8")]
    wanted = []
    for path in paths:
        w.eice("-q", "ssh", "-i", path, "web-1", "echo in").expect(0, path)
        with open(path + ".pub", encoding="ascii") as f:
            wanted.append(f.read().split()[1])
    ed8 = w.path("test_ed8")
    w.run([need("openssl", "openssl"), "genpkey", "-algorithm", "ed25519", "-out", ed8]).expect(0)
    os.chmod(ed8, 0o600)
    w.eice("ssh", "-i" + ed8, "web-1", "true").expect(0)
    got = [r["params"]["SSHPublicKey"].split()[1] for r in w.requests("SendSSHPublicKey")]
    equal(got[:-1], wanted, "pushed")


def known_keys(w, *lines):
    """web-1 knows these keys by itself, without any push."""
    path = os.path.join(w.remote_home(), "test_authorized")
    with open(path, "w", encoding="ascii") as f:
        f.writelines(lines)
    os.chmod(path, 0o644)
    return w.restart_sshd("web-1", AuthorizedKeysFile=path)


def public(w, path):
    """The public half, as ssh-keygen sees it."""
    return w.run([need("ssh-keygen", "openssh-client"), "-y", "-P", "", "-f", path]).expect(0).text


def openssl(w, name, *words):
    path = w.path("test_" + name)
    w.run([need("openssl", "openssl"), *words, "-out", path]).expect(0)
    os.chmod(path, 0o600)
    return path


@test(seconds=120)
def own_ecdsa(w):
    """Never pushed, since nobody would take them; the server knows them, or says no."""
    paths = [keygen(w, "ec256", "-t", "ecdsa", "-b", "256"),
             keygen(w, "ec384", "-t", "ecdsa", "-b", "384"),
             keygen(w, "ec521", "-t", "ecdsa", "-b", "521"),
             convert(w, keygen(w, "sec1", "-t", "ecdsa", "-b", "384"), "-m", "PEM"),
             convert(w, keygen(w, "ec8", "-t", "ecdsa", "-b", "521"), "-m", "PKCS8"),
             openssl(w, "param", "ecparam", "-name", "prime256v1", "-genkey"),
             openssl(w, "gen", "genpkey", "-algorithm", "EC", "-pkeyopt",
                     "ec_paramgen_curve:P-384")]
    with known_keys(w, *(public(w, path) for path in paths)):
        for path in paths:
            w.eice("-q", "ssh", "-i", path, "web-1", "true").expect(0, path)
    told = w.eice("ssh", "-i", paths[0], "web-1", "true").expect(255).err
    contains(told, "authorized_keys", "remedy")
    equal(pushed(w), [], "pushed")


@test
def keys_refused(w):
    """With the file and a remedy, before anything is asked."""
    good = keygen(w, "open", "-t", "ed25519")
    os.chmod(good, 0o640)
    with open(good, encoding="ascii") as f:
        text = f.read()
    cases = [(good, "0640"), (w.path("none"), "no private key file"),
             (openssl(w, "k1", "ecparam", "-name", "secp256k1", "-genkey"), "no Ed25519, ECDSA"),
             (keygen(w, "small", "-t", "rsa", "-b", "1024"), "2048"),
             (w.write("test_short", text[:200]), "no Ed25519"),
             (w.write("empty", ""), "no Ed25519")]
    for path, why in cases:
        result = w.eice("ssh", "-i", path, "web-1", "true").expect(255, path)
        contains(result.err, why, path)
        check(path in result.err, result.err)
    equal(w.requests(), [], "requests")


# behind a passphrase

def asker(w, *answers):
    """The environment of a program that gives these answers in turn, and the list of questions."""
    for number, answer in enumerate(answers):
        w.write(f"answer{number}", answer + "\n")
    script = w.write("askpass", f"""#!/bin/sh
n=$(wc -l <{w.home}/asked)
echo "$1" >>{w.home}/asked
exec cat {w.home}/answer$n
""", 0o700)
    return {"SSH_ASKPASS": script, "SSH_ASKPASS_REQUIRE": "force"}, w.write("asked", "")


def questions(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


@test(seconds=120)
def locked_keys(w):
    """What ssh-keygen encrypts, with the answers of SSH_ASKPASS."""
    paths = [keygen(w, f"lock_{cipher}", "-t", kind, "-Z", cipher, "-a", "4", passphrase="o pen")
             for cipher, kind in (("aes256-ctr", "ed25519"), ("aes256-cbc", "ecdsa"),
                                  ("aes128-ctr", "rsa"), ("aes192-cbc", "ed25519"))]
    with open(paths[1] + ".pub", encoding="ascii") as f, known_keys(w, f.read()):
        for path in paths:
            env, asked = asker(w, "wrong", "o pen")
            w.eice("-q", "ssh", "-i", path, "web-1", "true", env=w.env(**env)).expect(0, path)
            equal(questions(asked), [f"Enter passphrase for key '{path}': "] * 2, "questions")
    equal(pushed(w), ["ssh-ed25519", "ssh-rsa", "ssh-ed25519"], "pushed")
    w.write("test_answered", "data")
    env, asked = asker(w, "o pen")
    w.eice("-q", "cp", "-i", paths[0], "test_answered", "web-1:",
           env=w.env(**env)).expect(0, "cp")


@test(seconds=60)
def locked_out(w):
    """Three tries, and none where nobody can be asked; the remedy fits."""
    path = keygen(w, "lock", "-t", "ed25519", "-a", "2", passphrase="secret")
    env, asked = asker(w, "no", "NO", "Secret", "secret")
    told = w.eice("ssh", "-i", path, "web-1", "true", env=w.env(**env)).expect(255).err
    contains(told, f"not the passphrase of {path}", "three tries")
    equal(len(questions(asked)), 3, "questions")
    alone = [need("setsid", "util-linux"), "-w", w.program, "ssh", "-i", path]
    display = {"DISPLAY": ":1", "SSH_ASKPASS": env["SSH_ASKPASS"]}
    cases = [("batch", ["-o", "BatchMode=yes"], env, "BatchMode", 0),
             ("no terminal, no program", [], {}, "SSH_ASKPASS", 0),
             ("a program, no display", [], {"SSH_ASKPASS": env["SSH_ASKPASS"]}, "SSH_ASKPASS", 0),
             ("never", [], {**display, "SSH_ASKPASS_REQUIRE": "never"}, "SSH_ASKPASS", 0),
             ("a display", [], display, "is not the passphrase", 3),
             ("no answer", [], {**env, "SSH_ASKPASS": "/bin/false"}, "is protected by", 0)]
    for what, words, more, wanted, count in cases:
        _, asked = asker(w, "no", "NO", "")
        told = w.run([*alone, *words, "web-1", "true"], env=w.env(**more)).expect(255, what).err
        contains(told, wanted, what)
        equal(len(questions(asked)), count, what)
    equal(w.requests(), [], "requests")


@test(seconds=60)
def locked_in_pem(w):
    """OpenSSL's own encryption is named, with the command that converts it."""
    plain = keygen(w, "pem", "-t", "rsa", "-b", "2048", "-m", "PEM", passphrase="secret")
    pkcs8 = openssl(w, "pkcs8", "genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:secret")
    for path in (plain, pkcs8):
        told = w.eice("ssh", "-i", path, "web-1", "true").expect(255, path).err
        contains(told, f"ssh-keygen -p -f {path}", path)
        w.run([need("ssh-keygen", "openssh-client"), "-q", "-p", "-P", "secret", "-N", "secret",
               "-f", path]).expect(0, path)
        env, _ = asker(w, "secret")
        w.eice("-q", "ssh", "-i", path, "web-1", "true", env=w.env(**env)).expect(0, path)


@test(seconds=60)
def asked_at_the_terminal(w):
    """Without echo, before anything is sent; the terminal is as before in the end."""
    path = keygen(w, "lock", "-t", "ed25519", "-a", "2", passphrase="s3cret")
    with w.terminal("-q", "ssh", "-i", path, "web-1", "echo in") as t:
        t.expect(f"Enter passphrase for key '{path}': ")
        t.send("wr0ng\n")
        t.expect("Enter passphrase")
        check(not t.modes()[3] & termios.ECHO, "there is an echo")
        t.send("s3cret\n")
        check(b"s3cret" not in t.expect("in\r\n").string, "it was shown")
        equal(t.wait(), 0, "status")
        t.restored("after a login")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with w.terminal("ssh", "-i", path, "web-1", "true") as t:
            t.expect("Enter passphrase")
            check(not t.modes()[3] & termios.ECHO, "there is an echo")
            if number == signal.SIGINT:
                t.send("\x03")
            else:
                os.kill(t.process.pid, number)
            equal(t.wait(), -number, "status")
            t.restored(f"after {number.name}")


# in an agent

@contextlib.contextmanager
def agent(w, *paths):
    """A real ssh-agent with these keys; the environment that names it."""
    at = w.path("agent")
    process = w.start([need("ssh-agent", "openssh-client"), "-D", "-a", at],
                      stdout=subprocess.DEVNULL)
    eventually(lambda: os.path.exists(at), True, "the agent listens")
    env = {"SSH_AUTH_SOCK": at}
    if paths:
        w.run([need("ssh-add", "openssh-client"), "-q", *paths], env=w.env(**env)).expect(0)
    try:
        yield env
    finally:
        process.kill()
        process.wait()
        os.unlink(at)


def blob(path):
    with open(path + ".pub", encoding="ascii") as f:
        return f.read().split()[1]


def pushed_blobs(w):
    return [r["params"]["SSHPublicKey"].split()[1] for r in w.requests("SendSSHPublicKey")]


@test(seconds=120)
def agent_keys(w):
    """The first that can be pushed, or the one that was named in one of four ways."""
    made = {kind: w.path("test_" + kind) for kind in ("ecdsa", "ed25519", "rsa")}
    for kind, path in made.items():
        w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", kind, "-N", "", "-C",
               kind + "@desk", "-f", path]).expect(0)
    prints = w.run(["ssh-keygen", "-lf", made["rsa"] + ".pub"]).text.split()[1]
    with agent(w, *made.values()) as env:
        wanted = []
        for kind, words in (("ed25519", ["-i", "agent"]), ("rsa", ["-i", "agent:rsa@desk"]),
                            ("rsa", ["-i", "agent:" + prints[7:27]]),
                            ("ed25519", ["-i", made["ed25519"] + ".pub"]),
                            ("rsa", ["-o", f"IdentityFile={made['rsa']}.pub"])):
            w.eice("-q", "ssh", *words, "web-1", "true", env=w.env(**env)).expect(0, words)
            wanted.append(blob(made[kind]))
        w.eice("-q", "ssh", "-i", "agent", "-o", "IdentityAgent=" + env["SSH_AUTH_SOCK"], "-o",
               "IdentitiesOnly=yes", "web-1", "true").expect(0, "IdentityAgent")
        w.write("test_data", "data")
        w.eice("-q", "cp", "-i", "agent", "web-1:/etc/hostname", OTHER + ":",
               env=w.env(**env)).expect(0, "two sessions")
        equal(pushed_blobs(w), wanted + [blob(made["ed25519"])] * 3, "pushed")
        with open(made["ecdsa"] + ".pub", encoding="ascii") as f, known_keys(w, f.read()):
            w.eice("-q", "ssh", "-i", "agent:ecdsa", "web-1", "true",
                   env=w.env(**env)).expect(0, "ecdsa")
        equal(len(pushed(w)), len(wanted) + 3, "number pushed")
        w.eice("-q", "push-key", "web-1", "agent:rsa@", env=w.env(**env)).expect(0)
        equal(pushed(w)[-1], "ssh-rsa", "push-key")
        # asked for only: otherwise a key is made
        w.eice("-q", "ssh", "web-1", "true", env=w.env(**env)).expect(0)
        check(pushed_blobs(w)[-1] not in map(blob, made.values()), "the agent was used")


def fake_agent(w, keys, sign):
    """Lists keys, and does with a request to sign what it is told: refuse, wait, or lie."""
    def frame(data):
        return len(data).to_bytes(4, "big") + data

    def serve(connection):
        stream = connection.makefile("rb")
        while head := stream.read(4):
            message = stream.read(int.from_bytes(head, "big"))
            if message[0] == 11:
                body = b"".join(frame(base64.b64decode(key)) + frame(b"fake") for key in keys)
                connection.sendall(frame(b"\x0c" + len(keys).to_bytes(4, "big") + body))
            elif sign == "refuse":
                connection.sendall(frame(b"\x05"))
            elif sign == "lie":
                connection.sendall(frame(b"\x0e" + frame(frame(b"ssh-rsa") + frame(b"x" * 64))))
            elif sign == "wrong":
                connection.sendall(frame(b"\x0e" + frame(frame(b"ssh-ed25519")
                                                         + frame(b"x" * 64))))
            elif sign == "endless":
                connection.sendall(b"\xff\xff\xff\xff")
            elif sign == "leave":
                return
    return Server(serve, w.path("fake"))


@test(seconds=120)
def agents_that_fail(w):
    key = blob(keygen(w, "ed", "-t", "ed25519"))
    cases = [([], "refuse", "holds no Ed25519 or RSA key"), ([key], "refuse", "did not sign"),
             ([key], "lie", "did not sign"), ([key], "endless", "did not sign"),
             ([key], "leave", "did not sign"), ([key], "wrong", "rejected the key"),
             ([key], "wait", "did not sign in time")]
    for keys, sign, wanted in cases:
        with fake_agent(w, keys, sign):
            told = w.eice("--answer-timeout", "3", "ssh", "-i", "agent", "web-1", "true",
                          env=w.env(SSH_AUTH_SOCK=w.path("fake"))).expect(255, sign).err
        os.unlink(w.path("fake"))
        contains(told, wanted, sign)
    w.sim.ctl("clear")
    with Server(lambda connection: connection.recv(1000) and time.sleep(20), w.path("fake")):
        result = w.eice("ssh", "-i", "agent", "web-1", "true",
                        env=w.env(SSH_AUTH_SOCK=w.path("fake"))).expect(255)
        contains(result.err, "does not answer", "silence")
        check(result.seconds < 15, f"it took {result.seconds} s")
    with agent(w) as env:
        for words, more, wanted in ((["-i", "agent"], {}, "SSH_AUTH_SOCK"),
                                    (["-i", "agent"], {"SSH_AUTH_SOCK": "/none"}, "/none"),
                                    (["-i", "agent", "-o", "IdentityAgent=none"], env, "no ssh-a"),
                                    (["-i", "agent:x"], env, "has 0 keys")):
            told = w.eice("ssh", *words, "web-1", "true", env=w.env(**more)).expect(255, words).err
            contains(told, wanted, words)
    equal(w.requests(), [], "requests")


@test(seconds=120)
def forwarded_agent(w):
    """ssh-add on the far side sees the agent of here, and only when it was asked for."""
    path = keygen(w, "ed", "-t", "ed25519")
    there = os.path.join(w.remote_home(), "forwarded.pub")
    with open(path + ".pub", encoding="ascii") as f, open(there, "w", encoding="ascii") as out:
        out.write(f.read())
    os.chmod(there, 0o644)
    with agent(w, path) as env:
        def run(*words, status=0, more=None):
            return w.eice("ssh", *words, env=w.env(**(env if more is None else more))).expect(
                status, words)
        at = env["SSH_AUTH_SOCK"]
        for words in (["-A"], ["-aA"], ["-o", "ForwardAgent=yes"], ["-A", "-o", "ForwardAgent=no"],
                      ["-o", f"ForwardAgent={at}"]):
            contains(run(*words, "web-1", "ssh-add -l").text, "(ED25519)", words)
        for words in ([], ["-Aa"], ["-a", "-o", "ForwardAgent=yes"], ["-o", "ForwardAgent=no"]):
            contains(run(*words, "web-1", "ssh-add -l", status=2).err, "agent", words)
        # signatures, and more connections than channels, one after the other and at a time
        run("-A", "-T", "web-1", f"ssh-add -T {there}")
        many = run("-A", "web-1", "for i in $(seq 40); do ssh-add -l & done; wait; "
                   "for i in $(seq 70); do ssh-add -l; done").text
        equal(many.count("(ED25519)"), 110, "answers")
        told = run("-A", "-tt", "web-1", "ssh-add -l")
        contains(told.text, "(ED25519)", "with a terminal")
        told = run("-A", "web-1", "echo on; ssh-add -l", status=2, more={})
        contains(told.text, "on", "without an agent here")
        contains(told.err, "no ssh-agent to be forwarded", "a word about it")
        with w.restart_sshd("web-1", AllowAgentForwarding="no"):
            contains(run("-A", "web-1", "true").err, "AllowAgentForwarding", "refused")
    os.unlink(there)
    # the agent is gone: programs there see a connection that ends
    gone = {"SSH_AUTH_SOCK": w.path("gone")}
    told = w.eice("ssh", "-A", "web-1", "ssh-add -l || echo over", env=w.env(**gone)).expect(0)
    contains(told.text, "over", "the agent is gone")
    contains(told.err, "No such file", "the agent is gone")


@test
def identity_file(w):
    """The first that is there; -i counts before it; without any a key is made."""
    one, two = (keygen(w, name, "-t", "ed25519") for name in ("one", "two"))
    for words, wanted in ((["-o", f"IdentityFile={one}"], one),
                          (["-o", "IdentityFile=~/none", "-o", "IdentityFile=~/test_two",
                            "-o", f"IdentityFile={one}"], two),
                          (["-o", f"IdentityFile={one}", "-i", two], two)):
        w.eice("-q", "ssh", *words, "web-1", "true").expect(0, words)
        equal(pushed_blobs(w)[-1], blob(wanted), words)
    w.eice("-q", "ssh", "-o", "IdentityFile=~/none", "web-1", "true").expect(0)
    check(pushed_blobs(w)[-1] not in (blob(one), blob(two)), "no key was made")


# with a certificate

def authority(w):
    """The key of one, and a server that trusts it and no key by itself."""
    ca = keygen(w, "ca", "-t", "ed25519")
    there = os.path.join(w.remote_home(), "test_ca.pub")
    with open(ca + ".pub", "rb") as f, open(there, "wb") as out:
        out.write(f.read())
    os.chmod(there, 0o644)
    return ca, there


def certify(w, ca, path, *words, name="ec2-user", valid="-1h:+1h"):
    """ssh-keygen puts FILE-cert.pub beside the key."""
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-s", ca, "-I", "me", "-n", name, "-V",
           valid, *words, path + ".pub"]).expect(0)
    return path + "-cert.pub"


KINDS = (("ed25519", "256"), ("rsa", "2048"), ("rsa", "3072"), ("ecdsa", "256"),
         ("ecdsa", "384"), ("ecdsa", "521"))


@test(seconds=120)
def certificates(w):
    """Of every kind of key: beside the file, named, in the agent; nothing is pushed."""
    ca, there = authority(w)
    paths = [keygen(w, kind + bits, "-t", kind, "-b", bits) for kind, bits in KINDS]
    for path in paths:
        certify(w, ca, path)
    with w.restart_sshd("web-1", TrustedUserCAKeys=there, AuthorizedKeysCommand="none"):
        for path in paths:
            told = w.eice("ssh", "-i", path, "web-1", "true").expect(0, path).err
            check("certificate" not in told, told)
        with agent(w, *paths) as env:
            for words in (["-i", "agent"], ["-i", paths[1] + ".pub"], ["-i", paths[3] + ".pub"],
                          ["-i", paths[1] + "-cert.pub"]):
                w.eice("-q", "ssh", *words, "web-1", "true", env=w.env(**env)).expect(0, words)
        moved = w.path("elsewhere")
        os.rename(paths[1] + "-cert.pub", moved)
        conf = w.write("conf", f"Host *\n  IdentityFile {paths[1]}\n  CertificateFile {moved}\n")
        for words in (["-i", paths[1], "-o", "CertificateFile=" + moved], ["-F", conf]):
            w.eice("-q", "ssh", *words, "web-1", "true").expect(0, words)
        w.write("test_data", "data")
        w.eice("-q", "cp", "-i", paths[0], "test_data", "web-1:").expect(0, "cp")
        equal(pushed(w), [], "pushed")


@test(seconds=60)
def certificates_of_agents(w):
    """An agent that holds the certificate, without one beside the key and without the key."""
    ca, there = authority(w)
    for kind in ("ed25519", "rsa", "ecdsa"):
        path = keygen(w, kind, "-t", kind)
        certify(w, ca, path)
        with agent(w, path) as env:
            # the one that was added last counts
            certify(w, ca, path, valid="-2h:-1h")
            w.run(["ssh-add", "-q", "-D"], env=w.env(**env)).expect(0)
            w.run(["ssh-add", "-q", path], env=w.env(**env)).expect(0)
            certify(w, ca, path)
            w.run(["ssh-add", "-q", path], env=w.env(**env)).expect(0)
            os.unlink(path + "-cert.pub")
            listed = w.run(["ssh-add", "-l"], env=w.env(**env)).text
            contains(listed, "-CERT)", kind)
            with w.restart_sshd("web-1", TrustedUserCAKeys=there, AuthorizedKeysCommand="none"):
                w.eice("-q", "ssh", "-i", "agent:me", "web-1", "true",
                       env=w.env(**env)).expect(0, kind)
                w.eice("-q", "ssh", "-i", path + ".pub", "web-1", "true",
                       env=w.env(**env)).expect(0, kind)
                w.run(["ssh-add", "-q", "-d", path + ".pub"], env=w.env(**env)).expect(0)
                w.eice("-q", "ssh", "-i", "agent:me", "web-1", "true",
                       env=w.env(**env)).expect(0, "without the key")
    equal(pushed(w), [], "pushed")
    with agent(w) as env:
        path = keygen(w, "more", "-t", "ed25519")
        certify(w, ca, path)
        w.run(["ssh-add", "-q", path], env=w.env(**env)).expect(0)
        w.run(["ssh-add", "-q", "-d", path + ".pub"], env=w.env(**env)).expect(0)
        os.unlink(path + "-cert.pub")
        # its key signs, and is what gets pushed
        w.eice("-q", "ssh", "-i", "agent", "web-1", "true", env=w.env(**env)).expect(0)
        equal(pushed_blobs(w), [blob(path)], "pushed")


@test(seconds=120)
def certificates_refused(w):
    """By the server: the key is pushed and tried, within four tries."""
    ca, there = authority(w)
    for kind in ("ed25519", "rsa"):
        path = keygen(w, kind, "-t", kind)
        for valid, name, word in (("-2h:-1h", "ec2-user", "expired by the clock"),
                                  ("+1h:+2h", "ec2-user", "not valid yet by the clock"),
                                  ("-1h:+1h", "root", "")):
            certify(w, ca, path, valid=valid, name=name)
            with w.restart_sshd("web-1", TrustedUserCAKeys=there, MaxAuthTries="4"):
                told = w.eice("ssh", "-i", path, "web-1", "true").expect(0, valid).err
            contains(told, word, valid)
            equal(pushed_blobs(w)[-1], blob(path), "pushed")
    equal(pushed(w), ["ssh-ed25519"] * 3 + ["ssh-rsa"] * 3, "pushed")
    with w.restart_sshd("web-1", TrustedUserCAKeys=there, AuthorizedKeysCommand="none"):
        told = w.eice("ssh", "-i", path, "web-1", "true").expect(255).err
        contains(told, "rejected the certificate and the key", "both")


@test(seconds=60)
def certificates_broken(w):
    """A word that names the file, and the key is used as without."""
    ca, there = authority(w)
    path = keygen(w, "ed", "-t", "ed25519")
    other = keygen(w, "other", "-t", "ed25519")
    beside = path + "-cert.pub"
    with open(certify(w, ca, other), encoding="ascii") as f:
        text = f.read()
    host = keygen(w, "host", "-t", "ed25519")
    with open(certify(w, ca, path, "-h"), encoding="ascii") as f:
        of_host = f.read()
    kind, data, *_ = text.split()
    raw = base64.b64decode(data)
    cases = [(text, "of another key"), (of_host, "of a host"), ("", "no certificate"),
             ("x" * 70000, "no certificate"), (text[:300], "no certificate"),
             (f"{kind} {base64.b64encode(raw + b'x').decode()}", "no certificate"),
             *((f"{kind} {base64.b64encode(raw[:n]).decode()}", "no certificate")
               for n in (40, 80, 120, 150, len(raw) - 1))]
    with open(host + ".pub", encoding="ascii") as f:
        cases.append((f.read(), "no certificate"))
    with w.restart_sshd("web-1", TrustedUserCAKeys=there):
        for content, why in cases:
            w.write(os.path.basename(beside), content)
            told = w.eice("ssh", "-i", path, "web-1", "true").expect(0, why).err
            contains(told, why, content[:40])
            check(beside in told, told)
        os.unlink(beside)
        told = w.eice("ssh", "-i", path, "-o", f"CertificateFile={w.path('none')}", "web-1",
                      "true").expect(0).err
        contains(told, w.path("none") + " is no certificate", "absent")
        equal(pushed_blobs(w), [blob(path)] * (len(cases) + 1), "pushed")
        told = w.eice("ssh", "-o", "CertificateFile=" + other + "-cert.pub", "web-1",
                      "true").expect(0).err
        contains(told, "needs -i or IdentityFile", "alone")


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0]))
