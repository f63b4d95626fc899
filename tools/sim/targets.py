"""What may answer behind the tunnel, other than a real server: small threads on a socket pair.

    echo          sends back what it gets
    silent        accepts, never sends
    sink          swallows everything
    close         accepts and closes at once
    garbage       sends bytes that are no SSH banner, then keeps reading
    say:TEXT      sends TEXT and closes
    source:N      sends N bytes of a fixed pattern and closes
    reset:N       swallows N bytes, then is gone with a reset
"""

import hashlib
import socket
import struct
import threading

CHUNK = 65536
GARBAGE = bytes(range(256)) * 4


def pattern(size):
    """`size` bytes that do not repeat with a short period."""
    block = b"".join(hashlib.sha256(struct.pack(">I", n)).digest() for n in range(2048))
    return (block * (size // len(block) + 1))[:size]


def _echo(sock, _):
    room = memoryview(bytearray(CHUNK))
    while size := sock.recv_into(room):
        sock.sendall(room[:size])


def _sink(sock, _):
    room = bytearray(CHUNK)
    while sock.recv_into(room):
        pass


def _finish(sock):
    """An end without a reset, whatever the client has sent meanwhile."""
    sock.shutdown(socket.SHUT_WR)
    _sink(sock, None)


def _close(sock, _):
    _finish(sock)


def _garbage(sock, _):
    sock.sendall(GARBAGE)
    _sink(sock, _)


def _say(sock, text):
    sock.sendall(text.encode())
    _finish(sock)


def _source(sock, text):
    left = int(text)
    block = pattern(65536 * 4)
    while left:
        piece = block[:left]
        sock.sendall(piece)
        left -= len(piece)


BEHAVIOURS = {"echo": _echo, "silent": _sink, "sink": _sink, "close": _close,
              "garbage": _garbage, "say": _say, "source": _source}


def is_behaviour(spec):
    return spec.partition(":")[0] in (*BEHAVIOURS, "reset")


def _run(function, sock, argument):
    try:
        function(sock, argument)
    except OSError:
        pass
    finally:
        sock.close()


def _reset_server(listener, text):
    """A socket pair knows no reset, so this one is TCP."""
    sock, _ = listener.accept()
    listener.close()
    left = int(text)
    while left > 0 and (data := sock.recv(left)):
        left -= len(data)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def _open_reset(text):
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=_reset_server, args=(listener, text), daemon=True).start()
    return socket.create_connection(listener.getsockname())


def connect(spec):
    """A connected socket whose other end behaves as `spec` says."""
    name, _, argument = spec.partition(":")
    if name == "reset":
        return _open_reset(argument)
    ours, theirs = socket.socketpair()
    threading.Thread(target=_run, args=(BEHAVIOURS[name], theirs, argument),
                     daemon=True).start()
    return ours
