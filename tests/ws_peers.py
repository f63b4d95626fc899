#!/usr/bin/python3
"""The WebSocket client against the server of python3-websockets.

    ws_peers.py CLIENT

CLIENT is the program made of ws_client.c.  Prints PASS, FAIL or SKIP lines.
"""

import asyncio
import subprocess
import sys
import threading

try:
    import websockets
except ImportError:
    websockets = None

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1 << 20)
READS = ("1", "7", "65536")


class Failure(Exception):
    pass


def expect(got, want):
    if got != want:
        raise Failure("got %r, expected %r" % (got, want))


def fnv(data):
    """The hash that the client prints."""
    value = 14695981039346656037
    for byte in data:
        value = ((value ^ byte) * 1099511628211) & 0xffffffffffffffff
    return "%016x" % value


class Server:
    """One server; the path of a connection says what it does."""

    def __init__(self):
        self.log = []      # of the connection that ended last
        self.ended = threading.Event()
        self.loop = asyncio.new_event_loop()
        self.port = None
        ready = threading.Event()
        self.thread = threading.Thread(target=self.run, args=(ready,), daemon=True)
        self.thread.start()
        if not ready.wait(10):
            raise Failure("the server did not start")

    def run(self, ready):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self.start())
        ready.set()
        self.loop.run_forever()

    async def start(self):
        server = await websockets.serve(
            self.serve, "127.0.0.1", 0, compression=None, max_size=None,
            ping_interval=None, close_timeout=5)
        self.port = server.sockets[0].getsockname()[1]

    async def serve(self, ws):
        log = []
        name, _, arg = ws.path.strip("/").partition("/")
        try:
            await getattr(self, "do_" + name)(ws, arg, log)
        except websockets.ConnectionClosed:
            pass
        await ws.wait_closed()
        log.append(("closed", ws.close_code, ws.close_reason))
        self.log = log
        self.ended.set()

    async def do_echo(self, ws, arg, log):
        async for message in ws:
            log.append((type(message).__name__, len(message)))
            await ws.send(message)

    async def do_fragments(self, ws, arg, log):
        """Messages in fragments of given sizes, a ping before each."""
        sizes = [int(size) for size in arg.split(",")]

        async def parts():
            for number, size in enumerate(sizes):
                await ws.ping(b"between %d" % number)
                yield bytes([number]) * size

        await ws.send(parts())
        await ws.send(text async for text in fragments_of_text())
        await ws.send(b"last")
        await ws.wait_closed()

    async def do_pings(self, ws, arg, log):
        for size in (0, 1, 124, 125):
            pong = await ws.ping(bytes(range(size)))
            await asyncio.wait_for(pong, 10)
            log.append(("pong", size))
        await ws.send("done")
        await ws.wait_closed()

    async def do_close(self, ws, arg, log):
        code, _, reason = arg.partition("/")
        await ws.send(b"before")
        await ws.close(int(code), bytes.fromhex(reason).decode())

    async def do_drop(self, ws, arg, log):
        ws.transport.abort()


async def fragments_of_text():
    """A text whose fragments are whole characters, as websockets sends it."""
    for piece in ("gr\u00fc\u00df", "", "\U0001f600", "e"):
        yield piece


class Peers:
    def __init__(self, client):
        self.client = client
        self.server = Server()

    def talk(self, path, read, *commands):
        """Runs the client; what it printed and what the server saw."""
        self.server.ended.clear()
        done = subprocess.run(
            [self.client, str(self.server.port), path, read] + list(commands),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        lines = done.stdout.splitlines()
        if done.returncode != 0:
            raise Failure("client: %s" % " | ".join(lines))
        if not self.server.ended.wait(10):
            raise Failure("the server does not see the end")
        return lines, self.server.log

    def test_echo(self):
        """Every length form, both ways; the server accepts all we send."""
        for read in READS:
            sizes = [n for n in SIZES if read != "1" or n <= 65536]
            lines, log = self.talk(
                "/echo", read, *["echo:%d" % n for n in sizes], "close:1000:bye")
            expect(lines, ["echo %d" % n for n in sizes] + ["close 1000 bye"])
            expect(log, [("bytes", n) for n in sizes] + [("closed", 1000, "bye")])

    def test_text(self):
        sizes = [0, 2, 124, 126, 65534, 65536]
        lines, log = self.talk("/echo", "7", *["text:%d" % n for n in sizes], "close:1000:")
        expect(lines, ["echo %d" % n for n in sizes] + ["close 1000 "])
        expect(log, [("str", n // 2) for n in sizes] + [("closed", 1000, "")])

    def test_pings(self):
        lines, log = self.talk("/echo", "7", "ping:0", "echo:5", "ping:1", "ping:125",
                               "close:1000:")
        expect(lines, ["pong 0", "echo 5", "pong 1", "pong 125", "close 1000 "])
        expect(log, [("bytes", 5), ("closed", 1000, "")])
        lines, log = self.talk("/pings", "3", "recv", "close:1000:")
        expect(log[:4], [("pong", 0), ("pong", 1), ("pong", 124), ("pong", 125)])
        expect(lines[0], "message text 4 " + fnv(b"done"))

    def test_fragments(self):
        sizes = [1, 0, 125, 126, 65535, 65536, 0]
        message = b"".join(bytes([i]) * n for i, n in enumerate(sizes))
        text = "gr\u00fc\u00df\U0001f600e".encode()
        for read in READS:
            lines, _ = self.talk("/fragments/" + ",".join(str(n) for n in sizes), read,
                                 "recv", "recv", "recv", "close:1000:")
            expect(lines, ["message binary %d %s" % (len(message), fnv(message)),
                           "message text %d %s" % (len(text), fnv(text)),
                           "message binary 4 " + fnv(b"last"), "close 1000 "])

    def test_client_closes(self):
        cases = [("1000", ""), ("1001", "going away"), ("1011", "\u00fc" * 61),
                 ("3000", "x" * 123), ("4999", "")]
        for code, reason in cases:
            lines, log = self.talk("/echo", "7", "close:%s:%s" % (code, reason))
            expect(lines, ["close %s %s" % (code, reason)])
            expect(log, [("closed", int(code), reason)])

    def test_client_closes_empty(self):
        lines, log = self.talk("/echo", "7", "close:1005:ignored")
        expect(lines, ["close 1005 "])
        expect(log, [("closed", 1005, "")])

    def test_client_reason_cut(self):
        lines, log = self.talk("/echo", "7", "close:1000:" + "\u20ac" * 60)
        expect(log, [("closed", 1000, "\u20ac" * 41)])

    def test_server_closes(self):
        cases = [(1000, ""), (1001, "restart"), (1008, "Unable to connect to target"),
                 (1011, "\u00e9" * 61), (3000, ""), (4999, "z" * 123)]
        for code, reason in cases:
            for read in READS:
                path = "/close/%d/%s" % (code, reason.encode().hex())
                lines, log = self.talk(path, read, "recv", "wait")
                expect(lines, ["message binary 6 " + fnv(b"before"),
                               "close %d %s" % (code, reason)])
                expect(log, [("closed", code, reason)])

    def test_server_drops(self):
        lines, log = self.talk("/drop", "7", "wait")
        expect(lines, ["eof"])
        expect(log[0][1], 1006)

    def test_server_checks(self):
        """The peer is strict: without a mask it fails the connection."""
        lines, log = self.talk("/echo", "7", "unmasked")
        expect(lines[0].split()[:2], ["close", "1002"])


def main():
    failed = 0
    tests = sorted(name for name in dir(Peers) if name.startswith("test_"))
    peers = Peers(sys.argv[1]) if websockets else None
    for name in tests:
        label = "ws_peers_" + name[len("test_"):]
        if peers is None:
            print("SKIP %s: no python3-websockets" % label)
            continue
        try:
            getattr(peers, name)()
            print("PASS " + label, flush=True)
        except (Failure, OSError, subprocess.SubprocessError) as problem:
            failed += 1
            print("FAIL %s: %s" % (label, str(problem)[:600]), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
