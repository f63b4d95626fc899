"""STS, the query protocol: GetCallerIdentity."""

from . import xmlout
from .ec2 import check_names
from .errors import ApiError

ACTIONS = {}
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
