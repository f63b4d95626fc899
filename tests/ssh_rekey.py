#!/usr/bin/python3
"""What is in flight during a key exchange of ours: requests, and data up to the last byte of the
window.

usage: ssh_rekey.py SSH_SESSION [WORD]

SSH_SESSION is the program made of ssh_session.c; WORD runs only the tests whose name has it. The
server is asyncssh, with our KEXINIT on the way to it for a while.
"""

import asyncio
import functools
import subprocess
import sys
import threading
import warnings

from backend_sshd import PUBLIC, SEED, USER

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of ciphers that nobody asked for
    try:
        import asyncssh
        from asyncssh.packet import SSHPacketHandler, String
    except ImportError:
        asyncssh = None

MIB = 6
REKEYS = 4
DELAY = 0.1  # seconds on the way
TIMEOUT = 60
IGNORE, KEXINIT, NEWKEYS, LAST_KEX = 2, 20, 21, 49
KEEPALIVE = b"keepalive@openssh.com"


def pattern(size):
    """What `ssh_session … cat` wants to get."""
    return bytes((i * 2654435761 % 2 ** 32) >> 13 & 255 for i in range(size))


class Peer:
    """Sends a lot at once, and asks in the middle of each key exchange. Its packets are seen by
    a hook of asyncssh's dispatcher; there is one connection in its life."""

    def __init__(self):
        self.data = pattern(MIB << 20)
        self.connection = None
        self.channel = None
        self.exchanges = 0
        self.within = False    # between the client's KEXINIT and its NEWKEYS
        self.forbidden = []    # packets that came there
        self.answers = 0
        self.loop = asyncio.new_event_loop()
        self.dispatch = SSHPacketHandler.process_packet
        SSHPacketHandler.process_packet = lambda *arguments: self.received(*arguments)
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        asyncio.run_coroutine_threadsafe(self.listen(), self.loop).result(TIMEOUT)

    def received(self, handler, kind, number, packet):
        if kind == KEXINIT:
            self.within = True
            self.exchanges += 1
            if self.channel:
                self.ask()
                self.loop.call_later(DELAY, self.dispatch, handler, kind, number, packet)
                return True
        elif kind == NEWKEYS:
            self.within = False
        elif self.within and kind > LAST_KEX:
            self.forbidden.append(kind)
        return self.dispatch(handler, kind, number, packet)

    def ask(self):
        """As if the KEXINIT that just came were still on its way."""
        for request in (self.connection._make_global_request(KEEPALIVE),
                        self.channel._make_request(KEEPALIVE),
                        self.channel._make_request(b"unheard@of")):
            asyncio.ensure_future(self.count(request), loop=self.loop)

    def chatter(self, send_newkeys, *arguments):
        """More than libssh2 takes at a time comes together with the new keys."""
        send_newkeys(*arguments)
        for _ in range(8):
            self.connection.send_packet(IGNORE, String(bytes(30000)))

    async def count(self, request):
        await request
        self.answers += 1

    async def serve(self, process):
        self.channel = process.channel
        process.stdout.write(self.data)
        while await process.stdin.read(65536):
            pass
        await process.stdout.drain()
        process.exit(0)

    async def listen(self):
        public = asyncssh.import_public_key(f"ssh-ed25519 {PUBLIC}")
        peer = self

        class Login(asyncssh.SSHServer):
            def connection_made(self, conn):
                peer.connection = conn
                conn.send_newkeys = functools.partial(peer.chatter, conn.send_newkeys)

            def public_key_auth_supported(self):
                return True

            def validate_public_key(self, _, key):
                return key == public

        server = await asyncssh.create_server(
            Login, "127.0.0.1", 0, process_factory=self.serve, encoding=None,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            rekey_bytes=1 << 40)
        self.port = server.sockets[0].getsockname()[1]

    def stop(self):
        SSHPacketHandler.process_packet = self.dispatch
        self.loop.call_soon_threadsafe(self.loop.stop)


def report(name, why):
    print(f"FAIL {name}: {why}" if why else f"PASS {name}", flush=True)
    return bool(why)


def main():
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    names = ("nothing_else_is_sent", "requests_are_answered", "window_is_kept")
    if asyncssh is None:
        for name in names:
            print(f"SKIP {name}: no python3-asyncssh")
        return 0
    peer = Peer()
    done = subprocess.run([sys.argv[1], str(peer.port), USER, SEED, "cat", str(MIB), str(REKEYS),
                           "rest=1"],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=TIMEOUT, check=False, text=True)
    peer.stop()
    said = " | ".join(done.stdout.splitlines()[-8:])
    wanted = 3 * max(peer.exchanges - 1, 1)
    whys = ("" if peer.exchanges > 1 and not peer.forbidden else
            f"{peer.exchanges} exchanges; packets that are none of theirs: {peer.forbidden}",
            "" if peer.answers == wanted else f"{peer.answers} answers instead of {wanted}",
            "" if done.returncode == 0 and said.startswith("same ")
            and peer.exchanges == REKEYS + 1 else
            f"status {done.returncode}: {said}")
    failed = [report(name, why) for name, why in zip(names, whys) if word in name]
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
