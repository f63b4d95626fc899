"""What an instance prints on its console, and EC2's actions about consoles.

A log begins with what cloud-init prints at first boot, with the host keys of the sshd that runs;
later boots print no keys. Only the last 64 KiB are kept. See boot() for what may happen.
"""

import base64
import time

from . import world as world_module
from .ec2 import INSTANCE_ID, action
from .errors import ApiError
from .vpc import now
from .xmlout import OMIT

KEPT = 65536
OLD_TYPES = ("a1", "c1", "c3", "c4", "d2", "f1", "g2", "g3", "h1", "i2", "i3", "m1", "m2", "m3",
             "m4", "p2", "p3", "r3", "r4", "t1", "t2", "x1")
NAMES = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}
BOOTS = ("reboot", "restart", "reimage", "replace", "chatter")


def is_nitro(entry):
    return entry["type"].split(".")[0] not in OLD_TYPES


def key_block(lines, fingerprints):
    """cloud-init's two blocks: the first through the logger, the second without a prefix."""
    out = ["ci-info: -----BEGIN SSH HOST KEY FINGERPRINTS-----"]
    for key, print_ in zip(lines, fingerprints):
        kind = NAMES.get(key.split()[0], "ECDSA")
        bits = 2048 if kind == "RSA" else 256
        out.append(f"<14>Nov 22 05:00:00 cloud-init: {bits} {print_} {key.split()[2]} ({kind})")
    return [*out, "ci-info: -----END SSH HOST KEY FINGERPRINTS-----",
            "-----BEGIN SSH HOST KEY KEYS-----", *lines, "-----END SSH HOST KEY KEYS-----"]


def boot_text(sim, entry, first):
    """One boot; the first one of an instance with an sshd shows its keys."""
    lines = ["[    0.000000] Linux version 6.1.0"]
    server = sim.sshds.servers.get(entry["id"]) if sim.sshds else None
    if first:
        lines.append("cloud-init[1522]: Cloud-init v. 22.2.2 running 'init'")
    if first and server:
        described = server.describe()
        lines += key_block(described["host_keys"], described["fingerprints"])
    return "\r\n".join([*lines, f"ip-{(entry['ip'] or '').replace('.', '-')} login: ", ""])


def log_of(sim, entry):
    """{"text", "at"}: fixed the first time anybody asks, or when the keys are about to change."""
    launches = sim.world.launches
    if entry["id"] not in launches:
        launches[entry["id"]] = {"text": boot_text(sim, entry, True), "at": None, "before": ""}
    return launches[entry["id"]]


def boot(sim, entry, how, size=KEPT):
    """Something happens to an instance. Returns the entry that is there afterwards.

        reboot   the same keys and launch time, another boot in the log
        restart  stopped and started: a new launch time and log, the same keys, not printed again
        reimage  a new root volume: new keys, which the log shows
        replace  terminated; another instance has its name, address and place, and new keys
        chatter  `size` bytes on the console, which push older ones out
    """
    if how not in BOOTS:
        raise ValueError(f"how is one of {', '.join(BOOTS)}")
    log = log_of(sim, entry)
    if how == "chatter":
        log["text"] += "audit: noise\r\n" * (int(size) // 14 + 1)
        return entry
    if how == "replace":
        entry = _replace(sim, entry)
    if how != "reboot":
        entry["launched"] = time.strftime("%Y-%m-%dT%H:%M:%S.000Z",
                                          time.gmtime(sim.world.clock()))
    if sim.sshds and entry["id"] in sim.sshds.servers:
        sim.sshds.control(entry["id"], "new-host-key" if how == "reimage" else "restart", {})
    text = boot_text(sim, entry, how in ("reimage", "replace"))
    before = log["text"] if how == "reboot" else ""
    sim.world.launches[entry["id"]] = {"text": before + text, "at": time.monotonic(),
                                       "before": before}
    return entry


def _replace(sim, entry):
    made = dict(entry, id=world_module.new_instance_id(), reservation=None)
    with sim.world.lock:
        entry.update(state="terminated", vpc=None, subnet=None, ip=None, ipv6=None, groups=[])
        table = sim.world.data["instances"]
        table.insert(table.index(entry), made)
    if sim.sshds and entry["id"] in sim.sshds.servers:
        sim.sshds.replace(entry["id"], made)
    return made


def shown(call, entry):
    """The text EC2 has of the console; "" before it has any."""
    if entry["console"] is not None:
        return entry["console"]
    log = log_of(call.sim, entry)
    fresh = log["at"] is not None and (time.monotonic() - log["at"]
                                       < call.world.settings["console_delay_ms"] / 1000)
    return log["before"] if fresh and call.params.one("Latest") != "true" else log["text"]


@action("GetConsoleOutput", "InstanceId", "Latest")
def get_console_output(call):
    id_ = call.params.one("InstanceId") or ""
    if not INSTANCE_ID.match(id_):
        raise ApiError("InvalidInstanceID.Malformed", f'Invalid id: "{id_}"')
    entry = call.world.instance(id_)
    if entry is None:
        raise ApiError("InvalidInstanceID.NotFound", f"The instance ID '{id_}' does not exist")
    if call.params.one("Latest") == "true" and not is_nitro(entry):
        raise ApiError("UnsupportedOperation", "The instance type does not support retrieving "
                       "the latest console logs")
    text = shown(call, entry)[-KEPT:]
    if entry["state"] == "pending" or not text:
        return {"instanceId": id_, "timestamp": now(call), "output": OMIT}
    return {"instanceId": id_, "timestamp": now(call),
            "output": base64.encodebytes(text.encode()).decode()}


# --- the account's setting for serial consoles ------------------------------------------------

def access(call):
    data = call.world.data
    return {"serialConsoleAccessEnabled": data["serial_console"],
            "managedBy": data["serial_managed_by"]}


def change_access(call, on):
    """A declarative policy locks the setting; with which code AWS says so is not known."""
    if call.world.data["serial_managed_by"] != "account":
        raise ApiError("UnauthorizedOperation", "This operation is denied by a declarative policy "
                       "of your organization.", 403)
    call.world.data["serial_console"] = on
    return {"serialConsoleAccessEnabled": on}


@action("GetSerialConsoleAccessStatus")
def get_serial_console(call):
    return access(call)


@action("EnableSerialConsoleAccess")
def enable_serial_console(call):
    return change_access(call, True)


@action("DisableSerialConsoleAccess")
def disable_serial_console(call):
    return change_access(call, False)
