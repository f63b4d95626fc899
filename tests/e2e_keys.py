#!/usr/bin/python3
"""User keys of `eice ssh`: made for the login, or the user's own.

    tests/e2e_keys.py [--eice PROGRAM] [name …]
"""

import os
import signal
import sys
import termios

from e2elib import check, contains, equal, main, need, test


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
    w.eice("-q", "cp", "-i", paths[0], "test_answered", "web-1:/tmp/",
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


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0]))
