"""The EC2 query API: a table of actions, each a function of a Call that returns a tree.

An action names the parameters it knows; anything else is UnknownParameter. More actions are
added by writing a function with @action above it.
"""

import base64
import hashlib
import itertools
import json
import re
import time

from . import authz, xmlout
from .errors import ApiError
from .world import STATE_CODES
from .xmlout import OMIT

ACTIONS = {}
VERSION = "2016-11-15"
PAGING = ("MaxResults", "NextToken")
FILTERS = ("Filter.N.Name", "Filter.N.Value.N")
FILTER_VALUES_MAX = 200
_token_numbers = itertools.count()
INSTANCE_ID = re.compile(r"i-([0-9a-f]{8}|[0-9a-f]{17})\Z")
ENDPOINT_ID = re.compile(r"eice-[0-9a-f]{17}\Z")


def action(name, *parameters):
    def register(function):
        ACTIONS[name] = (function, frozenset(parameters) | {"Action", "Version", "DryRun"})
        return function
    return register


def generic_name(name):
    """Filter.1.Value.2 -> Filter.N.Value.N"""
    return ".".join("N" if part.isdigit() else part for part in name.split("."))


class Params:
    """The decoded form of one request."""

    def __init__(self, pairs):
        self.values = {}
        for name, value in pairs:
            if name in self.values:
                raise ApiError("InvalidParameterValue", f"The parameter {name} occurs twice")
            self.values[name] = value

    def one(self, name):
        return self.values.get(name)

    def many(self, prefix):
        """Values of prefix.1, prefix.2, … in order of their numbers."""
        pattern = re.compile(re.escape(prefix) + r"\.(\d+)\Z")
        found = [(int(m.group(1)), v) for n, v in self.values.items()
                 if (m := pattern.match(n))]
        return [v for _, v in sorted(found)]

    def _tags(self, prefix):
        """{key: value} of prefix.Tag.N.Key and .Value."""
        pattern = re.compile(prefix + r"Tag\.\d+\.Key")
        return {v: self.values.get(n[:-3] + "Value", "") for n, v in self.values.items()
                if pattern.fullmatch(n)}

    def given_tags(self):
        """The tags for what the call makes."""
        return self._tags(r"TagSpecification\.\d+\.")

    def plain_tags(self):
        """The tags of CreateTags and DeleteTags."""
        return self._tags("")

    def filters(self):
        """[(name, [values])]"""
        numbers = sorted({int(n.split(".")[1]) for n in self.values if n.startswith("Filter.")})
        out = []
        for n in numbers:
            name = self.values.get(f"Filter.{n}.Name")
            values = self.many(f"Filter.{n}.Value")
            if not name:
                raise ApiError("InvalidParameterValue", "The filter name must not be empty")
            if not values:
                raise ApiError("InvalidParameterValue",
                               f"The filter '{name}' needs at least one value")
            out.append((name, values))
        if sum(len(v) for _, v in out) > FILTER_VALUES_MAX:
            raise ApiError("FilterLimitExceeded", "The maximum number of filter values specified "
                           "on a single call is 200")
        return out


def check_names(params, known):
    for name in params.values:
        if generic_name(name) not in known:
            raise ApiError("UnknownParameter", f"The parameter {name} is not recognized")


def perform(call):
    """Runs call.action on call.params; returns the tree for xmlout."""
    if call.action not in ACTIONS:
        raise ApiError("InvalidAction", f"The action {call.action} is not valid for this web "
                       "service.")
    function, known = ACTIONS[call.action]
    if call.params.one("Version") != VERSION:
        raise ApiError("InvalidAction", f"The action {call.action} is not valid for version "
                       f"{call.params.one('Version')}.")
    check_names(call.params, known)
    authz.authorize_ec2(call)
    dry = call.params.one("DryRun")
    if dry not in (None, "true", "false"):
        raise ApiError("InvalidParameterValue", f"Value ({dry}) for parameter DryRun is invalid.")
    if dry == "true":
        raise ApiError("DryRunOperation",
                       "Request would have succeeded, but DryRun flag is set.", 412)
    with call.world.lock:
        return function(call)


def wildcard(pattern):
    """An EC2 filter value as a compiled pattern: * and ? match, a backslash escapes."""
    out, escaped = "", False
    for c in pattern:
        if escaped or c not in "*?\\":
            out, escaped = out + re.escape(c), False
        elif c == "\\":
            escaped = True
        else:
            out += ".*" if c == "*" else "."
    return re.compile(out + (r"\\" if escaped else "") + r"\Z", re.DOTALL)


def select(entries, filters, table):
    """Entries that pass all filters. `table`: filter name -> function giving texts."""
    for name, values in filters:
        if name.startswith("tag:"):
            def texts(e, key=name[4:]):
                return [v for k, v in all_tags(e).items() if k == key]
        elif name in table:
            texts = table[name]
        else:
            raise ApiError("InvalidParameterValue", f"The filter '{name}' is invalid")
        patterns = [wildcard(v) for v in values]
        entries = [e for e in entries
                   if any(p.match(t) for p in patterns for t in texts(e) if t is not None)]
    return entries


def all_tags(entry):
    tags = {"Name": entry["name"]} if entry.get("name") else {}
    return {**tags, **entry["tags"]}


def tag_set(entry):
    return [{"key": k, "value": v} for k, v in all_tags(entry).items()]


def _token(offset, digest):
    """Opaque, never the same twice, full of characters that a careless client forgets to escape."""
    body = json.dumps({"o": offset, "d": digest, "n": next(_token_numbers)}).encode()
    return base64.b64encode(b"\xfb\xff\xbf" + body).decode()


def _offset(token, digest):
    try:
        body = json.loads(base64.b64decode(token, validate=True)[3:])
        if body["d"] == digest:
            return int(body["o"])
    except (ValueError, KeyError, TypeError):
        pass
    raise ApiError("InvalidNextToken", "The token is not valid, or the other parameters differ "
                   "from the call that returned it")


def page(call, entries, low, high):
    """(entries of this page, next token or OMIT)."""
    text = call.params.one("MaxResults")
    if text is not None and (not text.isdigit() or not low <= int(text) <= high):
        raise ApiError("InvalidParameterValue", f"Value ( {text} ) for parameter maxResults is "
                       f"invalid. Expecting a value between {low} and {high}.")
    filters = {n: v for n, v in call.params.values.items() if n not in PAGING}
    digest = hashlib.sha256(json.dumps(sorted(filters.items())).encode()).hexdigest()[:12]
    token = call.params.one("NextToken")
    offset = _offset(token, digest) if token else 0
    faults = call.faults.take("page", **call.where)
    if "empty-page" in faults:
        call.note_faults(faults)
        return [], _token(offset, digest)
    size = int(text) if text else high
    rest = entries[offset + size:]
    following = _token(offset + size, digest) if rest else OMIT
    if "repeat-token" in faults and token:
        call.note_faults(faults)
        following = token
    return entries[offset:offset + size], following


def pick(entries, ids, pattern, what, noun):
    """Entries with these ids, or the error EC2 gives for a wrong one."""
    for id_ in ids:
        if not pattern.match(id_):
            raise ApiError(f"{what}.Malformed", f'Invalid id: "{id_}"')
    known = {e["id"]: e for e in entries}
    for id_ in ids:
        if id_ not in known:
            raise ApiError(f"{what}.NotFound", f"The {noun} '{id_}' does not exist")
    return [known[id_] for id_ in dict.fromkeys(ids)]


# --- DescribeInstances ----------------------------------------------------------------------

def private_name(call, entry):
    if entry["ip"] is None:
        return f"{entry['id']}.{call.world.region}.compute.internal" if entry["vpc"] else None
    return f"ip-{entry['ip'].replace('.', '-')}.{call.world.region}.compute.internal"


def public_name(call, entry):
    if entry["public_ip"] is None:
        return None
    return (f"ec2-{entry['public_ip'].replace('.', '-')}.{call.world.region}"
            ".compute.amazonaws.com")


def zone(call, entry):
    return call.world.data["subnets"].get(entry["subnet"], {}).get("zone")


def instance_filters(call):
    """Filter name -> function giving the texts of an instance that the filter looks at."""
    def field(name):
        return lambda e: [e[name]]
    return {
        "instance-id": field("id"), "image-id": field("image"), "instance-type": field("type"),
        "instance-state-name": field("state"),
        "instance-state-code": lambda e: [str(STATE_CODES[e["state"]])],
        "tag-key": lambda e: list(all_tags(e)), "tag-value": lambda e: list(all_tags(e).values()),
        "vpc-id": field("vpc"), "subnet-id": field("subnet"),
        "private-ip-address": field("ip"), "ip-address": field("public_ip"),
        "ipv6-address": field("ipv6"), "platform": field("platform"),
        "private-dns-name": lambda e: [private_name(call, e)],
        "dns-name": lambda e: [public_name(call, e)],
        "availability-zone": lambda e: [zone(call, e)],
        "key-name": lambda e: ["ops"], "owner-id": lambda e: [call.world.data["account"]],
        "reservation-id": lambda e: [reservation_of(e)],
        "instance.group-id": lambda e: e["groups"],
        "instance.group-name": lambda e: [g["groupName"] for g in group_set(call, e)],
        "network-interface.vpc-id": field("vpc"), "network-interface.subnet-id": field("subnet"),
        "network-interface.group-id": lambda e: e["groups"],
        "network-interface.private-ip-address": field("ip"),
        "network-interface.addresses.private-ip-address": field("ip"),
        "network-interface.addresses.association.public-ip": field("public_ip"),
        "network-interface.ipv6-addresses.ipv6-address": field("ipv6"),
        "network-interface.network-interface-id": lambda e: [interface_id(e)],
    }


def reservation_of(entry):
    return entry.get("reservation") or "r-" + entry["id"][2:]


def interface_id(entry):
    return "eni-" + entry["id"][2:]


def group_set(call, entry):
    groups = call.world.data["groups"]
    return [{"groupId": g, "groupName": groups[g]["name"]} for g in entry["groups"]]


def interface(call, entry):
    """One item of networkInterfaceSet."""
    address = entry["ip"]
    public = {"association": {"publicIp": entry["public_ip"],
                              "publicDnsName": public_name(call, entry),
                              "ipOwnerId": call.world.data["account"]}}
    public = public if entry["public_ip"] else {}
    return {
        "networkInterfaceId": interface_id(entry), "subnetId": entry["subnet"],
        "vpcId": entry["vpc"], "description": None, "ownerId": call.world.data["account"],
        "status": "in-use", "macAddress": "02:00:00:00:00:01",
        "privateIpAddress": address or OMIT, "sourceDestCheck": True,
        "groupSet": group_set(call, entry),
        "attachment": {"attachmentId": "eni-attach-" + entry["id"][2:], "deviceIndex": 0,
                       "status": "attached", "attachTime": entry["launched"],
                       "deleteOnTermination": True, "networkCardIndex": 0},
        **public,
        "privateIpAddressesSet": [{"privateIpAddress": address, "primary": True, **public}]
        if address else [],
        "ipv6AddressesSet": [{"ipv6Address": entry["ipv6"], "isPrimaryIpv6": False}]
        if entry["ipv6"] else [],
        "interfaceType": "interface",
    }


def instance_item(call, entry):
    """One item of instancesSet, elements in the order EC2 sends them."""
    in_vpc = entry["vpc"] is not None
    stopped = entry["state"] in ("stopped", "stopping", "terminated", "shutting-down")
    return {
        "instanceId": entry["id"], "imageId": entry["image"],
        "instanceState": {"code": STATE_CODES[entry["state"]], "name": entry["state"]},
        "privateDnsName": private_name(call, entry), "dnsName": public_name(call, entry),
        "reason": "User initiated (2026-01-12 18:00:00 GMT)" if stopped else None,
        "keyName": "ops", "amiLaunchIndex": 0, "productCodes": None,
        "instanceType": entry["type"], "launchTime": entry["launched"],
        "placement": {"availabilityZone": zone(call, entry) or call.world.region + "a",
                      "groupName": None, "tenancy": "default"},
        "platform": entry["platform"] or OMIT, "monitoring": {"state": "disabled"},
        "subnetId": entry["subnet"] or OMIT, "vpcId": entry["vpc"] or OMIT,
        "privateIpAddress": entry["ip"] or OMIT, "ipAddress": entry["public_ip"] or OMIT,
        "sourceDestCheck": True, "groupSet": group_set(call, entry),
        "stateReason": {"code": "Client.UserInitiatedShutdown",
                        "message": "Client.UserInitiatedShutdown: User initiated shutdown"}
        if stopped else OMIT,
        "architecture": "arm64", "rootDeviceType": "ebs", "rootDeviceName": "/dev/xvda",
        "blockDeviceMapping": None, "virtualizationType": "hvm", "clientToken": None,
        "tagSet": tag_set(entry), "hypervisor": "xen",
        "networkInterfaceSet": [interface(call, entry)] if in_vpc else [],
        "ebsOptimized": False, "enaSupport": True,
        "metadataOptions": {"state": "applied", "httpTokens": "required",
                            "httpPutResponseHopLimit": 2, "httpEndpoint": entry["metadata"],
                            "httpProtocolIpv6": "disabled"},
        "enclaveOptions": {"enabled": False},
        "platformDetails": call.world.data["images"].get(entry["image"], {}).get(
            "details", "Windows" if entry["platform"] else "Linux/UNIX"),
        "ipv6Address": entry["ipv6"] or OMIT,
    }


@action("DescribeInstances", "InstanceId.N", *FILTERS, *PAGING)
def describe_instances(call):
    call.world.settle()
    entries = call.world.data["instances"]
    ids = call.params.many("InstanceId")
    if ids:
        if call.params.one("MaxResults"):
            raise ApiError("InvalidParameterCombination", "The parameter instancesSet cannot be "
                           "used with the parameter maxResults")
        entries = pick(entries, ids, INSTANCE_ID, "InvalidInstanceID", "instance ID")
    entries = select(entries, call.params.filters(), instance_filters(call))
    entries, token = page(call, entries, 5, 1000)
    reservations = {}
    for entry in entries:
        reservations.setdefault(reservation_of(entry), []).append(instance_item(call, entry))
    return {"reservationSet": [{"reservationId": r, "ownerId": call.world.data["account"],
                                "groupSet": None, "instancesSet": items}
                               for r, items in reservations.items()],
            "nextToken": token}


# --- DescribeInstanceConnectEndpoints -------------------------------------------------------

ENDPOINT_FILTERS = {
    "instance-connect-endpoint-id": lambda e: [e["id"]], "state": lambda e: [e["state"]],
    "subnet-id": lambda e: [e["subnet"]], "vpc-id": lambda e: [e["vpc"]],
    "tag-key": lambda e: list(e["tags"]), "tag-value": lambda e: list(e["tags"].values()),
}


def endpoint_arn(call, entry):
    return (f"arn:aws:ec2:{call.world.region}:{call.world.data['account']}"
            f":instance-connect-endpoint/{entry['id']}")


def public_names(call, entry):
    world = call.world
    return {"ipv4": {"dnsName": world.endpoint_host(entry),
                     "fipsDnsName": world.endpoint_host(entry, True)},
            "dualstack": {"dnsName": world.dual_host(entry),
                          "fipsDnsName": world.dual_host(entry, True)}}


def endpoint_names(call, entry):
    """The DNS names; an endpoint that is still being made has none."""
    if entry["state"] == "create-in-progress":
        return {"dnsName": OMIT, "fipsDnsName": OMIT, "publicDnsNames": OMIT}
    return {"dnsName": call.world.endpoint_host(entry),
            "fipsDnsName": call.world.endpoint_host(entry, True),
            "publicDnsNames": public_names(call, entry)}


def endpoint_item(call, entry):
    """One item of instanceConnectEndpointSet."""
    subnet = call.world.data["subnets"].get(entry["subnet"], {})
    names = endpoint_names(call, entry)
    return {
        "ownerId": call.world.data["account"], "instanceConnectEndpointId": entry["id"],
        "instanceConnectEndpointArn": endpoint_arn(call, entry),
        "state": entry["state"], "stateMessage": entry["message"],
        "dnsName": names["dnsName"], "fipsDnsName": names["fipsDnsName"],
        "networkInterfaceIdSet": ["eni-" + entry["id"][5:]], "vpcId": entry["vpc"],
        "availabilityZone": subnet.get("zone", call.world.region + "a"),
        "availabilityZoneId": subnet.get("zone_id", "euw1-az2"),
        "createdAt": entry["created"], "subnetId": entry["subnet"],
        "preserveClientIp": entry["preserve_ip"], "securityGroupIdSet": entry["groups"],
        "tagSet": tag_set(entry), "ipAddressType": entry["address_type"],
        "publicDnsNames": names["publicDnsNames"],
    }


@action("DescribeInstanceConnectEndpoints", "InstanceConnectEndpointId.N", *FILTERS, *PAGING)
def describe_endpoints(call):
    call.world.settle()
    now = time.monotonic()
    entries = [e for e in call.world.data["endpoints"] if e["shown"] <= now]
    ids = call.params.many("InstanceConnectEndpointId")
    if ids:
        entries = pick(entries, ids, ENDPOINT_ID, "InvalidInstanceConnectEndpointId",
                       "instance connect endpoint ID")
    entries = select(entries, call.params.filters(), ENDPOINT_FILTERS)
    entries, token = page(call, entries, 1, 50)
    return {"instanceConnectEndpointSet": [endpoint_item(call, e) for e in entries],
            "nextToken": token}


# --- the protocol ---------------------------------------------------------------------------

AUTH_ERRORS = {
    "missing": ("MissingAuthenticationToken", 403), "incomplete": ("IncompleteSignature", 400),
    "unknown_key": ("AuthFailure", 401), "bad_token": ("AuthFailure", 401),
    "expired_token": ("RequestExpired", 400), "bad_signature": ("SignatureDoesNotMatch", 403),
    "bad_scope": ("SignatureDoesNotMatch", 403),
    "unsigned_header": ("SignatureDoesNotMatch", 403), "expired": ("RequestExpired", 400),
    "future": ("RequestExpired", 400), "replay": ("RequestExpired", 400),
}
AUTH_TEXTS = {
    "unknown_key": "AWS was not able to validate the provided access credentials",
    "bad_token": "AWS was not able to validate the provided access credentials",
    "expired_token": "Request has expired.", "expired": "Request has expired.",
    "future": "Request has expired.",
}
DENIED = ("UnauthorizedOperation", 403, "You are not authorized to perform this operation. {text}. "
          "Encoded authorization failure message: {blob}")
CONTENT_TYPE = "text/xml;charset=UTF-8"


def render(action_, request_id, tree):
    return xmlout.ec2_response(action_, request_id, tree)


def render_error(error, request_id):
    return xmlout.ec2_error(error.code, error.message, request_id)
