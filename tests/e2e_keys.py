#!/usr/bin/python3
"""User keys of `eice ssh`: made for the login, or the user's own.

    tests/e2e_keys.py [--eice PROGRAM] [name …]
"""

import sys

from e2elib import contains, equal, main, test


def pushed(w):
    """Type of each key that was pushed."""
    return [r["params"]["SSHPublicKey"].split()[0] for r in w.requests("SendSSHPublicKey")]


# made for the login

@test(seconds=60)
def made_rsa(w):
    """Also with a server that takes nothing else, as in FIPS mode."""
    w.eice("-q", "ssh", "web-1", "true").expect(0)
    w.eice("ssh", "--key-type", "ed25519", "web-1", "true").expect(0)
    w.eice("ssh", "--key-type=rsa", "web-1", "true").expect(0)
    with w.restart_sshd("web-1", PubkeyAcceptedAlgorithms="rsa-sha2-256,rsa-sha2-512"):
        w.eice("ssh", "--key-type", "rsa", "web-1", "echo in").expect(0)
        w.eice("ssh", "web-1", "true").expect(255, "Ed25519 where only RSA is taken")
    equal(pushed(w), ["ssh-ed25519"] * 2 + ["ssh-rsa"] * 2 + ["ssh-ed25519"], "pushed")


@test
def made_of_no_type(w):
    for bad in ("dsa", "", "RSA"):
        contains(w.eice("ssh", "--key-type", bad, "web-1").expect(255).err, "ed25519, rsa", bad)
    equal(w.requests(), [], "requests")


if __name__ == "__main__":
    sys.exit(main(__doc__.splitlines()[0]))
