#!/usr/bin/python3
"""The built `eice` against the simulator and its real sshds: exit statuses, bytes, limits,
targets, host keys, configuration. Terminals are in e2e_terminal.py, OpenSSH's programs as users
of `eice proxy` in e2e_openssh.py, everything that goes wrong in failures.py.

    tests/e2e.py [--eice PROGRAM] [E2E_CHANNELS] [name …]

E2E_CHANNELS is the program made of e2e_channels.c.
"""

import base64
import fcntl
import hashlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time

from e2elib import (MIB, ConnectProxy, Skip, check, contains, cpu_ticks, equal, eventually,
                    json_line, main, matches, memory_kib, need, pick_lines, test)
from sim.targets import pattern
from sim.world import MAIN_ENDPOINT, filler_endpoints

WEB = "i-0123456789abcdef0"
APP = "i-0123456789abcdef1"
DB = "i-0123456789abcdef2"
STAGES = ("credentials", "resolve", "connect", "tls", "api", "push-key", "upgrade", "target",
          "ssh-kex", "host-key", "ssh-auth")
LIMIT = 20
SMALL_KIB = 8192


def known(w, *targets):
    """Makes first contact, so that later stderr is the remote one's alone."""
    for target in targets or ("web-1",):
        w.eice("-q", "ssh", *target.split("|"), "true").expect(0)


def remote_file(w, name, content):
    """A file in the home of ec2-user on web-1."""
    path = os.path.join(w.remote_home(), name)
    with open(path, "wb") as f:
        f.write(content)
    os.chmod(path, 0o644)
    return path


def digest(data):
    return hashlib.sha256(data).hexdigest()


# statuses and streams

@test
def exit_statuses(w):
    for status in (0, 1, 2, 42, 255):
        result = w.eice("ssh", "web-1", f"exit {status}").expect(status)
        equal(result.out, b"", "stdout")


@test
def killed_command(w):
    known(w)
    result = w.eice("ssh", "web-1", "kill -9 $$").expect(255)
    equal(result.err, "eice: killed by SIGKILL\n", "stderr")
    result = w.eice("ssh", "web-1", "kill -TERM $$").expect(255)
    equal(result.err, "eice: killed by SIGTERM\n", "stderr")


@test
def streams_apart(w):
    known(w)
    result = w.eice("ssh", "web-1", "echo out; echo err >&2; echo more").expect(0)
    equal((result.out, result.err), (b"out\nmore\n", "err\n"), "stdout and stderr")


@test
def nothing_of_ours_on_stdout(w):
    result = w.eice("-v", "ssh", "web-1", "echo hi").expect(0)
    equal(result.out, b"hi\n", "stdout with -v")
    result = w.eice("--json", "ssh", "nowhere").expect(255)
    equal(result.out, b"", "stdout of a failure with --json")


@test
def command_words(w):
    """As OpenSSH: words joined by blanks; options of ours end at the command's first word."""
    known(w)
    cases = [
        (["echo", "a  b", "c;echo", "d"], "a b c\nd\n"),
        (["echo", "'a  b'"], "a  b\n"),
        (["echo", "", "x"], "x\n"),
        (["echo", "-v", "--json", "-l", "root", "-q"], "-v --json -l root -q\n"),
        (["--", "echo", "-n", "x"], "x"),
        (["-T", "-x", "printf", "%s,", "1", "2"], "1,2,"),
    ]
    for words, wanted in cases:
        equal(w.eice("ssh", "web-1", *words).expect(0).text, wanted, f"{words}")
    equal(w.eice("ssh", "--", "web-1", "echo", "--", "x").expect(0).text, "-- x\n", "after --")


@test
def logins(w):
    known(w, "web-1", "ubuntu@app & web-2")
    cases = [
        (["web-1"], "ec2-user"), (["-l", "ec2-user", "web-1"], "ec2-user"),
        (["web-1", "-l", "ec2-user"], "ec2-user"), (["ec2-user@web-1"], "ec2-user"),
        (["-l", "ubuntu", "app & web-2"], "ubuntu"), (["ubuntu@app & web-2"], "ubuntu"),
        (["-o", "User=admin", "db 1 (primary)"], "admin"),
        (["-l", "ubuntu", "nobody@app & web-2"], "ubuntu"),
        (["-lubuntu", "app & web-2"], "ubuntu"), (["--user=ubuntu", "app & web-2"], "ubuntu"),
    ]
    for words, user in cases:
        result = w.eice("ssh", *words, "-q", "echo $LOGNAME").expect(0)
        equal(result.text, user + "\n", f"login with {words}")


@test
def wrong_login(w):
    result = w.eice("ssh", "root@web-1", "true").expect(255)
    contains(result.err, "root", "who was rejected")
    matches(result.err, r"ubuntu|admin|ec2-user", "a hint at other logins")


@test
def ports(w):
    w.eice("ssh", "-p", "22", "web-1", "true").expect(0)
    w.eice("ssh", "-p3389", "web-1", "true").expect(255)
    equal([r["params"]["remotePort"] for r in w.requests("openTunnel")], ["22", "3389"], "ports")
    for bad in ("0", "65536", "-1", "x", ""):
        result = w.eice("ssh", "-p", bad, "web-1", "true").expect(255)
        contains(result.err, "1 to 65535", f"port {bad!r}")


@test
def quiet(w):
    result = w.eice("-q", "ssh", "web-1", "echo err >&2").expect(0)
    equal(result.err, "err\n", "stderr at first contact")
    result = w.eice("ssh", "-q", "nowhere").expect(255)
    contains(result.err, "nowhere", "errors are still told")


@test
def verbose(w):
    result = w.eice("-v", "ssh", "web-1", "true").expect(0)
    lines = [x for x in pick_lines(result.err) if not x.startswith("eice: warning")]
    seen = []
    for line in lines:
        match = re.match(r"eice: +(\d+) ms +[+](\d+) ms  (\S+) +\S", line)
        check(match, f"not a line of the trail: {line!r}")
        check(int(match[1]) >= int(match[2]), f"took longer than since the start: {line!r}")
        seen.append(match[3])
    equal(sorted(set(seen)), sorted(STAGES), "stages")
    for request in w.requests():
        contains(result.err, request["request_id"], f"request id of {request['action']}")
    for secret in (w.env()["AWS_SECRET_ACCESS_KEY"], "X-Amz-Signature"):
        check(secret not in result.err, "a secret is shown")


@test
def whoami(w):
    result = w.eice("whoami").expect(0)
    contains(result.text, "arn:aws:iam::123456789012:user/admin", "ARN")
    equal(result.err, "", "stderr")
    for words in (["--json", "whoami"], ["whoami", "--json"]):
        told = json_line(w.eice(*words).expect(0).text)
        equal((told["Account"], told["Arn"], told["UserId"], told["Region"]),
              ("123456789012", "arn:aws:iam::123456789012:user/admin", "AIDASIMULATEDADMIN01",
               "eu-west-1"), "identity")
    told = json_line(w.eice("--json", "whoami", env=w.env(credential="temporary")).expect(0).text)
    equal(told["Arn"], "arn:aws:sts::123456789012:assumed-role/Jump/alice", "ARN of a role")


@test
def json_errors(w):
    told = json_line(w.eice("--json", "ssh", "nowhere", "true").expect(255).err)
    equal((told["stage"], told["retryable"]), ("target", False), "no such instance")
    contains(told["message"], "nowhere", "message")
    check(told["remedy"] and told["code"] < 0 and told["error"], f"members: {told}")
    denied = w.env(credential="denied")
    told = json_line(w.eice("--json", "ssh", "web-1", env=denied).expect(255).err)
    equal((told["http_status"], told["aws_code"]), (403, "UnauthorizedOperation"), "denied")
    equal(told["request_id"] in [r["request_id"] for r in w.requests()], True, "request id")
    told = json_line(w.eice("--json", "proxy").expect(2).err)
    contains(told["message"], "target", "usage")
    told = json_line(w.eice("--json", "bogus").expect(2).err)
    contains(told["message"], "bogus", "no such command")


@test
def failures_of_other_commands(w):
    w.eice("proxy", "nowhere").expect(1)
    w.eice("push-key", "nowhere", w.write("k.pub", ed25519_line())).expect(1)
    w.eice("whoami", env=w.env(credential="expired")).expect(1)


@test
def usage_errors(w):
    cases = [(2, []), (2, ["bogus"]), (2, ["--bogus", "ssh"]), (2, ["proxy"]),
             (2, ["proxy", "web-1", "x"]), (2, ["proxy", "web-1", "22", "x"]),
             (2, ["proxy", "--bogus", "web-1"]), (2, ["whoami", "x"]), (2, ["push-key"]),
             (2, ["whoami", "--region"]), (2, ["--max-tunnel-duration", "3601", "whoami"]),
             (2, ["whoami", "--fips=yes"]), (2, ["whoami", "-l", "x"]),
             (255, ["ssh"]), (255, ["ssh", "--bogus", "web-1"]), (255, ["ssh", "-l"]),
             (255, ["ssh", "-s", "web-1"]),
             (255, ["ssh", "-o", "Bogus=1", "web-1"]), (255, ["ssh", "-e", "xx", "web-1"]),
             (255, ["ssh", "--hostkey-policy", "maybe", "web-1"])]
    for status, words in cases:
        result = w.eice(*words).expect(status, f"status of {words}")
        equal(result.out, b"", f"stdout of {words}")
        check(result.err, f"{words} fails in silence")
    equal(w.requests(), [], "requests of wrong command lines")


COMMON = ("--region", "--profile", "--endpoint-id", "--endpoint-dns", "--private-ip",
          "--max-tunnel-duration", "--ca-bundle", "--connect-to", "--proxy", "--fips",
          "--dualstack", "--connect-timeout", "--json", "--verbose", "--quiet", "--help")
OWN = {"ssh": ("-l, ", "-p, ", "-t ", "-T ", "-n ", "-s ", "-e ", "-o ", "--hostkey-policy",
               "--known-hosts"),
       "proxy": ("--push", "--agent-socket", "--idle")}


@test
def help_texts(w):
    whole = w.eice("--help").expect(0)
    equal(w.eice("help").expect(0).out, whole.out, "help")
    equal(w.eice("-h").expect(0).out, whole.out, "-h")
    listed = whole.text.split("commands:\n")[1].split("\n\n")[0]
    commands = [line.split()[0] for line in listed.splitlines() if re.match(r"  \w", line)]
    check({"ssh", "proxy", "push-key", "whoami", "version"} <= set(commands), f"{commands}")
    for command in commands:
        result = w.eice(command, "--help").expect(0, f"status of {command} --help")
        equal(result.err, "", f"stderr of {command} --help")
        contains(result.text, f"usage: eice {command}", "usage line")
        for option in (*COMMON, *OWN.get(command, ())):
            contains(result.text, option, f"{command} --help")
    equal(w.requests(), [], "requests")


@test
def versions(w):
    result = w.eice("version").expect(0)
    matches(result.text, r"^eice \d+\.\d+\.\d+\nBearSSL \S+.*\nlibssh2 \S+", "version")
    told = json_line(w.eice("version", "--json").expect(0).text)
    equal(told["version"], result.text.split()[1], "version")
    check(told["bearssl"] and told["libssh2"], "versions of the libraries")


# bytes

@test(seconds=60)
def big_download(w):
    data = pattern(64 * MIB)
    remote_file(w, "big", data)
    result = w.eice("ssh", "web-1", "cat big", seconds=60).expect(0)
    equal((len(result.out), digest(result.out)), (len(data), digest(data)), "64 MiB")
    w.note(f"64 MiB in {result.seconds:.1f} s")


@test(seconds=60)
def big_upload(w):
    data = pattern(64 * MIB)
    result = w.eice("ssh", "web-1", "sha256sum", data=data, seconds=60).expect(0)
    equal(result.text.split()[0], digest(data), "64 MiB")
    w.note(f"64 MiB in {result.seconds:.1f} s")


@test(seconds=60)
def big_file_as_stdin_and_stdout(w):
    data = pattern(16 * MIB)
    with open(w.write("in", data), "rb") as source, open(w.path("out"), "wb") as sink:
        w.eice("ssh", "web-1", "cat", stdin=source, stdout=sink, seconds=60).expect(0)
    with open(w.path("out"), "rb") as f:
        equal(digest(f.read()), digest(data), "16 MiB")


@test(seconds=60)
def both_directions_at_once(w):
    data = pattern(16 * MIB)
    result = w.eice("ssh", "web-1", "cat", data=data, seconds=60).expect(0)
    equal((len(result.out), digest(result.out)), (len(data), digest(data)), "16 MiB of echo")


@test
def stdout_and_stderr_in_bulk(w):
    """Neither starves the other; order within each is kept."""
    command = "cat big & cat big >&2; wait"
    data = pattern(2 * MIB)
    remote_file(w, "big", data)
    known(w)
    process = w.spawn("ssh", "web-1", command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=30)
    equal((process.returncode, digest(out), digest(err)), (0, digest(data), digest(data)), "both")


def slow_reader(w, process, size):
    """Lets it fill all buffers; memory must not grow. Returns what it wrote, read at last."""
    time.sleep(1.5)
    if not w.instrumented:
        before = memory_kib(process.pid)
        time.sleep(1)
        after = memory_kib(process.pid)
        check(after <= SMALL_KIB, f"{after} KiB for a slow reader")
        check(after - before <= 64, f"grows from {before} to {after} KiB")
        w.note(f"{after} KiB")
    ticks = cpu_ticks(process.pid)
    time.sleep(0.5)
    check(cpu_ticks(process.pid) - ticks <= 2, "busy while its reader sleeps")
    out = process.communicate(timeout=40)[0]
    equal(len(out), size, "bytes")
    return out


@test(seconds=60)
def slow_reader_of_ssh(w):
    data = pattern(32 * MIB)
    remote_file(w, "big", data)
    process = w.spawn("ssh", "web-1", "cat big", stdout=subprocess.PIPE,
                      stderr=subprocess.DEVNULL)
    equal(digest(slow_reader(w, process, len(data))), digest(data), "what was read slowly")
    equal(process.returncode, 0, "status")


@test(seconds=60)
def slow_reader_of_proxy(w):
    process = w.spawn("proxy", "source-box", stdout=subprocess.PIPE)
    equal(digest(slow_reader(w, process, 64 * MIB)), digest(pattern(64 * MIB)), "64 MiB")
    equal(process.returncode, 0, "status")


@test
def slow_remote_reader(w):
    """stdin is not read ahead without limit."""
    process = w.spawn("-q", "ssh", "web-1", "sleep 2.5; sha256sum", stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE)
    data = pattern(16 * MIB)
    os.set_blocking(process.stdin.fileno(), False)
    sent = 0
    end = time.monotonic() + 2
    while time.monotonic() < end:
        try:
            sent += os.write(process.stdin.fileno(), data[sent:sent + 65536])
        except BlockingIOError:
            time.sleep(0.01)
    check(sent < 8 * MIB, f"{sent} bytes were taken while nobody read them")
    if not w.instrumented:
        check(memory_kib(process.pid) <= SMALL_KIB, f"{memory_kib(process.pid)} KiB")
    os.set_blocking(process.stdin.fileno(), True)
    out = process.communicate(data[sent:], timeout=20)[0]
    equal(out.decode().split()[0], digest(data), "digest")


@test
def stdin_forms(w):
    known(w)
    with open(w.write("in", "from a file\n"), "rb") as f:
        equal(w.eice("ssh", "web-1", "cat", stdin=f).expect(0).text, "from a file\n", "file")
    equal(w.eice("ssh", "web-1", "cat", data=b"from a pipe").expect(0).text, "from a pipe", "pipe")
    equal(w.eice("ssh", "web-1", "cat").expect(0).text, "", "/dev/null")
    result = w.eice("ssh", "-n", "web-1", "cat; echo end", data=b"unread").expect(0)
    equal(result.text, "end\n", "-n")
    check(result.seconds < 10, f"-n takes {result.seconds:.1f} s")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"from a socket")
        ours.shutdown(socket.SHUT_WR)
        equal(w.eice("ssh", "web-1", "cat", stdin=theirs).expect(0).text, "from a socket",
              "socket")


def shell(w, text, **options):
    """A line of sh in which $E is the program."""
    return w.run(["/bin/sh", "-c", text], env=w.env(E=w.program), **options)


@test
def closed_descriptors(w):
    """0, 1 and 2 may be closed: no socket of ours must get their numbers."""
    known(w)
    equal(shell(w, '"$E" ssh web-1 "cat; echo end" <&-').expect(0).text, "end\n", "no stdin")
    result = shell(w, '"$E" ssh web-1 "cat; echo x; echo err >&2" </dev/null >&-').expect(0)
    equal(result.err, "err\n", "stderr without stdout")
    result = shell(w, '"$E" ssh web-1 "echo x; echo err >&2" 2>&-').expect(0)
    equal(result.text, "x\n", "stdout without stderr")
    shell(w, '"$E" ssh web-1 "echo x; echo y >&2; exit 7" <&- >&- 2>&-').expect(7)
    result = shell(w, '"$E" proxy echo-box <&- >&- --idle 1')
    check(result.seconds < 10, "proxy without stdin and stdout does not end")


@test
def slow_pipe_is_sorted(w):
    known(w)
    result = shell(w, '(sleep 3; echo b; echo a) | "$E" ssh web-1 sort').expect(0)
    equal((result.text, result.err), ("a\nb\n", ""), "sort")


@test
def reader_goes_away(w):
    known(w)
    result = shell(w, '"$E" ssh web-1 "yes; true" | head -n 1', seconds=15).expect(0)
    equal((result.text, result.err), ("y\n", ""), "yes | head")
    result = shell(w, '"$E" proxy source-box | head -c 5 | wc -c', seconds=15).expect(0)
    equal((result.text.strip(), result.err), ("5", ""), "proxy | head")
    process = w.spawn("ssh", "web-1", "echo up; sleep 1; echo lost; sleep 60",
                      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    equal(process.stdout.readline(), b"up\n", "first line")
    process.stdout.close()
    equal((process.wait(10), process.stderr.read()), (255, b""), "bytes that nobody reads")
    result = shell(w, '("$E" ssh web-1 "echo up; exec >&- 2>&-; sleep 1; exit 3"; '
                      'echo $? >status) | head -n 1')
    equal(result.text, "up\n", "the reader got all")
    with open(w.path("status"), encoding="ascii") as f:
        equal(f.read(), "3\n", "the status of a command whose reader had enough")


@test
def command_does_not_read(w):
    """The end of the command is ours too, whatever stdin still has or may get."""
    known(w)
    process = w.spawn("ssh", "web-1", "echo done", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    equal((process.stdout.read(), process.wait(10)), (b"done\n", 0), "stdin never ends")
    result = shell(w, 'yes | "$E" ssh web-1 "head -n 1; exit 3" ; echo $?', seconds=15)
    equal((result.text, result.err), ("y\n3\n", ""), "stdin has more than is read")
    result = shell(w, 'yes | "$E" ssh web-1 "exec <&-; sleep 1; echo end"', seconds=15)
    equal((result.text, result.err), ("end\n", ""), "stdin closed by the command")


@test
def full_disk(w):
    if not os.path.exists("/dev/full"):
        raise Skip("there is no /dev/full")
    known(w)
    with open("/dev/full", "wb") as full:
        result = w.eice("ssh", "web-1", "echo lost", stdout=full).expect(255)
    contains(result.err, "No space left", "why")


@test
def descriptors_stay_blocking(w):
    """Flags of inherited descriptors are shared with whoever else has them."""
    for words in (["-q", "ssh", "web-1", "cat"], ["-q", "proxy", "echo-box"]):
        pipes = [os.pipe() for _ in range(2)]
        (their_in, our_in), (our_out, their_out) = pipes
        process = w.spawn(*words, stdin=their_in, stdout=their_out)
        os.write(our_in, b"ping\n")
        equal(os.read(our_out, 100), b"ping\n", "echo")
        for fd in (their_in, their_out):
            check(not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK, f"{words}: not blocking")
        os.close(our_in)
        os.close(their_in)
        if "proxy" in words:
            process.terminate()
        process.wait(10)
        os.close(our_out)
        os.close(their_out)


@test
def proxy_streams(w):
    """Raw bytes both ways; after the end of stdin it goes on receiving."""
    data = pattern(8 * MIB)
    result = w.eice("proxy", "--idle", "1", "echo-box", data=data, seconds=30).expect(0)
    equal((len(result.out), digest(result.out)), (len(data), digest(data)), "echo")
    equal(result.err, "", "stderr")
    result = w.eice("proxy", "banned-box").expect(0)
    equal(result.out, b"Not allowed at this time\r\n", "what the target said")
    check(result.seconds < 5, f"ends {result.seconds:.1f} s after the target")


# time

@test
def ends_at_once(w):
    known(w)
    late = []
    for _ in range(5):
        result = w.eice("ssh", "web-1", "date +%s.%N").expect(0)
        late.append(time.time() - float(result.text))
    check(min(late) < 1, f"ends {min(late):.3f} s after the command")
    w.note(f"{min(late) * 1000:.0f} to {max(late) * 1000:.0f} ms after the remote command")


@test
def does_not_wait_for_the_echo_of_close(w):
    known(w)
    w.sim.ctl("fault", kind="no-close-echo")
    result = w.eice("ssh", "web-1", "date +%s.%N").expect(0)
    late = time.time() - float(result.text)
    check(late < 0.7, f"ends {late:.3f} s after the command")
    w.eice("proxy", "banned-box").expect(0)


@test
def slow_round_trips(w):
    """With 100 ms a round trip: how many there are to the remote command's end."""
    w.sim.ctl("rtt", ms=100)
    try:
        result = w.eice("-q", "ssh", "web-1", "true", seconds=20).expect(0)
    finally:
        w.sim.ctl("rtt", ms=0)
    w.note(f"{result.seconds:.2f} s at 100 ms a round trip")
    check(result.seconds < 10, f"{result.seconds:.2f} s at 100 ms a round trip")


@test
def background_process_does_not_hold(w):
    """OpenSSH's sshd closes the channel when the streams are closed; so we end then."""
    result = w.eice("ssh", "web-1", "sleep 20 >/dev/null 2>&1 </dev/null & echo started",
                    seconds=10).expect(0)
    equal(result.text, "started\n", "stdout")


@test
def idle_costs_nothing(w):
    kinds = (["ssh", "web-1", "echo up; sleep 60"], ["proxy", "echo-box"],
             ["ssh", "-tt", "web-1", "echo up; sleep 60"])
    processes = []
    for words in kinds:
        process = w.spawn(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
        if words[0] == "proxy":
            process.stdin.write(b"up\n")
        contains(process.stdout.readline().decode(), "up", "first line")
        processes.append(process)
    time.sleep(0.3)
    before = [cpu_ticks(p.pid) for p in processes]
    time.sleep(3)
    spent = [cpu_ticks(p.pid) - b for p, b in zip(processes, before)]
    check(max(spent) <= 2, f"ticks in 3 s: {spent}")
    for process in processes:
        process.terminate()
        process.wait(10)


@test
def signals_free_the_slot(w):
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        w.sim.journal.clear()
        process = w.spawn("ssh", "web-1", "echo up; sleep 60", stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
        process.stdout.readline()
        process.send_signal(number)
        started = time.monotonic()
        process.communicate(timeout=5)
        check(time.monotonic() - started < 1, "slow to end")
        equal(process.returncode, 255, f"status after signal {number}")
        eventually(w.tunnels, 0, "tunnels")
        eventually(lambda: len(w.sim.journal.select(0, kind="tunnel")), 1, "ended tunnels")
        check(w.sim.journal.select(0, kind="tunnel")[0]["client_close"] is not None,
              f"signal {number}: no Close was sent")


@test(seconds=60)
def no_wake_up_is_missed(w):
    """Many short sessions side by side: the order of what arrives differs each time."""
    known(w)
    late = []
    for _ in range(5):
        processes = [w.spawn("ssh", "web-1", "echo x", stdout=subprocess.PIPE) for _ in range(10)]
        started = time.monotonic()
        for process in processes:
            out = process.communicate(timeout=30)[0]
            equal((process.returncode, out), (0, b"x\n"), "a short session")
        late.append(time.monotonic() - started)
    check(max(late) < 12, f"ten sessions took {max(late):.1f} s")
    w.note(f"ten at once in {min(late):.1f} to {max(late):.1f} s")


# the limit of connections

def hold(w, count):
    """So many sessions that are open and wait for the end of stdin."""
    processes = [w.spawn("ssh", "web-1", "echo up; cat", stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(count)]
    for process in processes:
        line = process.stdout.readline()
        if line != b"up\n":
            raise AssertionError(f"a session did not start: {process.communicate()[1]!r}")
    return processes


def release(processes):
    for process in processes:
        out, err = process.communicate(b"bye\n", timeout=20)
        check(process.returncode == 0 and out == b"bye\n", f"{process.returncode} {out} {err}")


@test(seconds=60)
def twenty_at_once(w):
    """All first contacts too: the file of host keys stays whole. Then the limit."""
    processes = hold(w, LIMIT)
    equal(w.tunnels(), LIMIT, "open tunnels")
    with open(w.known_hosts, encoding="utf-8") as f:
        lines = f.read()
    check(lines.endswith("\n"), "the last line is whole")
    for line in lines.splitlines():
        matches(line, rf"^{WEB} (ssh-ed25519|ecdsa-sha2-nistp256|ssh-rsa) [A-Za-z0-9+/]+=* "
                r"console \d{8}T\d{6}Z$", "a line of known_hosts")
    equal(len(lines.splitlines()), 3, "lines, the keys being the same for all")
    refused = w.eice("ssh", "web-1", "true").expect(255)
    matches(refused.err, r"\b20\b.*connections|connections.*\b20\b", "the 21st")
    release(processes[:1])
    eventually(w.tunnels, LIMIT - 1, "open tunnels")
    w.eice("ssh", "web-1", "true").expect(0)
    release(processes[1:])


# targets

def home_of(result):
    """The instance that it landed on: homes are in a directory of its name."""
    return re.search(r"(i-[0-9a-f]{17})", result.text)[1]


@test
def target_forms(w):
    known(w, "web-1", "ubuntu@app & web-2", "admin@db 1 (primary)")
    cases = [(WEB, [WEB]), (WEB, ["web-1"]), (WEB, ["tag:Role=web"]), (WEB, ["tag:Name=web-1"]),
             (WEB, ["10.20.1.23"]), (WEB, ["ip-10-20-1-23.eu-west-1.compute.internal"]),
             (APP, ["ubuntu@app & web-2"]), (APP, ["ubuntu@tag:Role=app <blue>"]),
             (DB, ["admin@db 1 (primary)"]), (DB, ["admin@tag:Star=a*b"]),
             (DB, ["admin@10.20.2.25"])]
    for instance, words in cases:
        result = w.eice("ssh", *words, "echo $HOME").expect(0, f"{words}")
        equal((home_of(result), result.err), (instance, ""), f"{words}")


@test
def ambiguous_targets(w):
    result = w.eice("ssh", "twin", "true").expect(255)
    for instance in ("i-0123456789abcde13", "i-0123456789abcde14"):
        contains(result.err, instance, "both are listed")
    result = w.eice("ssh", "tag:Env=prod", "true").expect(255)
    for instance in (WEB, APP):
        contains(result.err, instance, "both are listed")
    result = w.eice("ssh", "w*", "true").expect(255)
    contains(result.err, "w*", "wildcards are literal")
    equal(w.actions().get("openTunnel", 0), 0, "tunnels")


@test
def no_ec2_call(w):
    """But for the console, where nothing is known of the instance and it is to be asked."""
    host = w.sim.world.endpoint_host(w.sim.world.endpoint(MAIN_ENDPOINT))
    words = ["--endpoint-id", MAIN_ENDPOINT, "--endpoint-dns", host, "--private-ip", "10.20.1.23",
             WEB, "echo $HOME"]
    least = {"SendSSHPublicKey": 1, "openTunnel": 1}
    for how, more, wanted in (("tofu", ["--known-hosts", "/dev/null", "--hostkey-policy", "tofu"],
                               least), ("at first contact", [], {**least, "GetConsoleOutput": 1}),
                              ("known", [], least)):
        result = w.eice("ssh", *more, *words).expect(0)
        equal(home_of(result), WEB, "instance")
        equal(w.actions(), wanted, how)
        w.sim.journal.clear()


@test
def number_of_calls(w):
    """The console is one more at first contact only: e2e_console."""
    known(w)
    w.sim.journal.clear()
    w.eice("ssh", "web-1", "true").expect(0)
    equal(w.actions(), {"DescribeInstances": 1, "DescribeInstanceConnectEndpoints": 1,
                        "SendSSHPublicKey": 1, "openTunnel": 1}, "calls")
    equal(len(w.sim.journal.select(0, kind="key-lookup")) <= 2, True, "key look-ups")
    tunnel = w.requests("openTunnel")[0]["params"]
    equal((tunnel["remotePort"], tunnel["privateIpAddress"], tunnel["maxTunnelDuration"],
           tunnel["instanceConnectEndpointId"]), ("22", "10.20.1.23", "3600", MAIN_ENDPOINT),
          "parameters of openTunnel")
    w.sim.journal.clear()
    w.eice("ssh", "--max-tunnel-duration", "600", "web-1", "true").expect(0)
    equal(w.requests("openTunnel")[0]["params"]["maxTunnelDuration"], "600", "duration")


@test
def pages(w):
    """More endpoints than fit a page, the right one last; empty pages that carry a token."""
    endpoints = w.sim.world.data["endpoints"]
    endpoints[:0] = filler_endpoints(120)
    w.eice("ssh", "web-1", "true").expect(0)
    check(w.actions()["DescribeInstanceConnectEndpoints"] >= 3, "pages were read")
    w.sim.ctl("fault", kind="empty-page", times=3)
    w.eice("ssh", "web-1", "true").expect(0)
    equal(w.sim.ctl("faults")[0]["struck"], 3, "empty pages given")


@test
def temporary_credentials(w):
    w.eice("ssh", "web-1", "true", env=w.env(credential="temporary")).expect(0)
    for request in w.requests():
        check(request["access_key"].startswith("ASIA"), "the key used")


# host keys

def keys_of(w, instance="web-1"):
    return [" ".join(line.split()[:2]) for line in w.sshd(instance)["host_keys"]]


@test
def host_key_is_stored(w):
    result = w.eice("ssh", "--hostkey-policy", "tofu", "web-1", "true").expect(0)
    contains(result.err, w.known_hosts, "the first contact tells the file")
    with open(w.known_hosts, encoding="utf-8") as f:
        lines = f.read().splitlines()
    equal(len(lines), 1, "lines")
    name, kind, key, how, when = lines[0].split()
    equal((name, f"{kind} {key}" in keys_of(w), how), (WEB, True, "first-contact"), "the line")
    matches(when, r"^\d{8}T\d{6}Z$", "its time")
    equal(os.stat(w.known_hosts).st_mode & 0o7777, 0o600, "mode")
    equal(os.stat(os.path.dirname(w.known_hosts)).st_mode & 0o7777, 0o700, "directory's mode")
    equal(w.eice("ssh", "10.20.1.23", "true").expect(0).err, "", "second run by another name")
    equal(w.eice("ssh", "--hostkey-policy", "strict", "web-1", "true").expect(0).err, "", "strict")
    with open(w.known_hosts, encoding="utf-8") as f:
        equal(f.read().splitlines(), lines, "lines after more runs")
    w.eice("ssh", "ubuntu@app & web-2", "true").expect(0)
    with open(w.known_hosts, encoding="utf-8") as f:
        equal([x.split()[0] for x in f], [WEB, APP, APP, APP], "names after a second instance")
    equal(w.run([need("ssh-keygen", "openssh-client"), "-F", WEB, "-f", w.known_hosts])
          .expect(0).text.count(WEB), 2, "OpenSSH finds the name")


@test
def default_place_of_host_keys(w):
    env = w.env("XDG_STATE_HOME")
    w.eice("ssh", "web-1", "true", env=env).expect(0)
    path = w.path(".local/state/eice/known_hosts")
    with open(path, encoding="utf-8") as f:
        contains(f.read(), WEB, path)
    equal(os.stat(path).st_mode & 0o7777, 0o600, "mode")
    other = w.path("elsewhere")
    w.eice("ssh", "--known-hosts", other, "web-1", "true", env=env).expect(0)
    with open(other, encoding="utf-8") as f:
        contains(f.read(), WEB, other)
    relative = w.env(XDG_STATE_HOME="relative/is/ignored")
    equal(w.eice("ssh", "web-1", "true", env=relative).expect(0).err, "", "relative path")


@test
def strict_and_off(w):
    result = w.eice("ssh", "--hostkey-policy", "strict", "web-1", "echo no").expect(255)
    equal(result.out, b"", "stdout")
    matches(result.err, WEB + r"|web-1", "which host")
    check(not os.path.exists(w.known_hosts), "strict stores nothing")
    result = w.eice("ssh", "-o", "StrictHostKeyChecking=yes", "web-1", "true").expect(255)
    result = w.eice("ssh", "--hostkey-policy", "off", "web-1", "echo yes").expect(0)
    matches(result.err, r"warning.*host key", "off warns")
    check(not os.path.exists(w.known_hosts), "off stores nothing")
    result = w.eice("ssh", "-o", "StrictHostKeyChecking=no", "web-1", "true").expect(0)
    equal(len(w.sim.journal.select(0, kind="key-lookup", user="ec2-user")) >= 2, True, "logins")


@test
def no_login_at_unknown_hosts(w):
    """The key is not even offered before the host key was accepted."""
    w.eice("ssh", "--hostkey-policy", "strict", "web-1", "true").expect(255)
    equal(w.sim.journal.select(0, kind="key-lookup"), [], "key look-ups")


@test
def changed_host_key(w):
    w.eice("ssh", "web-1", "true").expect(0)
    with open(w.known_hosts, "r+", encoding="utf-8") as f:
        text = f.read()
        f.seek(0)
        f.write("# a comment\n\n" + text)
    w.sshd("web-1", "new-host-key")
    w.sim.journal.clear()
    result = w.eice("ssh", "web-1", "echo no").expect(255)
    equal(result.out, b"", "stdout")
    contains(result.err, f"line 3 of {w.known_hosts}", "line")
    equal(w.sim.journal.select(0, kind="key-lookup"), [], "key look-ups")
    with open(w.known_hosts, encoding="utf-8") as f:
        equal(f.read(), "# a comment\n\n" + text, "the file is left alone")
    told = json_line(w.eice("--json", "ssh", "web-1", "true").expect(255).err)
    equal(told["stage"], "host-key", "stage")


@test
def revoked_host_key(w):
    lines = "".join(f"@revoked {WEB} {key}\n" for key in keys_of(w))
    w.write("state/eice/known_hosts", lines + "".join(f"{WEB} {k}\n" for k in keys_of(w)))
    for policy in ("tofu", "strict"):
        result = w.eice("ssh", "--hostkey-policy", policy, "web-1", "true").expect(255)
        contains(result.err, "revoked", policy)


@test
def several_host_keys(w):
    """A key of another type that is known comes first in the negotiation."""
    for kind in ("ecdsa-sha2-nistp256", "ssh-rsa", "ssh-ed25519"):
        line = next(k for k in keys_of(w) if k.startswith(kind))
        w.write("state/eice/known_hosts", f"{WEB} {line}\n")
        result = w.eice("ssh", "--hostkey-policy", "strict", "web-1", "true").expect(0, kind)
        equal(result.err, "", kind)
    w.write("state/eice/known_hosts", "".join(f"{WEB} {k}\n" for k in keys_of(w)))
    equal(w.eice("ssh", "web-1", "true").expect(0).err, "", "all three")


@test
def file_without_last_newline(w):
    w.write("state/eice/known_hosts", f"{APP} {keys_of(w, 'app & web-2')[0]}")
    w.eice("ssh", "web-1", "true").expect(0)
    with open(w.known_hosts, encoding="utf-8") as f:
        equal([x.split()[0] for x in f.read().splitlines()], [APP, WEB, WEB, WEB], "names")


@test
def linked_state(w):
    """A link to the file stays one, and a device is not replaced by a file."""
    real = w.write("dotfiles/hosts", "# mine\n")
    link = w.path("link")
    os.symlink("dotfiles/hosts", link)
    w.eice("ssh", "--known-hosts", link, "web-1", "true").expect(0)
    check(os.path.islink(link), "the link was replaced")
    with open(real, encoding="utf-8") as f:
        equal([x.split()[0] for x in f], ["#", WEB, WEB, WEB], "the file behind it")
    null = null_device(w)
    for _ in range(2):
        w.eice("ssh", "-o", f"UserKnownHostsFile={null}", "web-1", "true").expect(0)
        check(stat.S_ISCHR(os.stat(null).st_mode), "a device was replaced")
    result = w.eice("ssh", "-o", "UserKnownHostsFile=/dev/null", "-o",
                    "StrictHostKeyChecking=accept-new", "web-1", "true").expect(0)
    contains(result.err, "first contact with " + WEB + ": its host key is not stored", "warning")


def null_device(w):
    """A null device of our own where that is possible: a mistake must not spoil the system's."""
    if os.getuid() != 0:
        return "/dev/null"
    path = w.path("null")
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.stat("/dev/null").st_rdev)
        open(path, "rb").close()
    except OSError:
        raise Skip("device files cannot be made here") from None
    return path


@test
def unwritable_state(w):
    """The session goes on; that the key could not be stored is told."""
    w.write("state", "a file, not a directory")
    result = w.eice("ssh", "web-1", "echo yes").expect(0)
    equal(result.text, "yes\n", "stdout")
    matches(result.err, r"warning.*not.*stored|cannot", "a warning")


# configuration

@test
def aws_files(w):
    env = w.sim.env()
    text = (f"[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = wrong\n\n"
            f"[work]\naws_access_key_id = {env['AWS_ACCESS_KEY_ID']}\n"
            f"aws_secret_access_key = {env['AWS_SECRET_ACCESS_KEY']}\n")
    config = "[profile work]\nregion = eu-west-1\n"
    bare = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    w.write("other/credentials", text)
    w.write("other/config", config)
    named = {"AWS_SHARED_CREDENTIALS_FILE": w.path("other/credentials"),
             "AWS_CONFIG_FILE": w.path("other/config")}
    w.eice("ssh", "--profile", "work", "web-1", "true", env=w.env(*bare, **named)).expect(0)
    w.eice("ssh", "web-1", "true", env=w.env(*bare, AWS_PROFILE="work", **named)).expect(0)
    w.eice("ssh", "web-1", "true", env=w.env(*bare, **named)).expect(255)
    w.write(".aws/credentials", text)
    w.write(".aws/config", config)
    told = json_line(w.eice("--json", "whoami", "--profile=work", env=w.env(*bare)).expect(0).text)
    equal(told["Region"], "eu-west-1", "region of the profile")
    w.eice("--profile", "none", "whoami", env=w.env(*bare)).expect(1)


@test
def region_option(w):
    env = w.env(AWS_REGION="us-east-1")
    w.eice("--region", "eu-west-1", "whoami", env=env).expect(0)
    contains(w.requests("GetCallerIdentity")[-1]["host"], "eu-west-1", "host")
    env = w.env("AWS_REGION", AWS_DEFAULT_REGION="eu-west-1")
    w.eice("whoami", env=env).expect(0)


@test
def another_region(w):
    """Instance, endpoint, signatures and names of hosts of a Region that is not the usual one."""
    process = w.spawn("proxy", "--region", "us-east-1", "far-1", stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE)
    process.stdin.write(b"hello")
    equal(process.stdout.read(5), b"hello", "echo")
    process.terminate()
    process.wait(10)
    hosts = {e["host"].split(".", 1)[1] for e in w.requests() if e["action"] != "openTunnel"}
    equal(hosts, {"us-east-1.amazonaws.com"}, "hosts")
    contains(w.eice("ssh", "far-1", "true").expect(255).err, "no instance matches", "elsewhere")


@test
def endpoint_urls(w):
    """https://localhost:PORT for the APIs; only the tunnel still needs --connect-to."""
    url = f"https://localhost:{w.sim.port}"
    host = w.sim.world.endpoint_host(w.sim.world.endpoint(MAIN_ENDPOINT))
    rule = f"{host}:443:127.0.0.1:{w.sim.port}"
    env = w.env("EICE_CONNECT_TO", AWS_ENDPOINT_URL_EC2=url,
                AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT=url, AWS_ENDPOINT_URL_STS=url)
    w.eice("ssh", "--connect-to", rule, "web-1", "true", env=env).expect(0)
    w.eice("whoami", env=env).expect(0)
    hosts = {r["host"] for r in w.requests() if r["action"] != "openTunnel"}
    equal(hosts, {"localhost"}, "hosts asked")
    env = w.env("EICE_CONNECT_TO", AWS_ENDPOINT_URL=url)
    w.eice("whoami", env=env).expect(0)


@test
def trust(w):
    """Only a named bundle is trusted, and it is needed."""
    result = w.eice("whoami", env=w.env("AWS_CA_BUNDLE")).expect(1)
    matches(result.err, r"certificate|trust", "without the bundle")
    bundle = w.env()["AWS_CA_BUNDLE"]
    w.eice("whoami", "--ca-bundle", bundle, env=w.env("AWS_CA_BUNDLE")).expect(0)
    w.eice("ssh", "--ca-bundle", bundle, "web-1", "true", env=w.env("AWS_CA_BUNDLE")).expect(0)
    result = w.eice("whoami", "--ca-bundle", w.path("missing.pem")).expect(1)
    contains(result.err, "missing.pem", "which file is missing")


@test
def http_proxies(w):
    target = ("127.0.0.1", w.sim.port)
    with ConnectProxy(target) as proxy:
        url = f"http://127.0.0.1:{proxy.port}"
        w.eice("ssh", "web-1", "true", env=w.env("EICE_CONNECT_TO", HTTPS_PROXY=url)).expect(0)
        names = sorted({name for _, name in proxy.seen})
        host = w.sim.world.endpoint_host(w.sim.world.endpoint(MAIN_ENDPOINT))
        equal(names, sorted([f"{host}:443", "ec2.eu-west-1.amazonaws.com:443",
                             "ec2-instance-connect.eu-west-1.amazonaws.com:443"]), "asked for")
        w.eice("ssh", "--proxy", url, "web-1", "true", env=w.env("EICE_CONNECT_TO")).expect(0)
        before = len(proxy.seen)
        env = w.env(HTTPS_PROXY=url, NO_PROXY=".amazonaws.com")
        w.eice("ssh", "web-1", "true", env=env).expect(0)
        equal(len(proxy.seen), before, "requests to the proxy with NO_PROXY")


@test
def proxy_authentication(w):
    word = base64.b64encode(b"joe:s3cret@x").decode()
    with ConnectProxy(("127.0.0.1", w.sim.port), f"Basic {word}") as proxy:
        env = w.env("EICE_CONNECT_TO", HTTPS_PROXY=f"http://joe:s3cret%40x@127.0.0.1:{proxy.port}")
        w.eice("ssh", "web-1", "true", env=env).expect(0)
        env = w.env("EICE_CONNECT_TO", HTTPS_PROXY=f"http://joe:wrong@127.0.0.1:{proxy.port}")
        result = w.eice("whoami", env=env).expect(1)
        matches(result.err, r"407|authenti", "the proxy refuses")
        check("wrong" not in result.err, "the password is shown")


@test
def tinyproxy(w):
    """It dials the names itself: only localhost and port of the simulator can be asked for."""
    program = need("tinyproxy", "tinyproxy")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    common = f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\n"
    url = f"https://localhost:{w.sim.port}"
    for login, given in (("", ""), ("BasicAuth joe secret\n", "joe:secret@")):
        path = w.write("tinyproxy.conf", common + login + f"ConnectPort {w.sim.port}\n")
        process = w.start([program, "-d", "-c", path], stdout=subprocess.DEVNULL)
        eventually(lambda: can_connect(port), True, "tinyproxy listens")
        env = w.env("EICE_CONNECT_TO", AWS_ENDPOINT_URL=url,
                    HTTPS_PROXY=f"http://{given}127.0.0.1:{port}")
        w.eice("whoami", env=env).expect(0, f"whoami with {given!r}")
        rules = w.env(HTTPS_PROXY=f"http://{given}127.0.0.1:{port}")
        rules["EICE_CONNECT_TO"] = f"::localhost:{w.sim.port}"
        w.eice("ssh", "web-1", "true", env=rules).expect(0, f"ssh with {given!r}")
        process.terminate()
        process.wait(10)


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


# keys

def ed25519_line():
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(range(32))
    return f"ssh-ed25519 {base64.b64encode(blob).decode()} someone\n"


@test
def push_key(w):
    path = w.write("k.pub", ed25519_line())
    result = w.eice("push-key", "web-1", path).expect(0)
    equal(result.out, b"", "stdout")
    contains(result.err, "60 seconds", "stderr")
    params = w.requests("SendSSHPublicKey")[0]["params"]
    equal((params["InstanceId"], params["InstanceOSUser"]), (WEB, "ec2-user"), "to whom")
    equal(params["SSHPublicKey"].split()[:2], ed25519_line().split()[:2], "what")
    w.eice("-q", "push-key", "-l", "ubuntu", "app & web-2", path).expect(0)
    equal(w.requests("SendSSHPublicKey")[1]["params"]["InstanceOSUser"], "ubuntu", "login")
    w.write(".ssh/id_ed25519.pub", ed25519_line())
    w.eice("push-key", "admin@db 1 (primary)").expect(0)
    bad = w.write("bad.pub", "this is no key\n")
    contains(w.eice("push-key", "web-1", bad).expect(1).err, "bad.pub", "no key")
    dsa = w.write("ec.pub", "ecdsa-sha2-nistp256 " + base64.b64encode(
        b"\0\0\0\x13ecdsa-sha2-nistp256\0\0\0\x08nistp256\0\0\0\x41" + b"\x04" * 65).decode())
    contains(w.eice("push-key", "web-1", dsa).expect(1).err, "ed25519", "which types there are")


@test
def ephemeral_keys_differ(w):
    for _ in range(2):
        w.eice("-q", "ssh", "web-1", "true").expect(0)
    keys = [r["params"]["SSHPublicKey"].split()[1] for r in w.requests("SendSSHPublicKey")]
    equal((len(keys), len(set(keys))), (2, 2), "keys pushed")


# the library

@test
def channel_destroyed_in_mid_write(w):
    program = w.helper("e2e_channels")
    result = w.run([program, "web-1"], env=w.env(), seconds=40).expect(0)
    equal(result.text.splitlines()[-1], "all channels verified", "last line")


if __name__ == "__main__":
    sys.exit(main("end-to-end tests of the eice program"))
