"""A certificate authority made with the openssl program at start, and server contexts from it.

    root CA -> intermediate CA -> server certificate (one for each variant)

Variants: good, expired, not-yet, wrong-name, untrusted (another root), self-signed,
no-intermediate (chain not sent). Made when first asked for.
"""

import os
import shutil
import ssl
import subprocess
import threading
import time

from .errors import SetupError

VARIANTS = ("good", "expired", "not-yet", "wrong-name", "untrusted", "self-signed",
            "no-intermediate")
_DAY = 86400
_CONFIG = """
[ca]
default_ca = here
[here]
dir = {dir}
database = {dir}/index
rand_serial = yes
new_certs_dir = {dir}
unique_subject = no
default_md = sha256
policy = any
copy_extensions = none
[any]
commonName = optional
[req]
distinguished_name = dn
prompt = no
[dn]
CN = {cn}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature{encipher}
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {san}
"""


def _stamp(seconds):
    return time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds))


class Certs:
    """Files in `folder`; `names` are the DNS names of the good certificate."""

    def __init__(self, folder, names, key_type="ec"):
        if shutil.which("openssl") is None:
            raise SetupError("the program openssl is missing: install the package openssl")
        self.folder = folder
        self.names = names
        self.key_type = key_type
        self.lock = threading.Lock()
        self.contexts = {}
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700)
        self._authority("root", None)
        self._authority("inter", "root")
        self.ca_file = self._path("root.pem")
        self.files("good")

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _openssl(self, *args):
        done = subprocess.run(["openssl", *args], cwd=self.folder, capture_output=True,
                              stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            detail = done.stderr.decode(errors="replace").strip()
            raise SetupError(f"openssl {args[0]} failed: {detail}")

    def _config(self, name, common_name, names):
        with open(self._path("index"), "a", encoding="ascii"):
            pass
        encipher = ", keyEncipherment" if self.key_type == "rsa" else ""
        san = ", ".join("DNS:" + n for n in names)
        with open(self._path(name + ".cnf"), "w", encoding="ascii") as f:
            f.write(_CONFIG.format(dir=self.folder, cn=common_name, san=san, encipher=encipher))

    def _request(self, name, common_name, names):
        self._config(name, common_name, names)
        if self.key_type == "rsa":
            key = ["-newkey", "rsa:2048"]
        else:
            key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        self._openssl("req", "-new", "-nodes", *key, "-keyout", name + ".key",
                      "-out", name + ".csr", "-config", name + ".cnf")

    def _sign(self, name, issuer, section, start, end):
        signer = (["-selfsign", "-keyfile", name + ".key"] if issuer is None else
                  ["-cert", issuer + ".pem", "-keyfile", issuer + ".key"])
        self._openssl("ca", "-batch", "-notext", "-config", name + ".cnf", *signer,
                      "-extensions", section, "-startdate", _stamp(start), "-enddate", _stamp(end),
                      "-in", name + ".csr", "-out", name + ".pem")

    def _authority(self, name, issuer):
        now = time.time()
        self._request(name, f"Simulated {name} CA", ["ca.invalid"])
        self._sign(name, issuer, "authority", now - 30 * _DAY, now + 30 * _DAY)

    def _make(self, variant):
        now = time.time()
        start, end = now - _DAY, now + 14 * _DAY
        issuer = None if variant == "self-signed" else "inter"
        names = ["wrong.example.invalid"] if variant == "wrong-name" else self.names
        if variant == "expired":
            start, end = now - 20 * _DAY, now - 2 * _DAY
        if variant == "not-yet":
            start, end = now + 2 * _DAY, now + 20 * _DAY
        if variant == "untrusted":
            self._authority("other", None)
            issuer = "other"
        self._request(variant, names[0], names)
        self._sign(variant, issuer, "server", start, end)
        chain = [variant, "inter"]
        if variant in ("untrusted", "self-signed", "no-intermediate"):
            chain = [variant]
        with open(self._path(variant + "-chain.pem"), "w", encoding="ascii") as out:
            for name in chain:
                with open(self._path(name + ".pem"), encoding="ascii") as f:
                    out.write(f.read())

    def files(self, variant):
        """(chain file, key file), made on first use."""
        chain = self._path(variant + "-chain.pem")
        if not os.path.exists(chain):
            self._make(variant)
        return chain, self._path(variant + ".key")

    def context(self, variant="good", resume=True):
        """A server context. Without `resume` a fresh one, so that no session can be found."""
        with self.lock:
            key = self.contexts.get(variant)
            if key is None or not resume:
                key = self._context(variant)
            if resume:
                self.contexts[variant] = key
            return key

    def _context(self, variant):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(*self.files(variant))
        return context
