"""STS, the query protocol: GetCallerIdentity, AssumeRole, AssumeRoleWithWebIdentity."""

import re
import time

from . import authz, roles, xmlout
from .ec2 import check_names
from .errors import ApiError

ACTIONS = {}
UNSIGNED = ("AssumeRoleWithWebIdentity",)
LIFETIME = 3600
VERSION = "2011-06-15"
CONTENT_TYPE = "text/xml"
AUTH_ERRORS = {
    "missing": ("MissingAuthenticationToken", 403), "incomplete": ("IncompleteSignature", 400),
    "unknown_key": ("InvalidClientTokenId", 403), "bad_token": ("InvalidClientTokenId", 403),
    "expired_token": ("ExpiredToken", 403), "bad_signature": ("SignatureDoesNotMatch", 403),
    "bad_scope": ("SignatureDoesNotMatch", 403),
    "unsigned_header": ("SignatureDoesNotMatch", 403),
    "expired": ("SignatureDoesNotMatch", 403), "future": ("SignatureDoesNotMatch", 403),
    "replay": ("SignatureDoesNotMatch", 403),
}
AUTH_TEXTS = {}
DENIED = ("AccessDenied", 403, "{text}")


def action(name, *parameters):
    def register(function):
        ACTIONS[name] = (function, frozenset(parameters) | {"Action", "Version"})
        return function
    return register


@action("GetCallerIdentity")
def get_caller_identity(call):
    """Needs no permission."""
    return {"Arn": call.identity.arn, "UserId": call.identity.user_id,
            "Account": call.world.data["account"]}


def check_role(call):
    """The role's ARN and the session's name, when both can be ones."""
    role, session = call.params.one("RoleArn"), call.params.one("RoleSessionName")
    if not re.fullmatch(r"arn:aws:iam::\d{12}:role/[\w+=,.@/-]+", role or ""):
        raise ApiError("ValidationError", f"{role} is invalid")
    if not re.fullmatch(r"[\w+=,.@-]{2,64}", session or ""):
        raise ApiError("ValidationError", "1 validation error detected: Value at "
                       "'roleSessionName' failed to satisfy constraint")
    return role, session


def session_keys(call, role, session, seconds):
    """New temporary keys, as both calls return them. A world may cut their life short."""
    short = call.world.settings["sts_seconds"]
    entry = call.world.assume(role.rpartition("/")[2], session, short or seconds)
    return {"AssumedRoleUser": {"Arn": entry["arn"], "AssumedRoleId": entry["user_id"]},
            "Credentials": {"AccessKeyId": entry["access_key"],
                            "SecretAccessKey": entry["secret"], "SessionToken": entry["token"],
                            "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                                        time.gmtime(entry["expires"]))}}


@action("DecodeAuthorizationMessage", "EncodedMessage")
def decode_authorization_message(call):
    """Opens the message of an UnauthorizedOperation of EC2."""
    call.authorize("sts:DecodeAuthorizationMessage", "*", {})
    return {"DecodedMessage": authz.decode(call.world.secret,
                                           call.params.one("EncodedMessage") or "")}


@action("AssumeRole", "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId",
        "SerialNumber", "TokenCode")
def assume_role(call):
    """New temporary keys for whom the role trusts."""
    role, session = check_role(call)
    name = role.rpartition("/")[2]
    known = call.world.data["roles"].get(name)
    outside = call.params.one("ExternalId")
    if outside is not None and not re.fullmatch(r"[\w+=,.@:/-]{2,1224}", outside):
        raise ApiError("ValidationError", "1 validation error detected: Value at 'externalId' "
                       "failed to satisfy constraint")
    known_mfa = roles.check_mfa(call, call.params.one("SerialNumber"),
                                call.params.one("TokenCode"))
    roles.check_trust(call, name, known if role == roles.role_arn(name) else None,
                      {"sts:ExternalId": outside, "sts:RoleSessionName": session,
                       "aws:MultiFactorAuthPresent": "true" if known_mfa else None})
    seconds = roles.check_duration(call, known, call.params.one("DurationSeconds"))
    return {**session_keys(call, role, session, seconds), "PackedPolicySize": "6"}


@action("AssumeRoleWithWebIdentity", "RoleArn", "RoleSessionName", "WebIdentityToken")
def assume_with_web_identity(call):
    """New temporary keys for whom the issuer vouches for; the call itself is not signed."""
    role, session = check_role(call)
    subject = call.sim.oidc.check(call.params.one("WebIdentityToken") or "", role)
    return {"SubjectFromWebIdentityToken": subject, "Audience": "sts.amazonaws.com",
            **session_keys(call, role, session, LIFETIME)}


def perform(call):
    if call.action not in ACTIONS or call.params.one("Version") != VERSION:
        raise ApiError("InvalidAction", f"Could not find operation {call.action} for version "
                       f"{call.params.one('Version')}")
    function, known = ACTIONS[call.action]
    check_names(call.params, known)
    with call.world.lock:
        return function(call)


def render(action_, request_id, tree):
    return xmlout.sts_response(action_, request_id, tree)


def render_error(error, request_id):
    return xmlout.sts_error(error.code, error.message, request_id, error.status)
