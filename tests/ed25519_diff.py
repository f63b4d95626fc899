#!/usr/bin/python3
"""Ed25519 and X25519 of eice.h against others: Wycheproof, OpenSSL, OpenSSH, Python integers.

usage: ed25519_diff.py CRYPTO_HELPER

CRYPTO_HELPER is the program made of crypto_helper.c. Wycheproof's files are looked for in
EICE_VECTORS/wycheproof. One line a test: PASS, FAIL or SKIP.
"""

import base64
import ctypes
import ctypes.util
import hashlib
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
KEYS = 1000
SSH_KEYS = 6


class Skip(Exception):
    """What a test needs is not on this machine."""


class Failed(Exception):
    """A difference was found."""


def ask(commands):
    """Gives all commands to the helper and returns its answers, one for each."""
    text = "".join(" ".join(words) + "\n" for words in commands)
    done = subprocess.run([HELPER], input=text, stdout=subprocess.PIPE, text=True, check=True)
    answers = done.stdout.split("\n")[:-1]
    if len(answers) != len(commands):
        raise Failed("%d answers to %d commands" % (len(answers), len(commands)))
    return answers


def text_of(data):
    return data.hex() or "-"


def compare(commands, expected):
    for words, got, want in zip(commands, ask(commands), expected):
        if got != want:
            raise Failed("%s gives %s, expected %s" % (" ".join(words)[:300], got, want))


# --- Wycheproof ------------------------------------------------------------------------------

def wycheproof(name):
    folder = os.environ.get("EICE_VECTORS")
    if not folder:
        raise Skip("EICE_VECTORS is not set")
    path = os.path.join(folder, "wycheproof", name)
    if not os.path.exists(path):
        raise Skip("no wycheproof/%s in EICE_VECTORS" % name)
    with open(path, encoding="utf-8") as f:
        data = json.load(f)
    cases = [(group, test) for group in data["testGroups"] for test in group["tests"]]
    if len(cases) != data["numberOfTests"]:
        raise Failed("%s: %d tests, %d announced" % (name, len(cases), data["numberOfTests"]))
    return cases


def test_wycheproof_ed25519():
    """Every case; a signature that is not 64 bytes long is refused by whoever parses it."""
    commands, expected, short = [], [], 0
    for group, test in wycheproof("ed25519_test.json"):
        if len(test["sig"]) != 128:
            if test["result"] != "invalid":
                raise Failed("case %d is valid with a strange length" % test["tcId"])
            short += 1
            continue
        commands.append(("verify", group["publicKey"]["pk"], test["sig"], test["msg"] or "-"))
        expected.append("yes" if test["result"] == "valid" else "no")
    compare(commands, expected)
    return "%d cases, %d more of other lengths" % (len(commands), short)


def test_wycheproof_x25519():
    """Every result as given, also for odd points; all zero is refused (RFC 8731 3)."""
    commands, expected = [], []
    for _, test in wycheproof("x25519_test.json"):
        commands.append(("x25519", test["private"], test["public"]))
        expected.append("no" if int(test["shared"], 16) == 0 else test["shared"])
    compare(commands, expected)
    return "%d cases, %d refused" % (len(commands), expected.count("no"))


# --- OpenSSL ---------------------------------------------------------------------------------

class OpenSSL:
    """Ed25519 and X25519 of libcrypto, by its EVP functions."""

    ED25519 = 1087  # NID_ED25519
    X25519 = 1034  # NID_X25519

    def __init__(self):
        name = ctypes.util.find_library("crypto")
        if name is None:
            raise Skip("no libcrypto on this machine")
        self.lib = ctypes.CDLL(name)
        for function in ("EVP_PKEY_new_raw_private_key", "EVP_PKEY_new_raw_public_key",
                         "EVP_MD_CTX_new", "EVP_PKEY_CTX_new"):
            getattr(self.lib, function).restype = ctypes.c_void_p

    def key(self, kind, data, private):
        name = "EVP_PKEY_new_raw_%s_key" % ("private" if private else "public")
        key = getattr(self.lib, name)(kind, None, data, ctypes.c_size_t(len(data)))
        if not key:
            raise Failed("OpenSSL refuses the key %s" % data.hex())
        return ctypes.c_void_p(key)

    def public(self, kind, seed):
        key = self.key(kind, seed, True)
        out = ctypes.create_string_buffer(32)
        size = ctypes.c_size_t(32)
        done = self.lib.EVP_PKEY_get_raw_public_key(key, out, ctypes.byref(size))
        self.lib.EVP_PKEY_free(key)
        if done != 1:
            raise Failed("OpenSSL has no public key of %s" % seed.hex())
        return out.raw

    def sign(self, seed, msg):
        key = self.key(self.ED25519, seed, True)
        context = ctypes.c_void_p(self.lib.EVP_MD_CTX_new())
        out = ctypes.create_string_buffer(64)
        size = ctypes.c_size_t(64)
        self.lib.EVP_DigestSignInit(context, None, None, None, key)
        done = self.lib.EVP_DigestSign(context, out, ctypes.byref(size), msg,
                                       ctypes.c_size_t(len(msg)))
        self.lib.EVP_MD_CTX_free(context)
        self.lib.EVP_PKEY_free(key)
        if done != 1 or size.value != 64:
            raise Failed("OpenSSL does not sign with %s" % seed.hex())
        return out.raw

    def verify(self, public, sig, msg):
        key = self.key(self.ED25519, public, False)
        context = ctypes.c_void_p(self.lib.EVP_MD_CTX_new())
        self.lib.EVP_DigestVerifyInit(context, None, None, None, key)
        done = self.lib.EVP_DigestVerify(context, sig, ctypes.c_size_t(len(sig)), msg,
                                         ctypes.c_size_t(len(msg)))
        self.lib.EVP_MD_CTX_free(context)
        self.lib.EVP_PKEY_free(key)
        return done == 1

    def derive(self, scalar, point):
        ours = self.key(self.X25519, scalar, True)
        theirs = self.key(self.X25519, point, False)
        context = ctypes.c_void_p(self.lib.EVP_PKEY_CTX_new(ours, None))
        out = ctypes.create_string_buffer(32)
        size = ctypes.c_size_t(32)
        done = (self.lib.EVP_PKEY_derive_init(context) == 1
                and self.lib.EVP_PKEY_derive_set_peer(context, theirs) == 1
                and self.lib.EVP_PKEY_derive(context, out, ctypes.byref(size)) == 1)
        self.lib.EVP_PKEY_CTX_free(context)
        self.lib.EVP_PKEY_free(ours)
        self.lib.EVP_PKEY_free(theirs)
        return out.raw.hex() if done else "no"


def random_cases(count):
    """Seeds and messages, of every length from 0 to 299 and some longer ones."""
    for i in range(count):
        length = i if i < 300 else random.randrange(2000)
        yield random.randbytes(32), random.randbytes(length)


def test_openssl_sign():
    openssl = OpenSSL()
    cases = list(random_cases(KEYS))
    publics = [openssl.public(openssl.ED25519, seed) for seed, _ in cases]
    compare([("public", seed.hex()) for seed, _ in cases], [p.hex() for p in publics])
    commands = [("sign", seed.hex(), public.hex(), text_of(msg))
                for (seed, msg), public in zip(cases, publics)]
    compare(commands, [openssl.sign(seed, msg).hex() for seed, msg in cases])
    return "%d keys" % len(cases)


def test_openssl_verify():
    """What one signs the other verifies; with a bit flipped anywhere neither does."""
    openssl = OpenSSL()
    commands, expected = [], []
    for seed, msg in random_cases(KEYS):
        parts = [openssl.public(openssl.ED25519, seed), openssl.sign(seed, msg), msg]
        flip = random.randrange(4)
        if flip < 3 and parts[flip]:
            parts[flip] = flip_bit(parts[flip])
        good = openssl.verify(*parts)
        if good != (flip == 3 or not parts[flip]):
            raise Failed("OpenSSL verifies an altered signature")
        commands.append(("verify", *map(text_of, parts)))
        expected.append("yes" if good else "no")
    compare(commands, expected)
    return "%d signatures, %d of them altered" % (len(commands), expected.count("no"))


def flip_bit(data):
    bit = random.randrange(8 * len(data))
    number = int.from_bytes(data, "little") ^ 1 << bit
    return number.to_bytes(len(data), "little")


def test_openssl_x25519():
    openssl = OpenSSL()
    commands, expected = [], []
    for _ in range(300):
        scalar = random.randbytes(32)
        point = random.choice((random.randbytes(32), bytes(32), b"\1" + bytes(31),
                               b"\xff" * 32, (P + 2).to_bytes(32, "little")))
        commands.append(("x25519", scalar.hex(), point.hex()))
        expected.append(openssl.derive(scalar, point))
    compare(commands, expected)
    return "%d agreements" % len(commands)


# --- points of low order: the corners where verifiers differ ---------------------------------

def inverse(a):
    return pow(a, -1, P)


D = -121665 * inverse(121666) % P


def add_points(a, b):
    k = D * a[0] * b[0] * a[1] * b[1] % P
    both = inverse(1 - k * k)
    return ((a[0] * b[1] + a[1] * b[0]) * (1 - k) * both % P,
            (a[1] * b[1] + a[0] * b[0]) * (1 + k) * both % P)


def multiple(k, point):
    result = (0, 1)
    while k:
        if k & 1:
            result = add_points(result, point)
        point = add_points(point, point)
        k >>= 1
    return result


def decode_y(y, sign):
    """The point with that y, or None."""
    square = (y * y - 1) * inverse(D * y * y + 1) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - square) % P:
        return None
    return (x if x & 1 == sign else (P - x) % P, y)


def encode(point):
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def torsion():
    """The eight points whose order divides 8."""
    y = 2
    while True:
        point = decode_y(y, 0)
        generator = multiple(L, point) if point else (0, 1)
        if multiple(4, generator) != (0, 1):
            return [multiple(k, generator) for k in range(8)]
        y += 1


def equation(key, sig, msg):
    """RFC 8032 5.1.7 without cofactor, from the numbers."""
    base = decode_y(4 * inverse(5) % P, 0)
    s = int.from_bytes(sig[32:], "little")
    h = int.from_bytes(hashlib.sha512(sig[:32] + encode(key) + msg).digest(), "little")
    negative = ((P - key[0]) % P, key[1])
    result = add_points(multiple(s % L, base), multiple(h % L, negative))
    return s < L and encode(result) == sig[:32]


def test_low_order():
    """Keys and R of low order, alone and on top of honest ones."""
    openssl = OpenSSL()
    base = decode_y(4 * inverse(5) % P, 0)
    commands, expected = [], []
    for i, small in enumerate(torsion()):
        for j, other in enumerate(torsion()):
            secret, nonce = random.randrange(L), random.randrange(L)
            honest = (i + j) % 2
            key = add_points(multiple(secret * honest, base), small)
            r = encode(add_points(multiple(nonce, base), other))
            msg = b"low %d" % i
            h = int.from_bytes(hashlib.sha512(r + encode(key) + msg).digest(), "little")
            sig = r + ((nonce + h * secret * honest) % L).to_bytes(32, "little")
            good = equation(key, sig, msg)
            if openssl.verify(encode(key), sig, msg) != good:
                raise Failed("OpenSSL does not follow the equation")
            commands.append(("verify", encode(key).hex(), sig.hex(), msg.hex()))
            expected.append("yes" if good else "no")
    compare(commands, expected)
    return "%d signatures, %d of them good" % (len(commands), expected.count("yes"))


# --- arithmetic ------------------------------------------------------------------------------

EDGES = [0, 1, 2, 18, 19, 37, 38, 39, 2**32 - 1, 2**32, 2**64 - 1, L - 1, L, L + 1,
         P - 1, P, P + 1, P + 18, P + 19, P + 37, P + 38, 2**255 - 1, 2**255, 2 * P - 1, 2 * P,
         2 * P + 1, 2 * P + 37, 2**256 - 2**32, 2**256 - 2**224, 2**256 - 39, 2**256 - 38,
         2**256 - 37, 2**256 - 20, 2**256 - 2]


def number(value, size=32):
    return value.to_bytes(size, "little").hex()


def pairs(count):
    for a in EDGES:
        for b in EDGES:
            yield a, b
    for _ in range(count):
        yield random.getrandbits(256), random.getrandbits(256)
        yield random.choice(EDGES), random.getrandbits(256)
        yield random.getrandbits(256), random.choice(EDGES)


def test_field():
    """All 256-bit representatives are legal inputs, the largest too."""
    commands, expected = [], []
    for a, b in pairs(1000):
        for name, result in (("fe_add", a + b), ("fe_sub", a - b), ("fe_mul", a * b)):
            commands.append((name, number(a), number(b)))
            expected.append(number(result % P))
    compare(commands, expected)
    return "%d results" % len(commands)


def test_scalars():
    commands, expected = [], []
    wide = [k * L + e for k in (0, 1, 2, 2**255, 2**259 - 1) for e in (-1, 0, 1) if k or e >= 0]
    for value in wide + [2**512 - 1] + [random.getrandbits(512) for _ in range(500)]:
        commands.append(("sc_reduce", number(value, 64)))
        expected.append(number(value % L))
    for a, b in pairs(300):
        r = random.choice((0, 1, L - 1, random.randrange(L)))
        commands.append(("sc_add_product", number(r), number(a), number(b)))
        expected.append(number((r + a * b) % L))
    compare(commands, expected)
    return "%d results" % len(commands)


# --- OpenSSH ---------------------------------------------------------------------------------

def ssh_string(data):
    return struct.pack(">I", len(data)) + data


def armor(kind, data):
    text = base64.b64encode(data).decode()
    lines = [text[i:i + 70] for i in range(0, len(text), 70)]
    return "-----BEGIN %s-----\n%s\n-----END %s-----\n" % (kind, "\n".join(lines), kind)


def dearmor(text):
    return base64.b64decode("".join(text.strip().split("\n")[1:-1]))


def key_blob(public):
    return ssh_string(b"ssh-ed25519") + ssh_string(public)


def private_key_file(seed, public):
    """OpenSSH's PROTOCOL.key, without passphrase."""
    private = struct.pack(">II", 7, 7) + key_blob(public) + ssh_string(seed + public)
    private += ssh_string(b"test")
    private += bytes(range(1, 1 + -len(private) % 8))
    data = b"openssh-key-v1\0" + ssh_string(b"none") + ssh_string(b"none") + ssh_string(b"")
    data += struct.pack(">I", 1) + ssh_string(key_blob(public)) + ssh_string(private)
    return armor("OPENSSH PRIVATE KEY", data)


def signed_text(msg):
    """What is signed by PROTOCOL.sshsig."""
    digest = hashlib.sha512(msg).digest()
    return (b"SSHSIG" + ssh_string(b"test") + ssh_string(b"") + ssh_string(b"sha512")
            + ssh_string(digest))


def signature_file(public, sig):
    blob = ssh_string(b"ssh-ed25519") + ssh_string(sig)
    data = b"SSHSIG" + struct.pack(">I", 1) + ssh_string(key_blob(public)) + ssh_string(b"test")
    data += ssh_string(b"") + ssh_string(b"sha512") + ssh_string(blob)
    return armor("SSH SIGNATURE", data)


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
        f.write(text)
    return path


def ssh_keygen(arguments, msg):
    return subprocess.run(["ssh-keygen", "-Y", *arguments], input=msg, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False)


def openssh_signs(folder, seed, public, msg):
    key = write(folder, "key", private_key_file(seed, public))
    done = ssh_keygen(["sign", "-f", key, "-n", "test"], msg)
    if done.returncode != 0:
        raise Failed("ssh-keygen does not sign: %s" % done.stderr.decode().strip())
    return dearmor(done.stdout.decode())[-64:]


def openssh_verifies(folder, public, sig, msg):
    blob = base64.b64encode(key_blob(public)).decode()
    allowed = write(folder, "allowed", "someone ssh-ed25519 %s\n" % blob)
    path = write(folder, "sig", signature_file(public, sig))
    done = ssh_keygen(["verify", "-f", allowed, "-I", "someone", "-n", "test", "-s", path], msg)
    return done.returncode == 0


def openssh_cases():
    if shutil.which("ssh-keygen") is None:
        raise Skip("no ssh-keygen on this machine")
    cases = list(random_cases(SSH_KEYS))
    publics = ask([("public", seed.hex()) for seed, _ in cases])
    return [(seed, bytes.fromhex(public), msg) for (seed, msg), public in zip(cases, publics)]


def test_openssh_sign():
    """OpenSSH signs with keys of ours; we verify, and find every altered one."""
    commands, expected = [], []
    with tempfile.TemporaryDirectory() as folder:
        for seed, public, msg in openssh_cases():
            sig = openssh_signs(folder, seed, public, msg)
            for text, answer in ((signed_text(msg), "yes"), (signed_text(msg + b"x"), "no")):
                commands.append(("verify", public.hex(), sig.hex(), text.hex()))
                expected.append(answer)
            commands.append(("sign", seed.hex(), public.hex(), signed_text(msg).hex()))
            expected.append(sig.hex())
    compare(commands, expected)
    return "%d keys" % SSH_KEYS


def test_openssh_verify():
    """OpenSSH takes our signatures, and no altered ones."""
    cases = openssh_cases()
    sigs = ask([("sign", seed.hex(), public.hex(), signed_text(msg).hex())
                for seed, public, msg in cases])
    with tempfile.TemporaryDirectory() as folder:
        for (_, public, msg), sig in zip(cases, map(bytes.fromhex, sigs)):
            if not openssh_verifies(folder, public, sig, msg):
                raise Failed("ssh-keygen refuses %s" % sig.hex())
            if openssh_verifies(folder, public, flip_bit(sig), msg):
                raise Failed("ssh-keygen takes an altered signature")
    return "%d keys" % SSH_KEYS


TESTS = (
    ("Wycheproof Ed25519", test_wycheproof_ed25519),
    ("Wycheproof X25519", test_wycheproof_x25519),
    ("OpenSSL agrees on keys and signatures", test_openssl_sign),
    ("OpenSSL agrees on what verifies", test_openssl_verify),
    ("OpenSSL agrees on X25519", test_openssl_x25519),
    ("points of low order as the equation has it", test_low_order),
    ("field against integers", test_field),
    ("scalars against integers", test_scalars),
    ("OpenSSH signs, we verify", test_openssh_sign),
    ("we sign, OpenSSH verifies", test_openssh_verify),
)


def run(name, test):
    """Prints the test's line; whether it did not fail."""
    try:
        print("PASS ed25519_diff: %s (%s)" % (name, test()))
    except Skip as reason:
        print("SKIP ed25519_diff: %s: %s" % (name, reason))
    except (Failed, OSError, subprocess.SubprocessError) as reason:
        print("FAIL ed25519_diff: %s: %s (seed %d)" % (name, reason, SEED))
        return False
    finally:
        sys.stdout.flush()
    return True


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    HELPER = sys.argv[1]
    SEED = int(os.environ.get("EICE_SEED") or random.SystemRandom().getrandbits(32))
    random.seed(SEED)
    sys.exit(0 if all([run(name, test) for name, test in TESTS]) else 1)
