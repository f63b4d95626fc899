"""Broken worlds: one thing wrong in each, what `eice doctor` must say of it, and what mends it.

A row: a name; `ops`, commands of the simulator's control socket that break the world; `args`,
`env`, `without` and `credential` for the program; `files` of the home directory; `rung`, where the
ladder must end (or warn, with warning=True); `cause` and `fix`, patterns for what is printed;
`mend`, what makes it good again:

    "aws"                    the printed commands, carried out as they stand
    {"ops": [...]}           what the printed sentence asks the reader to do in the world
    {"args": [...], "env": {...}, "credential": ..., "without": [...]}  or on this machine

Anyone can add one: tests/e2e_doctor.py runs all of them.
"""

import hashlib
import json

WEB, UBUNTU, DB, SIX = ("i-0123456789abcdef0", "i-0123456789abcdef1", "i-0123456789abcdef2",
                        "i-0123456789abcde18")
MAIN = "eice-0a1b2c3d4e5f60718"
OTHER_ENDPOINT = "eice-0a1b2c3d4e5f60ccc"
APP, ENDPOINT, SHUT = ("sg-0f00ba4f00ba4f00b", "sg-0e1ce0e1ce0e1ce00", "sg-0f00ba4f00ba4f00c")
VPC = "vpc-0ddd3333eee4444ff"
ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


# a login at IAM Identity Center that is over, as the AWS CLI leaves it
SSO = """[default]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Admin
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
"""
SSO_CACHE = f".aws/sso/cache/{hashlib.sha1(b'corp').hexdigest()}.json"
SSO_LOGIN = json.dumps({"startUrl": "https://corp.awsapps.com/start", "region": "eu-west-1",
                        "accessToken": "over", "expiresAt": "2026-01-01T00:00:00Z"})


def instance(name, **members):
    return "instance", {"id": name, **members}


def endpoint(**members):
    return "endpoint", {"id": MAIN, **members}


def rules(group, **members):
    return "tables", {"name": "groups", "id": group, "value": members}


def tcp(port, source, last=None):
    return {"protocol": "tcp", "from": port, "to": last or port, "source": source}


def deny(action, **condition):
    statement = {"Effect": "Deny", "Action": action, "Resource": "*"}
    if condition:
        statement["Condition"] = condition
    return "policy", {"credential": "admin", "document": {
        "Version": "2012-10-17", "Statement": [ALL, statement]}}


def acl(*entries):
    everything = [{"number": 100, "egress": egress, "action": "allow", "protocol": "-1",
                   "cidr": "0.0.0.0/0", "from": None, "to": None} for egress in (False, True)]
    return "tables", {"name": "acls", "id": "acl-0ddd3333eee4444ff",
                      "value": {"entries": [*entries, *everything]}}


def refuse(egress, low, high, cidr):
    return {"number": 50, "egress": egress, "action": "deny", "protocol": "tcp", "cidr": cidr,
            "from": low, "to": high}


def sshd(name, action="restart", **options):
    return "sshd", {"instance": name, "action": action, **options}


ALLOWED = ("policy", {"credential": "admin", "document": "allow"})
NO_FAULTS = ("clear-faults", {})


def world(name, rung, cause=".", fix=".", mend=None, target="web-1", **more):
    return {"name": name, "rung": rung, "cause": cause, "fix": fix, "mend": mend,
            "target": target, "ops": [], "files": {}, "args": [], "env": {}, "without": (),
            "credential": "admin", "warning": False, **more}


WORLDS = [
    # this machine
    world("no-credentials", "credentials", "no usable keys", "AWS_ACCESS_KEY_ID", {"without": ()},
          without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    world("no-region", "credentials", "settings", "--region", {"without": ()},
          without=("AWS_REGION", "AWS_DEFAULT_REGION")),
    world("no-such-profile", "credentials", "settings", "--profile", {"env": {}},
          env={"AWS_PROFILE": "nobody"}),
    world("half-a-key", "credentials", "keys", ".", {"without": ()},
          without=("AWS_SECRET_ACCESS_KEY",)),
    world("wrong-secret", "identity", "does not accept", "secret access key", {"env": {}},
          env={"AWS_SECRET_ACCESS_KEY": "wrong"}),
    world("unknown-key", "identity", "does not accept", "access key", {"env": {}},
          env={"AWS_ACCESS_KEY_ID": "AKIANOBODYKNOWSTHIS1"}),
    world("expired-session", "identity", "does not accept", "temporary|new",
          {"credential": "temporary"}, credential="expired"),
    world("no-session-token", "credentials", "no usable keys", "session token", {"without": ()},
          without=("AWS_SESSION_TOKEN",), credential="temporary"),
    world("sso-expired", "credentials", "keys or settings", "aws sso login", None,
          without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
          files={".aws/config": SSO, SSO_CACHE: SSO_LOGIN}),
    world("skewed-clock", "clock", ".", "timedatectl", {"ops": [("clock", {"offset": 0})]},
          ops=[("clock", {"offset": 4000})], warning=True),
    world("proxy-closed", "network", "cannot be reached", ".", {"env": {}},
          env={"HTTPS_PROXY": "http://127.0.0.1:9"}),
    world("api-closed", "network", "cannot be reached", ".", {"env": {}},
          env={"EICE_CONNECT_TO": "::127.0.0.1:9"}),
    world("unknown-authority", "network", "cannot be reached", "ca-bundle|AWS_CA_BUNDLE",
          {"env": {}}, env={"AWS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}),
    world("tls-broken", "network", "cannot be reached", ".", {"ops": [NO_FAULTS]},
          ops=[("fault", {"kind": "tls-close"})]),
    world("api-hangs", "network", "cannot be reached", ".", {"ops": [NO_FAULTS]},
          args=["--connect-timeout", "1", "--answer-timeout", "2"],
          ops=[("fault", {"kind": "tls-hang"})]),
    # the instance
    world("wrong-name", "instance", "name, the Region or the account", "eice ls", {"args": []},
          target="web-11"),
    world("two-of-a-name", "instance", "several", "instance id", None, target="twin"),
    world("may-not-see", "instance", "lacks a permission", "ec2:DescribeInstances",
          {"ops": [ALLOWED]}, ops=[deny("ec2:DescribeInstances")],
          permission="ec2:DescribeInstances"),
    world("stopped", "state", "stopped", "start-instances",
          {"ops": [instance("web-1", state="running")]}, ops=[instance("web-1", state="stopped")]),
    world("starting", "state", "starting", "wait", {"ops": [instance("web-1", state="running")]},
          ops=[instance("web-1", state="pending")]),
    world("terminated", "state", "terminated", "another", None, target="old"),
    # the endpoint
    world("may-not-see-endpoints", "endpoint", "lacks a permission",
          "ec2:DescribeInstanceConnectEndpoints", {"ops": [ALLOWED]},
          ops=[deny("ec2:DescribeInstanceConnectEndpoints")],
          permission="ec2:DescribeInstanceConnectEndpoints"),
    world("no-endpoint", "endpoint", "has no EC2 Instance Connect Endpoint", "create-inst", None,
          target="lonely"),
    world("endpoint-on-its-way", "endpoint", "being made", "eice endpoint wait",
          {"ops": [endpoint(state="create-complete")]},
          ops=[endpoint(state="create-in-progress")]),
    world("endpoint-failed", "endpoint", "no available addresses", "delete-instance-connect", None,
          target="broken"),
    world("endpoint-deleted", "endpoint", "of no use", "create-instance-connect", None,
          ops=[endpoint(state="delete-in-progress")]),
    world("endpoint-change-failed", "endpoint", "last change failed", "^",
          {"ops": [endpoint(state="create-complete")]},
          ops=[endpoint(state="update-failed", message="Internal error.")], warning=True),
    world("endpoint-of-another-vpc", "endpoint", "another VPC", "endpoint-id", {"args": []},
          args=["--endpoint-id", OTHER_ENDPOINT]),
    world("endpoint-unknown", "endpoint", "deleted", "endpoint-id", {"args": []},
          args=["--endpoint-id", "eice-0aaaaaaaaaaaaaaaa"]),
    world("six-behind-four", "family", "does not speak IPv6",
          "modify-instance-connect-endpoint .* --ip-address-type dualstack",
          {"ops": [endpoint(address_type="dualstack")]},  # bookworm's botocore has no such call
          ops=[endpoint(address_type="ipv4")], target="six"),
    # security groups, both ways
    world("out-nothing", "groups-out", "of the endpoint is closed", "egress", "aws",
          ops=[rules(ENDPOINT, egress=[])]),
    world("out-wrong-port", "groups-out", "of the endpoint is closed", "egress", "aws",
          ops=[rules(ENDPOINT, egress=[tcp(443, "0.0.0.0/0"), tcp(23, "0.0.0.0/0", 90)])]),
    world("out-elsewhere", "groups-out", "of the endpoint is closed", "egress", "aws",
          ops=[rules(ENDPOINT, egress=[tcp(22, "10.20.2.0/24"), tcp(22, SHUT)])]),
    world("in-nothing", "groups-in", "of the instance is closed", "ingress", "aws",
          ops=[rules(APP, ingress=[])]),
    world("in-wrong-port", "groups-in", "of the instance is closed", "ingress", "aws",
          ops=[rules(APP, ingress=[tcp(2222, ENDPOINT), tcp(80, "0.0.0.0/0")])]),
    world("in-from-elsewhere", "groups-in", "of the instance is closed", "ingress", "aws",
          ops=[rules(APP, ingress=[tcp(22, "10.20.2.0/24"), tcp(22, SHUT)])]),
    world("in-udp", "groups-in", "of the instance is closed", "ingress", "aws",
          ops=[rules(APP, ingress=[{**tcp(22, "0.0.0.0/0"), "protocol": "udp"}])]),
    world("client-address-preserved", "groups-in", "of the instance is closed", "ingress", "aws",
          ops=[rules(APP, ingress=[tcp(22, "10.20.0.0/16")]),
               endpoint(preserve_ip=True, address_type="ipv4")]),
    # between subnets
    world("acl-in", "acls", "network ACL", "create-network-acl-entry", {"ops": [acl()]},
          target="db 1 (primary)", args=["-l", "admin"],
          ops=[acl(refuse(False, 22, 22, "10.20.1.0/24"))]),
    world("acl-answers", "acls", "network ACL", "From=1024,To=65535", {"ops": [acl()]},
          target="db 1 (primary)", args=["-l", "admin"],
          ops=[acl(refuse(True, 1024, 65535, "10.20.1.0/24"))]),
    world("route-elsewhere", "routes", "no local route", "delete-route",
          {"ops": [("tables", {"name": "route_tables", "id": "rtb-0ddd3333eee4444ff",
                               "value": {"routes": []}})]},
          target="db 1 (primary)", args=["-l", "admin"],
          ops=[("tables", {"name": "route_tables", "id": "rtb-0ddd3333eee4444ff", "value": {
              "routes": [{"destination": "10.20.2.0/24", "target": "eni-0123456789abcdef0",
                          "state": "blackhole"}]}})]),
    # permissions of the connection
    world("may-not-push", "push-key", "lacks a permission", "SendSSHPublicKey",
          {"ops": [ALLOWED]}, ops=[deny("ec2-instance-connect:SendSSHPublicKey")],
          permission="ec2-instance-connect:SendSSHPublicKey"),
    world("another-login-only", "push-key", "condition", "SendSSHPublicKey", {"ops": [ALLOWED]},
          ops=[deny("ec2-instance-connect:SendSSHPublicKey",
                    StringNotEquals={"ec2:osuser": "ubuntu"})],
          permission="ec2-instance-connect:SendSSHPublicKey"),
    world("may-not-tunnel", "upgrade", "lacks a permission", "OpenTunnel", {"ops": [ALLOWED]},
          ops=[deny("ec2-instance-connect:OpenTunnel")],
          permission="ec2-instance-connect:OpenTunnel"),
    world("shorter-tunnels-only", "upgrade", "condition", "OpenTunnel",
          {"args": ["--max-tunnel-duration", "600"]},
          ops=[deny("ec2-instance-connect:OpenTunnel", NumericGreaterThan={
              "ec2-instance-connect:maxTunnelDuration": "600"})],
          permission="ec2-instance-connect:OpenTunnel"),
    world("other-addresses-only", "upgrade", "condition", "OpenTunnel", {"ops": [ALLOWED]},
          ops=[deny("ec2-instance-connect:OpenTunnel", IpAddress={
              "ec2-instance-connect:privateIpAddress": "10.20.1.0/24"})],
          permission="ec2-instance-connect:OpenTunnel"),
    world("endpoint-full", "quota", "20 connections", "close|wait", {"ops": [NO_FAULTS]},
          ops=[("fault", {"kind": "quota"})]),
    # the instance's own side
    world("sshd-off", "target", "nothing listens", "start sshd",
          {"ops": [instance("web-1", targets={"22": "sshd"})]},
          ops=[instance("web-1", targets={"22": "refuse"})]),
    world("own-firewall", "target", "drops the packets", "firewall",
          {"ops": [instance("web-1", targets={"22": "sshd"})]},
          ops=[instance("web-1", targets={"22": "blackhole"}),
               ("setting", {"name": "dial_timeout_ms", "value": 3000})]),
    world("not-ssh", "ssh-version", "no SSH server", ".",
          {"ops": [instance("web-1", targets={"22": "sshd"})]},
          ops=[instance("web-1", targets={"22": "garbage"})]),
    world("no-common-key-exchange", "key-exchange", ".", ".",
          {"ops": [sshd("web-1", KexAlgorithms="curve25519-sha256")]},
          ops=[sshd("web-1", KexAlgorithms="sntrup761x25519-sha512@openssh.com")]),
    world("host-key-changed", "host-key", ".", "known_hosts", None, known=True,
          ops=[sshd("web-1", "new-host-key")]),
    world("wrong-login", "key-accepted", "login ubuntu, not ec2-user", "-l ubuntu",
          {"args": ["-l", "ubuntu"]}, target=UBUNTU),
    world("no-package", "key-accepted", "without EC2 Instance Connect", "ec2-instance-connect",
          {"ops": [instance(DB, package=True)]}, target="db 1 (primary)", args=["-l", "admin"],
          ops=[instance(DB, package=False)]),
    world("key-type-refused", "key-accepted", "refuses Ed25519|Ed25519 keys", "--key-type rsa",
          {"args": ["--key-type", "rsa"]},
          ops=[sshd("web-1", PubkeyAcceptedAlgorithms="rsa-sha2-512,rsa-sha2-256")]),
]
