#!/usr/bin/python3
"""Forwards of `eice ssh` and `eice forward` through a real sshd: -L, -R, -D, -W, UNIX sockets, many
connections at once, ends of one direction, sessions that are lost."""

import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from e2elib import Server, check, contains, equal, eventually, main, matches, need, test

from sim.targets import pattern

MANY = 50


def known(w, *targets):
    for target in targets or ("web-1",):
        w.eice("ssh", target, "true").expect(0)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def read_all(sock):
    out = []
    while data := sock.recv(65536):
        out.append(data)
    return b"".join(out)


def can_connect(port):
    try:
        dial(port).close()
    except OSError:
        return False
    return True


def dial_there(port):
    """A port that sshd chose: the one of ::1, where there is one. That of 127.0.0.1 may be taken
    by another program; sshd is content with one of them."""
    with contextlib.suppress(OSError):
        return socket.create_connection(("::1", port), timeout=30)
    return dial(port)


def digest_back(sock):
    """Answers only after the client's end: what it got, and its SHA-256 twice as often."""
    data = read_all(sock)
    sock.sendall(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)


def black_hole():
    """A listener whose backlog is full: nobody who connects gets an answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    return listener, fillers


class Running:
    """eice in the background, with its stderr in a file."""

    def __init__(self, w, *arguments, **options):
        self.log = w.path(f"log{time.monotonic_ns()}")
        with open(self.log, "wb") as err:
            self.process = w.spawn(*arguments, stderr=err, **options)

    @property
    def err(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def expect(self, wanted, seconds=20):
        end = time.monotonic() + seconds
        while not (match := re.search(wanted, self.err)):
            check(time.monotonic() < end and self.process.poll() is None,
                  f"{wanted!r} is not said: {self.err!r}")
            time.sleep(0.01)
        return match

    def stop(self, status=None):
        self.process.send_signal(signal.SIGTERM)
        got = self.process.wait(15)
        if status is not None:
            equal(got, status, f"status after SIGTERM; stderr {self.err!r}")


@contextlib.contextmanager
def forwarding(w, *options, command=("-N",), env=None, wanted=None):
    """`eice ssh -N` with port 0s, and the ports that were chosen."""
    running = Running(w, "ssh", *command, *options, "web-1", env=env)
    if wanted is None:
        wanted = sum(o.startswith("0:") or o == "0" for o in options)
    end = time.monotonic() + 20
    while len(ports := re.findall(r"Allocated port (\d+) ", running.err)) < wanted:
        check(time.monotonic() < end and running.process.poll() is None,
              f"no port is chosen: {running.err!r}")
        time.sleep(0.02)
    try:
        yield [int(p) for p in ports], running
    finally:
        running.stop()


def dial(port, seconds=30):
    return socket.create_connection(("127.0.0.1", port), timeout=seconds)


def dial_path(path, seconds=15):
    """A UNIX socket, once somebody listens at it: it is there a moment before."""
    end = time.monotonic() + seconds
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.connect(path)
            return sock
        except OSError as e:
            sock.close()
            check(time.monotonic() < end, f"nobody listens at {path}: {e}")
        time.sleep(0.02)


def socks5(port, host, to, connect=dial):
    """RFC 1928 with a host name."""
    sock = connect(port)
    name = host.encode()
    sock.sendall(b"\5\1\0")
    equal(sock.recv(2), b"\5\0", "SOCKS method")
    sock.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + struct.pack(">H", to))
    answer = b""
    while len(answer) < 10:
        data = sock.recv(10 - len(answer))
        check(data, f"the SOCKS answer ends: {answer!r}")
        answer += data
    return sock, answer[1]


def exchange(connect, number):
    """Sends, ends its half, and gets all of it back."""
    data = pattern(200_000 + number * 7)[number:]
    with connect() as sock:
        writer = threading.Thread(target=lambda: (sock.sendall(data),
                                                  sock.shutdown(socket.SHUT_WR)))
        writer.start()
        got = read_all(sock)
        writer.join()
    wanted = hashlib.sha256(data).hexdigest().encode() + b"\n" + data
    return got == wanted


def exchange_many(connect, what):
    with concurrent.futures.ThreadPoolExecutor(MANY) as pool:
        results = list(pool.map(lambda n: exchange(connect, n), range(MANY)))
    equal(results.count(True), MANY, what)


# ---- eice ssh ------------------------------------------------------------------------------------


@test(seconds=90)
def many_local(w):
    known(w)
    with Server(digest_back) as server, \
            forwarding(w, "-L", f"0:localhost:{server.port}") as ((port,), _):
        exchange_many(lambda: dial(port), "connections through -L")
        exchange_many(lambda: dial(port), "and once more")
        equal(server.count, 2 * MANY, "connections at the server")


@test(seconds=90)
def many_dynamic(w):
    known(w)
    with Server(digest_back) as server, forwarding(w, "-D", "0") as ((port,), _):
        exchange_many(lambda: socks5(port, "localhost", server.port)[0], "connections through -D")


@test(seconds=90)
def many_remote(w):
    known(w)
    with Server(digest_back) as server, \
            forwarding(w, "-R", f"0:localhost:{server.port}") as ((port,), running):
        matches(running.err, rf"Allocated port \d+ for remote forward to localhost:{server.port}",
                "what it says")
        exchange_many(lambda: dial_there(port), "connections through -R")
        exchange_many(lambda: dial_there(port), "and once more")
        equal(server.count, 2 * MANY, "connections at the server")


@test
def remote_ends(w):
    """Half-closed both ways, refused, UNIX sockets on both sides."""
    known(w)
    here = w.path("here.sock")
    there = os.path.join(w.remote_home(), "listens.sock")
    with Server(lambda sock: (sock.sendall(b"bye\n"), sock.shutdown(socket.SHUT_WR),
                              got.append(read_all(sock)))) as server, Server(echo, here), \
            forwarding(w, "-R", f"0:127.0.0.1:{server.port}",
                       "-R", f"0:localhost:{free_port()}",
                       "-R", f"{there}:{here}") as ((first, second), running):
        got = []
        with dial_there(first) as sock:
            equal(read_all(sock), b"bye\n", "what the server said")
            sock.sendall(b"after its end")
        eventually(lambda: got, [b"after its end"], "what was sent then")
        with dial_there(second) as sock:
            equal(sock.recv(10), b"", "a destination that refuses")
        running.expect("Connection refused")
        with dial_path(there) as sock:
            sock.sendall(b"path to path")
            equal(sock.recv(20), b"path to path", "echo")


@test(seconds=90)
def many_remote_dynamic(w):
    """-R PORT: SOCKS at the server, destinations are looked up and dialed from here."""
    known(w)
    hosts = w.write("hosts", "127.0.0.1 here.test\n192.0.2.1 two.test\n127.0.0.1 two.test\n")
    servers = w.write("resolv.conf", "nameserver 127.0.0.1:1\n")
    env = w.env(EICE_HOSTS=hosts, EICE_RESOLV_CONF=servers)
    with Server(digest_back) as server, \
            forwarding(w, "-R", "0", "-R", f"127.0.0.1:0:here.test:{server.port}", env=env,
                       wanted=2) as ((port, fixed), running):
        lines = re.findall(r"Allocated port \d+ for remote forward to (\S+)", running.err)
        equal(lines, ["socks:0", f"here.test:{server.port}"], "what it says")
        exchange_many(lambda: socks5(port, "here.test", server.port, dial_there)[0],
                      "connections through -R")
        check(exchange(lambda: dial_there(fixed), 1), "a destination by its name")
        for host, code in (("localhost", 5), ("nowhere.test", 4)):
            sock, got = socks5(port, host, free_port(), dial_there)
            with sock:
                equal((got, sock.recv(10)), (code, b""), f"SOCKS code and end for {host}")
        running.expect(r"-> nowhere.test:\d+: ")
        with dial_there(port) as sock:
            sock.sendall(b"no request at all\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            read_all(sock)


@test
def remote_dynamic_clients(w):
    """curl there, over a UNIX socket too; a server that hangs up first."""
    known(w)
    curl = need("curl", "curl")
    page = pattern(300_000)
    there = os.path.join(w.remote_home(), "socks.sock")

    def serve(sock):
        while not sock.recv(65536).endswith(b"\r\n\r\n"):
            pass
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)

    with Server(serve) as server, \
            forwarding(w, "-R", "localhost:0", "-R", there, wanted=1) as ((port,), _):
        with dial_there(port) as sock:
            host = sock.getpeername()[0].replace("::1", "[::1]")
        for how in (["--socks5-hostname", f"{host}:{port}"], ["--socks4a", f"{host}:{port}"],
                    ["--socks5-hostname", f"localhost{there}"],
                    ["-p", "-x", f"http://{host}:{port}"]):
            if how[1].endswith(".sock"):
                dial_path(there).close()
                how = ["--proxy", f"socks5h://localhost{there}"]
            result = w.run([curl, "-sS", "--noproxy", "", "-m", "20", *how,
                            f"http://localhost:{server.port}/"])
            result.expect(0, f"curl {how}")
            check(result.out == page, f"curl {how} gets the page")


@test
def remote_refused(w):
    known(w)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = ["-R", f"127.0.0.1:{taken.getsockname()[1]}:localhost:1"]
        result = w.eice("ssh", *words, "web-1", "echo on").expect(0)
        check(result.err, "a warning")
        result = w.eice("ssh", "-o", "ExitOnForwardFailure=yes", *words, "web-1", "echo on")
        result.expect(255)
        equal(result.out, b"", "the command does not run")


@test
def server_asks_an_idle_session(w):
    """sshd ends a session that answers nothing: without any channel, too, there is an answer."""
    known(w)
    with w.restart_sshd("web-1", ClientAliveInterval="1", ClientAliveCountMax="1"):
        with Server(echo) as server, \
                forwarding(w, "-o", "ServerAliveInterval=0", "-L",
                           f"0:localhost:{server.port}") as ((port,), running):
            time.sleep(4)
            check(running.process.poll() is None, f"it has ended: {running.err!r}")
            with dial(port) as sock:
                sock.sendall(b"still there")
                equal(sock.recv(20), b"still there", "echo")


@test
def frozen_without_a_session(w):
    """-N and -W notice a server that has gone silent."""
    known(w)
    alive = ["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"]

    def serve(sock):
        sock.recv(10)
        sock.sendall(pattern(1_000_000))
        read_all(sock)

    with Server(serve) as server:
        w.sim.ctl("fault", kind="die", bytes=300_000, how="freeze", times=2)
        with forwarding(w, *alive, "-L", f"0:localhost:{server.port}") as ((port,), running):
            with dial(port) as sock:
                sock.sendall(b"go")
                equal(running.process.wait(20), 255, "status of -N")
            contains(running.err, "did not answer to keepalives", "why")
        result = w.eice("ssh", *alive, "-W", f"localhost:{server.port}", "web-1", data=b"go")
        contains(result.expect(255).err, "did not answer to keepalives", "why -W ends")


@test
def more_than_there_may_be(w):
    """The rest waits in the backlog, and gets its turn."""
    known(w)
    with Server(echo) as server, \
            forwarding(w, "-L", f"0:localhost:{server.port}") as ((port,), _):
        socks = [dial(port) for _ in range(75)]
        for n, sock in enumerate(socks):
            sock.sendall(b"%d" % n)
        for n, sock in enumerate(socks):
            equal(sock.recv(100), b"%d" % n, "echo")
            sock.close()


@test
def curl_through(w):
    known(w)
    curl = need("curl", "curl")
    page = pattern(300_000)

    def serve(sock):
        while not sock.recv(65536).endswith(b"\r\n\r\n"):
            pass
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(page) + page)
        read_all(sock)

    with Server(serve) as server, forwarding(w, "-D", "0") as ((port,), _):
        for how in (["--socks5-hostname", f"127.0.0.1:{port}"], ["--socks5", f"127.0.0.1:{port}"],
                    ["--socks4a", f"127.0.0.1:{port}"],
                    ["-p", "-x", f"http://127.0.0.1:{port}"]):
            # one of them looks names up itself, and may find ::1 first
            host = "127.0.0.1" if how[0] == "--socks5" else "localhost"
            result = w.run([curl, "-sS", "--noproxy", "", "-m", "20", *how,
                            f"http://{host}:{server.port}/"])
            result.expect(0, f"curl {how[0]}")
            check(result.out == page, f"curl {how[0]} gets the page")
        w.run([curl, "-sS", "--noproxy", "", "-m", "20", "--socks5-hostname",
               f"127.0.0.1:{port}", f"http://localhost:{free_port()}/"]).expect(97)
        result = w.run([curl, "-sS", "--noproxy", "", "-m", "20", "-p", "-x",
                        f"http://127.0.0.1:{port}", f"http://localhost:{free_port()}/"])
        contains(result.err, "502", "curl's words")


@test
def half_closed(w):
    """Either end may say its last word first; the other still gets all."""
    known(w)
    path = os.path.join(w.remote_home(), "slow")
    sizes = [2_500_000 + 24_000 * i for i in range(5)]
    full = threading.Event()

    def server_first(sock):
        """So slow that some of the last bytes find SSH's window shut."""
        sock.sendall(b"bye\n")
        sock.shutdown(socket.SHUT_WR)
        full.wait(20)
        count = 0
        while data := sock.recv(32768):
            count += len(data)
            time.sleep(0.02)
        got.append(count)

    def client(port, size):
        with dial(port) as sock:
            equal(read_all(sock), b"bye\n", "what the server said")
            sock.sendall(bytes(size))

    got = []
    with Server(digest_back) as one, Server(server_first, path), \
            forwarding(w, "-L", f"0:localhost:{one.port}",
                       "-L", f"0:{path}") as ((first, second), _), \
            concurrent.futures.ThreadPoolExecutor(len(sizes)) as pool:
        check(exchange(lambda: dial(first), 1), "the client ends first")
        clients = [pool.submit(client, second, size) for size in sizes]
        concurrent.futures.wait(clients, 2)  # all that fits between them is on its way
        full.set()
        for one_client in clients:
            one_client.result(20)
        eventually(lambda: len(got), len(sizes), "how many connections the server saw end", 20)
    equal(sorted(got), sizes, "all that was sent after the server's end")


@test
def answer_before_the_end(w):
    """A server that answers and hangs up while the client is still sending: no byte is lost."""
    known(w)
    answer = pattern(100_000)

    def serve(sock):
        sock.recv(1)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(5)
        read_all(sock)

    with Server(serve) as server, \
            forwarding(w, "-L", f"0:localhost:{server.port}") as ((port,), _):
        for _ in range(5):
            with dial(port) as sock:
                sock.sendall(b"x" * 20_000)
                time.sleep(0.1)
                equal(read_all(sock) == answer, True, "the answer")


@test
def slow_reader(w):
    """One that does not read holds up nobody, and eice's memory stays small."""
    known(w)
    data = pattern(12_000_000)

    def flood(sock):
        sock.sendall(data)

    with Server(flood) as server, Server(echo) as other, \
            forwarding(w, "-L", f"0:localhost:{server.port}",
                       "-L", f"0:localhost:{other.port}") as ((port, second), _):
        with dial(port) as slow, dial(second) as quick:
            for n in range(50):
                quick.sendall(b"%d" % n)
                equal(quick.recv(100), b"%d" % n, "the other connection")
            got = read_all(slow)
            equal(hashlib.sha256(got).digest() == hashlib.sha256(data).digest(), True, "the flood")


@test
def unix_sockets(w):
    known(w)
    there = os.path.join(w.remote_home(), "there.sock")
    here = w.path("here.sock")
    with Server(echo, there), Server(echo) as tcp, \
            forwarding(w, "-L", f"0:{there}", "-L", f"{here}:localhost:{tcp.port}") \
            as ((port,), running):
        with dial(port) as sock:
            sock.sendall(b"to a path")
            equal(sock.recv(100), b"to a path", "echo from a UNIX socket")
        with dial_path(here) as sock:
            equal(os.stat(here).st_mode & 0o777, 0o600, "the mode of the local socket")
            sock.sendall(b"from a path")
            equal(sock.recv(100), b"from a path", "echo through a local UNIX socket")
        running.stop()
    check(not os.path.exists(here), "the local socket is removed")


@test
def addresses(w):
    known(w)
    with Server(echo) as server:
        port = free_port()
        with forwarding(w, "-L", f"[::1]:{port}:127.0.0.1:{server.port}") as (_, running):
            end = time.monotonic() + 15
            while True:
                try:
                    sock = socket.create_connection(("::1", port), timeout=10)
                    break
                except OSError:
                    check(time.monotonic() < end, f"nobody listens on ::1: {running.err}")
                    time.sleep(0.05)
            with sock:
                sock.sendall(b"six")
                equal(sock.recv(10), b"six", "echo over ::1")
            with socket.socket() as sock:
                check(sock.connect_ex(("127.0.0.1", port)) != 0, "127.0.0.1 is not listened on")


@test
def bad_forwards(w):
    for words in (["-L", "80"], ["-L", "x:y:z"], ["-L", "1:h:0"], ["-L", "1:h:65536"], ["-D", "x"],
                  ["-L", "1:2:3:4:5"], ["-L", "[::1:1:h:1"], ["-D", "1:2:3"]):
        result = w.eice("ssh", "-N", *words, "web-1").expect(255)
        contains(result.err, f"{words[0]}: bad forward: {words[1]}", "the error")
    result = w.eice("ssh", "-f", "web-1").expect(255)
    contains(result.err, "-f needs a command", "the error")
    equal(w.actions(), {}, "nothing was asked of AWS")


@test
def taken_port(w):
    known(w)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["-L", f"{port}:localhost:1"]
        result = w.eice("ssh", *words, "web-1", "echo on").expect(0)
        matches(result.err, f"cannot listen on localhost:{port}: Address", "the warning")
        equal(result.out, b"on\n", "the command runs")
        result = w.eice("ssh", "-o", "ExitOnForwardFailure=yes", *words, "web-1", "echo on")
        result.expect(255)
        equal(result.out, b"", "the command does not run")


@test
def refused_destination(w):
    known(w)
    with forwarding(w, "-L", f"0:localhost:{free_port()}") as ((port,), running):
        with dial(port) as sock:
            equal(sock.recv(10), b"", "the connection ends")
        running.expect(r"-> localhost:\d+: channel refused")
        with dial(port) as sock:
            equal(sock.recv(10), b"", "and the next")
    with w.restart_sshd("web-1", AllowTcpForwarding="no"):
        with forwarding(w, "-D", "0") as ((port,), running):
            sock, code = socks5(port, "localhost", 1)
            with sock:
                check(code in (2, 4), f"SOCKS code {code}")


@test
def black_hole_among_others(w):
    """A destination that never answers holds up no other, and its client may give up."""
    known(w)
    listener, fillers = black_hole()
    dead = listener.getsockname()[1]
    try:
        with Server(digest_back) as server, forwarding(w, "-D", "0") as ((port,), _):
            waiting = []
            for _ in range(3):
                sock = dial(port)
                sock.sendall(b"\5\1\0\5\1\0\1\x7f\0\0\1" + struct.pack(">H", dead))
                waiting.append(sock)
            time.sleep(0.3)
            began = time.monotonic()
            exchange_many(lambda: socks5(port, "localhost", server.port)[0], "the others")
            check(time.monotonic() - began < 20, "they do not wait")
            for sock in waiting:
                sock.close()
    finally:
        for sock in (listener, *fillers):
            sock.close()


@test
def stdio(w):
    known(w)
    data = pattern(2_000_000)
    with Server(digest_back) as server:
        result = w.eice("ssh", "-W", f"localhost:{server.port}", "web-1", data=data).expect(0)
        equal(result.out == hashlib.sha256(data).hexdigest().encode() + b"\n" + data, True,
              "what comes back")
    with Server(lambda sock: sock.sendall(b"hello\n")) as server:
        result = w.eice("ssh", "-W", f"127.0.0.1:{server.port}", "web-1").expect(0)
        equal(result.out, b"hello\n", "what a server says")
    result = w.eice("ssh", "-W", f"localhost:{free_port()}", "web-1").expect(255)
    contains(result.err, "refused", "the error")
    w.eice("ssh", "-W", "nonsense", "web-1").expect(255)


@test
def shell_waits_for_forwards(w):
    """The command is over; a connection that still carries bytes is not cut off."""
    known(w)
    with Server(echo) as server:
        running = Running(w, "ssh", "-L", f"0:localhost:{server.port}", "web-1", "sleep 2",
                          stdout=subprocess.DEVNULL)
        port = int(running.expect(r"Allocated port (\d+) ")[1])
        with dial(port) as sock:
            sock.sendall(b"one")
            equal(sock.recv(10), b"one", "echo before the end")
            time.sleep(3)
            equal(running.process.poll(), None, "it still runs")
            sock.sendall(b"two")
            equal(sock.recv(10), b"two", "echo after the end")
        equal(running.process.wait(10), 0, "status")


@test
def background(w):
    known(w)
    with Server(echo) as server:
        port = free_port()
        result = w.eice("ssh", "-f", "-N", "-o", "ExitOnForwardFailure=yes", "-L",
                        f"{port}:localhost:{server.port}", "web-1").expect(0)
        equal(result.err, "", "what it says")
        try:
            with dial(port) as sock:
                sock.sendall(b"there")
                equal(sock.recv(10), b"there", "echo")
        finally:
            pids = w.run(["pgrep", "-f", f"ssh -f -N .*{port}:localhost"]).text.split()
            equal(len(pids), 1, "processes in the background")
            os.kill(int(pids[0]), signal.SIGTERM)
        eventually(w.tunnels, 0, "tunnels")


@test
def listed(w):
    known(w)
    with Server(echo) as server, \
            w.terminal("ssh", "-L", f"0:localhost:{server.port}", "web-1") as terminal:
        port = int(terminal.expect(r"Allocated port (\d+) ")[1])
        terminal.expect(r"[$#>] ")
        with dial(port) as sock:
            sock.sendall(b"x")
            equal(sock.recv(10), b"x", "echo")
            terminal.send("\r~#")
            terminal.expect(rf"#0 127\.0\.0\.1 port \d+ -> localhost:{server.port}")
        terminal.send("exit\r")
        terminal.wait()


@test
def words_of_ssh_config(w):
    known(w)
    with Server(echo) as server:
        port = free_port()
        words = ["-o", f"LocalForward={port} localhost:{server.port}", "-o", "SessionType=none"]
        running = Running(w, "ssh", *words, "web-1")
        end = time.monotonic() + 15
        while True:
            try:
                sock = dial(port)
                break
            except OSError:
                check(time.monotonic() < end, f"nobody listens: {running.err}")
                time.sleep(0.05)
        with sock:
            sock.sendall(b"word")
            equal(sock.recv(10), b"word", "echo")
        running.stop()
        w.eice("ssh", *words[:2], "-o", "ClearAllForwardings=yes", "web-1", "true").expect(0)


# ---- eice forward --------------------------------------------------------------------------------


@contextlib.contextmanager
def keeping(w, *arguments, **options):
    """`eice forward`, and what its ready line says."""
    ours, theirs = os.pipe()
    running = Running(w, "forward", "--ready-fd", str(theirs), *arguments, pass_fds=(theirs,),
                      **options)
    os.close(theirs)
    with os.fdopen(ours, encoding="utf-8") as ready:
        line = ready.readline()
    check(line, f"no ready line: {running.err!r}")
    try:
        yield json.loads(line), running
        running.stop(0)
    finally:
        if running.process.poll() is None:
            running.process.kill()


def first_port(ready):
    return ready["listen"][0]["bind_port"]


@test
def ready_line(w):
    known(w)
    with Server(echo) as server, \
            keeping(w, "web-1", f"0:localhost:{server.port}", "-D", "0", "0:22") as (ready, _):
        places = {place["by"]: place for place in ready["listen"]}
        equal(set(places), {"ssh", "socks", "tunnel"}, "what carries them")
        equal((places["ssh"]["to"], places["ssh"]["to_port"]), ("localhost", server.port), "to")
        with dial(places["ssh"]["bind_port"]) as sock:
            sock.sendall(b"x")
            equal(sock.recv(10), b"x", "echo")
        sock, code = socks5(places["socks"]["bind_port"], "localhost", server.port)
        sock.close()
        equal(code, 0, "SOCKS code")
        with dial(places["tunnel"]["bind_port"]) as sock:
            contains(sock.recv(100).decode(), "SSH-2.0-", "banner")


@test
def plain_tunnels(w):
    """Port 22 of the instance: a tunnel for each connection, no login."""
    with keeping(w, "web-1", "0:22", "-v") as (ready, running):
        equal(w.actions().get("SendSSHPublicKey", 0), 0, "keys pushed")
        for _ in range(2):
            with dial(first_port(ready)) as sock:
                contains(sock.recv(100).decode(), "SSH-2.0-", "banner")
        running.expect(r"-> localhost:22: \d+ bytes out, \d+ in")
        equal(w.actions().get("SendSSHPublicKey", 0), 0, "keys pushed")


@test
def redis(w):
    """A real server and its client."""
    known(w)
    server = need("redis-server", "redis-server")
    client = need("redis-cli", "redis-tools")
    port = free_port()
    w.start([server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", w.home],
            stdout=subprocess.DEVNULL)
    with keeping(w, "web-1", f"0:127.0.0.1:{port}", "-v") as (ready, running):
        cli = [client, "-p", str(first_port(ready))]
        end = time.monotonic() + 10
        while w.run([*cli, "ping"]).text != "PONG\n":
            check(time.monotonic() < end, f"no answer of redis: {running.err}")
        value = "v" * 100_000
        equal(w.run([*cli, "-x", "set", "key"], data=value.encode()).text, "OK\n", "set")
        equal(w.run([*cli, "get", "key"]).text, value + "\n", "get")
        lines = "".join(f"incr n{n % 7}\n" for n in range(5000))
        out = w.run(cli, data=lines.encode()).text.split()
        equal((len(out), out[-1]), (5000, str(len(range((4999 % 7), 5000, 7)))), "pipelined")
        running.expect(rf"-> 127\.0\.0\.1:{port}: \d+ bytes out, \d+ in")
    for process in w.processes:
        if process.poll() is None:
            process.terminate()
            process.wait(10)


@test(seconds=60)
def lost_session(w):
    """The tunnel dies: what was answered ends, what had not sent yet waits for the next one."""
    known(w)
    with Server(echo) as server, \
            keeping(w, "web-1", f"0:localhost:{server.port}") as (ready, running):
        port = first_port(ready)
        busy = dial(port)
        busy.sendall(b"x")
        equal(busy.recv(10), b"x", "echo")
        quiet = dial(port)
        eventually(lambda: server.count, 2, "connections at the server")
        w.sshd("web-1", "stop")
        running.expect(r"connecting again in \d+ ms")
        equal(busy.recv(10), b"", "the connection that was in use ends")
        late = dial(port)
        late.sendall(b"early words")
        time.sleep(0.5)
        w.sshd("web-1", "start")
        quiet.sendall(b"quiet")
        equal(quiet.recv(20), b"quiet", "echo of the one that had not sent")
        equal(late.recv(20), b"early words", "echo of the one that came meanwhile")
        running.expect("connected again")
        for sock in (busy, quiet, late):
            sock.close()
        check(len({r["params"]["SSHPublicKey"] for r in w.requests("SendSSHPublicKey")}) >= 3,
              "a new key for the new session")


@test
def expired_tunnel(w):
    known(w)
    w.sim.ctl("fault", kind="expire", ms=1500, times=1)
    with Server(echo) as server, \
            keeping(w, "web-1", f"0:localhost:{server.port}") as (ready, running):
        running.expect("connected again", 25)
        with dial(first_port(ready)) as sock:
            sock.sendall(b"again")
            equal(sock.recv(10), b"again", "echo through the second tunnel")


@test
def remote_survives(w):
    """-R of `eice forward` is asked for again on the next session."""
    known(w)
    port = free_port()
    with Server(echo) as server:
        with keeping(w, "web-1", "-R", f"{port}:localhost:{server.port}") as (_, running):
            w.sshd("web-1", "restart")
            running.expect("connected again")
            end = time.monotonic() + 10
            while True:
                try:
                    with dial(port) as sock:
                        sock.sendall(b"back")
                        equal(sock.recv(10), b"back", "echo through the second session")
                    break
                except OSError:
                    check(time.monotonic() < end, "nobody listens there")
                    time.sleep(0.05)


@test
def remote_ready(w):
    """-R 0 in the ready line; a port that is taken ends it at first, is asked for again later."""
    known(w)
    with Server(echo) as server:
        to = f"localhost:{server.port}"
        with keeping(w, "web-1", "-R", "0", "-R", f"0:{to}") as (ready, _):
            places = {place["by"]: place for place in ready["listen"]}
            equal(set(places), {"remote-socks", "remote"}, "what carries them")
            check("to" not in places["remote-socks"], "no destination")
            equal((places["remote"]["bind"], places["remote"]["to_port"]),
                  ("localhost", server.port), "places")
            with dial_there(places["remote"]["bind_port"]) as sock:
                sock.sendall(b"x")
                equal(sock.recv(10), b"x", "echo")
            sock, code = socks5(places["remote-socks"]["bind_port"], "localhost", server.port,
                                dial_there)
            sock.close()
            equal(code, 0, "SOCKS code")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            result = w.eice("forward", "web-1", "-R", f"127.0.0.1:{port}:{to}").expect(1)
            contains(result.err, f"does not listen on 127.0.0.1 port {port}", "the error")
        with keeping(w, "web-1", "-R", f"127.0.0.1:{port}:{to}") as (_, running):
            w.sshd("web-1", "stop")
            with socket.create_server(("127.0.0.1", port)):
                w.sshd("web-1", "start")
                running.expect("does not listen on 127.0.0.1 port")
            eventually(lambda: can_connect(port), True, "it listens again", 15)


@test
def most_connections(w):
    known(w)
    with Server(echo) as server, keeping(w, "web-1", "--max-connections", "2",
                                         f"0:localhost:{server.port}") as (ready, _):
        socks = [dial(first_port(ready)) for _ in range(3)]
        for sock in socks:
            sock.sendall(b"me")
        for sock in socks[:2]:
            equal(sock.recv(10), b"me", "echo of the first two")
        time.sleep(0.3)
        equal(server.count, 2, "connections at the server")
        socks[0].close()
        equal(socks[2].recv(10), b"me", "echo of the third when one has gone")
        for sock in socks:
            sock.close()


@test
def forward_errors(w):
    for words, wanted in ((["web-1"], "no port to listen on"), ([], "no target"),
                          (["web-1", "x"], "bad forward"), (["web-1", "1:h:x"], "bad forward")):
        contains(w.eice("forward", *words).expect(2).err, wanted, f"{words}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = w.eice("forward", "web-1", f"{port}:localhost:1").expect(1)
        matches(result.err, "cannot listen on .*: Address", "a taken port")
    result = w.eice("forward", "nowhere", "0:localhost:1").expect(1)
    contains(result.err, "nowhere", "an unknown target")


if __name__ == "__main__":
    sys.exit(main(__doc__))
