#!/usr/bin/python3
"""Keys from a credential_process, and the code of an MFA device asked on the terminal, end to end.

    tests/cred_process.py [--eice PROGRAM] [name …]
"""

import json
import os
import sys
import time

from e2elib import ROOT, check, contains, equal, json_line, main, matches, need, test

sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim.roles import code_for, role_arn  # noqa: E402  (needs the path set above)

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SERIAL = "arn:aws:iam::123456789012:mfa/admin"
QUESTION = rf"MFA code for {SERIAL}: "


def document(w, name="temporary", **more):
    entry = w.sim.world.credential(name)
    keys = {"Version": 1, "AccessKeyId": entry["access_key"], "SecretAccessKey": entry["secret"]}
    if entry["token"]:
        keys["SessionToken"] = entry["token"]
    return json.dumps({**keys, **more})


def process(w, script, command="{script}"):
    """A profile whose command is a shell script of ours; the environment without keys."""
    path = w.write("two words.sh", "#!/bin/sh\n" + script + "\n", 0o700)
    w.write(".aws/config", "[profile p]\ncredential_process = "
            + command.format(script=f'"{path}"') + "\n")
    return w.env(*KEYS)


def said_by(w, env, status=0, **options):
    return w.eice("--profile", "p", "whoami", "--json", env=env, **options).expect(status)


def refused(w, env, *texts):
    result = said_by(w, env, 1)
    said = json_line(result.err)
    equal(said["error"], "CREDENTIALS", f"error of {said}")
    for text in ("credential_process of profile p", *texts):
        contains(said["message"], text, "message")
    check(said["remedy"], "no remedy")
    return result


@test
def keys_of_a_process(w):
    w.write("keys.json", document(w, Expiration="2099-01-01T00:00:00Z", AccountId="1"))
    env = process(w, 'cat "$HOME/keys.json"')
    said = json_line(said_by(w, env).text)
    equal((said["Arn"], said["Provider"]), (w.sim.world.credential("temporary")["arn"],
                                            "credential_process of profile p"), "identity")
    equal(w.eice("-q", "--profile", "p", "ssh", "web-1", "cat", data=b"in\n", env=env)
          .expect(0).text, "in\n", "a shell with it: its input is not the process's")


@test
def its_words(w):
    w.write("keys.json", document(w, "admin"))
    env = process(w, 'test $# = 3 && test "$1" = "a  b" && test "$2" = \'$HOME\' && test "$3" = '
                  '"*" && cat "$HOME/keys.json"', "{script} 'a  b' \"$HOME\" *")
    said_by(w, env)


@test
def found_on_the_path(w):
    w.write("keys.json", document(w, "admin"))
    w.write("bin/get-keys", '#!/bin/sh\ncat "$HOME/keys.json"\n', 0o700)
    w.write(".aws/config", "[profile p]\ncredential_process = get-keys\n")
    env = w.env(*KEYS)
    said_by(w, {**env, "PATH": w.path("bin") + ":" + env["PATH"]})
    refused(w, env, "get-keys: cannot be run: No such file")


@test
def its_input_is_empty(w):
    """Even where ours is not: it may be the stream of a tunnel."""
    w.write("keys.json", document(w, "admin"))
    env = process(w, 'test -z "$(cat)" && cat "$HOME/keys.json"')
    said_by(w, env, data=b"for somebody else\n")


@test
def what_goes_wrong(w):
    refused(w, process(w, "echo no ticket: run kinit >&2; exit 3"), "ended with status 3",
            "no ticket: run kinit")
    refused(w, process(w, "kill -9 $$"), "was killed by signal 9")
    refused(w, process(w, "echo 'Version: 1'"), 'not JSON with "Version": 1')
    refused(w, process(w, "echo '{\"Version\": 1}'"), "has no AccessKeyId")
    refused(w, process(w, "head -c 70000 /dev/zero; exec sleep 20"), "wrote more than 65536 bytes")
    refused(w, process(w, "true", "'open"), "a quote is open")
    refused(w, process(w, "true", "/"), "/: cannot be run")


@test
def nothing_secret_is_shown(w):
    w.write("keys.json", document(w))
    env = process(w, 'cat "$HOME/keys.json"; exit 1', "{script} --password=hidden")
    said = w.eice("-v", "--profile", "p", "whoami", env=env).expect(1).err
    for secret in (w.sim.world.credential("temporary")["secret"], "hidden"):
        check(secret not in said, "a secret is shown")


@test
def a_time_limit(w):
    started = time.monotonic()
    env = process(w, "exec sleep 60")
    refused(w, {**env, "EICE_PROCESS_TIMEOUT": "1"}, "did not end in time")
    check(time.monotonic() - started < 20, "it took too long")


@test
def a_child_that_stays(w):
    """The process ends; what it leaves behind holds its output open."""
    w.write("keys.json", document(w, "admin"))
    env = process(w, 'sleep 15 & cat "$HOME/keys.json"')
    started = time.monotonic()
    said_by(w, env)
    check(time.monotonic() - started < 10, "it waited for the child")


@test
def expired_keys(w):
    w.write("keys.json", document(w, "expired"))
    said = json_line(said_by(w, process(w, 'cat "$HOME/keys.json"'), 1).err)
    equal((said["error"], said["aws_code"]), ("CREDENTIALS_EXPIRED", "ExpiredToken"), "error")
    contains(said["message"], "credential_process of profile p", "message")


PROGRAM = r"""
#define EICE_NO_PROCESS
#define EICE_NO_SSH
#define EICE_IMPLEMENTATION
#include "eice.h"

int main(void)
{
    eice_conn_opts o;
    eice_posix *x = eice_posix_new(NULL, NULL);
    eice_conn *c;

    memset(&o, 0, sizeof o);
    o.goal = EICE_GOAL_IDENTITY;
    o.profile = "p";
    c = eice_conn_new(&o, eice_posix_now(), NULL);
    (void)eice_posix_add(x, c);
    (void)eice_posix_wait(x, c);
    puts(eice_conn_error(c)->text);
    eice_posix_free(x);
    eice_conn_free(c);
    return 0;
}
"""


@test
def a_build_without_processes(w):
    source = w.write("program.c", PROGRAM)
    bearssl = os.path.join(ROOT, "build/native/libbearssl.a")
    w.run([need("gcc", "gcc"), "-O0", "-D_GNU_SOURCE", "-I", ROOT, "-isystem",
           os.path.join(ROOT, "build/deps/include"), source, bearssl, "-o", w.path("test_program")],
          seconds=120).expect(0, "compiler")
    said = w.run([w.path("test_program")], env=process(w, "touch $HOME/was-run")).expect(0).text
    contains(said, "credential_process: left out of this program by EICE_NO_PROCESS", "error")
    check(not os.path.exists(w.path("was-run")), "it was run")


# the code of an MFA device

def guarded(w):
    entry = w.sim.world.credential("admin")
    w.write(".aws/config", f"[profile base]\naws_access_key_id = {entry['access_key']}\n"
            f"aws_secret_access_key = {entry['secret']}\n[profile p]\nsource_profile = base\n"
            f"role_arn = {role_arn('Guarded')}\nmfa_serial = {SERIAL}\n")
    return w.env(*KEYS)


@test
def an_mfa_code(w):
    env = guarded(w)
    with w.terminal("--profile", "p", "whoami", env=env) as t:
        t.expect(QUESTION)
        t.send(code_for(w.sim.world, SERIAL) + "\r")
        t.expect("assumed-role/Guarded/eice")
        equal(t.wait(), 0, "status")
        t.restored("after the question")
    equal(w.requests("AssumeRole")[0]["params"]["SerialNumber"], SERIAL, "serial number")


@test
def wrong_codes(w):
    env = guarded(w)
    for code, text in (("000000\r", "AccessDenied"), ("12 34\r", "six digits"),
                       ("\x04", "there was no answer")):
        with w.terminal("--profile", "p", "whoami", env=env) as t:
            t.expect(QUESTION)
            t.send(code)
            t.expect(text)
            equal(t.wait(), 1, "status")


@test
def interrupted_at_the_question(w):
    with w.terminal("--profile", "p", "whoami", env=guarded(w)) as t:
        t.expect(QUESTION)
        t.send("\x03")
        equal(t.wait(), 1, "status")


@test
def no_terminal(w):
    result = w.eice("--profile", "p", "whoami", "--json", env=guarded(w),
                    start_new_session=True).expect(1)
    said = json_line(result.err)
    matches(said["message"], QUESTION + "there is no terminal to ask on", "message")
    contains(said["remedy"], "aws configure export-credentials", "remedy")


if __name__ == "__main__":
    sys.exit(main(__doc__))
