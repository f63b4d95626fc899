#!/usr/bin/python3
"""What Debian 13 has and this release has not: OpenSSH 10, the AWS CLI version 2, moto.

usage: trixie.py [WORD ...]

Root only: enters a network of its own (so that the simulator may have port 443, the only one the
AWS CLI dials) and the tree that tools/deps/trixie makes; nothing outside is changed. WORD runs
only the parts whose name contains it. Prints PASS, FAIL and SKIP lines.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TREE = os.path.join(ROOT, "build/trixie")
SOURCE = "/src"  # this checkout, inside the tree
EICE = os.path.join(ROOT, "build/eice")
REGION = "eu-west-1"
POINT = "eice-0a1b2c3d4e5f60718"
# Tests of ours that are repeated in the tree, and the programs they are given.
NATIVE = "build/tests/native/"
SUITES = {"e2e": [], "e2e_openssh": [], "e2e_terminal": [], "e2e_forward": [], "e2e_jump": [],
          "e2e_cp": [], "e2e_keys": [], "e2e_options": [], "e2e_ssh_config": [], "e2e_awscli": [],
          "e2e_config": [], "keys_openssh": [NATIVE + "keys_helper"],
          "ssh_servers": [NATIVE + "ssh_session"], "ssh_algorithms": [NATIVE + "ssh_session"]}
PAIRWISE = {"ssh_algorithms"}  # the full matrix takes a quarter of an hour, and is run outside
STORE = "/etc/ssl/certs/ca-certificates.crt"

# Runs as root in a mount and a network namespace of its own.
ENTER = """set -e
ip link set lo up
mount -t proc proc {tree}/proc
mount --rbind /dev {tree}/dev
mkdir -p {tree}{source}
mount --bind {root} {tree}{source}
mount -t tmpfs -o mode=1777 tmpfs {tree}/tmp
exec chroot {tree} /usr/bin/env -i PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 EICE_LONG="${{EICE_LONG-}}" \
    /usr/bin/python3 {source}/tests/trixie.py --inside "$@"
"""


def tell(verdict, name, why=""):
    print(f"{verdict} {name}{': ' + ' '.join(why.split()) if why else ''}", flush=True)
    return verdict != "FAIL"


def run(argv, seconds=60, data=None, env=None):
    return subprocess.run(argv, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=seconds, env=env, check=False)


class Wrong(Exception):
    """Something is not as it must be."""


def good(argv, **more):
    """The output of a command that must succeed."""
    done = run(argv, **more)
    if done.returncode != 0:
        raise Wrong(f"{' '.join(argv)}: status {done.returncode}: "
                    f"{done.stderr.decode('utf-8', 'replace')[-600:]}")
    return done.stdout.decode()


# --- OpenSSH 10 -----------------------------------------------------------------------------------


def suite(name, arguments):
    """One of our tests, with the tree's servers and clients; passes its lines on."""
    env = {k: v for k, v in os.environ.items() if k != "EICE_LONG" or name not in PAIRWISE}

    def part():
        with subprocess.Popen([sys.executable, f"tests/{name}.py", *arguments], text=True, env=env,
                              cwd=ROOT, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT) as process:
            seen = fine = 0
            for line in process.stdout:
                match = re.match(r"(PASS|FAIL|SKIP) ([^:\n]+)(?:: )?(.*)", line)
                if match:
                    seen += 1
                    fine += tell(match[1], f"openssh10_{name}_{match[2]}", match[3])
        if seen == 0:
            return tell("FAIL", f"openssh10_{name}", "reported nothing")
        return fine == seen
    return part


# --- botocore ------------------------------------------------------------------------------------

CRED_DUMP = f"{ROOT}/build/tests/native/cred_dump"
COMPARED = {"cred_botocore": 40, "config_botocore": 200}  # configurations (of each family)


def program(name, *words):
    """A test program that runs here with the tree's packages; passes its lines on."""
    def part():
        seen = fine = 0
        done = run([sys.executable, f"{ROOT}/tests/{name}.py", *words], seconds=600)
        for line in done.stdout.decode("utf-8", "replace").splitlines():
            match = re.match(r"(PASS|FAIL|SKIP) ([^:]+: [^:]+(?:: [^:]+)?)(?:: )?(.*)", line)
            if match:
                seen += 1
                fine += tell(match[1], f"trixie: {match[2]}", match[3])
        if seen == 0:
            return tell("FAIL", name, f"reported nothing: {done.stderr[-400:]!r}")
        return fine == seen
    return part


AWS_CALL = f"{ROOT}/build/tests/native/aws_call"


def calls_botocore():
    """The table of operations and every request, as this botocore has them."""
    done = good([sys.executable, f"{ROOT}/tests/aws_calls.py", AWS_CALL, "table_is",
                 "requests_are"])
    if len(re.findall(r"(?m)^PASS ", done)) != 2:
        raise Wrong(done)


# --- the AWS CLI as a client of the simulator -----------------------------------------------------


@contextlib.contextmanager
def aws_in_a_box():
    """A simulator on 443 under AWS's own names, trusted by the tree."""
    sys.path.insert(0, os.path.join(ROOT, "tools"))
    from sim import Simulator
    sim = Simulator(port=443, key_type="rsa", sshd=True).start()
    try:
        hosts = os.path.join(sim.dir, "hosts")
        with open(hosts, "w", encoding="ascii") as f:
            f.write("127.0.0.1 localhost\n")
            names = [*sim.certs.names, sim.world.endpoint_host(sim.world.endpoint(POINT))]
            f.write("".join(f"127.0.0.1 {name}\n" for name in names if "*" not in name))
        good(["mount", "--bind", hosts, "/etc/hosts"])
        good(["mount", "--bind", sim.ca_file, STORE])
        env = {k: v for k, v in sim.env().items() if k.startswith("AWS_")}
        del env["AWS_CA_BUNDLE"]  # its tunnel does not look at it
        yield sim, {**os.environ, **env, "AWS_EC2_METADATA_DISABLED": "true"}
        broken = [f"{v['rule']}: {v['detail']}" for v in sim.journal.violations()]
        if broken:
            raise Wrong(f"the simulator says the AWS CLI broke rules: {broken[:3]}")
    finally:
        for place in ("/etc/hosts", STORE):
            run(["umount", place])
        sim.stop()


def aws_cli():
    """Calls, a pushed key, and a tunnel with real ssh in it."""
    with aws_in_a_box() as (sim, env):
        def aws(*words):
            return json.loads(good(["aws", "--output", "json", *words], env=env))

        who = aws("sts", "get-caller-identity")
        if who["Account"] != "123456789012":
            raise Wrong(f"get-caller-identity: {who}")
        box = sim.world.instance("web-1")
        listed = aws("ec2", "describe-instances", "--instance-ids", box["id"])
        found = listed["Reservations"][0]["Instances"][0]
        if found["PrivateIpAddress"] != box["ip"]:
            raise Wrong(f"describe-instances: {found}")
        points = aws("ec2", "describe-instance-connect-endpoints")["InstanceConnectEndpoints"]
        if not any(p["VpcId"] == found["VpcId"] for p in points):
            raise Wrong(f"describe-instance-connect-endpoints: {points}")
        with tempfile.TemporaryDirectory() as path:
            key = f"{path}/key"
            good(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key])
            pushed = aws("ec2-instance-connect", "send-ssh-public-key", "--instance-id",
                         box["id"], "--instance-os-user", "ec2-user", "--ssh-public-key",
                         f"file://{key}.pub")
            if pushed["Success"] is not True:
                raise Wrong(f"send-ssh-public-key: {pushed}")
            proxy = f"aws ec2-instance-connect open-tunnel --instance-id {box['id']}"
            said = good(["ssh", "-F", "none", "-i", key, "-o", "StrictHostKeyChecking=no", "-o",
                         f"UserKnownHostsFile={path}/known", "-o", f"ProxyCommand={proxy}",
                         f"ec2-user@{box['id']}", "echo through $LOGNAME"], env=env)
        if said != "through ec2-user\n":
            raise Wrong(f"ssh through open-tunnel: {said!r}")


SSO_CONFIG = """[profile dev]
sso_session = corp
sso_account_id = 123456789012
sso_role_name = Developer
region = eu-west-1
[profile old]
sso_start_url = https://old.example/start
sso_region = eu-west-1
sso_account_id = 123456789012
sso_role_name = Developer
region = eu-west-1
[sso-session corp]
sso_start_url = https://corp.example/start
sso_region = eu-west-1
"""


def sso_login(sim, home, name, seconds):
    """A login as the CLI keeps it; the path of its file."""
    path = f"{home}/.aws/sso/cache/{hashlib.sha1(name.encode()).hexdigest()}.json"
    os.makedirs(os.path.dirname(path), exist_ok=True)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
    with open(path, "w", encoding="utf-8") as out:
        json.dump({"startUrl": "https://corp.example/start", "region": REGION,
                   **sim.sso.login(), "expiresAt": stamp}, out)
    return path


def who(argv, env):
    """The identity that the AWS CLI, or eice, has with the profile of the environment."""
    arn = json.loads(good(argv, env=env))["Arn"]
    if ":assumed-role/AWSReservedSSO_Developer_" not in arn:
        raise Wrong(f"{argv[0]} is {arn}")


def aws_cli_sso():
    """IAM Identity Center: the CLI and eice in turn, each with what the other one has renewed."""
    cli = ["aws", "--output", "json", "sts", "get-caller-identity"]
    ours = [EICE, "whoami", "--json"]
    with aws_in_a_box() as (sim, env), tempfile.TemporaryDirectory() as home:
        env = {k: v for k, v in env.items() if not re.match("AWS_(ACC|SEC|SES)", k)}
        mapped = {"EICE_CONNECT_TO": "::127.0.0.1:443", "AWS_CA_BUNDLE": sim.ca_file}
        env.update(HOME=home, AWS_PROFILE="dev")
        os.makedirs(f"{home}/.aws")
        with open(f"{home}/.aws/config", "w", encoding="ascii") as out:
            out.write(SSO_CONFIG)
        path = sso_login(sim, home, "corp", 300)
        for turn, argv in enumerate((cli, ours, cli)):
            who(argv, {**env, **mapped} if argv is ours else env)
            with open(path, encoding="utf-8") as f:
                kept = json.load(f)
            count = sim.ctl("count", kind="request", action="CreateToken")
            if count != turn + 1 or not sim.sso.good(kept["accessToken"]):
                raise Wrong(f"{argv[0]} did not renew: {count} times, {sorted(kept)}")
            shutil.rmtree(f"{home}/.aws/cli", ignore_errors=True)
            kept["expiresAt"] = kept["expiresAt"].replace("20", "19", 1)  # renew again
            with open(path, "w", encoding="utf-8") as f:
                json.dump(kept, f)
        sso_login(sim, home, "https://old.example/start", 3600)
        for argv in (cli, ours):
            who(argv, {**env, **(mapped if argv is ours else {}), "AWS_PROFILE": "old"})


# --- moto, which checks signatures on its own -----------------------------------------------------

PORT = 5000


@contextlib.contextmanager
def moto():
    """A moto server that asks for signatures from the fourth call on; `call` needs none."""
    log = open("/tmp/moto.log", "wb")  # closed with the process
    env = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "5", "HOME": "/tmp"}
    process = subprocess.Popen(["moto_server", "-p", str(PORT)], stdout=log, stderr=log, env=env)
    log.close()
    try:
        end = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/moto-api/", timeout=2)
                break
            except OSError:
                if time.monotonic() > end:
                    raise Wrong("the moto server does not start") from None
                time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


def moto_aws(*words, env):
    return json.loads(good(["aws", "--output", "json", "--endpoint-url",
                            f"http://127.0.0.1:{PORT}", *words], env=env) or "{}")


def moto_signatures():
    """EC2 and STS calls with a user's keys and with temporary ones; a wrong secret is refused."""
    env = {**os.environ, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
           "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION,
           "AWS_EC2_METADATA_DISABLED": "true"}
    with moto():
        allow = json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "*", "Resource": "*"}]})
        trust = json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}]})
        moto_aws("iam", "create-user", "--user-name", "u", env=env)
        good(["aws", "--endpoint-url", f"http://127.0.0.1:{PORT}", "iam", "put-user-policy",
              "--user-name", "u", "--policy-name", "p", "--policy-document", allow], env=env)
        role = moto_aws("iam", "create-role", "--role-name", "r", "--assume-role-policy-document",
                        trust, env=env)["Role"]["Arn"]
        good(["aws", "--endpoint-url", f"http://127.0.0.1:{PORT}", "iam", "put-role-policy",
              "--role-name", "r", "--policy-name", "p", "--policy-document", allow], env=env)
        keys = moto_aws("iam", "create-access-key", "--user-name", "u", env=env)["AccessKey"]
        ours = {**env, "AWS_ACCESS_KEY_ID": keys["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": keys["SecretAccessKey"],
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{PORT}"}
        check_identity(ours, ":user/u")
        check_lookup(ours)
        lent = moto_aws("sts", "assume-role", "--role-arn", role, "--role-session-name", "lent",
                        env=ours)["Credentials"]
        temporary = {**ours, "AWS_ACCESS_KEY_ID": lent["AccessKeyId"],
                     "AWS_SECRET_ACCESS_KEY": lent["SecretAccessKey"],
                     "AWS_SESSION_TOKEN": lent["SessionToken"]}
        check_identity(temporary, ":assumed-role/r/lent")
        check_lookup(temporary)
        check_calls(temporary, moto_aws("ec2", "run-instances", "--image-id", "ami-12c6146b",
                                        "--count", "7", "--private-ip-address", "172.31.0.9",
                                        env=ours)["Instances"][0])
        wrong = run([EICE, "whoami"], env={**ours, "AWS_SECRET_ACCESS_KEY": "wrong"})
        if wrong.returncode == 0 or b"SignatureDoesNotMatch" not in wrong.stderr:
            raise Wrong(f"a wrong secret: {wrong.returncode}, {wrong.stderr[-300:]}")


def check_identity(env, end):
    said = json.loads(good([EICE, "whoami", "--json"], env=env))
    if not said["Arn"].endswith(end):
        raise Wrong(f"whoami: {said}")


def check_lookup(env):
    """DescribeInstances finds nothing of that name, which is not a refused signature."""
    done = run([EICE, "ssh", "nobody-here", "true"], env=env)
    if done.returncode != 255 or b"nobody-here" not in done.stderr:
        raise Wrong(f"a name unknown to moto: {done.returncode}, {done.stderr[-300:]}")
    if b"Signature" in done.stderr or b"AccessDenied" in done.stderr:
        raise Wrong(f"moto refuses DescribeInstances: {done.stderr[-300:]}")


def aws_call(env, *words):
    """(items, how the call ended) of one that goes well"""
    said = [json.loads(line) for line in good([AWS_CALL, "run", *words], env=env).splitlines()]
    if said[-1]["error"] != "":
        raise Wrong(f"{words}: {said[-1]}")
    return said[:-1], said[-1]


def check_calls(env, box):
    """Most of the table with temporary keys: moto takes the parameters, we read its answers. (It
    checks a signature against the form as it would write it: no blanks here.)"""
    vpc, subnet = box["VpcId"], box["SubnetId"]
    for words, field, value in (
            (("DescribeInstances", "MaxResults=5"), "instanceId", box["InstanceId"]),
            (("DescribeInstances", "Filter=instance-state-name running"), "vpcId", vpc),
            (("DescribeVpcs", f"VpcId.#={vpc}"), "vpcId", vpc),
            (("DescribeSubnets", f"Filter=vpc-id {vpc}"), "subnetId", subnet),
            (("DescribeNetworkInterfaces", f"Filter=subnet-id {subnet}"), "subnetId", subnet),
            (("DescribeRouteTables", f"Filter=vpc-id {vpc}"), "vpcId", vpc),
            (("DescribeNetworkAcls", f"Filter=vpc-id {vpc}"), "vpcId", vpc),
            (("DescribeImages", "ImageId.#=ami-12c6146b"), "imageId", "ami-12c6146b"),
            (("DescribeRegions", f"RegionName.#={REGION}"), "regionName", REGION),
            (("GetConsoleOutput", f"InstanceId={box['InstanceId']}"), "instanceId",
             box["InstanceId"])):
        items, _ = aws_call(env, *words, "--", field)
        if value not in [item[field] for item in items]:
            raise Wrong(f"{words}: {value} is not in {items}")
    aws_call(env, "CreateTags", f"ResourceId.#={box['InstanceId']}", "Tag.1.Key=Name",
             "Tag.1.Value=a&b=c")
    named = json.loads(good([EICE, "-q", "ls", "--json", "tag:Name=a&b=c"], env=env))
    if [i["InstanceId"] for i in named] != [box["InstanceId"]]:
        raise Wrong(f"eice ls: {named}")
    check_rules(env, vpc)


def check_rules(env, vpc):
    """A rule is added, is there, and is taken again."""
    groups, _ = aws_call(env, "DescribeSecurityGroups", f"Filter=vpc-id {vpc}", "--", "groupId")
    group = groups[0]["groupId"]
    rule = [f"GroupId={group}", "IpPermissions.1.IpProtocol=tcp", "IpPermissions.1.FromPort=22",
            "IpPermissions.1.ToPort=22", "IpPermissions.1.IpRanges.1.CidrIp=192.0.2.0/24",
            "IpPermissions.1.IpRanges.1.Description=a(b)"]
    aws_call(env, "AuthorizeSecurityGroupIngress", *rule)
    _, end = aws_call(env, "AuthorizeSecurityGroupIngress", *rule)
    if not end["nothing"]:
        raise Wrong(f"a rule twice: {end}")
    for count in (1, 0):
        items, _ = aws_call(env, "DescribeSecurityGroupRules", f"Filter=group-id {group}", "--",
                            "cidrIpv4")
        if [i["cidrIpv4"] for i in items].count("192.0.2.0/24") != count:
            raise Wrong(f"rules of {group}: {items}")
        aws_call(env, "RevokeSecurityGroupIngress", *rule)


# --- running --------------------------------------------------------------------------------------


def parts():
    table = {f"openssh10_{name}": suite(name, arguments) for name, arguments in SUITES.items()}
    for name, count in COMPARED.items():
        table[name] = program(name, CRED_DUMP, "20261125", str(count))
    table["calls_botocore"] = calls_botocore
    table["aws_cli"] = aws_cli
    table["aws_cli_sso"] = aws_cli_sso
    table["moto"] = moto_signatures
    return table


def inside(words):
    fine = True
    for name, part in parts().items():
        if words and not any(word in name for word in words):
            continue
        try:
            whole = part()
            if whole is None:
                tell("PASS", name)
            fine = fine and whole is not False
        except (Wrong, OSError, ValueError, KeyError, subprocess.SubprocessError) as e:
            fine = tell("FAIL", name, f"{type(e).__name__}: {e}")
    return 0 if fine else 1


def main():
    words = sys.argv[1:]
    if words[:1] == ["--inside"]:
        return inside(words[1:])
    if os.getuid() != 0:
        tell("SKIP", "trixie", "needs root: it enters a tree of another release")
        return 0
    if subprocess.run([f"{ROOT}/tools/deps/trixie"], check=False).returncode != 0:
        tell("FAIL", "trixie", "the tree cannot be made")
        return 1
    script = ENTER.format(tree=TREE, root=ROOT, source=SOURCE)
    return subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child",
                           "--propagation", "private", "sh", "-c", script, "enter", *words],
                          check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
