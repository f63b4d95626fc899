#!/usr/bin/python3
"""OpenSSH's habits: its options and its ssh_config words in `eice ssh`.

    tests/e2e_options.py [--eice PROGRAM] [name …]
"""

import os
import sys
import threading

from e2elib import check, contains, equal, main, matches, need, test

from sim.targets import pattern

WEB = "i-0123456789abcdef0"


def known(w, *targets):
    """A first connection, so that no host key is new later."""
    for target in targets or ("web-1",):
        w.eice("-q", "ssh", target, "true").expect(0)


def shown(result):
    """The settings of -G: a list of values for each word."""
    out = {}
    for line in result.expect(0).text.splitlines():
        name, _, value = line.partition(" ")
        out.setdefault(name, []).append(value)
    return out


# letters

@test
def letters_that_change_nothing(w):
    known(w)
    words = ["-C", "-x", "-a", "-k", "-K", "-M", "-S", w.path("none"), "-F", "none", "-F",
             "/dev/null"]
    result = w.eice("ssh", *words, "web-1", "echo", "in").expect(0)
    equal((result.text, result.err), ("in\n", ""), "what is said")


@test
def letters_in_a_row(w):
    """As getopt reads them: together, with the value attached or apart, behind the host too."""
    known(w)
    lines = [(["-qTp22", "web-1"], "22"), (["-qT", "-p", "22", "web-1", "-x"], "22"),
             (["web-1", "-qp22", "-T"], "22"), (["-oUser=ubuntu", "web-1"], "ubuntu"),
             (["--", "web-1", "-l", "ubuntu"], "ubuntu"), (["web-1", "-lubuntu", "--"], "ubuntu")]
    for words, wanted in lines:
        if wanted == "22":
            result = w.eice("ssh", *words, "echo", "-p", "1").expect(0, f"{words}")
            equal(result.text, "-p 1\n", f"{words}")
        contains(w.eice("ssh", "-G", *words).expect(0).text, f" {wanted}\n", f"-G {words}")


@test
def the_first_one_counts(w):
    for words, port, user in ((["-p", "22", "-p", "23", "-l", "a", "b@web-1"], "22", "a"),
                              (["-oPort=24", "-p", "23", "-oUser=c", "b@web-1"], "24", "c"),
                              (["-o", "Port 25", "-o", "port=26", "b@web-1"], "25", "b")):
        got = shown(w.eice("ssh", "-G", *words))
        equal((got["port"], got["user"]), ([port], [user]), f"{words}")


@test
def missing_features_are_named(w):
    known(w)
    for letter, what in (("-X", "X11"), ("-Y", "X11")):
        result = w.eice("ssh", letter, "web-1", "echo in").expect(0)
        equal(result.text, "in\n", letter)
        contains(result.err, what, letter)
        check("not supported" in result.err, f"{letter}: {result.err}")
    count = len(w.requests())
    for words in (["-w", "0:0"], ["-I", "/lib/x.so"], ["-b", "10.0.0.1"], ["-B", "eth0"], ["-y"]):
        result = w.eice("ssh", *words, "web-1", "true").expect(255, f"{words}")
        contains(result.err, f"eice: {words[0]}: ", f"{words}")
    equal(len(w.requests()), count, "requests of refused lines")


@test
def version_and_lists(w):
    result = w.eice("ssh", "-V").expect(0)
    equal(result.out, b"", "stdout of -V")
    matches(result.err, r"^eice \d+\.\d+\.\d+\n$", "-V")
    own = set(w.eice("ssh", "-Q", "help").expect(0).text.split())
    equal(own, {"cipher", "mac", "kex", "key", "protocol-version", "help"}, "-Q help")
    for name in ("cipher", "mac", "kex"):
        got = w.eice("ssh", "-Q", name).expect(0).text.split()
        theirs = w.run([need("ssh", "openssh-client"), "-Q", name]).expect(0).text.split()
        equal(sorted(set(got) - set(theirs)), [], f"-Q {name}: OpenSSH knows them not")
    contains(w.eice("ssh", "-Q", "bogus").expect(255).err, "bogus", "-Q bogus")


@test
def no_master(w):
    """-O answers as OpenSSH does where no master runs, word by word."""
    ssh = need("ssh", "openssh-client")
    for command in ("check", "exit", "stop"):
        for path in ([], ["-S", "none"], ["-S", w.path("mux")],
                     ["-o", f"ControlPath={w.path('mux')}"]):
            ours = w.eice("ssh", *path, "-O", command, "web-1")
            theirs = w.run([ssh, "-F", "none", *path, "-O", command, "web-1"])
            equal((ours.status, ours.out, ours.err.strip()),
                  (theirs.status, theirs.out, theirs.err.strip()), f"{path} -O {command}")
    contains(w.eice("ssh", "-O", "dance", "web-1").expect(255).err, "dance", "-O dance")
    equal(w.requests(), [], "requests")


@test
def log_file(w):
    """-E takes what is ours; the remote stderr stays where it was; what was there stays."""
    log = w.write("log", "before\n")
    result = w.eice("ssh", "-v", "-E", log, "web-1", "echo out; echo err >&2").expect(0)
    equal((result.out, result.err), (b"out\n", "err\n"), "streams")
    with open(log, encoding="utf-8") as f:
        text = f.read()
    check(text.startswith("before\n"), "it was overwritten")
    contains(text, "eice: ", "our lines")
    contains(text, WEB, "the new host key")
    bad = w.eice("ssh", "-E", "/nonexistent/x", "web-1", "true").expect(255)
    contains(bad.err, "/nonexistent/x", "which file")


@test
def address_family(w):
    known(w)
    w.eice("ssh", "-4", "web-1", "true").expect(0)
    w.eice("ssh", "-o", "AddressFamily=inet", "web-1", "true").expect(0)
    equal(shown(w.eice("ssh", "-6", "-G", "web-1"))["addressfamily"], ["inet6"], "-6")
    rules = w.env()["EICE_CONNECT_TO"].replace("127.0.0.1", "only4.test")
    env = w.env(EICE_HOSTS=w.write("hosts", "127.0.0.1 only4.test\n"), EICE_CONNECT_TO=rules,
                EICE_RESOLV_CONF=w.write("resolv", "nameserver 127.0.0.1\noptions timeout:1\n"))
    w.eice("ssh", "-4", "web-1", "true", env=env).expect(0)
    result = w.eice("ssh", "-6", "web-1", "true", env=env).expect(255)
    contains(result.err, "only4.test", "a name without IPv6 address")


# words

@test
def environment(w):
    """SendEnv's patterns and SetEnv; nothing unasked."""
    known(w)
    env = w.env(LC_ONE="1", LC_TWO="2 2", EICE_TEST_A="a", EICE_TEST_B="b", OTHER="x")
    show = "env | grep -E '^(LC_(ONE|TWO)|EICE_TEST_|OTHER)' | sort | tr '\\n' ';'"
    cases = [
        ([], ""),
        (["-o", "SendEnv=LC_ONE"], "LC_ONE=1;"),
        (["-o", "SendEnv=LC_* OTHER"], "LC_ONE=1;LC_TWO=2 2;"),
        (["-o", "SendEnv LC_*", "-o", "SendEnv EICE_TEST_?", "-o", "SendEnv -LC_*"],
         "EICE_TEST_A=a;EICE_TEST_B=b;"),
        (["-o", 'SetEnv=EICE_TEST_C="c c" LC_ONE=set'], "EICE_TEST_C=c c;LC_ONE=set;"),
        (["-o", 'SetEnv="EICE_TEST_C=c c" LC_ONE=set', "-o", "SendEnv=LC_ONE"],
         "EICE_TEST_C=c c;LC_ONE=set;"),
    ]
    for words, wanted in cases:
        got = w.eice("ssh", *words, "web-1", show, env=env).expect(0, f"{words}").text
        equal(got, wanted, f"{words}")
    contains(w.eice("ssh", "-o", "SetEnv=X", "web-1").expect(255).err, "NAME=VALUE", "SetEnv X")


@test
def words(w):
    known(w)
    result = w.eice("ssh", "-o", "RemoteCommand=echo a   b", "-o", "StdinNull=yes", "web-1",
                    data=b"x").expect(0)
    equal(result.text, "a b\n", "RemoteCommand")
    result = w.eice("ssh", "-o", "RemoteCommand=x", "web-1", "true").expect(255)
    contains(result.err, "RemoteCommand", "two commands")
    equal(w.eice("ssh", "-o", "LogLevel=QUIET", "web-1", "kill -9 $$").expect(255).err, "",
          "LogLevel QUIET")
    contains(w.eice("ssh", "-o", "LogLevel=DEBUG", "web-1", "true").expect(0).err, " ms ",
             "LogLevel DEBUG")
    got = shown(w.eice("ssh", "-G", "-o", "EscapeChar=^]", "-o", "RequestTTY=force", "-o",
                       "ServerAliveInterval=7", "-o", "ConnectionAttempts=3", "-o",
                       "ServerAliveCountMax=5", "-o",
                       "ConnectTimeout=9", "-o", "SendEnv=LANG LC_*", "web-1"))
    for name, value in (("escapechar", "^]"), ("requesttty", "force"),
                        ("serveraliveinterval", "7"), ("connectionattempts", "3"),
                        ("connecttimeout", "9"), ("rekeylimit", "0 0"),
                        ("serveralivecountmax", "5")):
        equal(got[name], [value], name)
    equal(got["sendenv"], ["LANG", "LC_*"], "sendenv")
    for bad in ("RequestTTY=maybe", "Port=0", "StdinNull=2", "ServerAliveInterval=x", "Bogus=1",
                "User="):
        contains(w.eice("ssh", "-o", bad, "web-1", "true").expect(255).err, bad.split("=")[0], bad)


@test
def host_key_alias(w):
    w.eice("ssh", "-o", "HostKeyAlias=front", "web-1", "true").expect(0)
    found = w.run([need("ssh-keygen", "openssh-client"), "-F", "front", "-f", w.known_hosts])
    check(found.status == 0, "the alias is not in the file")
    w.eice("ssh", "-o", "HostKeyAlias=front", "-o", "StrictHostKeyChecking=yes", "web-1",
           "true").expect(0)
    w.eice("ssh", "-o", "StrictHostKeyChecking=yes", "web-1", "true").expect(255)
    contains(w.eice("ssh", "-o", "HostKeyAlias=a\nb", "web-1", "true").expect(255).err, "a",
             "a bad name")


@test
def algorithms(w):
    known(w)
    for words in (["-c", "aes256-ctr", "-m", "hmac-sha2-512"], ["-o", "Ciphers=aes128-ctr"],
                  ["-o", "KexAlgorithms=ecdh-sha2-nistp256"]):
        w.eice("ssh", *words, "web-1", "true").expect(0, f"{words}")
    before = len(w.requests())
    for words, known_one in ((["-c", "bogus"], "aes256-ctr"),
                             (["-o", "MACs=+hmac-sha1,bogus", "-c", "aes256-ctr"], "hmac-sha1"),
                             (["-o", "HostKeyAlgorithms=^bogus"], "ssh-rsa"),
                             (["-o", "KexAlgorithms=bogus"], "curve25519-sha256")):
        result = w.eice("ssh", *words, "web-1", "true").expect(255, f"{words}")
        contains(result.err, ": no such algorithm: bogus", f"{words}")
        matches(result.err, f"known are .*{known_one}", f"the remedy of {words}")
    contains(w.eice("ssh", "-c", "aes128-cbc", "web-1", "true").expect(255).err,
             "Ciphers: nothing of this is here: aes128-cbc", "a list of which nothing is left")
    equal(len(w.requests()), before, "requests made with bad lists")
    got = shown(w.eice("ssh", "-G", "-o", "Ciphers=^aes256-ctr", "-o", "MACs=-*-etm@*", "-o",
                       "KexAlgorithms=+diffie-hellman-group14-sha1", "web-1"))
    equal(got["ciphers"][0].split(",")[0], "aes256-ctr", "^")
    equal(got["macs"], ["hmac-sha2-256,hmac-sha2-512"], "-")
    matches(got["kexalgorithms"][0], "^curve25519-sha256,.*,diffie-hellman-group14-sha1$", "+")


@test
def sha1(w):
    """A server that has nothing else: the error says how to go on, and then a warning comes."""
    known(w)
    old = {"KexAlgorithms": "diffie-hellman-group14-sha1", "MACs": "hmac-sha1",
           "Ciphers": "aes128-ctr"}
    with w.restart_sshd("web-1", **old):
        words = []
        for name, option in (("key exchange", "KexAlgorithms=+diffie-hellman-group14-sha1"),
                             ("MAC", "MACs=+hmac-sha1")):
            result = w.eice("ssh", *words, "web-1", "true").expect(255, name)
            contains(result.err, f"no {name} in common: the server has only ", "the error")
            contains(result.err, f"-o {option} allows what is weak", "the remedy")
            words += ["-o", option]
        result = w.eice("ssh", *words, "web-1", "echo in").expect(0)
        equal((result.out, result.err.count("rests on SHA-1")), (b"in\n", 1), "warned once")
    with w.restart_sshd("web-1", HostKeyAlgorithms="ssh-rsa"):
        result = w.eice("ssh", "web-1", "true").expect(255)
        contains(result.err, "no host key in common: the server has only ssh-rsa", "the error")
        words = ["-o", "HostKeyAlgorithms=+ssh-rsa", "--known-hosts", w.path("rsa")]
        result = w.eice("ssh", *words, "web-1", "echo in").expect(0)
        contains(result.err, "rests on SHA-1", "a host key signed with SHA-1")
    check("SHA-1" not in w.eice("ssh", "web-1", "true").expect(0).err, "no warning otherwise")


@test
def rekey_limit(w):
    """The program asks for new keys by itself, in the midst of data; the server counts them."""
    known(w)
    data = pattern(4_000_000)
    with w.restart_sshd("web-1", LogLevel="DEBUG1"):
        with open(w.sshd("web-1")["log"], "rb") as log:
            log.seek(0, os.SEEK_END)
            result = w.eice("ssh", "-o", "RekeyLimit=500K none", "web-1", "cat", data=data)
            check(result.expect(0).out == data, "what comes back")
            count = log.read().count(b"SSH2_MSG_NEWKEYS received")
    check(count >= 8, f"{count} key exchanges for 8 MB")
    for bad in ("RekeyLimit=1T", "RekeyLimit=0", "RekeyLimit=1M 1h", "RekeyLimit=M"):
        contains(w.eice("ssh", "-o", bad, "web-1", "true").expect(255).err, "RekeyLimit", bad)


@test(seconds=60)
def rekey_and_window(w):
    """A window that is opened during a key exchange counts the same on both sides: where it did
    not, a block was lost now and then. Several at once meet that more often; ssh_rekey.py has it
    for sure."""
    known(w)
    data = pattern(8_000_000)

    def one():
        result = w.eice("ssh", "-o", "RekeyLimit=500K none", "web-1", "cat", data=data)
        results.append((result.status, len(result.out), result.out == data))

    results = []
    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(results, [(0, len(data), True)] * 6, "what comes back")


@test
def connection_attempts(w):
    w.sim.ctl("fault", kind="http-error", action="openTunnel", status=503, times=1)
    w.eice("ssh", "-o", "ConnectionAttempts=3", "web-1", "true").expect(0)


# files

@test
def config_file(w):
    conf = w.write("conf", """# a comment
Port 22
Host other
    Bogus yes
Host w* !web-9
    HostName web-1
    User ubuntu
    User ec2-user
\tSetEnv=EICE_TEST_A=1
    ProxyCommand ssh -W %h:%p nowhere
    IdentityFile ~/.ssh/x
Host short
    HostName %h.long
Match all
    RequestTTY no
""")
    got = shown(w.eice("ssh", "-F", conf, "-G", "wxyz"))
    equal((got["hostname"], got["user"], got["requesttty"], got["host"]),
          (["web-1"], ["ubuntu"], ["false"], ["wxyz"]), "settings")
    equal(shown(w.eice("ssh", "-F", conf, "-G", "me@wxyz"))["user"], ["me"], "user@ first")
    equal(shown(w.eice("ssh", "-F", conf, "-G", "web-9"))["user"], ["ec2-user"], "!web-9")
    equal(shown(w.eice("ssh", "-F", conf, "-G", "short"))["hostname"], ["short.long"], "%h")
    known(w)
    result = w.eice("ssh", "-F", conf, "ec2-user@wxyz", "echo $EICE_TEST_A").expect(0)
    equal(result.text, "1\n", "SetEnv of the file")
    bad = w.eice("ssh", "-F", conf, "other", "true").expect(255)
    contains(bad.err, f"{conf} line 4", "the place")
    contains(bad.err, "Bogus", "the word")
    contains(w.eice("ssh", "-F", w.path("no"), "web-1", "true").expect(255).err, w.path("no"),
             "a file that is not there")


@test
def config_match(w):
    conf = w.write("conf", '''Match originalhost web*,!web-9 user "ubuntu,me"
    Port 23
Match final host=real
    EscapeChar x
    LogLevel QUIET
Match !originalhost web-1 localuser tester
    RequestTTY force
Match localuser nobody
    StdinNull yes
Match canonical
    Port 24
Host web-*
    HostName real
Match host real all
    LogLevel VERBOSE
    Port 25
''')
    rows = [("me@web-1", "23", "auto", "real", "x", "VERBOSE"),
            ("web-1", "25", "auto", "real", "x", "VERBOSE"),
            ("me@web-9", "25", "force", "real", "x", "VERBOSE"),
            ("other", "22", "force", "other", "~", "INFO")]
    for target, port, tty, host, mark, level in rows:
        got = shown(w.eice("ssh", "-F", conf, "-G", target))
        equal([got[n][0] for n in ("port", "requesttty", "hostname", "escapechar", "loglevel")],
              [port, tty, host, mark, level], target)
        equal(got["stdinnull"], ["no"], target)
    for word in ("exec true", "tagged x"):
        bad = w.write("bad", f"Host other\n  Port 1\nMatch {word}\n")
        result = w.eice("ssh", "-F", bad, "web-1", "true").expect(255)
        contains(result.err, f"bad line 3: Match {word.split()[0]} is not supported", word)


# programs

@test
def called_as_ssh(w):
    """A symbolic link called ssh, or eice-ssh, is `eice ssh`."""
    known(w)
    for name in ("ssh", "eice-ssh"):
        link = w.path(name)
        os.symlink(w.program, link)
        result = w.run([link, "-C", "-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o",
                        'User="ec2-user"', "-o", f'ControlPath="{w.path("cp")}"', "-tt", "web-1",
                        "echo in"]).expect(0, name)
        contains(result.text, "in", name)
        equal(w.run([link, "-V"]).expect(0).err.split()[0], "eice", f"{name} -V")
        w.run([link]).expect(255)


@test
def vs_code(w):
    """Its first connection: a shell on stdin, without a terminal."""
    known(w)
    result = w.eice("ssh", "-v", "-T", "-o", "ConnectTimeout=15", "web-1", "bash",
                    data=b"echo $((6*7)); exit 3\n").expect(3)
    equal(result.text, "42\n", "its script")


@test
def completion(w):
    """bash gets the program's own words."""
    os.symlink(w.program, w.path("eice"))
    env = w.env(PATH=f"{w.home}:{w.env()['PATH']}")
    for line, wanted in (("eice ss", "ssh ssh-config"), ("eice ssh --hostk", "--hostkey-policy"),
                         ("eice open-tunnel --local", "--local-port"), ("eice --prof", "--profile"),
                         ("eice ssh --local-p", ""), ("eice endpoint c", "create"),
                         ("eice ls en", "")):
        script = (f'eval "$(eice completion bash)"; COMP_WORDS=({line}); '
                  'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _eice; echo "${COMPREPLY[@]}"')
        result = w.run(["/bin/bash", "-c", script], env=env).expect(0)
        equal((result.text.strip(), result.err), (wanted, ""), line)
    w.eice("completion", "fish").expect(2)


@test
def git_finds_out(w):
    """git asks `ssh -G` what it has; then it sends options only OpenSSH knows."""
    log = w.path("log")
    script = w.write("myssh", f'#!/bin/sh\necho "$*" >>{log}\nexec {w.program} ssh "$@"\n', 0o700)
    w.eice("ssh", "web-1", "rm -rf r.git && git init -q --bare r.git").expect(0)
    w.run([need("git", "git"), "-c", "protocol.version=2", "ls-remote", "ssh://web-1:22/~/r.git"],
          env=w.env(GIT_SSH=script, GIT_CONFIG_NOSYSTEM="1")).expect(0)
    with open(log, encoding="utf-8") as f:
        lines = f.read()
    contains(lines, "-G", "git's question")
    contains(lines, "-o SendEnv=GIT_PROTOCOL -p 22", "git's options")


if __name__ == "__main__":
    sys.exit(main("OpenSSH's options"))
