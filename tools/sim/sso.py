"""IAM Identity Center, two REST services: the portal's GetRoleCredentials, OIDC's CreateToken.

Neither call is signed. Who has logged in is made by login(): there is no browser here. A refresh
token is good once: each refresh gives another.
"""

import json
import secrets
import threading
import time
import urllib.parse

from .errors import ApiError

ASSIGNMENTS = {"123456789012": ["Developer", "Auditor"], "210987654321": ["Developer"]}
TOKEN_SECONDS = 3600
ROLE_SECONDS = 3600
REGISTRATION_SECONDS = 90 * 86400


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


class Center:
    """Its users' tokens. Tests change `assignments`."""

    def __init__(self, world):
        self.world = world
        self.assignments = {account: list(roles) for account, roles in ASSIGNMENTS.items()}
        self.lock = threading.Lock()
        self.access = {}   # token: when it expires
        self.refresh = {}  # token: its client
        self.clients = {}  # id: (secret, when its registration expires)

    def login(self, seconds=TOKEN_SECONDS, registered=REGISTRATION_SECONDS):
        """A login's result, in the form in which the AWS CLI keeps it, but for startUrl and
        region."""
        now = self.world.clock()
        client, secret = secrets.token_urlsafe(16), secrets.token_urlsafe(200)
        with self.lock:
            self.clients[client] = (secret, now + registered)
            access, refresh = self._tokens(client, seconds)
        return {"accessToken": access, "expiresAt": stamp(now + seconds), "clientId": client,
                "clientSecret": secret, "registrationExpiresAt": stamp(now + registered),
                "refreshToken": refresh}

    def _tokens(self, client, seconds):
        access, refresh = secrets.token_urlsafe(300), "aor" + secrets.token_urlsafe(200)
        self.access[access] = self.world.clock() + seconds
        self.refresh[refresh] = client
        return access, refresh

    def renew(self, client, secret, refresh):
        with self.lock:
            known = self.clients.get(client)
            if known is None or known[0] != secret:
                raise ApiError("InvalidClientException", "Invalid client provided", 401)
            if known[1] <= self.world.clock():
                raise ApiError("ExpiredTokenException", "Client registration has expired")
            if self.refresh.get(refresh) != client:
                raise ApiError("InvalidGrantException", "Invalid refresh token provided")
            del self.refresh[refresh]
            return self._tokens(client, TOKEN_SECONDS)

    def good(self, token):
        with self.lock:
            return self.access.get(token, 0) > self.world.clock()


class Rest:
    """A service of REST with JSON: calls are told apart by method and path."""

    CONTENT_TYPE = "application/json"
    ERROR_HEADER = "x-amzn-errortype"
    AUTH_ERRORS = {}
    AUTH_TEXTS = {}

    def __init__(self, method, path, action, function):
        self.method = method
        self.path = path
        self.action = action
        self.function = function
        self.UNSIGNED = (action,)

    def read(self, call, local):
        """Sets call.action and call.params; a local host may have a path in front."""
        request = call.request
        end = request.path.endswith(self.path) if local else request.path == self.path
        if not end or request.method != self.method:
            raise ApiError("UnknownOperationException", f"{request.method} {request.path}", 404)
        call.action = self.action
        if request.header("authorization"):
            call.sim.journal.violation("unsigned", f"{self.action} carries a signature",
                                       conn=call.conn_id)
        if self.method == "GET":
            call.params = dict(urllib.parse.parse_qsl(request.query, keep_blank_values=True))
            return
        if request.header("content-type") != self.CONTENT_TYPE:
            raise ApiError("InvalidRequestException", "Content-Type must be application/json")
        try:
            call.params = json.loads(request.body)
        except ValueError as e:
            raise ApiError("InvalidRequestException", f"the body is not JSON: {e}") from e
        if not isinstance(call.params, dict):
            raise ApiError("InvalidRequestException", "the body is no object")

    def perform(self, call):
        return self.function(call)

    def render(self, _, __, tree):
        return json.dumps(tree).encode()

    def render_error(self, error, _):
        return json.dumps({"message": error.message,
                           "__type": f"com.amazonaws.portal#{error.code}"}).encode()


def get_role_credentials(call):
    """Keys of a role that is assigned to whoever the token belongs to."""
    center, params = call.sim.sso, call.params
    account, role = params.get("account_id", ""), params.get("role_name", "")
    if set(params) != {"account_id", "role_name"} or not role or not account.isdigit() \
            or len(account) != 12:
        raise ApiError("InvalidRequestException", "account_id and role_name are needed")
    if not center.good(call.request.header("x-amz-sso_bearer_token")):
        raise ApiError("UnauthorizedException", "Session token not found or invalid", 401)
    if account not in center.assignments:
        raise ApiError("ResourceNotFoundException", "No account of this number", 404)
    if role not in center.assignments[account]:
        raise ApiError("ForbiddenException", "No access", 403)
    with call.world.lock:
        entry = call.world.assume(f"AWSReservedSSO_{role}_0123456789abcdef", "alice",
                                  ROLE_SECONDS)
    return {"roleCredentials": {
        "accessKeyId": entry["access_key"], "secretAccessKey": entry["secret"],
        "sessionToken": entry["token"], "expiration": int(entry["expires"] * 1000)}}


def create_token(call):
    """The refresh_token grant. What it is given does not go into the journal."""
    given, call.params = call.params, {"grantType": call.params.get("grantType")}
    if given.get("grantType") != "refresh_token":
        raise ApiError("UnsupportedGrantTypeException", "only refresh_token is known here")
    access, refresh = call.sim.sso.renew(given.get("clientId"), given.get("clientSecret"),
                                         given.get("refreshToken"))
    return {"accessToken": access, "tokenType": "Bearer", "expiresIn": TOKEN_SECONDS,
            "refreshToken": refresh}


SERVICES = {
    "portal.sso": Rest("GET", "/federation/credentials", "GetRoleCredentials",
                       get_role_credentials),
    "oidc": Rest("POST", "/token", "CreateToken", create_token),
}


def of_path(path):
    """The name of the service whose path this ends in, or None."""
    return next((name for name, s in SERVICES.items() if path.endswith(s.path)), None)
