#!/usr/bin/python3
"""The program as it is shipped: small, static, and at home in an empty directory."""

import json
import os
import shutil
import sys

from common import ROOT, Failure, Scratch, Skip, main, need, run

sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim import Simulator  # noqa: E402  (needs the path set above)

EICE = os.path.join(ROOT, "build/eice")
LIMIT = 506_000
TUNNEL = os.path.join(ROOT, "build/tunnel")
TUNNEL_LIMIT = 170_000


def size(path, limit):
    found = os.path.getsize(path)
    print(f"  {os.path.relpath(path, ROOT)} has {found} bytes")
    if found > limit:
        raise Failure(f"{found} bytes, {limit} are allowed")


def static():
    """No interpreter, no libraries, no symbols."""
    need("readelf")
    told = run(["readelf", "-W", "-l", "-d", "-S", EICE]).stdout
    for word in ("INTERP", "NEEDED", ".symtab", ".debug"):
        if word in told:
            raise Failure(f"readelf shows {word}: not static, or not stripped")
    if "LOAD" not in told:
        raise Failure("readelf shows no LOAD: nothing was looked at")


def chroot(directory, argv, environment):
    """Runs with `directory` as the root, which only root or a user namespace may ask for."""
    how = ["chroot"] if os.getuid() == 0 else ["unshare", "-r", "chroot"]
    done = run([shutil.which(how[0], path=os.environ["PATH"] + ":/usr/sbin") or how[0], *how[1:],
                directory, *argv], env={**environment, "PATH": os.environ["PATH"] + ":/usr/sbin"})
    if os.getuid() != 0 and "unshare failed" in done.stdout:
        raise Skip("user namespaces are not allowed here")
    return done


def empty_root(tmp):
    shutil.copy(EICE, tmp.path("eice"))


def version():
    with Scratch() as tmp:
        empty_root(tmp)
        done = chroot(tmp.name, ["/eice", "version"], {})
    if done.returncode != 0 or not done.stdout.startswith("eice "):
        raise Failure(f"status {done.returncode}: {done.stdout[:200]}")


def whoami(bundle):
    """With the simulator's root copied in; without it the built-in ones refuse the simulator."""
    with Simulator() as sim, Scratch() as tmp:
        empty_root(tmp)
        shutil.copy(sim.ca_file, tmp.path("root.pem"))
        environment = {k: v for k, v in sim.env().items() if k != "AWS_CA_BUNDLE"}
        if bundle:
            environment["AWS_CA_BUNDLE"] = "/root.pem"
        return chroot(tmp.name, ["/eice", "--json", "whoami"], environment)


def trusted():
    done = whoami(True)
    if done.returncode != 0 or "123456789012" not in done.stdout:
        raise Failure(f"status {done.returncode}: {done.stdout[:200]}")


def untrusted():
    done = whoami(False)
    if done.returncode != 1 or json.loads(done.stdout)["error"] != "TLS_UNTRUSTED":
        raise Failure(f"status {done.returncode}: {done.stdout[:200]}")


def session():
    """A remote command from an empty root: no HOME, no /tmp, no /etc, no /dev."""
    with Simulator(sshd=True) as sim, Scratch() as tmp:
        empty_root(tmp)
        shutil.copy(sim.ca_file, tmp.path("root.pem"))
        environment = {k: v for k, v in sim.env().items() if k.startswith(("AWS_", "EICE_"))}
        environment["AWS_CA_BUNDLE"] = "/root.pem"
        done = chroot(tmp.name, ["/eice", "ssh", "web-1", "echo from $LOGNAME; exit 42"],
                      environment)
    if done.returncode != 42 or "from ec2-user" not in done.stdout:
        raise Failure(f"status {done.returncode}: {done.stdout[:200]}")


def tests():
    return [(f"binary: at most {LIMIT} bytes", size, EICE, LIMIT),
            (f"binary: the tunnel alone, at most {TUNNEL_LIMIT} bytes", size, TUNNEL, TUNNEL_LIMIT),
            ("binary: static and stripped", static),
            ("binary: version in an empty chroot", version),
            ("binary: whoami in an empty chroot", trusted),
            ("binary: whoami in an empty chroot, built-in roots only", untrusted),
            ("binary: ssh in an empty chroot", session)]


if __name__ == "__main__":
    main(tests(), jobs=1)
