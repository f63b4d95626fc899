"""EC2 Instance Connect, AWS JSON 1.1: SendSSHPublicKey with the rules of its service model."""

import base64
import binascii
import json
import re
import struct

from . import authz, console, serial
from .errors import ApiError

ACTIONS = {}
TARGET = "AWSEC2InstanceConnectService."
CONTENT_TYPE = "application/x-amz-json-1.1"
AUTH_ERRORS = {
    "missing": ("MissingAuthenticationTokenException", 400),
    "incomplete": ("IncompleteSignatureException", 400),
    "unknown_key": ("UnrecognizedClientException", 400),
    "bad_token": ("UnrecognizedClientException", 400),
    "expired_token": ("ExpiredTokenException", 400),
    "bad_signature": ("InvalidSignatureException", 400),
    "bad_scope": ("InvalidSignatureException", 400),
    "unsigned_header": ("InvalidSignatureException", 400),
    "expired": ("InvalidSignatureException", 400), "future": ("InvalidSignatureException", 400),
    "replay": ("InvalidSignatureException", 400),
}
AUTH_TEXTS = {}
DENIED = ("AccessDeniedException", 400, "{text}")

_INSTANCE_ID = re.compile(r"i-[a-f0-9]+\Z")
_USER = re.compile(r"(?:[A-Za-z_][A-Za-z0-9@._-]{0,30}[A-Za-z0-9$_-]?"
                   r"|(?=.{2,32}\Z)[0-9]{1,32}[A-Za-z@._-][A-Za-z0-9@._-]*[A-Za-z0-9$_-]?)\Z")
_ZONE = re.compile(r"(\w+-){2,3}\d+\w+\Z")
_NOT_A_STRING = {"SerialPort": int}
_LENGTHS = {"InstanceId": (10, 32), "InstanceOSUser": (1, 32), "AvailabilityZone": (6, 32),
            "SSHPublicKey": (80, 4096)}
_KEY_TYPES = ("ssh-ed25519", "ssh-rsa")


def action(name, required, optional):
    def register(function):
        ACTIONS[name] = (function, required, optional)
        return function
    return register


def invalid(text):
    return ApiError("InvalidArgsException", text)


def check_members(body, required, optional):
    """Types, lengths and presence, as the service model states them."""
    for name in required:
        if name not in body:
            raise invalid(f"Missing required member '{name}'")
    for name, value in body.items():
        if name not in required and name not in optional:
            raise invalid(f"Unknown member '{name}'")
        kind = _NOT_A_STRING.get(name, str)
        if not isinstance(value, kind):
            raise ApiError("SerializationException", f"Member '{name}' must be a {kind.__name__}")
        if kind is not str:
            continue
        low, high = _LENGTHS[name]
        if not low <= len(value) <= high:
            raise invalid(f"Value of '{name}' failed to satisfy constraint: Member must have "
                          f"length between {low} and {high}, was {len(value)}")


def check_patterns(body):
    for name, pattern in (("InstanceId", _INSTANCE_ID), ("InstanceOSUser", _USER),
                          ("AvailabilityZone", _ZONE)):
        if name in body and not pattern.match(body[name]):
            raise invalid(f"Value '{body[name]}' at '{name}' failed to satisfy constraint: "
                          f"Member must satisfy regular expression pattern")


def _strings(blob):
    """The length-prefixed strings of a key blob; struct.error or ValueError when broken."""
    out, at = [], 0
    while at < len(blob):
        (size,) = struct.unpack_from(">I", blob, at)
        if at + 4 + size > len(blob):
            raise ValueError("string runs past the end")
        out.append(blob[at + 4:at + 4 + size])
        at += 4 + size
    return out


def check_key(line):
    """An OpenSSH one-line public key of a type EC2 accepts, and nothing else."""
    fields = line.strip().split(" ", 2)
    if "\n" in line.strip() or len(fields) < 2 or fields[0] not in _KEY_TYPES:
        raise invalid("Invalid SSH public key: expected 'ssh-ed25519 …' or 'ssh-rsa …'")
    try:
        parts = _strings(base64.b64decode(fields[1], validate=True))
    except (binascii.Error, ValueError, struct.error) as e:
        raise invalid(f"Invalid SSH public key: {e}") from e
    sizes = {"ssh-ed25519": 2, "ssh-rsa": 3}
    if not parts or parts[0].decode("latin-1") != fields[0] or len(parts) != sizes[fields[0]]:
        raise invalid("Invalid SSH public key: the blob does not match its type")
    if fields[0] == "ssh-ed25519" and len(parts[1]) != 32:
        raise invalid("Invalid SSH public key: an Ed25519 key has 32 bytes")
    if fields[0] == "ssh-rsa" and int.from_bytes(parts[2], "big").bit_length() < 2048:
        raise invalid("Invalid SSH public key: an RSA key needs at least 2048 bits")


@action("SendSSHPublicKey", ("InstanceId", "InstanceOSUser", "SSHPublicKey"),
        ("AvailabilityZone",))
def send_ssh_public_key(call):
    body = call.params
    check_patterns(body)
    check_key(body["SSHPublicKey"])
    world = call.world
    entry = world.instance(body["InstanceId"])
    call.authorize("ec2-instance-connect:SendSSHPublicKey",
                   authz.arn(call, "instance/" + body["InstanceId"]),
                   {"ec2:osuser": body["InstanceOSUser"], **authz.instance_keys(entry)})
    if entry is None or entry["id"] != body["InstanceId"]:
        raise ApiError("EC2InstanceNotFoundException", "The specified instance was not found")
    if entry["state"] != "running":
        raise ApiError("EC2InstanceStateInvalidException",
                       "Instance is not in a state where key can be pushed")
    world.push_key(entry["id"], body["InstanceOSUser"], body["SSHPublicKey"].strip())
    return {"Success": True}


def check_serial(call, entry):
    """What keeps a session from beginning."""
    if not call.world.data["serial_console"]:
        raise ApiError("SerialConsoleAccessDisabledException", "Your account is not authorized "
                       "to use the EC2 Serial Console. To authorize your account, run the "
                       "EnableSerialConsoleAccess API.")
    if not console.is_nitro(entry):
        raise ApiError("EC2InstanceTypeInvalidException", "The instance type is not supported "
                       "for connecting via the serial console.")
    if entry["state"] not in serial.STATES:
        raise ApiError("EC2InstanceStateInvalidException", "Unable to connect because the "
                       f"instance is not in a valid state: {entry['state']}.")
    if entry["serial"].get("unsupported"):
        raise ApiError("SerialConsoleSessionUnsupportedException", "Your instance's BIOS version "
                       "is unsupported for EC2 serial console connection. Reboot your instance.")
    host = call.sim.sshds.serial if call.sim.sshds else None
    if host is None:
        raise ApiError("SerialConsoleSessionUnavailableException", "Unable to start a serial "
                       "console session. Please try again.")
    if not host.free(entry["id"]):
        raise ApiError("SerialConsoleSessionLimitExceededException",
                       "The instance currently has 1 active serial console session. Only 1 "
                       "session is supported at a time.")


@action("SendSerialConsoleSSHPublicKey", ("InstanceId", "SSHPublicKey"), ("SerialPort",))
def send_serial_key(call):
    body = call.params
    check_patterns(body)
    check_key(body["SSHPublicKey"])
    if body.get("SerialPort", 0) != 0:
        raise invalid("Value at 'SerialPort' failed to satisfy constraint: Member must have "
                      "value less than or equal to 0")
    entry = call.world.instance(body["InstanceId"])
    call.authorize("ec2-instance-connect:SendSerialConsoleSSHPublicKey",
                   authz.arn(call, "instance/" + body["InstanceId"]), authz.instance_keys(entry))
    if entry is None:
        raise ApiError("EC2InstanceNotFoundException", "The specified instance was not found")
    check_serial(call, entry)
    call.world.push_key(entry["id"], serial.PORT_SUFFIX, body["SSHPublicKey"].strip())
    return {"Success": True}


def perform(call):
    if call.action not in ACTIONS:
        raise ApiError("UnknownOperationException", f"Unknown operation {call.action}")
    function, required, optional = ACTIONS[call.action]
    if not isinstance(call.params, dict):
        raise ApiError("SerializationException", "Start of structure or map found where not "
                       "expected.")
    check_members(call.params, required, optional)
    with call.world.lock:
        return function(call)


def render(action_, request_id, tree):
    return json.dumps({"RequestId": request_id, **tree}).encode()


def render_error(error, request_id):
    return json.dumps({"__type": error.code, "Message": error.message}).encode()
