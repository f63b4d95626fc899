"""Roles, whom they trust, and MFA devices: what AssumeRole decides by.

A role's trust policy names principals (an account's root, users, roles) and conditions. Where it
names the account, the caller's own policy must allow the call too, as in IAM.
"""

import base64
import hashlib
import hmac
import time

from . import iam
from .errors import ApiError

ACCOUNT = "123456789012"
STEP = 30  # seconds of one code of an MFA device


def role_arn(name):
    return f"arn:aws:iam::{ACCOUNT}:role/{name}"


def trust(principal, **condition):
    statement = {"Effect": "Allow", "Principal": {"AWS": principal}, "Action": "sts:AssumeRole"}
    if condition:
        statement["Condition"] = condition
    return [statement]


def default_roles():
    root = f"arn:aws:iam::{ACCOUNT}:root"
    return {
        "Ops": {"trust": trust(root), "max_seconds": 7200},
        "Tenant": {"trust": trust(root, StringEquals={"sts:ExternalId": "tenant-42"}),
                   "max_seconds": 3600},
        "Guarded": {"trust": trust(root, Bool={"aws:MultiFactorAuthPresent": "true"}),
                    "max_seconds": 43200},
        "Inner": {"trust": trust([role_arn("Ops"), role_arn("Web")]), "max_seconds": 43200},
        "Closed": {"trust": trust(f"arn:aws:iam::{ACCOUNT}:user/nobody"), "max_seconds": 3600},
    }


def default_mfa():
    """Serial number -> whose it is, and the secret of its codes."""
    return {f"arn:aws:iam::{ACCOUNT}:mfa/admin": {"owner": f"arn:aws:iam::{ACCOUNT}:user/admin",
                                                  "secret": "GEZDGNBVGY3TQOJQ", "used": []}}


def totp(secret, seconds):
    """RFC 6238 with SHA-1 and six digits."""
    counter = int(seconds // STEP).to_bytes(8, "big")
    digest = hmac.new(base64.b32decode(secret), counter, hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at:at + 4], 'big') & 0x7fffffff) % 1000000:06d}"


def valid_codes(device, now):
    """The codes of this step and its neighbours that were not used yet."""
    return [code for step in (0, 1, -1)
            if (code := totp(device["secret"], now + step * STEP)) not in device["used"]]


def check_mfa(call, serial, code):
    """True when a code was given and is right; each is good once."""
    if serial is None and code is None:
        return False
    device = call.world.data["mfa"].get(serial)
    if device is None or device["owner"] != call.identity.arn \
            or code not in valid_codes(device, call.world.clock()):
        raise ApiError("AccessDenied", "MultiFactorAuthentication failed with invalid MFA one "
                       "time pass code. ", 403)
    device["used"].append(code)
    return True


def session_role(arn):
    """The role of a session's ARN, or None for a user's."""
    head, _, tail = arn.partition(":assumed-role/")
    return role_arn(tail.split("/")[0]) if head and tail else None


def _named(principal, arn):
    """How a principal names the caller: "exact", "account" or not at all."""
    if principal == "*" or principal in (arn, session_role(arn)):
        return "exact"
    return "account" if principal == f"arn:aws:iam::{arn.split(':')[4]}:root" else None


def _as_list(value):
    return value if isinstance(value, list) else [value]


def check_trust(call, name, role, context):
    """Raises AccessDenied unless the role trusts the caller under these conditions."""
    resource = role_arn(name)
    for statement in role["trust"] if role else ():
        ways = {_named(p, call.identity.arn) for p in _as_list(statement["Principal"]["AWS"])}
        own = iam.allowed(call.identity.entry["policy"], "sts:AssumeRole", resource, context)
        if ("exact" in ways or ("account" in ways and own)) \
                and iam.conditions_met(statement.get("Condition", {}), context):
            return
    raise ApiError("AccessDenied", f"User: {call.identity.arn} is not authorized to perform: "
                   f"sts:AssumeRole on resource: {resource}", 403)


def check_duration(call, role, text):
    """The seconds that the session lives."""
    seconds = 3600 if text is None else int(text) if text.isdigit() else 0
    bound = "greater than or equal to 900" if seconds < 900 else "less than or equal to 43200"
    if not 900 <= seconds <= 43200:
        raise ApiError("ValidationError", f"1 validation error detected: Value '{text}' at "
                       f"'durationSeconds' failed to satisfy constraint: Member must have value "
                       f"{bound}")
    if session_role(call.identity.arn) and seconds > 3600:
        raise ApiError("ValidationError", "The requested DurationSeconds exceeds the 1 hour "
                       "session limit for roles assumed by role chaining")
    if seconds > role["max_seconds"]:
        raise ApiError("ValidationError", "The requested DurationSeconds exceeds the "
                       "MaxSessionDuration set for this role.")
    return seconds


def code_for(world, serial):
    """A code that is valid and unused; for tests."""
    device = world.data["mfa"][serial]
    end = time.monotonic() + 2 * STEP
    while time.monotonic() < end:
        with world.lock:
            codes = valid_codes(device, world.clock())
        if codes:
            return codes[0]
        time.sleep(0.2)
    raise RuntimeError("no code becomes valid")
