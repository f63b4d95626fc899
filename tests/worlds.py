"""Broken worlds: one thing wrong in each, what `eice doctor` must say of it, and what mends it.

A row: a name; `ops`, commands of the simulator's control socket that break the world; `args`,
`env`, `without` and `credential` for the program; `files` of the home directory; `login`,
True: one at IAM Identity Center comes before; `known`, what stands before the host key in
known_hosts (None: it is not there); `proxy`, the Authorization that a proxy wants, whose port is
{} in `env`; `rung`, where the ladder must end (or warn, with warning=True), and `unsure`, rungs
that cannot be judged; `cause` and `fix`, patterns for what is printed; `mend`, what makes it good
again (None only where nothing has to be mended):

    {"run": True}            the printed commands, carried out as they stand; `meanwhile`: what AWS
                             does while they wait
    {"choose": [NAME, ...]}  the printed command lists instances: those of these names
    {"grant": True}          the permission is given, or the deny removed, that the sentence names
    {"ops": [...]}           what the sentence asks the reader to do where no command of AWS or
                             ours reaches; \\1 is what the pattern of the fix found
    {"args": [...], "env": {...}, "credential": ..., "without": [...], "files": {...}}
                             or on this machine

Anyone can add one: tests/e2e_doctor.py runs all of them.
"""

import hashlib
import json

WEB, UBUNTU, DB, SIX = ("i-0123456789abcdef0", "i-0123456789abcdef1", "i-0123456789abcdef2",
                        "i-0123456789abcde18")
MAIN = "eice-0a1b2c3d4e5f60718"
OTHER_ENDPOINT = "eice-0a1b2c3d4e5f60ccc"
APP, ENDPOINT, SHUT, DEFAULT = ("sg-0f00ba4f00ba4f00b", "sg-0e1ce0e1ce0e1ce00",
                                "sg-0f00ba4f00ba4f00c", "sg-0def00000000000dd")
OTHER_SUBNET = "subnet-0aaa1111bbb2222dd"
LONELY = {"vpc": "vpc-0ddd3333eee4444aa", "subnet": "subnet-0aaa1111bbb2222aa"}

# a login at IAM Identity Center that is over, as the AWS CLI leaves it
SSO = """[default]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Developer
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = eu-west-1
"""
SSO_CACHE = f".aws/sso/cache/{hashlib.sha1(b'corp').hexdigest()}.json"
SSO_LOGIN = json.dumps({"startUrl": "https://corp.awsapps.com/start", "region": "eu-west-1",
                        "accessToken": "over", "expiresAt": "2026-01-01T00:00:00Z"})


def instance(id_, **members):
    return "instance", {"id": id_, **members}


def endpoint(**members):
    return "endpoint", {"id": MAIN, **members}


def rules(group, **members):
    return "tables", {"name": "groups", "id": group, "value": members}


def tcp(port, source, last=None):
    return {"protocol": "tcp", "from": port, "to": last or port, "source": source}


def allow(action, resource="*", **condition):
    statement = {"Effect": "Allow", "Action": action, "Resource": resource}
    return {"Version": "2012-10-17",
            "Statement": [{**statement, **({"Condition": condition} if condition else {})}]}


def deny(action):
    return {"Version": "2012-10-17",
            "Statement": [{"Effect": "Deny", "Action": action, "Resource": "*"}]}


def lacks(action, **condition):
    """Everything is allowed but this; or this, too, under a condition."""
    rest = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "NotAction": action, "Resource": "*"}]}
    return "policy", {"credential": "admin", "document": [
        rest, *([allow(action, **condition)] if condition else [])]}


def acl(*entries):
    everything = [{"number": number, "egress": egress, "action": "allow", "protocol": "-1",
                   "cidr": cidr, "from": None, "to": None} for egress in (False, True)
                  for number, cidr in ((100, "0.0.0.0/0"), (101, "::/0"))]
    return "tables", {"name": "acls", "id": "acl-0ddd3333eee4444ff",
                      "value": {"entries": [*entries, *everything]}}


def refuse(egress, low, high, cidr, number=50):
    return {"number": number, "egress": egress, "action": "deny", "protocol": "tcp", "cidr": cidr,
            "from": low, "to": high}


def sshd(name, action="restart", **options):
    return "sshd", {"instance": name, "action": action, **options}


OTHER_KEYS = """-----BEGIN SSH HOST KEY KEYS-----
ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER root@ip
-----END SSH HOST KEY KEYS-----
"""
NO_FAULTS = ("clear-faults", {})
SLOW = ("setting", {"name": "dial_timeout_ms", "value": 2700})  # as packets that are dropped
OFFICE = ("tables", {"name": "prefix_lists", "id": "pl-0123456789abcdef0",
                     "value": {"entries": ["192.0.2.0/24"]}})


def world(name, rung, cause=".", fix=".", mend=None, target="web-1", **more):
    return {"name": name, "rung": rung, "cause": cause, "fix": fix, "mend": mend,
            "target": target, "ops": [], "files": {}, "args": [], "env": {}, "without": (),
            "credential": "admin", "warning": False, "unsure": (), "known": None,
            "proxy": None, "meanwhile": [], "permission": None, "login": False,
            **more}


RUN, GRANT = {"run": True}, {"grant": True}
TWO_SUBNETS = {"target": "db 1 (primary)", "args": ["-l", "admin"]}


WORLDS = [
    # this machine
    world("no-credentials", "credentials", "no usable keys", "AWS_ACCESS_KEY_ID and AWS_SECRET",
          {"without": ()}, without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")),
    world("no-region", "credentials", "settings", "pass --region, or set AWS_REGION",
          {"args": ["--region", "eu-west-1"]}, without=("AWS_REGION", "AWS_DEFAULT_REGION")),
    world("no-such-profile", "credentials", "settings", "check AWS_PROFILE and --profile",
          {"env": {}}, env={"AWS_PROFILE": "nobody"}),
    world("half-a-key", "credentials", "keys", "AWS_SECRET_ACCESS_KEY", {"without": ()},
          without=("AWS_SECRET_ACCESS_KEY",)),
    world("wrong-secret", "identity", "does not accept", "check the secret access key",
          {"env": {}}, env={"AWS_SECRET_ACCESS_KEY": "wrong"}),
    world("unknown-key", "identity", "does not accept", "check the access key id", {"env": {}},
          env={"AWS_ACCESS_KEY_ID": "AKIANOBODYKNOWSTHIS1"}),
    world("expired-session", "identity", "does not accept", "get new temporary credentials",
          {"credential": "temporary"}, credential="expired"),
    world("no-session-token", "credentials", "no usable keys", "set all three: .*AWS_SESSION_TOKEN",
          {"without": ()}, without=("AWS_SESSION_TOKEN",), credential="temporary"),
    world("sso-expired", "credentials", "keys or settings", "log in.*: aws sso login --sso-session",
          RUN, without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
          files={".aws/config": SSO, SSO_CACHE: SSO_LOGIN}),
    world("sso-never", "credentials", "keys or settings", "log in.*: aws sso login --sso-session",
          RUN, without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
          files={".aws/config": SSO}),
    world("sso-role-not-assigned", "credentials", "keys or settings",
          "check sso_account_id and sso_role_name, and that this role",
          {"files": {".aws/config": SSO}}, login=True,
          without=("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
          files={".aws/config": SSO.replace("Developer", "Admin")}),
    world("skewed-clock", "clock", "4000 s behind", "timedatectl set-ntp true",
          {"ops": [("clock", {"offset": 0})]}, ops=[("clock", {"offset": 4000})], warning=True),
    world("proxy-closed", "network", "cannot be reached", "check the address and port",
          {"env": {}}, env={"HTTPS_PROXY": "http://127.0.0.1:9"}),
    world("proxy-wants-password", "network", "cannot be reached", "user:password|user and password",
          {"env": {"HTTPS_PROXY": "http://user:secret@127.0.0.1:{}"}},
          env={"HTTPS_PROXY": "http://127.0.0.1:{}"}, proxy="Basic dXNlcjpzZWNyZXQ="),
    world("api-closed", "network", "cannot be reached", "check the address and port", {"env": {}},
          env={"EICE_CONNECT_TO": "::127.0.0.1:9"}),
    world("unknown-authority", "network", "cannot be reached", "ca-bundle or AWS_CA_BUNDLE",
          {"env": {}}, env={"AWS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt"}),
    world("tls-broken", "network", "cannot be reached", "try again", {"ops": [NO_FAULTS]},
          ops=[("fault", {"kind": "tls-close"})]),
    world("api-hangs", "network", "cannot be reached", "check proxies and firewalls",
          {"ops": [NO_FAULTS]}, args=["--connect-timeout", "1", "--answer-timeout", "2"],
          ops=[("fault", {"kind": "tls-hang"})]),
    world("throttled", "instance", "throttl", "wait and try again", {"ops": [NO_FAULTS]},
          ops=[("fault", {"kind": "http-error", "service": "ec2"})]),
    world("region-not-enabled", "instance", "keys|credentials", "opt-in region must be enabled",
          {"ops": [NO_FAULTS]}, ops=[("fault", {
              "kind": "http-error", "service": "ec2", "status": 401, "code": "AuthFailure",
              "message": "AWS was not able to validate the provided access credentials"})]),
    # the instance
    world("wrong-name", "instance", "name, the Region or the account", ": eice ls --region all$",
          {"choose": ["web-1"]}, target="web-11"),
    world("two-of-a-name", "instance", "several", f": eice ls id={WEB},{SIX} ",
          {"choose": ["web-1"]}, ops=[instance("six", name="web-1")]),
    world("may-not-see", "instance", "lacks a permission", "allow ec2:DescribeInstances", GRANT,
          ops=[lacks("ec2:DescribeInstances")], permission="ec2:DescribeInstances"),
    world("stopped", "state", "was stopped", "^aws ec2 start-instances", RUN,
          ops=[instance("web-1", state="stopped")]),
    world("stopping", "state", "being stopped", "^aws ec2 wait instance-stopped", RUN,
          ops=[instance("web-1", state="stopping")],
          meanwhile=[instance("web-1", state="stopped")]),
    world("starting", "state", "still starting", "^aws ec2 wait instance-running", RUN,
          ops=[instance("web-1", state="pending")],
          meanwhile=[instance("web-1", state="running")]),
    world("shutting-down", "state", "being terminated", "another instance: eice ls state=running",
          {"choose": ["six"]}, ops=[instance("web-1", state="shutting-down")]),
    world("terminated", "state", "was terminated", "another instance: eice ls state=running",
          {"choose": ["web-1"]}, target="old"),
    # the endpoint
    world("may-not-see-endpoints", "endpoint", "lacks a permission",
          "allow ec2:DescribeInstanceConnectEndpoints", GRANT,
          ops=[lacks("ec2:DescribeInstanceConnectEndpoints")],
          permission="ec2:DescribeInstanceConnectEndpoints"),
    world("denied-outright", "endpoint", "a policy denies it",
          "remove the deny of ec2:DescribeInstanceConnectEndpoints", GRANT,
          ops=[("policy", {"credential": "admin", "document": [
              allow("*"), deny("ec2:DescribeInstanceConnectEndpoints")]})],
          permission="ec2:DescribeInstanceConnectEndpoints"),
    world("denied-by-organization", "endpoint", "a policy denies it",
          "remove the deny of ec2:.*for who runs the AWS organization",
          {"ops": [("policy", {"credential": "admin", "document": "allow"})]},
          ops=[("policy", {"credential": "admin", "kind": "service control policy", "document": [
              allow("*"), deny("ec2:DescribeInstanceConnectEndpoints")]})],
          permission="ec2:DescribeInstanceConnectEndpoints"),
    world("no-endpoint", "endpoint", "has no EC2 Instance Connect Endpoint",
          "^eice enroll --yes i-", RUN, target="lonely"),
    world("no-endpoint-and-login", "endpoint", "has no EC2 Instance Connect Endpoint",
          "^eice enroll --yes i-.* -l ec2-user ", RUN, target="lonely", args=["-l", "ec2-user"]),
    world("endpoint-on-its-way", "endpoint", "being made", "^eice endpoint wait", RUN,
          ops=[endpoint(state="create-in-progress")],
          meanwhile=[endpoint(state="create-complete")]),
    world("endpoint-failed", "endpoint", "no available addresses",
          f"mend that, then: eice endpoint delete --yes --wait {OTHER_ENDPOINT} .*eice enroll", RUN,
          target="lonely", ops=[("endpoint", {"id": OTHER_ENDPOINT, **LONELY})]),
    world("endpoint-being-deleted", "endpoint", "of no use", "^eice enroll --yes", RUN,
          ops=[endpoint(state="delete-in-progress")],
          meanwhile=[endpoint(state="delete-complete")]),
    world("endpoint-not-deleted", "endpoint", "of no use", "^eice endpoint delete --yes", RUN,
          ops=[endpoint(state="delete-failed")]),
    world("endpoint-change-failed", "endpoint", "last change failed", "make that change again",
          {"ops": [endpoint(state="update-complete")]},
          ops=[endpoint(state="update-failed", message="Internal error.")], warning=True),
    world("endpoint-of-another-vpc", "endpoint", "another VPC", "leave --endpoint-id out",
          {"args": []}, args=["--endpoint-id", OTHER_ENDPOINT]),
    world("endpoint-unknown", "endpoint", "deleted", "leave --endpoint-id out", {"args": []},
          args=["--endpoint-id", "eice-0aaaaaaaaaaaaaaaa"]),
    world("six-behind-four", "family", "does not speak IPv6", "^aws .*dualstack", RUN,
          ops=[endpoint(address_type="ipv4")], target="six"),
    world("six-behind-client-address", "family", "does not speak IPv6",
          "^aws .*dualstack --no-preserve-client-ip", RUN,
          ops=[endpoint(address_type="ipv4", preserve_ip=True)], target="six"),
    world("four-behind-six", "family", "does not speak IPv4", "^aws .*dualstack", RUN,
          ops=[endpoint(address_type="ipv6")]),
    world("client-address-on-old-type", "family", "does not work with instances of the type m3",
          "^aws .* --no-preserve-client-ip", RUN,
          ops=[instance("web-1", type="m3.large"),
               endpoint(preserve_ip=True, address_type="ipv4")]),
    world("another-port", "endpoint", "22 and 3389 only, not 2222", "leave -p out", {"args": []},
          args=["-p", "2222"]),
    # security groups, both ways
    world("out-nothing", "groups-out", "of the endpoint is closed", "^aws .*egress", RUN,
          ops=[rules(ENDPOINT, egress=[])]),
    world("out-wrong-port", "groups-out", "of the endpoint is closed", "^aws .*egress", RUN,
          ops=[rules(ENDPOINT, egress=[tcp(443, "0.0.0.0/0"), tcp(23, "0.0.0.0/0", 90)])]),
    world("out-elsewhere", "groups-out", "of the endpoint is closed", "^aws .*egress", RUN,
          ops=[rules(ENDPOINT, egress=[tcp(22, "10.20.2.0/24"), tcp(22, SHUT)])]),
    world("out-other-family", "groups-out", "of the endpoint is closed", "^aws .*egress", RUN,
          ops=[rules(ENDPOINT, egress=[tcp(22, "0.0.0.0/32"), tcp(22, "2001:db8:12::/48")])]),
    world("in-nothing", "groups-in", "of the instance is closed", "^aws .*ingress", RUN,
          ops=[rules(APP, ingress=[])]),
    world("in-wrong-port", "groups-in", "of the instance is closed", "^aws .*ingress", RUN,
          ops=[rules(APP, ingress=[tcp(2222, ENDPOINT), tcp(80, "0.0.0.0/0")])]),
    world("in-from-elsewhere", "groups-in", "of the instance is closed", "^aws .*ingress", RUN,
          ops=[rules(APP, ingress=[tcp(22, "10.20.2.0/24"), tcp(22, SHUT)])]),
    world("in-udp", "groups-in", "of the instance is closed", "^aws .*ingress", RUN,
          ops=[rules(APP, ingress=[{**tcp(22, "0.0.0.0/0"), "protocol": "udp"}])]),
    world("in-six-from-four", "groups-in", "of the instance is closed", "^aws .*ingress", RUN,
          ops=[rules(APP, ingress=[tcp(22, "10.20.0.0/16")])], target="six"),
    world("endpoint-in-default-group", "groups-in", "of the instance is closed",
          f"^aws .*ingress .*GroupId={DEFAULT}", RUN, ops=[endpoint(groups=[DEFAULT])]),
    world("client-address-preserved", "groups-in", "of the instance is closed", "^aws .*ingress",
          RUN, ops=[rules(APP, ingress=[tcp(22, "10.20.0.0/16")]),
                    endpoint(preserve_ip=True, address_type="ipv4")]),
    world("in-by-client-range", "groups-in", "cannot be judged", "^$", None, warning=True,
          ops=[rules(APP, ingress=[tcp(22, "203.0.113.0/24")]),
               endpoint(preserve_ip=True, address_type="ipv4")]),
    world("in-by-other-client-range", "target", "ranges in the rules of", "^aws .*ingress", RUN,
          unsure=["groups-in"], ops=[
              rules(APP, ingress=[tcp(22, "198.51.100.0/24")]), SLOW,
              endpoint(preserve_ip=True, address_type="ipv4")]),
    world("in-by-prefix-list", "groups-in", "cannot be judged", "^$", None, warning=True,
          ops=[rules(APP, ingress=[tcp(22, "pl-0123456789abcdef0")])]),
    world("in-by-other-prefix-list", "target", "prefix lists .* the instance's", "^aws .*ingress",
          RUN, unsure=["groups-in"], ops=[
              OFFICE, SLOW, rules(APP, ingress=[tcp(22, "pl-0123456789abcdef0")])]),
    world("out-by-other-prefix-list", "target", "prefix lists .* the endpoint's", "^aws .*egress",
          RUN, unsure=["groups-out"], ops=[
              OFFICE, SLOW, rules(ENDPOINT, egress=[tcp(22, "pl-0123456789abcdef0")])]),
    # between subnets
    world("acl-in", "acls", "network ACL", "^aws .*create.* --ingress --rule-number 49", RUN,
          **TWO_SUBNETS, ops=[acl(refuse(False, 22, 22, "10.20.1.0/24"))]),
    world("acl-answers", "acls", "network ACL", "^aws .* --egress .*From=1024,To=65535", RUN,
          **TWO_SUBNETS, ops=[acl(refuse(True, 1024, 65535, "10.20.1.0/24"))]),
    world("acl-crowded", "acls", "network ACL", "^aws .*create.* --rule-number 47", RUN,
          **TWO_SUBNETS, ops=[acl(*(refuse(False, 22, 22, cidr, number) for number, cidr in (
              (48, "10.99.1.0/24"), (49, "10.99.2.0/24"), (50, "10.20.1.0/24"))))]),
    world("acl-first", "acls", "network ACL", "^aws .*replace.* --rule-number 1 ", RUN,
          **TWO_SUBNETS, ops=[acl(refuse(False, 22, 22, "10.20.0.0/16", 1))]),
    world("acl-six", "acls", "network ACL", "^aws .* --ipv6-cidr-block 2001:db8:12:3400::fa/128",
          RUN, target="six", ops=[
              acl(refuse(False, 22, 22, "2001:db8:12:3400::/64")),
              instance("six", subnet=OTHER_SUBNET, ipv6="2001:db8:12:3401::18")]),
    world("route-elsewhere", "routes", "no local route", "^aws ec2 delete-route", RUN,
          **TWO_SUBNETS,
          ops=[("tables", {"name": "route_tables", "id": "rtb-0ddd3333eee4444ff", "value": {
              "routes": [{"destination": "10.20.2.0/24", "target": "eni-0123456789abcdef0",
                          "state": "blackhole"}]}})]),
    # permissions of the connection
    world("may-not-push", "push-key", "lacks a permission", "allow .*SendSSHPublicKey on arn:",
          GRANT, ops=[lacks("ec2-instance-connect:SendSSHPublicKey")],
          permission="ec2-instance-connect:SendSSHPublicKey"),
    world("another-login-only", "push-key", "condition", "allow .*SendSSHPublicKey on arn:", GRANT,
          ops=[lacks("ec2-instance-connect:SendSSHPublicKey",
                     StringEquals={"ec2:osuser": "ubuntu"})],
          permission="ec2-instance-connect:SendSSHPublicKey"),
    world("may-not-tunnel", "upgrade", "lacks a permission", "allow .*OpenTunnel on arn:", GRANT,
          ops=[lacks("ec2-instance-connect:OpenTunnel")],
          permission="ec2-instance-connect:OpenTunnel"),
    world("shorter-tunnels-only", "upgrade", "condition", "allow .*OpenTunnel on arn:",
          {"args": ["--max-tunnel-duration", "600"]},
          ops=[lacks("ec2-instance-connect:OpenTunnel", NumericLessThanEquals={
              "ec2-instance-connect:maxTunnelDuration": "600"})],
          permission="ec2-instance-connect:OpenTunnel"),
    world("other-addresses-only", "upgrade", "condition", "allow .*OpenTunnel on arn:", GRANT,
          ops=[lacks("ec2-instance-connect:OpenTunnel", IpAddress={
              "ec2-instance-connect:privateIpAddress": "10.20.2.0/24"})],
          permission="ec2-instance-connect:OpenTunnel"),
    world("instance-unavailable", "push-key", ".", "try again", {"ops": [NO_FAULTS]},
          ops=[("fault", {"kind": "http-error", "action": "SendSSHPublicKey", "status": 400,
                          "code": "EC2InstanceUnavailableException",
                          "message": "The instance is currently unavailable."})]),
    world("endpoint-full", "quota", "20 connections", "close some, or wait", {"ops": [NO_FAULTS]},
          ops=[("fault", {"kind": "quota"})]),
    # the instance's own side
    world("sshd-off", "target", "nothing listens", "start sshd there",
          {"ops": [instance("web-1", targets={"22": "sshd"})]},
          ops=[instance("web-1", targets={"22": "refuse"})]),
    world("own-firewall", "target", "drops the packets", "open port 22 in .* own firewall",
          {"ops": [instance("web-1", targets={"22": "sshd"})]},
          ops=[instance("web-1", targets={"22": "blackhole"}),
               SLOW]),
    world("not-ssh", "ssh-version", "no SSH server", "check what listens on that port",
          {"ops": [instance("web-1", targets={"22": "sshd"})]},
          ops=[instance("web-1", targets={"22": "garbage"})]),
    world("no-common-key-exchange", "key-exchange", "allows nothing that eice can",
          r"allow one of these: offered were ([^,]+)",
          {"ops": [sshd("web-1", KexAlgorithms=r"\1")]},
          ops=[sshd("web-1", KexAlgorithms="sntrup761x25519-sha512@openssh.com")]),
    world("no-common-cipher", "key-exchange", "allows nothing that eice can",
          r"allow one of these: offered were ([^,]+)", {"ops": [sshd("web-1", Ciphers=r"\1")]},
          ops=[sshd("web-1", Ciphers="3des-cbc")]),
    world("host-key-changed", "host-key", "made anew", "console.*: ssh-keygen -R i-.* -f", RUN,
          known="", ops=[("boot", {"id": "web-1", "how": "reimage"})]),
    world("host-key-changed-unseen", "host-key", "made anew", ": ssh-keygen -R i-.* -f", RUN,
          known="", args=["--hostkey-policy", "tofu"], ops=[sshd("web-1", "new-host-key")]),
    world("host-key-of-another", "host-key", "unknown", "shows other keys: do not connect",
          {"ops": [instance("web-1", console=None)]}, ops=[instance("web-1", console=OTHER_KEYS)]),
    world("host-key-revoked", "host-key", "must not be trusted", "new host keys",
          {"ops": [("boot", {"id": "web-1", "how": "reimage"})]}, known="@revoked "),
    world("host-key-unknown", "host-key", "unknown", "--hostkey-policy auto",
          {"args": ["--hostkey-policy", "auto"]}, args=["--hostkey-policy", "strict"]),
    world("wrong-login", "key-accepted", "login ubuntu, not ec2-user", "^eice ssh -l ubuntu ",
          {**RUN, "args": ["-l", "ubuntu"]}, target=UBUNTU),
    world("no-package", "key-accepted", "without EC2 Instance Connect",
          "install the package ec2-instance-connect", {"ops": [instance(DB, package=True)]},
          **TWO_SUBNETS, ops=[instance(DB, package=False)]),
    world("metadata-off", "key-accepted", "metadata is off", "^aws .*--http-endpoint enabled", RUN,
          ops=[instance("web-1", metadata="disabled")]),
    world("key-type-refused", "key-accepted", "refuses Ed25519|Ed25519 keys", "--key-type rsa",
          {"args": ["--key-type", "rsa"]},
          ops=[sshd("web-1", PubkeyAcceptedAlgorithms="rsa-sha2-512,rsa-sha2-256")]),
    world("forced-command", "login", "commands as somebody else", "ForceCommand",
          {"ops": [sshd("web-1", ForceCommand="none")]}, warning=True,
          ops=[sshd("web-1", ForceCommand="echo no")]),
]
