#!/usr/bin/python3
"""Proves the simulator with clients that are not ours: the published signing vectors, botocore,
python3-websockets, OpenSSH. Prints PASS, FAIL or SKIP lines; status 0 when nothing failed.

    /usr/bin/python3 tests/sim_selftest.py [name …]
"""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim import Simulator, sigv4, targets, wsframes  # noqa: E402  (needs the path set above)
from sim.errors import AuthError  # noqa: E402
from sim.httpd import Request  # noqa: E402

try:
    import botocore.auth
    import botocore.awsrequest
    import botocore.credentials
    import botocore.exceptions
    import botocore.session
    from botocore.config import Config
except ImportError:
    botocore = None
try:
    import websockets.client
    import websockets.exceptions
except ImportError:
    websockets = None

MIB = 1 << 20
TESTS = []


class Skip(Exception):
    """The test cannot run here; the text says what is missing."""


def test(function):
    TESTS.append(function)
    return function


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def equal(got, wanted, what):
    check(got == wanted, f"{what}: got {got!r}, wanted {wanted!r}")


def eventually(get, wanted, what, seconds=5):
    """As equal, but what is got may take a little time to become right."""
    end = time.monotonic() + seconds
    while get() != wanted and time.monotonic() < end:
        time.sleep(0.02)
    equal(get(), wanted, what)


def need(module, package):
    if module is None:
        raise Skip(f"{package} is not installed")


def vectors(*parts):
    base = os.environ.get("EICE_VECTORS")
    if not base:
        raise Skip("EICE_VECTORS is not set")
    return os.path.join(base, *parts)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


# --- clients that are not ours ---------------------------------------------------------------

class Rig:
    """One simulator for all tests, made on first use."""

    made = None
    session = None

    def __new__(cls):
        if cls.made is None:
            cls.made = Simulator(sshd=True, fillers=120, endpoint_fillers=60).start()
        return cls.made


def fresh():
    """The simulator with journal and faults cleared."""
    sim = Rig()
    sim.ctl("clear")
    return sim


def client(service, sim, credential="admin", **config):
    """A botocore client that signs for AWS's host but is led to the simulator."""
    need(botocore, "python3-botocore")
    entry = sim.world.credential(credential)
    Rig.session = Rig.session or botocore.session.get_session()
    return Rig.session.create_client(
        service, region_name=sim.world.region, verify=sim.ca_file,
        endpoint_url=f"https://localhost:{sim.port}",
        aws_access_key_id=entry["access_key"], aws_secret_access_key=entry["secret"],
        aws_session_token=entry["token"],
        config=Config(retries={"max_attempts": 0, "mode": "standard"}, **config))


def error_code(call, **arguments):
    """The code of the ClientError that the call raises."""
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"]
    return None


def raw_call(sim, host, body, target=None, credential="admin", service="ec2"):
    """A header-signed POST with botocore's signer and Python's own TLS; (status, body)."""
    need(botocore, "python3-botocore")
    entry = sim.world.credential(credential)
    kind = "application/x-amz-json-1.1" if target else \
        "application/x-www-form-urlencoded; charset=utf-8"
    headers = {"Content-Type": kind, "Host": host}
    if target:
        headers["X-Amz-Target"] = target
    request = botocore.awsrequest.AWSRequest("POST", f"https://{host}/", headers, body)
    keys = botocore.credentials.Credentials(entry["access_key"], entry["secret"], entry["token"])
    botocore.auth.SigV4Auth(keys, service, sim.world.region).add_auth(request)
    return exchange(sim, host, "POST", "/", dict(request.headers.items()), body)


def exchange(sim, host, method, target, headers, body=""):
    """One HTTP/1.1 exchange over TLS; (status, body bytes)."""
    with connect(sim, host) as sock:
        head = "".join(f"{n}: {v}\r\n" for n, v in headers.items())
        sock.sendall(f"{method} {target} HTTP/1.1\r\n{head}Connection: close\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        data = b""
        while more := sock.recv(65536):
            data += more
    head, _, rest = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), rest


def connect(sim, host, version=None):
    context = ssl.create_default_context(cafile=sim.ca_file)
    if version:
        context.maximum_version = version
    sock = socket.create_connection(("127.0.0.1", sim.port))
    return context.wrap_socket(sock, server_hostname=host)


def tunnel_url(sim, name, port=22, credential="admin", endpoint=None, expires=60, **extra):
    """A presigned URL from botocore's SigV4QueryAuth."""
    need(botocore, "python3-botocore")
    entry = sim.world.credential(credential)
    instance = sim.world.instance(name)
    point = sim.world.endpoint(endpoint or "eice-0a1b2c3d4e5f60718")
    query = urllib.parse.urlencode({
        "instanceConnectEndpointId": point["id"], "remotePort": port,
        "privateIpAddress": instance["ip"] or instance["ipv6"], **extra})
    request = botocore.awsrequest.AWSRequest(
        "GET", f"wss://{sim.world.endpoint_host(point)}/openTunnel?{query}")
    keys = botocore.credentials.Credentials(entry["access_key"], entry["secret"], entry["token"])
    botocore.auth.SigV4QueryAuth(keys, "ec2-instance-connect", sim.world.region,
                                 expires).add_auth(request)
    return request.url


def open_tunnel(sim, url):
    """A websockets connection (to be awaited) to the simulator."""
    need(websockets, "python3-websockets")
    context = ssl.create_default_context(cafile=sim.ca_file)
    return websockets.client.connect(url, host="127.0.0.1", port=sim.port, ssl=context,
                                     server_hostname=urllib.parse.urlsplit(url).hostname,
                                     compression=None, max_size=None, origin=None,
                                     user_agent_header="selftest", ping_interval=None,
                                     close_timeout=0.5)


async def receive(ws):
    """All bytes until the server closes, and the close code."""
    parts = []
    try:
        while True:
            parts.append(await ws.recv())
    except websockets.exceptions.ConnectionClosed as e:
        return b"".join(parts), e.rcvd.code if e.rcvd else None


# --- signatures ------------------------------------------------------------------------------

def parse_raw(text):
    """A request file of the signing suite; header lines may be folded."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.rstrip("\n").split("\n")
    method, _, rest = first.partition(" ")
    headers = []
    for line in lines:
        if line[0] in " \t":
            headers[-1] = (headers[-1][0], headers[-1][1] + " " + line.strip())
        else:
            name, _, value = line.partition(":")
            headers.append((name, value))
    request = Request(method, rest.rsplit(" ", 1)[0], "HTTP/1.1", headers)
    request.body = body.encode()
    return request


def suite_case(folder, name, form):
    """Recomputes one case of the suite from the signed request alone."""
    context = json.loads(read(os.path.join(folder, name, "context.json")))
    request = parse_raw(read(os.path.join(folder, name, f"{form}-signed-request.txt")))
    claim = sigv4.parse_claim(sigv4.collect_headers(request.headers),
                              sigv4.parse_query(request.query))
    got = sigv4.expected(claim, context["credentials"]["secret_access_key"], request,
                         context["normalize"], context.get("omit_session_token", False))
    wanted = [read(os.path.join(folder, name, f"{form}-{part}.txt"))
              for part in ("signature", "canonical-request", "string-to-sign")]
    equal(got[1], wanted[1], f"{name} {form} canonical request")
    equal(got[2], wanted[2], f"{name} {form} string to sign")
    equal(got[0], wanted[0], f"{name} {form} signature")
    equal(claim.given, wanted[0], f"{name} {form} signature in the request")


@test
def sigv4_suite():
    folder = vectors("sigv4")
    names = [n for n in sorted(os.listdir(folder)) if os.path.isdir(os.path.join(folder, n))]
    check(len(names) >= 38, f"only {len(names)} cases")
    for name in names:
        for form in ("header", "query"):
            suite_case(folder, name, form)
    return f"{2 * len(names)} requests"


def verify_at(request, vector, shift=0):
    """Puts the request before a Verifier whose clock stands at the vector's time + shift."""
    table = {vector["access_key_id"]: {
        "secret": vector["secret_access_key"], "token": vector["session_token"], "arn": "a",
        "user_id": "u"}}
    at = sigv4.seconds_of(vector["timestamp"]) + shift
    return sigv4.Verifier(table, lambda: at).verify(request, vector["service"],
                                                    vector["region"], 300)


def refused(request, vector, shift=0):
    try:
        verify_at(request, vector, shift)
    except AuthError as e:
        return e.kind
    return None


@test
def opentunnel_presign_vectors():
    cases = json.loads(read(vectors("opentunnel", "presign.json")))["vectors"]
    for v in cases:
        request = Request("GET", v["request_target"], "HTTP/1.1", [("Host", v["host"])])
        verify_at(request, v)
        equal(refused(request, v, 61), "expired", v["name"] + " 61 s later")
        equal(refused(request, v, -301), "future", v["name"] + " 301 s early")
        other = Request("GET", v["request_target"].replace("remotePort=", "remotePort=1"),
                        "HTTP/1.1", request.headers)
        equal(refused(other, v), "bad_signature", v["name"] + " with another port")
    return f"{len(cases)} URLs"


@test
def opentunnel_api_vectors():
    cases = json.loads(read(vectors("opentunnel", "api-requests.json")))["vectors"]
    for v in cases:
        headers = [("Host", v["host"]), *v["headers"].items(), ("X-Amz-Date", v["timestamp"]),
                   ("Authorization", v["authorization"])]
        if v["session_token"] and "X-Amz-Security-Token" not in v["headers"]:
            headers.append(("X-Amz-Security-Token", v["session_token"]))
        request = Request(v["method"], v["path"], "HTTP/1.1", headers)
        request.body = v["body"].encode()
        verify_at(request, v)
        request.body += b" "
        equal(refused(request, v), "bad_signature", v["name"] + " with another body")
    return f"{len(cases)} requests"


@test
def published_presign_vector():
    """The AWS CLI's own case; quoted in its tests."""
    query = ("instanceConnectEndpointId=eice-123&remotePort=22&privateIpAddress=10.0.0.0"
             "&maxTunnelDuration=1&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=access_key"
             "%2F20200101%2Fus-west-2%2Fec2-instance-connect%2Faws4_request"
             "&X-Amz-Date=20200101T010101Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
             "&X-Amz-Signature=3a56740422a5b9aebd22d860b7a30c729e459a6f71a83bc0de3a2b44b7353f28")
    request = Request("GET", "/openTunnel?" + query, "HTTP/1.1", [
        ("Host", "eice-123.ec2-instance-connect-endpoint.us-west-2.amazonaws.com")])
    verify_at(request, {"access_key_id": "access_key", "secret_access_key": "secret_key",
                        "session_token": None, "timestamp": "20200101T010101Z",
                        "service": "ec2-instance-connect", "region": "us-west-2"})


# --- EC2, STS, EC2 Instance Connect through botocore ------------------------------------------

def names_of(pages):
    out = []
    for page in pages:
        for reservation in page["Reservations"]:
            for item in reservation["Instances"]:
                out.append({t["Key"]: t["Value"] for t in item["Tags"]}["Name"])
    return out


@test
def botocore_describe_instances():
    sim = fresh()
    ec2 = client("ec2", sim)
    everything = names_of([ec2.describe_instances()])
    paged = names_of(ec2.get_paginator("describe_instances").paginate(
        PaginationConfig={"PageSize": 25}))
    equal(sorted(paged), sorted(everything), "paged and unpaged instances")
    check(len(everything) > 120, f"{len(everything)} instances")
    pages = sim.ctl("count", action="DescribeInstances", status=200) - 1
    equal(pages, -(-len(everything) // 25), "pages")
    return f"{len(everything)} instances in {pages} pages"


@test
def botocore_instance_filters():
    ec2 = client("ec2", fresh())

    def found(**filters):
        wanted = [{"Name": n.replace("__", ":").replace("_", "-"), "Values": v}
                  for n, v in filters.items()]
        return names_of([ec2.describe_instances(Filters=wanted)])
    equal(found(tag__Name=["web-1"]), ["web-1"], "tag:Name")
    equal(found(tag__Name=["web-?", "app & *"]), ["web-1", "app & web-2"], "wildcards, OR")
    equal(found(tag__Star=["a\\*b"]), ["db 1 (primary)"], "escaped star")
    equal(found(tag__Name=["web\\-1"]), ["web-1"], "escaped plain character")
    equal(found(tag__Env=["prod"], private_ip_address=["10.20.1.24"]), ["app & web-2"], "AND")
    equal(found(tag__Name=["twin"]), ["twin", "twin"], "two of a name")
    equal(found(instance_state_name=["stopped"]), ["batch"], "state")
    equal(found(ipv6_address=["2001:db8:12:3400::18"]), ["six"], "IPv6")
    equal(found(tag__Name=["no such"]), [], "none")
    equal(found(private_dns_name=["ip-10-20-1-23.eu-west-1.compute.internal"]), ["web-1"], "DNS")
    item = ec2.describe_instances(InstanceIds=["i-0123456789abcdef1"])
    item = item["Reservations"][0]["Instances"][0]
    equal(item["State"], {"Code": 16, "Name": "running"}, "state of the item")
    equal(item["MetadataOptions"]["HttpTokens"], "required", "metadata options")
    equal(item["NetworkInterfaces"][0]["Groups"][0]["GroupName"], "app", "interface group")


@test
def botocore_ec2_errors():
    sim = fresh()
    ec2 = client("ec2", sim)

    def code(**arguments):
        return error_code(ec2.describe_instances, **arguments)
    equal(code(InstanceIds=["i-0000000000000dead"]), "InvalidInstanceID.NotFound", "unknown id")
    equal(code(InstanceIds=["i-xyz"]), "InvalidInstanceID.Malformed", "malformed id")
    equal(code(InstanceIds=["i-0123456789abcdef1"], MaxResults=5),
          "InvalidParameterCombination", "id with page size")
    equal(code(MaxResults=4), "InvalidParameterValue", "page size")
    equal(code(NextToken="bogus"), "InvalidNextToken", "token")
    equal(code(Filters=[{"Name": "colour", "Values": ["red"]}]), "InvalidParameterValue", "filter")
    equal(code(DryRun=True), "DryRunOperation", "dry run")
    equal(error_code(ec2.describe_vpn_gateways), "InvalidAction", "action")
    denied = client("ec2", sim, "denied")
    equal(error_code(denied.describe_instances), "UnauthorizedOperation", "policy")
    expired = client("ec2", sim, "expired")
    equal(error_code(expired.describe_instances), "RequestExpired", "expired token")
    status, body = raw_call(sim, "ec2.eu-west-1.amazonaws.com",
                            "Action=DescribeInstances&Version=2016-11-15&Colour=red")
    check(status == 400 and b"<Code>UnknownParameter</Code>" in body, f"{status} {body}")


@test
def endpoints_signed_by_botocore():
    """Bookworm's botocore does not know the action; its signer does the work."""
    sim = fresh()
    base = "Action=DescribeInstanceConnectEndpoints&Version=2016-11-15"
    host = "ec2.eu-west-1.amazonaws.com"
    status, body = raw_call(sim, host, base + "&Filter.1.Name=vpc-id"
                            "&Filter.1.Value.1=vpc-0ddd3333eee4444ff")
    check(status == 200 and b"eice-0a1b2c3d4e5f60718.0badcafe." in body, f"{status} {body}")
    status, body = raw_call(sim, host, base + "&Filter.1.Name=state&Filter.1.Value.1=create-failed")
    check(b"no available addresses" in body, "stateMessage is missing")
    status, body = raw_call(sim, host, base + "&MaxResults=51")
    equal(status, 400, "page size 51")
    seen, token = [], None
    while True:
        query = base + "&MaxResults=20" + (f"&NextToken={sigv4.encode(token)}" if token else "")
        status, body = raw_call(sim, host, query)
        text = body.decode()
        seen += [part.split("<")[0] for part in text.split("<instanceConnectEndpointId>")[1:]]
        if "<nextToken>" not in text:
            break
        token = text.split("<nextToken>")[1].split("<")[0]
    equal(len(seen), len(set(seen)), "endpoints seen twice")
    equal(len(seen), len(sim.world.data["endpoints"]), "endpoints over all pages")


@test
def botocore_caller_identity():
    sim = fresh()
    for name in ("admin", "temporary", "denied"):
        identity = client("sts", sim, name).get_caller_identity()
        equal(identity["Arn"], sim.world.credential(name)["arn"], name)
    equal(error_code(client("sts", sim, "expired").get_caller_identity), "ExpiredToken", "expired")


@test
def botocore_sso():
    """Role credentials for a token, which are good keys; who is refused, and how."""
    sim = fresh()
    portal = client("sso", sim)
    login = sim.sso.login()
    wanted = {"accountId": sim.world.data["account"], "roleName": "Developer"}
    keys = portal.get_role_credentials(accessToken=login["accessToken"],
                                       **wanted)["roleCredentials"]
    entry = sim.world.credential(keys["accessKeyId"])
    equal((keys["secretAccessKey"], keys["sessionToken"], keys["expiration"]),
          (entry["secret"], entry["token"], int(entry["expires"] * 1000)), "keys")
    identity = client("sts", sim, keys["accessKeyId"]).get_caller_identity()
    check("assumed-role/AWSReservedSSO_Developer_" in identity["Arn"], f"identity {identity}")
    for code, token, changed in (
            ("UnauthorizedException", "nonsense", {}),
            ("UnauthorizedException", sim.sso.login(-1)["accessToken"], {}),
            ("ForbiddenException", login["accessToken"], {"roleName": "Admin"}),
            ("ResourceNotFoundException", login["accessToken"], {"accountId": "000000000000"}),
            ("InvalidRequestException", login["accessToken"], {"accountId": "12"})):
        equal(error_code(portal.get_role_credentials, accessToken=token, **{**wanted, **changed}),
              code, f"{changed}")
    sim.ctl("fault", kind="http-error", times=1, action="GetRoleCredentials", status=429,
            code="TooManyRequestsException")
    equal(error_code(portal.get_role_credentials, accessToken=login["accessToken"], **wanted),
          "TooManyRequestsException", "throttled")
    equal(sim.journal.violations(), [], "violations")


@test
def botocore_sso_refresh():
    """A refresh token gives another pair, once."""
    sim = fresh()
    oidc = client("sso-oidc", sim)

    def renew(login, **changed):
        return dict(clientId=login["clientId"], clientSecret=login["clientSecret"],
                    grantType="refresh_token", refreshToken=login["refreshToken"], **changed)

    login = sim.sso.login(-1)
    got = oidc.create_token(**renew(login))
    equal((got["expiresIn"], got["tokenType"]), (3600, "Bearer"), "answer")
    check(sim.sso.good(got["accessToken"]), "the new token is not known")
    equal(error_code(oidc.create_token, **renew(login)), "InvalidGrantException", "used twice")
    oidc.create_token(**renew({**login, "refreshToken": got["refreshToken"]}))
    old = sim.sso.login(registered=-1)
    equal(error_code(oidc.create_token, **renew(old)), "ExpiredTokenException", "registration")
    old["clientSecret"] = "x"
    equal(error_code(oidc.create_token, **renew(old)), "InvalidClientException", "secret")
    shown = json.dumps(sim.journal.select(0, action="CreateToken"))
    check(got["refreshToken"] not in shown and login["clientSecret"] not in shown,
          "the journal holds a secret")


def eice_call(sim, action, **parameters):
    """An endpoint action, which this botocore does not know; the body of the answer."""
    form = {"Action": action, "Version": "2016-11-15",
            **{k.replace("__", "."): v for k, v in parameters.items()}}
    status, body = raw_call(sim, "ec2.eu-west-1.amazonaws.com", urllib.parse.urlencode(form))
    check(status in (200, 400), f"{action}: {status}")
    return body.decode()


def between(text, start, end="<"):
    check(start in text, f"no {start} in {text}")
    return text.split(start, 1)[1].split(end)[0]


@test
def botocore_sso_device():
    """A login on a device gives tokens once, after the user has consented."""
    sim = fresh()
    oidc = client("sso-oidc", sim)
    made = oidc.register_client(clientName="test", clientType="public")
    who = {"clientId": made["clientId"], "clientSecret": made["clientSecret"]}
    asked = oidc.start_device_authorization(startUrl="https://corp.example/start", **who)
    grant = {"grantType": "urn:ietf:params:oauth:grant-type:device_code", **who}
    wanted = {**grant, "deviceCode": asked["deviceCode"]}
    equal(error_code(oidc.create_token, **wanted), "AuthorizationPendingException", "too soon")
    equal(error_code(oidc.create_token, **grant, deviceCode="x"), "InvalidGrantException", "code")
    sim.sso.approve(asked["userCode"])
    token = oidc.create_token(**wanted)
    check(sim.sso.good(token["accessToken"]), "the token is not known")
    equal(error_code(oidc.create_token, **wanted), "InvalidGrantException", "used twice")
    equal(error_code(oidc.create_token, **{**wanted, "clientSecret": "x"}),
          "InvalidClientException", "secret")
    sim.ctl("clock", offset=700)
    asked = oidc.start_device_authorization(startUrl="https://corp.example/start", **who)
    sim.ctl("clock", offset=1400)
    equal(error_code(oidc.create_token, **grant, deviceCode=asked["deviceCode"]),
          "ExpiredTokenException", "late")


@test
def enrolling_a_vpc():
    """No endpoint, no rule; after both were made the instance can be reached."""
    sim = fresh()
    ec2 = client("ec2", sim)
    lonely = sim.world.instance("lonely")
    subnet = ec2.describe_subnets(SubnetIds=[lonely["subnet"]])["Subnets"][0]
    equal(subnet["VpcId"], lonely["vpc"], "VPC of the subnet")
    equal(ec2.describe_vpcs(VpcIds=[lonely["vpc"]])["Vpcs"][0]["CidrBlock"], "10.30.0.0/16", "VPC")
    made = eice_call(sim, "CreateInstanceConnectEndpoint", SubnetId=lonely["subnet"],
                     ClientToken="one")
    point = between(made, "<instanceConnectEndpointId>")
    equal(between(made, "<state>"), "create-in-progress", "state")
    check("<dnsName>" not in made, "a name before it is there")
    again = eice_call(sim, "CreateInstanceConnectEndpoint", SubnetId=lonely["subnet"],
                      ClientToken="one")
    equal(between(again, "<instanceConnectEndpointId>"), point, "repeated call")
    second = eice_call(sim, "CreateInstanceConnectEndpoint", SubnetId=lonely["subnet"])
    check("LimitExceeded" in second, f"second endpoint: {second}")
    eventually(lambda: between(eice_call(sim, "DescribeInstanceConnectEndpoints",
                                         InstanceConnectEndpointId__1=point), "<state>"),
               "create-complete", "state after a while")
    sim.ctl("setting", name="dial_timeout_ms", value=300)
    equal(ending(sim, "lonely", endpoint=point), (b"", 1011), "tunnel without a rule")
    sim.ctl("setting", name="dial_timeout_ms", value=5000)
    group = sim.world.endpoint(point)["groups"][0]
    rule = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22,
             "UserIdGroupPairs": [{"GroupId": group, "Description": "SSH from the endpoint"}]}]
    ec2.authorize_security_group_ingress(GroupId=lonely["groups"][0], IpPermissions=rule)
    equal(error_code(ec2.authorize_security_group_ingress, GroupId=lonely["groups"][0],
                     IpPermissions=rule), "InvalidPermission.Duplicate", "the same rule again")
    shown = ec2.describe_security_groups(GroupIds=lonely["groups"])["SecurityGroups"][0]
    equal(shown["IpPermissions"][0]["UserIdGroupPairs"][0]["GroupId"], group, "rule in the group")
    rules = ec2.describe_security_group_rules(
        Filters=[{"Name": "group-id", "Values": lonely["groups"]}])["SecurityGroupRules"]
    equal([r["IsEgress"] for r in rules], [False, True, True], "rules")

    async def banner():
        async with open_tunnel(sim, tunnel_url(sim, "lonely", endpoint=point)) as ws:
            return await ws.recv()
    check(asyncio.run(banner()).startswith(b"SSH-2.0-OpenSSH"), "no banner")
    check("delete-in-progress" in eice_call(sim, "DeleteInstanceConnectEndpoint",
                                            InstanceConnectEndpointId=point), "deletion")
    eventually(lambda: "NotFound" in eice_call(sim, "DescribeInstanceConnectEndpoints",
                                               InstanceConnectEndpointId__1=point), True, "gone")


@test
def console_shows_the_host_keys():
    sim = fresh()
    ec2 = client("ec2", sim)
    text = ec2.get_console_output(InstanceId="i-0123456789abcdef0")["Output"]
    for key in sim.ctl("sshd", instance="web-1")["host_keys"]:
        check(key in text, f"{key} is not in the console output")
    sim.ctl("instance", id="web-1", console="forged")
    equal(ec2.get_console_output(InstanceId="i-0123456789abcdef0")["Output"], "forged", "forged")
    sim.world.instance("web-1")["console"] = None
    regions = ec2.describe_regions()["Regions"]
    equal([r["RegionName"] for r in regions], ["eu-west-1", "us-east-1"], "regions")


def ed25519_line():
    """A new public key line from ssh-keygen, and the directory of the pair."""
    folder = tempfile.mkdtemp(dir=Rig().dir)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f",
                    folder + "/key"], check=True)
    return read(folder + "/key.pub").strip(), folder


@test
def botocore_send_key():
    sim = fresh()
    line, _ = ed25519_line()
    equal(len(line), 80, "length of an Ed25519 line")
    connect_ = client("ec2-instance-connect", sim)

    def code(**changed):
        arguments = {"InstanceId": "i-0123456789abcdef0", "InstanceOSUser": "ec2-user",
                     "SSHPublicKey": line, **changed}
        return error_code(connect_.send_ssh_public_key, **arguments)
    equal(code(), None, "push")
    equal([k["user"] for k in sim.ctl("keys")], ["ec2-user"], "keys after a push")
    equal(code(SSHPublicKey="ssh-dss " + "A" * 80), "InvalidArgsException", "DSA")
    equal(code(SSHPublicKey=line[:-8] + "AAAAAAA="), "InvalidArgsException", "broken blob")
    equal(code(SSHPublicKey=line.replace("ssh-ed25519", "ssh-rsa") + " comment"),
          "InvalidArgsException", "type and blob differ")
    equal(code(InstanceOSUser="1234"), "InvalidArgsException", "all-digit user")
    equal(code(InstanceOSUser="1234a"), None, "digits then a letter")
    equal(code(InstanceId="i-0000000000000dead"), "EC2InstanceNotFoundException", "unknown id")
    equal(code(InstanceId=sim.world.instance("batch")["id"]),
          "EC2InstanceStateInvalidException", "stopped")
    limited = client("ec2-instance-connect", sim, "limited")
    arguments = {"InstanceId": "i-0123456789abcdef0", "SSHPublicKey": line}
    equal(error_code(limited.send_ssh_public_key, InstanceOSUser="root", **arguments),
          "AccessDeniedException", "osuser condition")
    equal(error_code(limited.send_ssh_public_key, InstanceOSUser="ec2-user", **arguments),
          None, "osuser condition met")


@test
def clock_window():
    sim = fresh()
    sts, ec2 = client("sts", sim), client("ec2", sim)
    connect_ = client("ec2-instance-connect", sim)
    for offset, wanted in ((280, None), (310, "SignatureDoesNotMatch"),
                           (-310, "SignatureDoesNotMatch")):
        sim.ctl("clock", offset=offset)
        equal(error_code(sts.get_caller_identity), wanted, f"STS at {offset} s")
    sim.ctl("clock", offset=800)
    equal(error_code(ec2.describe_instances), None, "EC2 at 800 s")
    equal(error_code(connect_.send_ssh_public_key, InstanceId="i-0123456789abcdef0",
                     InstanceOSUser="a", SSHPublicKey="x" * 80), "InvalidSignatureException",
          "Instance Connect at 800 s")
    sim.ctl("clock", offset=1000)
    equal(error_code(ec2.describe_instances), "RequestExpired", "EC2 at 1000 s")


@test
def unknown_key_by_protocol():
    sim = fresh()
    entry = sim.world.credentials.pop("AKIASIMULATED0000001")
    sim.world.data["credentials"].remove(entry)
    sim.world.data["credentials"].append(entry)
    try:
        equal(error_code(client("ec2", sim).describe_instances), "AuthFailure", "EC2")
        equal(error_code(client("sts", sim).get_caller_identity), "InvalidClientTokenId", "STS")
        equal(error_code(client("ec2-instance-connect", sim).send_ssh_public_key,
                         InstanceId="i-0123456789abcdef0", InstanceOSUser="a",
                         SSHPublicKey="x" * 80), "UnrecognizedClientException", "JSON")
    finally:
        sim.world.credentials["AKIASIMULATED0000001"] = entry


# --- tunnels through python3-websockets -------------------------------------------------------

async def exchange_bytes(sim, url, payload, step=59999):
    """Sends payload through an echo tunnel, returns what came back."""
    async with open_tunnel(sim, url) as ws:
        async def send():
            for at in range(0, len(payload), step):
                await ws.send(payload[at:at + step])
        sending = asyncio.ensure_future(send())
        got = bytearray()
        while len(got) < len(payload):
            got += await ws.recv()
        await sending
        return bytes(got)


def echo(sim, size, **url_options):
    payload = targets.pattern(size)
    got = asyncio.run(exchange_bytes(sim, tunnel_url(sim, "echo-box", **url_options), payload))
    equal(hashlib.sha256(got).hexdigest(), hashlib.sha256(payload).hexdigest(), "echoed bytes")


@test
def tunnel_echo_8_mib():
    sim = fresh()
    started = time.monotonic()
    echo(sim, 8 * MIB)
    seconds = time.monotonic() - started
    equal(sim.ctl("violations"), [], "violations")
    return f"{16 / seconds:.0f} MiB/s both ways together"


@test
def tunnel_frame_shapes():
    """Every legal framing carries the same bytes."""
    sim = fresh()
    for kind, options in (("split", {}), ("fragment", {}), ("long-length", {}),
                          ("segments", {"bytes": 700}), ("ping-first", {}),
                          ("ping-flood", {"count": 50}), ("pong-first", {}),
                          ("upgrade-split", {}), ("upgrade-with-data", {})):
        number = sim.ctl("fault", kind=kind, **options)
        echo(sim, 300000)
        struck = [f for f in sim.ctl("faults") if f["id"] == number][0]["struck"]
        equal(struck, 1, f"strikes of {kind}")
        sim.ctl("clear-faults")
    equal(sim.ctl("violations"), [], "violations")


async def end_of(sim, url):
    async with open_tunnel(sim, url) as ws:
        return await asyncio.wait_for(receive(ws), 20)


def ending(sim, name, **options):
    return asyncio.run(end_of(sim, tunnel_url(sim, name, **options)))


@test
def tunnel_endings():
    sim = fresh()
    equal(ending(sim, "refuse-box"), (b"", 1011), "nothing listens")
    equal(ending(sim, "closing-box"), (b"", 1000), "target closes")
    equal(ending(sim, "banned-box"), (b"Not allowed at this time\r\n", 1000), "one line")
    sim.ctl("setting", name="dial_timeout_ms", value=300)
    for name in ("blackhole-box", "fenced", "batch"):
        equal(ending(sim, name), (b"", 1011), name)
    sim.ctl("setting", name="dial_timeout_ms", value=5000)
    started = time.monotonic()
    equal(ending(sim, "silent-box", maxTunnelDuration=1), (b"", 1001), "duration")
    check(0.9 < time.monotonic() - started < 3, "the duration was not kept")
    data, code = ending(sim, "source-box")
    check(len(data) == 64 * MIB and code == 1000, f"source: {len(data)} bytes, code {code}")
    sim.ctl("fault", kind="die", bytes=12345)
    data, code = ending(sim, "source-box")
    equal((len(data), code), (12345, 1011), "die after so many bytes")
    eventually(lambda: sim.ctl("count", kind="tunnel"), 9, "tunnels in the journal")


def refusal(sim, url):
    """(status, ErrorCode) of a refused upgrade."""
    parts = urllib.parse.urlsplit(url)
    with connect(sim, parts.hostname) as sock:
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.hostname}\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        sock.settimeout(5)
        data = b""
        while b"}" not in data and b" 101 " not in data:
            data += sock.recv(65536)
    status = int(data.split()[1])
    return status, json.loads(data.partition(b"\r\n\r\n")[2])["ErrorCode"] if status != 101 else ""


@test
def tunnel_refusals():
    sim = fresh()
    equal(refusal(sim, tunnel_url(sim, "web-1", port=23)), (400, "InvalidParameter"), "port 23")
    equal(refusal(sim, tunnel_url(sim, "web-1", maxTunnelDuration=3601)),
          (400, "InvalidParameter"), "duration 3601")
    equal(refusal(sim, tunnel_url(sim, "web-1", colour="red")), (400, "InvalidParameter"),
          "unknown parameter")
    equal(refusal(sim, tunnel_url(sim, "web-1", credential="limited")),
          (403, "AccessDeniedException"), "policy wants a duration, none given")
    equal(refusal(sim, tunnel_url(sim, "web-1", credential="limited", maxTunnelDuration=600)),
          (101, ""), "policy and duration agree")
    equal(refusal(sim, tunnel_url(sim, "web-1", credential="expired")),
          (403, "ExpiredTokenException"), "expired token")
    equal(refusal(sim, tunnel_url(sim, "early", endpoint="eice-0a1b2c3d4e5f60bbb")),
          (400, "InvalidEndpointState"), "endpoint in progress")
    sim.ctl("setting", name="replay_grace_ms", value=0)
    time.sleep(1.1)
    url = tunnel_url(sim, "web-1")
    equal(refusal(sim, url), (101, ""), "first use of a URL")
    equal(refusal(sim, url), (403, "InvalidSignatureException"), "second use of a URL")
    sim.ctl("setting", name="replay_grace_ms", value=2000)
    url = tunnel_url(sim, "web-1")
    sim.ctl("clock", offset=61)
    equal(refusal(sim, url), (403, "InvalidSignatureException"), "URL of 61 s")
    sim.ctl("clock", offset=0)
    sim.ctl("fault", kind="refuse", status=503, times=1)
    equal(refusal(sim, tunnel_url(sim, "web-1")), (503, "AccessDeniedException"), "on demand")


@test
def tunnel_quota():
    sim = fresh()

    async def many():
        open_ = [await open_tunnel(sim, tunnel_url(sim, "echo-box")) for _ in range(20)]
        try:
            for n, ws in enumerate(open_):
                await ws.send(b"tunnel %d" % n)
            for n, ws in enumerate(open_):
                equal(await ws.recv(), b"tunnel %d" % n, f"echo of tunnel {n}")
            equal(sim.ctl("tunnels")["eice-0a1b2c3d4e5f60718"], 20, "open tunnels")
            loop = asyncio.get_running_loop()
            got = await loop.run_in_executor(None, refusal, sim, tunnel_url(sim, "echo-box"))
            equal(got, (429, "TooManyRequestsException"), "the 21st")
        finally:
            for ws in open_:
                await ws.close()
    asyncio.run(many())
    eventually(lambda: sim.ctl("tunnels")["eice-0a1b2c3d4e5f60718"], 0, "tunnels after all")
    echo(sim, 1000)


def outcome(sim, name="source-box"):
    """What the websockets client makes of a tunnel: "N bytes, code" or the error's name."""
    async def go():
        try:
            data, code = await asyncio.wait_for(end_of(sim, tunnel_url(sim, name)), 2)
            return f"{len(data)} bytes, {code}"
        except (asyncio.TimeoutError, OSError, websockets.exceptions.WebSocketException) as e:
            return type(e).__name__
    return asyncio.run(go())


@test
def tunnel_faults_seen_by_websockets():
    """A strict client of the RFC must see each fault for what it is."""
    sim = fresh()
    sim.world.instance("source-box")["targets"]["22"] = "source:5000"
    equal(outcome(sim), "5000 bytes, 1000", "no fault")
    for wanted, kind, options in (
            ("InvalidHandshake", "wrong-accept", {}), ("InvalidHandshake", "no-accept", {}),
            ("InvalidHandshake", "no-upgrade-header", {}), ("InvalidHandshake", "status-200", {}),
            ("InvalidHandshake", "extension", {}), ("InvalidHandshake", "subprotocol", {}),
            ("InvalidStatusCode", "quota", {}), ("InvalidStatusCode", "refuse", {}),
            ("TimeoutError", "stall", {}), ("5000 bytes, 1000", "dial-delay", {"ms": 50}),
            ("0 bytes, 1011", "open-close", {}), ("0 bytes, 1005", "open-close", {"code": 0}),
            ("0 bytes, None", "open-rst", {}), ("0 bytes, None", "open-drop", {}),
            ("5000 bytes, 1000", "empty-frames", {}), ("0 bytes, None", "masked", {}),
            ("0 bytes, None", "reserved", {"bit": 32}), ("0 bytes, None", "opcode", {}),
            ("0 bytes, None", "huge-control", {}), ("0 bytes, None", "fragmented-control", {}),
            ("0 bytes, None", "bad-continuation", {}), ("0 bytes, None", "nested-start", {}),
            ("TimeoutError", "negative-length", {}), ("0 bytes, None", "bad-close", {}),
            ("5000 bytes, 1000", "close-with-data", {}),
            ("5000 bytes, 1005", "close-with-data", {"code": 0}),
            ("0 bytes, 1011", "split-close", {}), ("700 bytes, 1011", "die", {"bytes": 700}),
            ("700 bytes, None", "die", {"bytes": 700, "how": "drop"}),
            ("700 bytes, None", "die", {"bytes": 700, "how": "cut"}),
            ("700 bytes, None", "die", {"bytes": 700, "how": "bad-mac"}),
            ("TimeoutError", "die", {"bytes": 700, "how": "freeze"})):
        sim.ctl("fault", kind=kind, **options)
        got = outcome(sim)
        if wanted == "InvalidHandshake":
            check(got.startswith(("Invalid", "Negotiation")), f"{kind}: {got}")
        else:
            equal(got, wanted, f"{kind} {options}")
        sim.ctl("clear")
    sim.world.instance("source-box")["targets"]["22"] = "source:67108864"


@test
def tunnel_faults_in_the_flow():
    sim = fresh()
    started = time.monotonic()
    for wanted, kind, options in (
            ("0 bytes, 1000", "expire", {"ms": 100}),
            ("0 bytes, None", "expire", {"ms": 100, "how": "rst"}),
            ("0 bytes, None", "expire", {"ms": 100, "how": "drop"})):
        sim.ctl("fault", kind=kind, **options)
        equal(outcome(sim, "silent-box"), wanted, f"{kind} {options}")
        sim.ctl("clear")
    check(0.3 < time.monotonic() - started < 5, "expire took the wrong time")
    sim.ctl("fault", kind="throttle", bytes=100000, ms=100)
    started = time.monotonic()
    echo(sim, 500000)
    check(time.monotonic() - started > 0.4, "throttle did not slow the client's input")
    sim.ctl("clear")
    sim.ctl("fault", kind="slow-read", bytes=4000, ms=2)
    started = time.monotonic()
    echo(sim, 500000)
    check(time.monotonic() - started > 0.2, "slow-read did not slow the client's output")
    sim.ctl("clear")
    sim.ctl("fault", kind="die-in", bytes=1000, how="drop")

    async def send_until_dead():
        async with open_tunnel(sim, tunnel_url(sim, "sink-box")) as ws:
            await ws.send(bytes(1000))
            return await receive(ws)
    equal(asyncio.run(send_until_dead()), (b"", None), "die-in")
    sim.ctl("clear")

    async def pings():
        async with open_tunnel(sim, tunnel_url(sim, "silent-box")) as ws:
            waiting = await ws.ping(b"are you there")
            try:
                await asyncio.wait_for(waiting, 0.3)
                return True
            except asyncio.TimeoutError:
                return False
    equal(asyncio.run(pings()), True, "pong")
    sim.ctl("fault", kind="no-pong")
    sim.ctl("fault", kind="ping-every", ms=50)
    equal(asyncio.run(pings()), False, "pong although no-pong")
    end = sim.ctl("journal", kind="tunnel")[-1]
    check(end["pongs"] >= 3 and end["pings"] == 1, f"pings and pongs: {end}")
    sim.ctl("clear")
    sim.ctl("fault", kind="no-close-echo")

    async def closing():
        ws = await open_tunnel(sim, tunnel_url(sim, "silent-box"))
        ws.close_timeout = 0.2
        await ws.close()
        return ws.close_code
    equal(asyncio.run(closing()), 1006, "close code without an echo")


@test
def round_trips_take_time():
    """With a simulated round trip of 100 ms the flights of a client can be counted."""
    sim = fresh()
    sim.ctl("rtt", ms=100)
    try:
        started = time.monotonic()
        with connect(sim, "localhost", ssl.TLSVersion.TLSv1_2):
            trips = (time.monotonic() - started) / 0.1
        check(2.9 <= trips < 3.9, f"TCP and TLS 1.2 took {trips:.2f} round trips")
    finally:
        sim.ctl("rtt", ms=0)


@test
def tunnel_25_at_once():
    sim = fresh()
    sim.ctl("setting", name="quota", value=25)
    payload = targets.pattern(MIB)

    async def all_of_them():
        urls = [tunnel_url(sim, "echo-box", maxTunnelDuration=n + 100) for n in range(25)]
        return await asyncio.gather(*(exchange_bytes(sim, u, payload) for u in urls))
    try:
        results = asyncio.run(all_of_them())
    finally:
        sim.ctl("setting", name="quota", value=20)
    check(all(r == payload for r in results), "a tunnel changed its bytes")
    equal(sim.ctl("violations"), [], "violations")


# --- a client that breaks the rules -----------------------------------------------------------

def raw_tunnel(sim, frames):
    """Sends raw bytes after the upgrade; returns what the server answers until it closes."""
    parts = urllib.parse.urlsplit(tunnel_url(sim, "silent-box"))
    with connect(sim, parts.hostname) as sock:
        sock.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.hostname}\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
        while b"\r\n\r\n" not in sock.recv(65536):
            pass
        sock.sendall(frames)
        sock.settimeout(5)
        data = b""
        while more := sock.recv(65536):
            data += more
        return data


@test
def frame_reader_at_every_split():
    """The same frames in pieces of every size give the same payloads."""
    sizes = (1, 5, 125, 126, 127, 1000, 3)
    stream, wanted = b"", b""
    for n, size in enumerate(sizes):
        payload = targets.pattern(size)
        wanted += payload
        # Masked here byte by byte, as RFC 6455 5.3 has it, and not by the code under test.
        mask = bytes([n + 1, 2 * n, 255 - n, 77])
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        head = b"\x82" + (bytes([0x80 | size]) if size < 126 else
                          b"\xfe" + size.to_bytes(2, "big"))
        stream += head + mask + masked + b"\x89\x82" + mask + bytes([mask[0] ^ 1, mask[1] ^ 2])
    for step in range(1, 40):
        reader = wsframes.Reader(lambda rule, detail: None)
        got = [e for at in range(0, len(stream), step) for e in reader.feed(stream[at:at + step])]
        equal(b"".join(p for o, p in got if o == wsframes.BINARY), wanted, f"data at {step}")
        equal([p for o, p in got if o == wsframes.PING], [b"\1\2"] * len(sizes), f"pings at {step}")


@test
def client_rules_are_enforced():
    sim = fresh()
    mask = b"abcd"

    def plain(n):
        return wsframes.frame(wsframes.BINARY, b"x" * n, mask=bytes([n & 255, 2, 3, 4]))
    close = wsframes.frame(wsframes.CLOSE, b"\x03\xe8", mask=b"wxyz")
    for rule, data in (
            ("unmasked", wsframes.frame(wsframes.BINARY, b"x")),
            ("non-minimal", b"\x82\xfe\x00\x05" + mask + b"hello"),
            ("non-minimal", b"\x82\xff" + (300).to_bytes(8, "big") + mask + b"h" * 300),
            ("reserved-bits", wsframes.frame(wsframes.BINARY, b"x", flags=64, mask=mask)),
            ("opcode", wsframes.frame(3, b"x", mask=mask)),
            ("control-size", wsframes.frame(wsframes.PING, b"x" * 126, mask=mask)),
            ("fragmented-control", wsframes.frame(wsframes.PING, b"x", fin=False, mask=mask)),
            ("continuation", wsframes.frame(wsframes.CONTINUATION, b"x", mask=mask)),
            ("zero-length", wsframes.frame(wsframes.BINARY, b"", mask=mask) + close),
            ("oversize", plain(65001) + close),
            ("fragmented", wsframes.frame(wsframes.BINARY, b"x", fin=False, mask=mask) + close),
            ("text", wsframes.frame(wsframes.TEXT, b"x", mask=mask) + close),
            ("mask-repeated", plain(5) + plain(5) + close),
            ("close-code", wsframes.frame(wsframes.CLOSE, b"\x03\xed", mask=mask)),
            ("close-payload", wsframes.frame(wsframes.CLOSE, b"\x03", mask=mask))):
        sim.ctl("clear")
        raw_tunnel(sim, data)
        equal([v["rule"] for v in sim.ctl("violations")], [rule], "rules broken")
    sim.ctl("clear")
    equal(raw_tunnel(sim, plain(65000) + close), b"\x88\x02\x03\xe8", "an honest client")
    equal(sim.ctl("violations"), [], "violations of an honest client")


# --- faults ------------------------------------------------------------------------------------

@test
def faults_on_the_way():
    sim = fresh()
    ec2 = client("ec2", sim)
    for kind, options in (
            ("accept-close", {}), ("accept-rst", {}), ("accept-hang", {}), ("accept-banner", {}),
            ("tls-hang", {}), ("tls-close", {}), ("tls-rst", {}), ("tls-garbage", {}),
            ("tls-alert", {}), ("head-hang", {}), ("head-close", {}), ("hang", {}), ("drop", {}),
            ("rst", {}), ("truncate", {}), ("truncate-rst", {}), ("truncate-hang", {}),
            ("cert", {"variant": "expired"}), ("cert", {"variant": "not-yet"}),
            ("cert", {"variant": "wrong-name"}), ("cert", {"variant": "untrusted"}),
            ("cert", {"variant": "self-signed"}), ("cert", {"variant": "no-intermediate"})):
        sim.ctl("fault", kind=kind, times=1, **options)
        try:
            client("ec2", sim, connect_timeout=0.5, read_timeout=0.5).describe_instances()
            raise AssertionError(f"{kind} {options} did no harm")
        except botocore.exceptions.BotoCoreError:
            pass
        check(len(names_of([ec2.describe_instances()])) > 100, f"call after {kind}")
        sim.ctl("clear")


@test
def faults_in_the_answer():
    sim = fresh()
    ec2 = client("ec2", sim)
    sim.ctl("fault", kind="http-error", action="DescribeInstances", times=2)
    equal([error_code(ec2.describe_instances) for _ in range(3)],
          ["RequestLimitExceeded", "RequestLimitExceeded", None], "throttled twice")
    for kind, options in (("chunked", {}), ("no-length", {}), ("close", {}), ("lower-head", {}),
                          ("slow-body", {"bytes": 4000, "ms": 1}), ("huge-body", {"bytes": 100}),
                          ("header", {"name": "X-Y", "repeat": 50}), ("continue", {})):
        number = sim.ctl("fault", kind=kind, times=1, **options)
        check(len(names_of([ec2.describe_instances()])) > 100, kind)
        equal([f["struck"] for f in sim.ctl("faults") if f["id"] == number], [1], kind)
    sim.ctl("fault", kind="empty-page", times=2)
    paginator = ec2.get_paginator("describe_instances")
    check(len(names_of(paginator.paginate())) > 100, "empty pages lost instances")
    equal(sim.ctl("count", faults="['empty-page']"), 2, "empty pages")
    for kind in ("malformed", "html-error"):
        sim.ctl("clear")
        sim.ctl("fault", kind=kind)
        try:
            ec2.describe_instances()
            raise AssertionError(f"{kind} did no harm")
        except (botocore.exceptions.ClientError, botocore.parsers.ResponseParserError):
            pass
    sim.ctl("clear")
    started = time.monotonic()
    sim.ctl("fault", kind="latency", ms=300, service="sts")
    client("sts", sim).get_caller_identity()
    check(time.monotonic() - started >= 0.3, "no latency")


@test
def tls_resumption_can_be_refused():
    sim = fresh()

    def resumed():
        context = ssl.create_default_context(cafile=sim.ca_file)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_TICKET
        session = None
        for _ in range(2):
            sock = socket.create_connection(("127.0.0.1", sim.port))
            with context.wrap_socket(sock, server_hostname="localhost", session=session) as tls:
                session, reused = tls.session, tls.session_reused
        return reused
    equal(resumed(), True, "resumption by session id")
    sim.ctl("resume", on=0)
    equal(resumed(), False, "resumption when refused")
    sim.ctl("resume", on=1)
    eventually(lambda: [c["resumed"] for c in sim.ctl("journal", kind="connection")],
               [False, True, False, False], "journal")


# --- OpenSSH through a websockets ProxyCommand -------------------------------------------------

PROXY = """\
import asyncio, os, ssl, sys
import websockets.client, websockets.exceptions
async def main():
    context = ssl.create_default_context(cafile={ca!r})
    ws = await websockets.client.connect({url!r}, host="127.0.0.1", port={port}, ssl=context,
                                         server_hostname={host!r}, compression=None,
                                         max_size=None, ping_interval=None)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async def up():
        while data := await reader.read(60000):
            await ws.send(data)
    sending = asyncio.ensure_future(up())
    try:
        while True:
            os.write(1, await ws.recv())
    except websockets.exceptions.ConnectionClosed:
        sending.cancel()
asyncio.run(main())
"""


class Login:
    """An OpenSSH client with a pushed key; `ssh(...)` runs it through a fresh tunnel."""

    def __init__(self, sim, name, user):
        self.sim, self.name, self.user = sim, name, user
        self.line, self.folder = ed25519_line()

    def push(self):
        client("ec2-instance-connect", self.sim).send_ssh_public_key(
            InstanceId=self.sim.world.instance(self.name)["id"], InstanceOSUser=self.user,
            SSHPublicKey=self.line)

    def ssh(self, *arguments, program="ssh", given=None):
        need(websockets, "python3-websockets")
        proxy = os.path.join(self.folder, "proxy.py")
        with open(proxy, "w", encoding="utf-8") as f:
            url = tunnel_url(self.sim, self.name)
            f.write(PROXY.format(ca=self.sim.ca_file, port=self.sim.port, url=url,
                                 host=urllib.parse.urlsplit(url).hostname))
        options = ["-F", "none", "-i", self.folder + "/key", "-o", "IdentitiesOnly=yes",
                   "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new",
                   "-o", f"HostKeyAlias={self.name.split()[0]}",
                   "-o", f"UserKnownHostsFile={self.folder}/known_hosts",
                   "-o", f"ProxyCommand=/usr/bin/python3 {proxy}"]
        return subprocess.run([program, *options, *arguments], capture_output=True, input=given,
                              timeout=60, check=False,
                              env={k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK"})


@test
def openssh_logs_in():
    sim = fresh()
    login = Login(sim, "web-1", "ec2-user")
    target = "ec2-user@web-1"
    done = login.ssh(target, "true")
    equal(done.returncode, 255, "status without a pushed key")
    check(b"Permission denied" in done.stderr, f"no denial in {done.stderr}")
    login.push()
    equal(login.ssh(target, "true").returncode, 0, "true")
    equal(login.ssh(target, "exit 42").returncode, 42, "exit 42")
    done = login.ssh(target, "cat; echo $USER; id -un; echo error >&2", given=b"in\n")
    equal(done.stdout, b"in\nec2-user\nec2-user\n", "standard output")
    check(b"error" in done.stderr, "standard error")
    done = login.ssh("-tt", target, "tty; stty size; exit 3")
    check(done.returncode == 3 and b"/dev/pts/" in done.stdout, f"PTY: {done}")
    equal(login.ssh("ubuntu@web-1", "true").returncode, 255, "a login that is not there")
    lookups = sim.ctl("journal", kind="key-lookup")
    check(lookups and all(e["instance"] == "i-0123456789abcdef0" for e in lookups), "lookups")
    equal(sim.ctl("violations"), [], "violations")


@test
def openssh_other_instances_and_sftp():
    sim = fresh()
    for name, user in (("app & web-2", "ubuntu"), ("db 1 (primary)", "admin"),
                       ("six", "ec2-user")):
        login = Login(sim, name, user)
        login.push()
        done = login.ssh(user + "@host", "id -un")
        equal((done.returncode, done.stdout), (0, user.encode() + b"\n"), name)
        payload = targets.pattern(3 * MIB)
        with open(login.folder + "/up", "wb") as f:
            f.write(payload)
        done = login.ssh("-b", "-", user + "@host", program="sftp",
                         given=f"put {login.folder}/up\nget up {login.folder}/down\n".encode())
        equal(done.returncode, 0, f"sftp {done.stderr}")
        with open(login.folder + "/down", "rb") as f:
            check(f.read() == payload, "sftp changed the bytes")


@test
def pushed_key_expires():
    sim = fresh()
    sim.ctl("setting", name="key_seconds", value=1)
    login = Login(sim, "web-1", "ec2-user")
    login.push()
    time.sleep(1.1)
    equal(login.ssh("ec2-user@web-1", "true").returncode, 255, "status after the key expired")
    sim.ctl("setting", name="key_seconds", value=60)
    login.push()
    equal(login.ssh("ec2-user@web-1", "true").returncode, 0, "status after a new push")


@test
def host_key_change_is_seen():
    sim = fresh()
    login = Login(sim, "web-1", "ec2-user")
    login.push()
    equal(login.ssh("ec2-user@web-1", "true").returncode, 0, "first login")
    before = sim.ctl("sshd", instance="web-1")["fingerprints"]
    after = sim.ctl("sshd", instance="web-1", action="new-host-key")["fingerprints"]
    check(not set(before) & set(after), "a host key stayed")
    done = login.ssh("ec2-user@web-1", "true")
    check(done.returncode == 255 and b"HOST IDENTIFICATION HAS CHANGED" in done.stderr,
          f"change not noticed: {done}")


# --- life and death -----------------------------------------------------------------------------

def processes(text):
    """Command lines that contain `text`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                line = f.read().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line and int(pid) != os.getpid():
            found.append(line)
    return found


def start_serve(folder):
    process = subprocess.Popen(
        ["/usr/bin/python3", os.path.join(ROOT, "tools", "sim"), "serve", "--sshd", "--dir",
         folder, "--ready-file", folder + "/ready"], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 30
    while not os.path.exists(folder + "/ready"):
        check(process.poll() is None and time.monotonic() < end, "serve did not start")
        time.sleep(0.05)
    with open(folder + "/info.json", encoding="utf-8") as f:
        return process, json.load(f)


@test
def serve_stops_and_leaves_nothing():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        folder = tempfile.mkdtemp(prefix="eice-selftest-")
        process, info = start_serve(folder)
        with socket.create_connection(("127.0.0.1", info["port"])):
            pass
        listed = subprocess.run(
            ["/usr/bin/python3", os.path.join(ROOT, "tools", "sim"), "ctl", "--dir", folder,
             "sshd"], capture_output=True, check=True)
        home = json.loads(listed.stdout)[0]["home"].split("/i-0")[0]
        check(processes(home), "no sshd is running")
        process.send_signal(number)
        process.wait(10)
        end = time.monotonic() + 10
        while processes(home) and time.monotonic() < end:
            time.sleep(0.05)
        equal(processes(home), [], f"processes left after {number.name}")
        if number != signal.SIGKILL:
            equal((process.returncode, os.path.exists(home)), (0, False), "status and directory")
        shutil.rmtree(home, ignore_errors=True)
        shutil.rmtree(folder)


@test
def run_sets_the_environment():
    script = ('test -n "$AWS_ACCESS_KEY_ID" && test -f "$AWS_CA_BUNDLE" && test -z "$AWS_PROFILE"'
              ' && test -S "$EICE_SIM_DIR/ctl.sock" && exit 7')
    done = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "tools", "sim"), "run", "--",
                           "sh", "-c", script], env={**os.environ, "AWS_PROFILE": "x"},
                          check=False)
    equal(done.returncode, 7, "status of run")


@test
def run_passes_signals_on():
    """SIGTERM ends the command, then the simulator, and the status tells."""
    folder = tempfile.mkdtemp(prefix="eice-selftest-")
    process = subprocess.Popen(
        ["/usr/bin/python3", os.path.join(ROOT, "tools", "sim"), "run", "--sshd", "--dir", folder,
         "--", "sh", "-c", f"trap 'exit 9' TERM; touch {folder}/up; while :; do sleep 0.1; done"],
        stderr=subprocess.DEVNULL)
    eventually(lambda: os.path.exists(folder + "/up") or process.poll(), True, "run is up", 30)
    process.terminate()
    equal(process.wait(15), 9, "status of run")
    equal(processes(folder), [], "processes left")
    shutil.rmtree(folder)


@test
def world_file_replaces_members():
    folder = tempfile.mkdtemp(dir=Rig().dir)
    with open(folder + "/world.json", "w", encoding="utf-8") as f:
        json.dump({"settings": {"quota": 3}, "endpoints": [], "credentials": [
            {"name": "admin", "access_key": "AKIAOTHER", "secret": "other", "token": None,
             "arn": "arn:aws:iam::1:user/x", "user_id": "X", "expires_in": 5,
             "policy": {"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}]}, f)
    with Simulator(world=folder + "/world.json", fillers=7) as other:
        equal(client("sts", other).get_caller_identity()["UserId"], "X", "caller")
        equal(other.ctl("settings")["quota"], 3, "setting of the file")
        equal(other.ctl("settings")["key_seconds"], 60, "setting not in the file")
        equal(other.env()["AWS_ACCESS_KEY_ID"], "AKIAOTHER", "environment")
        check("eice-" not in eice_call(other, "DescribeInstanceConnectEndpoints"), "endpoints")
        found = names_of([client("ec2", other).describe_instances()])
        equal(sum(n.startswith("filler-") for n in found), 7, "fillers")


@test
def two_simulators_at_once():
    sim = fresh()
    with Simulator(key_type="rsa") as other:
        check(other.port != sim.port, "same port")
        for each in (sim, other):
            client("sts", each).get_caller_identity()
        before = threading.active_count()
        tls = connect(other, "localhost", ssl.TLSVersion.TLSv1_2)
        check("RSA" in tls.cipher()[0], f"cipher {tls.cipher()}")
        started = time.monotonic()
    check(time.monotonic() - started < 2, "stop waits for an idle connection")
    check(threading.active_count() <= before, "threads left")
    tls.close()


def run_one(function):
    name = function.__name__
    started = time.monotonic()
    try:
        note = function()
        note = f" ({note})" if note else ""
        print(f"PASS sim_{name}{note} [{time.monotonic() - started:.2f} s]", flush=True)
    except Skip as e:
        print(f"SKIP sim_{name}: {e}", flush=True)
    except Exception as e:  # whatever went wrong is this test's failure
        text = f"{type(e).__name__}: {e}".replace("\n", "\\n")[:600]
        print(f"FAIL sim_{name}: {text}", flush=True)
        return 1
    return 0


def main(tests=None):
    """Runs the tests named on the command line, or all; returns the exit status."""
    wanted = sys.argv[1:]
    failed = sum(run_one(t) for t in tests or TESTS if not wanted or t.__name__ in wanted)
    if Rig.made:
        Rig.made.stop()
        for bug in Rig.made.journal.bugs:
            print(f"FAIL sim_internal_error: {bug}")
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
