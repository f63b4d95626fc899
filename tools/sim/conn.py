"""One accepted connection: non-blocking TLS with deadlines, wake-up on stop, and raw mischief.

Every wait also watches the listener's stop pipe, so a stopping simulator never waits for a
connection that hangs on purpose. `rtt` seconds are slept whenever the peer was waited for and
then answered: one sleep for each flight of the client, so a test can count round trips by time.
"""

import select
import socket
import ssl
import struct
import time

RECORD = 16384
_READ = select.POLLIN
_WRITE = select.POLLOUT


class Stopped(Exception):
    """The simulator is stopping."""


class Gone(Exception):
    """The peer closed, reset or broke the connection; `why` is a short text."""


class Expired(TimeoutError):
    """A deadline passed."""


def peek_server_name(data):
    """(host or None, complete) from the first bytes of a TLS ClientHello (RFC 6066 3)."""
    if len(data) < 5:
        return None, False
    if data[0] != 22:
        return None, True
    length = int.from_bytes(data[3:5], "big")
    if len(data) < 5 + length:
        return None, False
    try:
        return _server_name(data[5:5 + length]), True
    except (IndexError, UnicodeDecodeError):
        return None, True


def _server_name(hello):
    at = 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 1 + hello[at]
    end = at + 2 + int.from_bytes(hello[at:at + 2], "big")
    at += 2
    while at + 4 <= end:
        kind = int.from_bytes(hello[at:at + 2], "big")
        size = int.from_bytes(hello[at + 2:at + 4], "big")
        if kind == 0:
            return hello[at + 9:at + 4 + size].decode("ascii").lower()
        at += 4 + size
    return None


class Conn:
    """A TCP connection that may have been wrapped in TLS."""

    def __init__(self, sock, stop_fd, rtt=0.0, peer_port=None):
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.stop_fd = stop_fd
        self.rtt = rtt
        self.peer_port = peer_port
        self.tls = False
        self.sni = None
        self.buffer = b""
        self.resumed = None

    def wait(self, events, timeout):
        """Waits for `events` on the socket; timeout None is for ever. Raises Expired, Stopped."""
        poller = select.poll()
        poller.register(self.sock, events)
        poller.register(self.stop_fd, select.POLLIN)
        got = poller.poll(None if timeout is None else max(0, timeout * 1000))
        if any(fd == self.stop_fd for fd, _ in got):
            raise Stopped()
        if not got:
            raise Expired()

    def wait_flight(self, timeout):
        """Waits for bytes of the peer; costs one round trip when they were not there yet."""
        try:
            self.wait(_READ, 0)
        except Expired:
            self.wait(_READ, timeout)
            if self.rtt:
                self.pause(self.rtt)

    def pause(self, seconds):
        """Sleeps, ending early (Stopped) when the simulator stops."""
        poller = select.poll()
        poller.register(self.stop_fd, select.POLLIN)
        if poller.poll(max(0, seconds * 1000)):
            raise Stopped()

    def hang(self, limit=None):
        """Reads and sends nothing until the peer has gone, `limit` seconds passed, or stop."""
        poller = select.poll()
        poller.register(self.sock, select.POLLRDHUP)
        poller.register(self.stop_fd, select.POLLIN)
        got = poller.poll(None if limit is None else limit * 1000)
        if any(fd == self.stop_fd for fd, _ in got):
            raise Stopped()

    def peek_sni(self, timeout):
        """The server name of the ClientHello, left unread. None when there is none."""
        end = time.monotonic() + timeout
        while True:
            self.wait_flight(end - time.monotonic())
            data = self._guard(lambda: self.sock.recv(RECORD + 5, socket.MSG_PEEK))
            if data == b"":
                raise Gone("closed before the TLS handshake")
            name, complete = peek_server_name(data or b"")
            if complete:
                self.sni = name
                return name
            self.pause(0.001)

    def handshake(self, context, timeout):
        self.sock = context.wrap_socket(self.sock, server_side=True,
                                        do_handshake_on_connect=False, suppress_ragged_eofs=True)
        self.tls = True
        end = time.monotonic() + timeout
        while True:
            try:
                self.sock.do_handshake()
                self.resumed = bool(self.sock.session_reused)
                return
            except ssl.SSLWantReadError:
                self.wait_flight(end - time.monotonic())
            except ssl.SSLWantWriteError:
                self.wait(_WRITE, end - time.monotonic())
            except ssl.SSLError as e:
                raise Gone(f"TLS handshake: {e.reason or e}") from e
            except OSError as e:
                raise Gone(f"TLS handshake: {e.strerror or e}") from e

    def _guard(self, call):
        """call(), or None when it would block. Errors become Gone."""
        try:
            return call()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return None
        except ssl.SSLError as e:
            raise Gone(f"TLS: {e.reason or e}") from e
        except OSError as e:
            raise Gone(e.strerror or str(e)) from e

    def try_recv(self, size=RECORD):
        """Bytes, b"" at end of stream, None when nothing is there."""
        return self._guard(lambda: self.sock.recv(size))

    def try_send(self, data):
        """Bytes taken, 0 when the peer's window is full. Sends one TLS record at most."""
        return self._guard(lambda: self.sock.send(data[:RECORD])) or 0

    def recv(self, timeout, size=RECORD):
        """Bytes, or b"" at end of stream. Bytes pushed back come first."""
        if self.buffer:
            data, self.buffer = self.buffer, b""
            return data
        end = time.monotonic() + timeout
        while True:
            data = self.try_recv(size)
            if data is not None:
                return data
            self.wait_flight(end - time.monotonic())

    def push_back(self, data):
        self.buffer = bytes(data) + self.buffer

    def sendall(self, data, timeout=30.0):
        view = memoryview(data)
        end = time.monotonic() + timeout
        while view:
            sent = self.try_send(view)
            view = view[sent:]
            if not sent:
                self.wait(_WRITE, end - time.monotonic())

    def send_raw(self, data):
        """Puts bytes on the TCP connection beneath TLS."""
        try:
            socket.socket.send(self.sock, data)
        except OSError as e:
            raise Gone(str(e)) from e

    def reset(self):
        """Closes with a TCP RST."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self.sock.close()

    def abandon(self):
        """Closes TCP at once without a TLS close_notify."""
        self.sock.close()

    def close(self, linger=1.0):
        """close_notify, FIN, then reads what still comes so that no RST eats our last bytes."""
        if self.sock.fileno() < 0:
            return
        try:
            if self.tls:
                self._guard(self.sock.unwrap)
            socket.socket.shutdown(self.sock, socket.SHUT_WR)
            self._drain(linger)
        except (Gone, Expired, OSError):
            pass
        finally:
            self.sock.close()

    def _drain(self, linger):
        end = time.monotonic() + linger
        while True:
            try:
                if not socket.socket.recv(self.sock, RECORD):
                    return
            except BlockingIOError:
                self.wait(_READ, end - time.monotonic())
