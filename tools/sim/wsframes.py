"""RFC 6455 frames, the server's side: strict reader of masked frames, writer of plain ones."""

import functools

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
CONTINUATION = 0
CLIENT_FRAME_MAX = 65000
CONTROL_MAX = 125


class Fatal(Exception):
    """The client broke the protocol; the text names the rule. Answered by Close 1002."""

    def __init__(self, rule, detail):
        super().__init__(detail)
        self.rule = rule
        self.detail = detail


def frame(opcode, payload=b"", fin=True, flags=0, mask=None, long_length=False):
    """One encoded frame. `flags` are the reserved bits as they stand in the first byte."""
    size = len(payload)
    head = bytearray([(0x80 if fin else 0) | flags | opcode])
    masked = 0x80 if mask else 0
    if size > 65535 or long_length:
        head += bytes([masked | 127]) + size.to_bytes(8, "big")
    elif size > 125:
        head += bytes([masked | 126]) + size.to_bytes(2, "big")
    else:
        head.append(masked | size)
    if mask:
        return bytes(head) + mask + unmask(payload, mask, 0)
    return bytes(head) + payload


def close_frame(code, reason=""):
    """Code 0 gives the empty payload."""
    return frame(CLOSE, b"" if code == 0 else code.to_bytes(2, "big") + reason.encode())


@functools.lru_cache(256)
def _ones(words):
    """A number that, times a 32-bit mask, repeats the mask `words` times."""
    return ((1 << (32 * words)) - 1) // 0xffffffff


def unmask(data, mask, at):
    """XOR with the mask, of which `at` bytes of the payload have been used before."""
    size = len(data)
    words = (size + 3) // 4
    turn = at % 4
    key = int.from_bytes(mask[turn:] + mask[:turn], "little") * _ones(words)
    return (int.from_bytes(data, "little") ^ key).to_bytes(4 * words, "little")[:size]


class Reader:
    """Feeds on bytes of the client, yields (opcode, payload) with payload unmasked.

    Data payloads are passed on as they arrive, control payloads whole. `note(rule, detail)` is
    told of what is legal by the RFC but not for this service; the rest raises Fatal.

        HEAD --complete--> PAYLOAD --all bytes seen--> HEAD
    """

    def __init__(self, note):
        self.note = note
        self.buffer = bytearray()
        self.left = None
        self.opcode = None
        self.mask = b""
        self.last_mask = None
        self.at = 0
        self.in_message = False
        self.closed = False
        self.frames = 0

    def feed(self, data):
        self.buffer += data
        out = []
        while self._step(out):
            pass
        return out

    def _step(self, out):
        """One transition; False when more bytes are needed."""
        if self.left is None:
            return self._head()
        if self.opcode >= CLOSE:
            if len(self.buffer) < self.left:
                return False
            size = self.left
        else:
            size = min(len(self.buffer), self.left)
            if size == 0 and self.left:
                return False
        if size or self.opcode >= CLOSE:
            out.append((self.opcode, unmask(self._cut(size), self.mask, self.at)))
        self.at += size
        self.left -= size
        if self.left == 0:
            self.left = None
        return True

    def _cut(self, size):
        if size == len(self.buffer):
            data, self.buffer = self.buffer, bytearray()
            return data
        data = self.buffer[:size]
        del self.buffer[:size]
        return data

    def _head(self):
        if len(self.buffer) < 2:
            return False
        first, second = self.buffer[0], self.buffer[1]
        self._check_first(first, second)
        extra = {126: 2, 127: 8}.get(second & 0x7f, 0)
        if len(self.buffer) < 2 + extra + 4:
            return False
        size = second & 0x7f
        if extra:
            size = int.from_bytes(self.buffer[2:2 + extra], "big")
        self._check_size(first & 0x0f, size, extra)
        self.mask = bytes(self.buffer[2 + extra:6 + extra])
        self._check_mask()
        del self.buffer[:6 + extra]
        self.left, self.at, self.opcode = size, 0, first & 0x0f
        self._track_message(first)
        self.frames += 1
        return True

    def _check_first(self, first, second):
        opcode = first & 0x0f
        if self.closed:
            raise Fatal("after-close", f"frame with opcode {opcode} after Close")
        if first & 0x70:
            raise Fatal("reserved-bits", f"reserved bits set: first byte {first:#04x}")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise Fatal("opcode", f"unknown opcode {opcode}")
        if not second & 0x80:
            raise Fatal("unmasked", f"unmasked frame with opcode {opcode}")
        if opcode >= CLOSE and not first & 0x80:
            raise Fatal("fragmented-control", f"control frame {opcode} without FIN")

    def _check_size(self, opcode, size, extra):
        if (extra == 2 and size < 126) or (extra == 8 and size < 65536):
            raise Fatal("non-minimal", f"length {size} in {extra} bytes")
        if size >> 63:
            raise Fatal("length", "64-bit length with the top bit set")
        if opcode >= CLOSE and size > CONTROL_MAX:
            raise Fatal("control-size", f"control frame of {size} bytes")
        if opcode < CLOSE and size == 0:
            self.note("zero-length", "data frame without payload")
        if opcode < CLOSE and size > CLIENT_FRAME_MAX:
            self.note("oversize", f"data frame of {size} bytes, more than {CLIENT_FRAME_MAX}")

    def _check_mask(self):
        if self.mask == self.last_mask:
            self.note("mask-repeated", "two frames with the same masking key")
        self.last_mask = self.mask

    def _track_message(self, first):
        fin, opcode = first & 0x80, first & 0x0f
        if opcode == CLOSE:
            self.closed = True
        if opcode >= CLOSE:
            return
        if (opcode == CONTINUATION) != self.in_message:
            raise Fatal("continuation", f"opcode {opcode} while "
                        f"{'inside' if self.in_message else 'outside'} a message")
        if opcode == TEXT:
            self.note("text", "text frame")
        if not fin and not self.in_message:
            self.note("fragmented", "fragmented data message")
        self.in_message = not fin


def parse_close(payload):
    """(code or 0, reason). Raises Fatal for what RFC 6455 5.5.1 and 7.4 forbid."""
    if not payload:
        return 0, ""
    if len(payload) == 1:
        raise Fatal("close-payload", "Close payload of one byte")
    code = int.from_bytes(payload[:2], "big")
    legal = 1000 <= code <= 1014 and code not in (1004, 1005, 1006) or 3000 <= code <= 4999
    if not legal:
        raise Fatal("close-code", f"Close code {code} may not be sent")
    try:
        return code, payload[2:].decode("utf-8")
    except UnicodeDecodeError as e:
        raise Fatal("close-reason", "Close reason is not UTF-8") from e
