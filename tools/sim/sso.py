"""IAM Identity Center, two REST services: the portal's GetRoleCredentials, and OIDC's calls for a
login on a device (RFC 8628) and for the renewal of its token.

No call is signed. There is no browser here: approve() is the user's consent, and login() makes a
whole login. A refresh token is good once: each refresh gives another.
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
DEVICE_SECONDS = 600
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


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
        self.devices = {}  # code: [client, the user's code, when it expires, approved]

    def login(self, seconds=TOKEN_SECONDS, registered=REGISTRATION_SECONDS):
        """A login's result, in the form in which the AWS CLI keeps it, but for startUrl and
        region."""
        now = self.world.clock()
        client, secret = self.register(registered)
        with self.lock:
            access, refresh = self._tokens(client, seconds)
        return {"accessToken": access, "expiresAt": stamp(now + seconds), "clientId": client,
                "clientSecret": secret, "registrationExpiresAt": stamp(now + registered),
                "refreshToken": refresh}

    def register(self, seconds=REGISTRATION_SECONDS):
        client, secret = secrets.token_urlsafe(16), secrets.token_urlsafe(200)
        with self.lock:
            self.clients[client] = (secret, self.world.clock() + seconds)
        return client, secret

    def _check_client(self, client, secret):
        known = self.clients.get(client)
        if known is None or known[0] != secret:
            raise ApiError("InvalidClientException", "Invalid client provided", 401)
        if known[1] <= self.world.clock():
            raise ApiError("ExpiredTokenException", "Client registration has expired")

    def ask(self, client, secret):
        """A login on a device begins: its code and the one the user is to type."""
        with self.lock:
            self._check_client(client, secret)
            code = secrets.token_urlsafe(90)
            typed = "-".join(secrets.token_hex(2).upper() for _ in range(2))
            self.devices[code] = [client, typed, self.world.clock() + DEVICE_SECONDS, False]
            return code, typed

    def approve(self, typed):
        """The user types the code in a browser and consents."""
        with self.lock:
            device = next(d for d in self.devices.values() if d[1] == typed)
            device[3] = True

    def redeem(self, client, secret, code):
        """The tokens of a login on a device, once the user has consented."""
        with self.lock:
            self._check_client(client, secret)
            device = self.devices.get(code)
            if device is None or device[0] != client:
                raise ApiError("InvalidGrantException", "Invalid grant provided")
            if device[2] <= self.world.clock():
                raise ApiError("ExpiredTokenException", "Device code has expired")
            if not device[3]:
                raise ApiError("AuthorizationPendingException", "Authorization is pending")
            del self.devices[code]
            return self._tokens(client, TOKEN_SECONDS)

    def _tokens(self, client, seconds):
        access, refresh = secrets.token_urlsafe(300), "aor" + secrets.token_urlsafe(200)
        self.access[access] = self.world.clock() + seconds
        self.refresh[refresh] = client
        return access, refresh

    def renew(self, client, secret, refresh):
        with self.lock:
            self._check_client(client, secret)
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

    def __init__(self, *calls):
        """Of each call: method, path, name, function."""
        self.calls = calls
        self.functions = {name: function for _, _, name, function in calls}
        self.UNSIGNED = tuple(self.functions)

    def owns(self, path):
        return any(path.endswith(c[1]) for c in self.calls)

    def read(self, call, local):
        """Sets call.action and call.params; a local host may have a path in front."""
        request = call.request
        for method, path, name, _ in self.calls:
            end = request.path.endswith(path) if local else request.path == path
            if end and request.method == method:
                break
        else:
            raise ApiError("UnknownOperationException", f"{request.method} {request.path}", 404)
        call.action = name
        if request.header("authorization"):
            call.sim.journal.violation("unsigned", f"{name} carries a signature",
                                       conn=call.conn_id)
        if request.method == "GET":
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
        return self.functions[call.action](call)

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


def register_client(call):
    """A public client, as the AWS CLI is one."""
    given, center = call.params, call.sim.sso
    if not given.get("clientName") or given.get("clientType") != "public":
        raise ApiError("InvalidClientMetadataException", "clientName and clientType are needed")
    client, secret = center.register()
    now = int(center.world.clock())
    return {"clientId": client, "clientSecret": secret, "clientIdIssuedAt": now,
            "clientSecretExpiresAt": now + REGISTRATION_SECONDS}


def start_device_authorization(call):
    given, call.params = call.params, {"startUrl": call.params.get("startUrl")}
    start = given.get("startUrl") or ""
    if not start.startswith("https://"):
        raise ApiError("InvalidRequestException", "startUrl is needed")
    code, typed = call.sim.sso.ask(given.get("clientId"), given.get("clientSecret"))
    page = start.rpartition("/")[0] + "/device"
    return {"deviceCode": code, "userCode": typed, "verificationUri": page,
            "verificationUriComplete": f"{page}?user_code={typed}",
            "expiresIn": DEVICE_SECONDS, "interval": 1}


def create_token(call):
    """The grants refresh_token and device_code. What is given does not go into the journal."""
    given, call.params = call.params, {"grantType": call.params.get("grantType")}
    grants = {"refresh_token": (call.sim.sso.renew, "refreshToken"),
              DEVICE_GRANT: (call.sim.sso.redeem, "deviceCode")}
    if given.get("grantType") not in grants:
        raise ApiError("UnsupportedGrantTypeException", "this grant is not known here")
    function, member = grants[given["grantType"]]
    access, refresh = function(given.get("clientId"), given.get("clientSecret"),
                               given.get(member))
    return {"accessToken": access, "tokenType": "Bearer", "expiresIn": TOKEN_SECONDS,
            "refreshToken": refresh}


SERVICES = {
    "portal.sso": Rest(("GET", "/federation/credentials", "GetRoleCredentials",
                        get_role_credentials)),
    "oidc": Rest(("POST", "/token", "CreateToken", create_token),
                 ("POST", "/client/register", "RegisterClient", register_client),
                 ("POST", "/device_authorization", "StartDeviceAuthorization",
                  start_device_authorization)),
}


def of_path(path):
    """The name of the service whose path this ends in, or None."""
    return next((name for name, s in SERVICES.items() if s.owns(path)), None)
