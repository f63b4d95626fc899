"""The account the simulator serves: credentials, networks, instances, endpoints.

All of it is data. A JSON file given with --world replaces the top-level members it names. The
keys of an instance: id, name, state, vpc, subnet, ip, ipv6, public_ip, groups, users, targets,
tags, type, image, platform, reservation, launched, package (are the Instance Connect scripts
there?), metadata, console, serial. `targets` maps a port to what answers there: "sshd" (the real
one, if running), "HOST:PORT", or a behaviour of targets.py such as "echo" or "refuse". What a
world file leaves out of an instance or endpoint is as in instance() and endpoint() below.
"""

import copy
import json
import secrets
import threading
import time

from . import roles

REGION = "eu-west-1"
ACCOUNT = "123456789012"
MAIN_VPC = "vpc-0ddd3333eee4444ff"
MAIN_SUBNET = "subnet-0aaa1111bbb2222cc"
OTHER_SUBNET = "subnet-0aaa1111bbb2222dd"
APP_GROUP = "sg-0f00ba4f00ba4f00b"
SHUT_GROUP = "sg-0f00ba4f00ba4f00c"
ENDPOINT_GROUP = "sg-0e1ce0e1ce0e1ce00"
DEFAULT_GROUP = "sg-0def00000000000dd"
LONELY_VPC = "vpc-0ddd3333eee4444aa"
LONELY_GROUP = "sg-0f00ba4f00ba4f0aa"
LONELY_DEFAULT = "sg-0def00000000000aa"
EVERYWHERE = [{"protocol": "-1", "source": "0.0.0.0/0"}, {"protocol": "-1", "source": "::/0"}]
MAIN_ENDPOINT = "eice-0a1b2c3d4e5f60718"
USABLE = ("create-complete", "update-in-progress", "update-complete", "update-failed")
STATE_CODES = {"pending": 0, "running": 16, "shutting-down": 32, "terminated": 48,
               "stopping": 64, "stopped": 80}

SETTINGS = {
    # an endpoint's states; None means endpoint_change_ms
    "endpoint_change_ms": 500,
    "endpoint_create_ms": None,
    "endpoint_update_ms": None,
    "endpoint_delete_ms": None,
    "endpoint_gone_ms": 500,
    "endpoint_hidden_ms": 0,
    "instance_start_ms": 500,
    "endpoints_per_region": 5,
    "rules_per_group": 60,
    "console_delay_ms": 0,
    "serial_rest_ms": 30000,
    "serial_session_s": 3600,
    "key_seconds": 60,
    "key_delay_ms": 0,
    "replay_grace_ms": 2000,
    "quota": 20,
    "quota_status": 429,
    "quota_code": "TooManyRequestsException",
    "quota_message": "The maximum number of concurrent connections for this endpoint is reached.",
    "dial_timeout_ms": 5000,
    "close_unreachable": [1011, "Unable to connect to target"],
    "close_lost": [1011, "Connection to target lost"],
    "close_duration": [1001, "Maximum tunnel duration reached"],
    "close_normal": [1000, ""],
    "client_ip": "203.0.113.77",
    "api_window_s": 300,
    "ec2_window_s": 900,
    "sts_seconds": 0,  # not 0: how long the keys of STS live, whatever was asked for
}

# How long AWS takes, about.
REAL_DELAYS = {"endpoint_create_ms": 60000, "endpoint_update_ms": 30000,
               "endpoint_delete_ms": 120000, "endpoint_gone_ms": 10000,
               "console_delay_ms": 120000, "endpoint_hidden_ms": 2000,
               "instance_start_ms": 15000}

VPCS = {
    MAIN_VPC: {"cidr": "10.20.0.0/16", "ipv6_cidr": "2001:db8:12:3400::/56"},
    "vpc-0ddd3333eee4444aa": {"cidr": "10.30.0.0/16"},
    "vpc-0ddd3333eee4444bb": {"cidr": "10.40.0.0/16"},
    "vpc-0ddd3333eee4444cc": {"cidr": "10.50.0.0/16"},
}

SUBNETS = {
    MAIN_SUBNET: {"vpc": MAIN_VPC, "cidr": "10.20.1.0/24", "zone": "eu-west-1a",
                  "zone_id": "euw1-az2", "ipv6_cidr": "2001:db8:12:3400::/64"},
    OTHER_SUBNET: {"vpc": MAIN_VPC, "cidr": "10.20.2.0/24", "zone": "eu-west-1b",
                   "zone_id": "euw1-az3", "ipv6_cidr": "2001:db8:12:3401::/64"},
    "subnet-0aaa1111bbb2222aa": {"vpc": "vpc-0ddd3333eee4444aa", "cidr": "10.30.1.0/24",
                                 "zone": "eu-west-1a", "zone_id": "euw1-az2"},
    "subnet-0aaa1111bbb2222bb": {"vpc": "vpc-0ddd3333eee4444bb", "cidr": "10.40.1.0/24",
                                 "zone": "eu-west-1a", "zone_id": "euw1-az2"},
    "subnet-0aaa1111bbb22220c": {"vpc": "vpc-0ddd3333eee4444cc", "cidr": "10.50.1.0/24",
                                 "zone": "eu-west-1a", "zone_id": "euw1-az2"},
}


def group(name, vpc, ingress=(), egress=None):
    """A rule: protocol, from, to (none for protocol -1), source (a CIDR or a group id)."""
    return {"name": name, "vpc": vpc, "ingress": list(ingress),
            "egress": copy.deepcopy(EVERYWHERE if egress is None else egress), "tags": {}}


def tcp(port, source):
    return {"protocol": "tcp", "from": port, "to": port, "source": source}


def default_groups():
    """The default groups admit their own members only, as AWS makes them."""
    return {
        APP_GROUP: group("app", MAIN_VPC,
                         [tcp(22, ENDPOINT_GROUP), tcp(3389, "10.20.0.0/16")]),
        SHUT_GROUP: group("shut", MAIN_VPC),
        ENDPOINT_GROUP: group("endpoint", MAIN_VPC),
        DEFAULT_GROUP: group("default", MAIN_VPC, [{"protocol": "-1", "source": DEFAULT_GROUP}]),
        LONELY_GROUP: group("lonely", LONELY_VPC),
        LONELY_DEFAULT: group("default", LONELY_VPC,
                              [{"protocol": "-1", "source": LONELY_DEFAULT}]),
    }


def default_acls():
    """The default ACL of each VPC lets everything pass."""
    entries = [{"number": 100, "egress": egress, "action": "allow", "protocol": "-1",
                "cidr": cidr, "from": None, "to": None}
               for egress in (False, True) for cidr in ("0.0.0.0/0", "::/0")]
    return {"acl-" + vpc[4:]: {"vpc": vpc, "default": True, "subnets": [], "tags": {},
                               "entries": copy.deepcopy(entries)} for vpc in VPCS}


def default_route_tables():
    """The main table of each VPC, with nothing but the local routes that every table has."""
    return {"rtb-" + vpc[4:]: {"vpc": vpc, "main": True, "subnets": [], "routes": [], "tags": {}}
            for vpc in VPCS}


def image(name, owner, alias=None, **extra):
    return {"name": name, "owner": owner, "alias": alias, "platform": None,
            "details": "Linux/UNIX", **extra}


IMAGES = {
    "ami-0aa11bb22cc33dd44": image("al2023-ami-2023.3.20240108.0-kernel-6.1-arm64",
                                   "137112412989", "amazon"),
    "ami-0ab11bb22cc33dd44": image("ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-arm64-server-"
                                   "20240101", "099720109477"),
    "ami-0ac11bb22cc33dd44": image("debian-12-arm64-20240102-1614", "136693071363"),
    "ami-0ad11bb22cc33dd44": image("Windows_Server-2022-English-Full-Base-2024.01.16",
                                   "801119661308", "amazon", platform="windows",
                                   details="Windows"),
    "ami-0ae11bb22cc33dd44": image("RHEL-9.3.0_HVM-20231101-arm64-5-Hourly2-GP2",
                                   "309956199498", details="Red Hat Enterprise Linux"),
}


def instance(number, name, **extra):
    """A running instance in the main subnet unless `extra` says otherwise."""
    entry = {"id": f"i-0123456789abcde{number:02x}", "name": name, "state": "running",
             "vpc": MAIN_VPC, "subnet": MAIN_SUBNET, "ip": f"10.20.1.{number}", "ipv6": None,
             "public_ip": None, "groups": [APP_GROUP], "users": ["ec2-user"],
             "targets": {"22": "refuse", "3389": "refuse"}, "tags": {}, "type": "t4g.small",
             "image": "ami-0aa11bb22cc33dd44", "platform": None, "console": None,
             "reservation": None, "launched": "2026-01-10T08:00:11.000Z", "boots": [],
             "package": True, "metadata": "enabled", "serial": {}, "due": None, "next": None}
    entry.update(extra)
    return entry


def new_instance_id():
    return "i-" + secrets.token_hex(9)[:17]


def box(number, name, target):
    return instance(number, name, targets={"22": target, "3389": target})


def default_instances():
    sshd = {"22": "sshd", "3389": "refuse"}
    return [
        instance(0xf0, "web-1", ip="10.20.1.23", targets=sshd, ipv6="2001:db8:12:3400::5a",
                 tags={"Env": "prod", "Role": "web"}, public_ip="203.0.113.10"),
        instance(0xf1, "app & web-2", ip="10.20.1.24", targets=sshd, users=["ubuntu"],
                 tags={"Env": "prod", "Role": "app <blue>"}, image="ami-0ab11bb22cc33dd44"),
        instance(0xf2, "db 1 (primary)", ip="10.20.2.25", subnet=OTHER_SUBNET, targets=sshd,
                 users=["admin"], tags={"Env": "test", "Star": "a*b"},
                 image="ami-0ac11bb22cc33dd44"),
        instance(0x10, "batch", state="stopped"),
        instance(0x11, "old", state="terminated", vpc=None, subnet=None, ip=None, groups=[]),
        instance(0x12, "fresh", state="pending"),
        instance(0x13, "twin", reservation="r-0c1d2e3f4a5b6c7d8"),
        instance(0x14, "twin", reservation="r-0c1d2e3f4a5b6c7d8"),
        instance(0x15, "lonely", vpc=LONELY_VPC, ip="10.30.1.21", targets=sshd,
                 subnet="subnet-0aaa1111bbb2222aa", groups=[LONELY_GROUP]),
        instance(0x16, "early", vpc="vpc-0ddd3333eee4444bb", ip="10.40.1.22",
                 subnet="subnet-0aaa1111bbb2222bb", groups=[]),
        instance(0x17, "broken", vpc="vpc-0ddd3333eee4444cc", ip="10.50.1.23",
                 subnet="subnet-0aaa1111bbb22220c", groups=[]),
        instance(0x18, "six", ip=None, ipv6="2001:db8:12:3400::18", targets=sshd),
        instance(0x19, "windows-1", platform="windows", users=["Administrator"],
                 image="ami-0ad11bb22cc33dd44",
                 targets={"22": "refuse", "3389": "echo"}),
        instance(0x1a, "fenced", groups=[SHUT_GROUP], targets={"22": "echo"}),
        box(0x20, "refuse-box", "refuse"), box(0x21, "blackhole-box", "blackhole"),
        box(0x22, "silent-box", "silent"), box(0x23, "garbage-box", "garbage"),
        box(0x24, "echo-box", "echo"), box(0x25, "source-box", "source:67108864"),
        box(0x26, "sink-box", "sink"), box(0x27, "closing-box", "close"),
        box(0x28, "banned-box", "say:Not allowed at this time\r\n"),
        box(0x29, "reset-box", "reset:5"),
    ]


def endpoint(id_, vpc, subnet, state="create-complete", **extra):
    entry = {"id": id_, "vpc": vpc, "subnet": subnet, "state": state, "message": None,
             "groups": [], "tags": {}, "preserve_ip": False, "address_type": "dualstack",
             "due": None, "next": None, "shown": 0.0,
             "created": "2026-01-09T15:43:53.000Z"}
    entry.update(extra)
    return entry


def default_endpoints():
    return [
        endpoint(MAIN_ENDPOINT, MAIN_VPC, MAIN_SUBNET, groups=[ENDPOINT_GROUP],
                 tags={"Name": "main"}),
        endpoint("eice-0a1b2c3d4e5f60bbb", "vpc-0ddd3333eee4444bb", "subnet-0aaa1111bbb2222bb",
                 "create-in-progress"),
        endpoint("eice-0a1b2c3d4e5f60ccc", "vpc-0ddd3333eee4444cc", "subnet-0aaa1111bbb22220c",
                 "create-failed", message="There are no available addresses in the subnet."),
    ]


def policy(*statements):
    return {"Version": "2012-10-17", "Statement": list(statements)}


def allow(action, **condition):
    statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
    if condition:
        statement["Condition"] = condition
    return statement


def credential(name, key, arn, user_id, policy_, token=False, expires_in=None):
    expires = None if expires_in is None else time.time() + expires_in
    return {"name": name, "access_key": key, "secret": secrets.token_urlsafe(30),
            "token": secrets.token_urlsafe(9) + "/+" + "A" * 700 + "==" if token else None,
            "expires": expires, "arn": arn, "user_id": user_id, "policy": policy_, "guards": {}}


def default_credentials():
    user = f"arn:aws:iam::{ACCOUNT}:user/"
    role = f"arn:aws:sts::{ACCOUNT}:assumed-role/Jump/alice"
    everything = policy(allow("*"))
    limited = policy(
        allow(["ec2:Describe*", "sts:*"]),
        allow("ec2-instance-connect:SendSSHPublicKey",
              StringEquals={"ec2:osuser": "ec2-user"}),
        allow("ec2-instance-connect:OpenTunnel",
              NumericEquals={"ec2-instance-connect:remotePort": "22"},
              IpAddress={"ec2-instance-connect:privateIpAddress": "10.20.0.0/16"},
              NumericLessThanEquals={"ec2-instance-connect:maxTunnelDuration": "600"}))
    return [
        credential("admin", "AKIASIMULATED0000001", user + "admin", "AIDASIMULATEDADMIN01",
                   everything),
        credential("temporary", "ASIASIMULATED0000002", role, "AROASIMULATEDROLE001:alice",
                   everything, token=True, expires_in=3600),
        credential("expired", "ASIASIMULATED0000003", role, "AROASIMULATEDROLE001:alice",
                   everything, token=True, expires_in=-60),
        credential("denied", "AKIASIMULATED0000004", user + "denied", "AIDASIMULATEDDENIED1",
                   policy()),
        credential("limited", "AKIASIMULATED0000005", user + "limited", "AIDASIMULATEDLIMIT01",
                   limited),
    ]


def default_world():
    return {"region": REGION, "account": ACCOUNT, "label": "0badcafe", "settings": dict(SETTINGS),
            "vpcs": copy.deepcopy(VPCS), "subnets": copy.deepcopy(SUBNETS),
            "groups": default_groups(), "instances": default_instances(),
            "endpoints": default_endpoints(), "credentials": default_credentials(),
            "service_linked_role": True, "acls": default_acls(),
            "route_tables": default_route_tables(), "peerings": {},
            "prefix_lists": {"pl-0123456789abcdef0": {
                "name": "office", "entries": ["10.20.0.0/16"], "tags": {}}},
            "images": copy.deepcopy(IMAGES), "serial_console": False,
            "serial_managed_by": "account",
            "roles": roles.default_roles(), "mfa": roles.default_mfa()}


# The same letters and digits as in the main Region would be another thing's id.
OTHER_IDS = (("0ddd3333", "0dda3333"), ("0aaa1111", "0aab1111"), ("sg-0", "sg-1"))


def other_region(region):
    """What is in a Region that is not the main one: its networks, three instances, an endpoint."""
    data = default_world()
    parts = {k: data[k] for k in ("vpcs", "subnets", "groups", "acls", "route_tables", "images",
                                  "prefix_lists")}
    text = json.dumps({**parts, "main": [MAIN_VPC, MAIN_SUBNET, APP_GROUP, ENDPOINT_GROUP]})
    for old, new in (*OTHER_IDS, (REGION, region), ("euw1-", "x-")):
        text = text.replace(old, new)
    made = json.loads(text)
    vpc, subnet, app, end = made.pop("main")
    place = {"vpc": vpc, "subnet": subnet, "groups": [app]}
    return {**made, "region": region, "peerings": {}, "serial_console": False,
            "serial_managed_by": "account",
            "endpoints": [endpoint("eice-0b1b2c3d4e5f60718", vpc, subnet, groups=[end],
                                   tags={"Name": "far"})],
            "instances": [instance(1, "far-1", id="i-0b23456789abcdef1", targets={"22": "echo"},
                                   **place),
                          instance(2, "far-2", id="i-0b23456789abcdef2", **place),
                          instance(3, "far-3", id="i-0b23456789abcdef3", state="stopped",
                                   **place)]}


def filler_instances(count):
    return [instance(0, f"filler-{n:04d}", id=f"i-0f111e4{n:010x}",
                     ip=f"10.20.{100 + n // 250}.{n % 250 + 1}") for n in range(count)]


def filler_endpoints(count):
    return [endpoint(f"eice-0f111e4{n:010x}", f"vpc-0f111e4{n:010x}", f"subnet-0f111e4{n:010x}")
            for n in range(count)]


class World:
    """The data plus the keys that were pushed. Callers hold `lock` while they change data."""

    def __init__(self, path=None, fillers=0, endpoint_fillers=0):
        self.data = default_world()
        if path:
            with open(path, encoding="utf-8") as f:
                given = json.load(f)
            self.data["settings"].update(given.pop("settings", {}))
            self.data.update(given)
            self.data["instances"] = [{**instance(0, None), **i}
                                      for i in self.data["instances"]]
            self.data["endpoints"] = [{**endpoint(None, None, None), **e}
                                      for e in self.data["endpoints"]]
            self.data["credentials"] = [{"guards": {}, **c} for c in self.data["credentials"]]
        self.data["instances"] += filler_instances(fillers)
        self.data["endpoints"] += filler_endpoints(endpoint_fillers)
        self.settings["endpoints_per_region"] += endpoint_fillers
        self.lock = threading.RLock()
        self.secret = secrets.token_bytes(32)
        self.others = {}
        self.offset = 0.0
        self.keys = []
        self.launches = {}
        self.credentials = {c["access_key"]: c for c in self.data["credentials"]}
        self.fresh_expiries()

    def fresh_expiries(self):
        """Turns `expires_in` of a world file into a time."""
        for entry in self.credentials.values():
            if "expires_in" in entry:
                entry["expires"] = time.time() + entry.pop("expires_in")

    def clock(self):
        """The server's idea of the time, seconds since 1970."""
        return time.time() + self.offset

    @property
    def region(self):
        return self.data["region"]

    @property
    def settings(self):
        return self.data["settings"]

    def settle(self):
        """Lets endpoints and instances finish what they are about, once their time has come."""
        now = time.monotonic()
        for entry in self.data["instances"]:
            if entry["due"] is not None and now >= entry["due"]:
                entry.update(state=entry["next"], due=None, next=None)
        for entry in list(self.data["endpoints"]):
            if entry["due"] is None or now < entry["due"]:
                continue
            entry["due"] = None
            if entry["state"] == "delete-complete":
                self.data["endpoints"].remove(entry)
                continue
            self._finish(entry)
            if entry["state"] == "delete-complete":
                entry["due"] = now + self.settings["endpoint_gone_ms"] / 1000

    def _finish(self, entry):
        """From -in-progress to -complete, or to -failed with the words that were laid down."""
        following = entry["next"] or {}
        failed = "message" in following
        entry["state"] = entry["state"].replace("in-progress", "failed" if failed else "complete")
        entry["message"] = None
        entry.update(following)
        entry["next"] = None

    def begin(self, entry, state, following=None, failure=None):
        """Puts an endpoint into an -in-progress state that settle() will end: with the members
        in `following` changed, or failed with `failure` as its message."""
        ms = self.settings[f"endpoint_{state.split('-')[0]}_ms"]
        ms = self.settings["endpoint_change_ms"] if ms is None else ms
        entry["state"] = state
        entry["next"] = following if failure is None else {"message": failure}
        entry["due"] = time.monotonic() + ms / 1000

    def begin_instance(self, entry, state, following):
        """Puts an instance into a state that settle() will end with the one that follows."""
        entry.update(state=state, next=following,
                     due=time.monotonic() + self.settings["instance_start_ms"] / 1000)

    def instance(self, id_or_name):
        """By id or Name; None when there is none."""
        for entry in self.data["instances"]:
            if id_or_name in (entry["id"], entry["name"]):
                return entry
        return None

    def endpoint(self, id_):
        self.settle()
        return next((e for e in self.data["endpoints"] if e["id"] == id_), None)

    def snapshot(self):
        """A copy of all that tests change, for restore()."""
        return copy.deepcopy({k: v for k, v in self.data.items() if k != "credentials"}), {
            c["access_key"]: copy.deepcopy(c["policy"]) for c in self.data["credentials"]}

    def restore(self, snapshot):
        """The world as it was; the keys pushed since are forgotten."""
        data, policies = copy.deepcopy(snapshot)
        for other in self.others.values():
            other.data.update(other_region(other.region))
        with self.lock:
            self.data.update(data)
            for entry in self.data["credentials"]:
                entry["policy"] = policies.get(entry["access_key"], entry["policy"])
                entry["guards"].clear()
            self.keys.clear()
            self.launches.clear()

    def credential(self, name):
        return next((c for c in self.data["credentials"] if name in (c["name"], c["access_key"])),
                    None)

    def assume(self, role, session, seconds):
        """New temporary keys of a role's session."""
        number = len(self.data["credentials"])
        entry = credential(f"{role}-{number}", f"ASIASIMULATED{number:07d}",
                           f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}",
                           f"AROASIMULATEDROLE002:{session}", policy(allow("*")), token=True,
                           expires_in=seconds)
        self.data["credentials"].append(entry)
        self.credentials[entry["access_key"]] = entry
        return entry

    def tags_of(self, id_):
        """The tags of a resource, to be read or changed; None when there is no such thing."""
        for table in ("vpcs", "subnets", "groups", "acls", "route_tables", "prefix_lists"):
            if id_ in self.data[table]:
                return self.data[table][id_].setdefault("tags", {})
        entry = next((i for i in self.data["instances"] + self.data["endpoints"]
                      if i["id"] == id_), None)
        return entry["tags"] if entry else None

    def endpoint_host(self, entry, fips=False):
        middle = "fips." if fips else ""
        return (f"{entry['id']}.{self.data['label']}.{middle}ec2-instance-connect-endpoint."
                f"{self.region}.amazonaws.com")

    def dual_host(self, entry, fips=False):
        middle = "fips." if fips else ""
        return (f"{entry['id']}.{self.data['label']}.{middle}ec2-instance-connect-endpoint."
                f"{self.region}.api.aws")

    def endpoint_hosts(self, entry):
        return [self.endpoint_host(entry), self.endpoint_host(entry, True),
                self.dual_host(entry), self.dual_host(entry, True)]

    def names(self):
        """DNS names for the certificate."""
        out = ["localhost", "sts.amazonaws.com"]
        for other in self.others.values():
            out += other.names()[2:]
        for suffix in ("amazonaws.com", "api.aws"):
            for service in ("ec2", "ec2-instance-connect", "sts", "portal.sso", "oidc"):
                out += [f"{service}.{self.region}.{suffix}",
                        f"{service}-fips.{self.region}.{suffix}"]
            for middle in ("", "fips."):
                out.append(f"*.{self.data['label']}.{middle}ec2-instance-connect-endpoint."
                           f"{self.region}.{suffix}")
        return out

    def push_key(self, instance_id, user, key):
        with self.lock:
            self._forget_old_keys()
            self.keys.append({"instance": instance_id, "user": user, "key": key,
                              "until": time.monotonic() + self.settings["key_seconds"]})

    def accepts_keys(self, instance_id):
        """Do pushed keys reach its sshd: are the scripts there, and the metadata service?"""
        entry = self.instance(instance_id)
        return entry is not None and entry["package"] and entry["metadata"] == "enabled"

    def active_keys(self, instance_id=None, user=None):
        """The keys still valid, of one instance and user or of all."""
        with self.lock:
            self._forget_old_keys()
            return [dict(k) for k in self.keys
                    if instance_id in (None, k["instance"]) and user in (None, k["user"])]

    def _forget_old_keys(self):
        now = time.monotonic()
        self.keys = [k for k in self.keys if k["until"] > now]


class Region(World):
    """Another Region of the same account, with the same keys, clock and settings."""

    def __init__(self, main, name):
        self.main = main
        super().__init__()
        self.data.update(other_region(name), credentials=main.data["credentials"],
                         account=main.data["account"])
        self.credentials, self.secret, self.lock = main.credentials, main.secret, main.lock

    def clock(self):
        return self.main.clock()

    @property
    def settings(self):
        return self.main.settings
