#!/usr/bin/python3
"""The AWS CLI's commands: its documented examples, word by word, with `eice` for `aws`.

    tests/e2e_awscli.py [--eice PROGRAM] [name …]
"""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time

from e2elib import check, contains, equal, eventually, main, need, test
from sim.world import MAIN_ENDPOINT

WEB = "i-0123456789abcdef0"
ADDRESS = "10.20.1.23"
PUBLIC = "203.0.113.10"


def aws(w, line, **options):
    """A line of the documentation: its names become those of the simulator."""
    words = shlex.split(line.replace("i-1234567890example", WEB).replace("us-west-2", "eu-west-1"))
    equal(words.pop(0), "aws", "the program")
    return w.run([w.program, *words], **options)


def endpoint(w):
    """Id and name of the endpoint of the first instance."""
    found = w.sim.world.endpoint(MAIN_ENDPOINT)
    return MAIN_ENDPOINT, w.sim.world.endpoint_host(found)


def reachable(w, instance=WEB, ip=PUBLIC):
    """An environment in which the sshd of an instance has a public address."""
    port = w.sshd(instance)["port"]
    return w.env(EICE_CONNECT_TO=f"{ip}:22:127.0.0.1:{port} {w.env()['EICE_CONNECT_TO']}")


# ssh

@test
def ssh_examples(w):
    for line in ("aws ec2-instance-connect ssh --instance-id i-1234567890example",
                 "aws ec2-instance-connect ssh --instance-id i-1234567890example "
                 "--connection-type eice",
                 "aws ec2-instance-connect ssh --instance-id i-1234567890example "
                 "--os-user ec2-user --ssh-port 22 --eice-options maxTunnelDuration=1800"):
        result = aws(w, line, data=b"echo in; exit 3\n", env=reachable(w)).expect(3, line)
        contains(result.text, "in\n", line)


@test
def private_key_file(w):
    key = w.path("test_key")
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f",
           key]).expect(0)
    aws(w, "aws ec2-instance-connect ssh --instance-id i-1234567890example --private-key-file "
           f"{key} --connection-type eice", data=b"exit 3\n").expect(3)
    with open(key + ".pub", encoding="ascii") as f:
        equal(w.requests("SendSSHPublicKey")[0]["params"]["SSHPublicKey"].split()[1],
              f.read().split()[1], "the key pushed")


@test
def local_forwarding(w):
    """As in the documentation: a port here, one of the instance there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as there:
        there.settimeout(15)
        process = w.spawn("ec2-instance-connect", "ssh", "--instance-id", WEB, "--local-forwarding",
                          f"{port}:127.0.0.1:{there.getsockname()[1]}", "--connection-type",
                          "eice", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
        process.stdin.write(b"echo up\n")
        equal(process.stdout.readline(), b"up\n", "the shell")
        with socket.create_connection(("127.0.0.1", port), 10) as here:
            peer, _ = there.accept()
            peer.sendall(b"hello")
            peer.close()
            here.settimeout(15)
            equal(here.recv(5), b"hello", "through the forward")
        process.stdin.write(b"exit 3\n")
        equal(process.wait(15), 3, "status")


@test
def eice_options(w):
    """Shorthand and JSON; with address and endpoint EC2 is not asked."""
    eid, dns = endpoint(w)
    w.eice("-q", "ssh", WEB, "true").expect(0)  # at first contact the console is asked
    for text in (f"maxTunnelDuration=60,endpointId={eid},dnsName={dns}",
                 json.dumps({"endpointId": eid, "dnsName": dns, "maxTunnelDuration": 60})):
        w.sim.ctl("clear")
        w.run([w.program, "ec2-instance-connect", "ssh", "--instance-id", WEB, "--instance-ip",
               ADDRESS, "--connection-type", "eice", "--eice-options", text],
              data=b"exit 4\n").expect(4, text)
        equal(w.actions(), {"SendSSHPublicKey": 1, "openTunnel": 1}, text)
        equal(w.requests("openTunnel")[0]["params"]["maxTunnelDuration"], "60", text)


@test
def direct(w):
    """The key is pushed; no endpoint is described or used, and no proxy is asked."""
    env = reachable(w)
    env["HTTP_PROXY"] = env["http_proxy"] = "http://127.0.0.1:9"
    w.eice("-q", "ssh", WEB, "true").expect(0)  # at first contact the console is asked
    for words in (["ssh", "--direct", WEB],
                  ["ec2-instance-connect", "ssh", "--instance-id", WEB],
                  ["ec2-instance-connect", "ssh", "--instance-id", WEB, "--connection-type",
                   "direct"]):
        w.sim.ctl("clear")
        result = w.eice(*words, data=b"head -c 3000000 /dev/zero | wc -c; exit 3\n", env=env)
        contains(result.expect(3, f"{words}").text, "3000000", f"{words}")
        equal(w.actions(), {"DescribeInstances": 1, "SendSSHPublicKey": 1}, f"{words}")
    w.sim.world.instance(WEB).update(public_ip=None, ipv6=None)
    result = w.eice("ssh", "--direct", WEB, "cat", data=bytes(range(256)) * 20000,
                    env=reachable(w, ip=ADDRESS)).expect(0)
    equal(result.out, bytes(range(256)) * 20000, "both ways, to the private address")
    w.sim.ctl("clear")
    w.run([w.program, "ec2-instance-connect", "ssh", "--instance-id", WEB, "--instance-ip",
           PUBLIC, "--connection-type", "direct"], data=b"exit 3\n", env=env).expect(3)
    equal(w.actions(), {"SendSSHPublicKey": 1}, "calls when the address is given")
    w.eice("ec2-instance-connect", "ssh", "--instance-id", WEB, data=b"exit 3\n").expect(3)
    equal(w.actions().get("openTunnel"), 1, "auto without a public address")


@test
def direct_that_fails(w):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        rules = f"{PUBLIC}:22:127.0.0.1:{port} {w.env()['EICE_CONNECT_TO']}"
        result = w.eice("ssh", "--direct", "--answer-timeout", "2", WEB, "true",
                        env=w.env(EICE_CONNECT_TO=rules)).expect(255)
        contains(result.err, f"{PUBLIC}:22 sent nothing", "a server that is silent")
    result = w.eice("ssh", "--direct", WEB, "true", env=w.env(
        EICE_CONNECT_TO=rules, AWS_MAX_ATTEMPTS="1")).expect(255)
    contains(result.err, "refused", "nothing listens there")
    result = w.eice("ssh", "--direct", "--endpoint-id", MAIN_ENDPOINT, WEB).expect(255)
    contains(result.err, MAIN_ENDPOINT, "an endpoint with --direct")
    w.eice("ec2-instance-connect", "ssh", "--instance-id", WEB, "--connection-type", "direct",
           "--eice-options", "maxTunnelDuration=60").expect(252)


# open-tunnel

@test
def proxy_command_example(w):
    key = w.path("test_id")
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f",
           key]).expect(0)
    aws(w, "aws ec2-instance-connect send-ssh-public-key --region us-west-2 --availability-zone "
           "us-west-2b --instance-id i-1234567890example --instance-os-user ec2-user "
           f"--ssh-public-key file://{key}.pub").expect(0)
    result = w.run([need("ssh", "openssh-client"), "-F", "none", "-i", key, "-o",
                    "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={w.path('hosts')}",
                    f"ec2-user@{WEB}", "-o", f"ProxyCommand={w.program} ec2-instance-connect "
                    "open-tunnel --instance-id %h", "echo in"]).expect(0)
    equal(result.text, "in\n", "ssh")


def listener(w, *words):
    """open-tunnel with a port of its choice; the process and the port."""
    process = w.start([w.program, "open-tunnel", "--instance-id", WEB, "--local-port", "0",
                       *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = process.stdout.readline().decode()
    match = re.fullmatch(r"Listening for connections on port (\d+)\.\n", line)
    check(match, f"it says {line!r}")
    return process, int(match[1])


def banner(port, host="127.0.0.1"):
    sock = socket.create_connection((host, port), 15)
    sock.settimeout(15)
    return sock, sock.recv(4)


@test
def local_port(w):
    process, port = listener(w, "--remote-port", "22")
    socks = [banner(port) for _ in range(3)]
    equal([text for _, text in socks], [b"SSH-"] * 3, "three connections at once")
    equal(w.tunnels(), 3, "tunnels")
    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6"):
        socks.append(banner(port, "::1"))
    for sock, _ in socks:
        sock.sendall(b"no SSH\r\n")
        while sock.recv(4096):
            pass
        sock.close()
    eventually(w.tunnels, 0, "tunnels of connections that the server closed")
    sock, _ = banner(port)
    sock.close()
    eventually(w.tunnels, 0, "the tunnel of a client that went away", 15)
    sock, _ = banner(port)
    process.send_signal(signal.SIGTERM)
    equal(process.wait(10), 0, "status")
    eventually(w.tunnels, 0, "tunnels after SIGTERM")
    said = process.stdout.read().decode()
    sock.close()
    contains(said, "[1] Accepted new tcp connection, opening websocket tunnel.\n", "stdout")
    contains(said, "[1] Closing tcp connection.\n", "stdout")


@test
def limit_of_connections(w):
    process, port = listener(w, "--max-websocket-connections", "2")
    first, second = banner(port), banner(port)
    with socket.create_connection(("127.0.0.1", port), 10) as third:
        third.settimeout(10)
        equal(third.recv(4), b"", "a third connection")
    second[0].sendall(b"no SSH\r\n")
    while second[0].recv(4096):
        pass
    eventually(w.tunnels, 1, "tunnels")
    again = banner(port)
    for _ in range(200):  # its process may take a moment to end
        if again[1]:
            break
        time.sleep(0.05)
        again = banner(port)
    equal(again[1], b"SSH-", "when there is room again")
    process.terminate()
    process.wait(10)
    contains(process.stdout.read().decode(), "Max websocket connections 2 have been reached",
             "stdout")
    first[0].close()


@test
def tunnel_that_is_refused(w):
    """The first cause is told, and the listener goes on."""
    process, port = listener(w)
    w.sim.ctl("fault", kind="http-error", action="openTunnel", status=403,
              code="AccessDeniedException", message="not you", times=1)
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        sock.settimeout(15)
        equal(sock.recv(4), b"", "what the client gets")
    equal(banner(port)[1], b"SSH-", "the next connection")
    process.terminate()
    process.wait(10)
    contains(process.stderr.read().decode(), "not you", "the cause")


@test
def tunnel_by_address(w):
    eid, dns = endpoint(w)
    for more in ([], ["--instance-connect-endpoint-dns-name", dns]):
        process = w.spawn("ec2-instance-connect", "open-tunnel", "--instance-connect-endpoint-id",
                          eid, "--private-ip-address", ADDRESS, *more,
                          "--max-tunnel-duration", "600", stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE)
        equal(process.stdout.read(4), b"SSH-", f"with {more}")
        process.stdin.write(b"no SSH\r\n")
        process.stdout.read()
        equal(process.wait(10), 0, "status")


# send-ssh-public-key

@test
def send_example(w):
    w.run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f",
           w.path("test_id")]).expect(0)
    os.rename(w.path("test_id.pub"), w.path("my_key.pub"))
    result = aws(w, "aws ec2-instance-connect send-ssh-public-key --region us-west-2 "
                    "--availability-zone us-west-2b --instance-id i-1234567890example "
                    "--instance-os-user ec2-user --ssh-public-key file://my_key.pub").expect(0)
    told = json.loads(result.text)
    equal((sorted(told), told["Success"]), (["RequestId", "Success"], True), "the answer")
    equal(result.text, json.dumps(told, indent=4) + "\n", "its form")
    with open(w.path("my_key.pub"), encoding="ascii") as f:
        text = f.read().strip()
    w.eice("ec2-instance-connect", "send-ssh-public-key", "--instance-id", WEB,
           "--instance-os-user", "ec2-user", "--ssh-public-key", text).expect(0)
    sent = [r["params"]["SSHPublicKey"].split()[1] for r in w.requests("SendSSHPublicKey")]
    equal(sent, [text.split()[1]] * 2, "keys sent")


# statuses

@test
def exit_statuses(w):
    eid, dns = endpoint(w)
    tunnel = ["ec2-instance-connect", "open-tunnel"]
    ssh = ["ec2-instance-connect", "ssh"]
    for words in (tunnel, ["ec2-instance-connect"], ["ec2-instance-connect", "bogus"], ssh,
                  [*tunnel, "--instance-id", "x-1"], [*tunnel, "--private-ip-address", "10.0.0.1"],
                  [*tunnel, "--instance-id", WEB, "--max-tunnel-duration", "3601"],
                  [*tunnel, "--instance-id", WEB, "--max-websocket-connections", "21"],
                  [*tunnel, "--instance-id", WEB, "--instance-connect-endpoint-dns-name", dns],
                  [*tunnel, "--instance-id", WEB, "--instance-connect-endpoint-id", "x"],
                  [*tunnel, "--instance-id", WEB, "--bogus"], [*tunnel, "--instance-id", WEB, "x"],
                  [*ssh, "--instance-id", WEB, "--connection-type", "bogus"],
                  [*ssh, "--instance-id", WEB, "--instance-ip", "10.0.0.1"],
                  [*ssh, "--instance-id", WEB, "--eice-options", "bogus=1"],
                  [*ssh, "--instance-id", WEB, "--eice-options", "maxTunnelDuration=0"]):
        result = w.eice(*words).expect(252, f"{words}")
        check(result.err and not result.out, f"{words} fails in silence")
    equal(w.requests(), [], "requests of wrong command lines")
    with w.terminal(*tunnel, "--instance-id", WEB) as terminal:
        terminal.expect("--local-port")
        equal(terminal.wait(), 252, "a terminal")
    line = [*tunnel, "--instance-id", WEB]
    w.eice(*line, env=w.env("AWS_REGION")).expect(253, "no region")
    w.eice(*line, env=w.env("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                            AWS_EC2_METADATA_DISABLED="true")).expect(253, "no keys")
    w.eice(*tunnel, "--instance-id", "i-00000000000000bad").expect(254, "no such instance")
    w.sim.ctl("fault", kind="http-error", action="openTunnel", status=403,
              code="AccessDeniedException", message="not you", times=1)
    w.eice(*line).expect(255, "a tunnel refused")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = w.eice(*line, "--local-port", f"{port}").expect(255, "a port in use")
        contains(result.err, str(port), "which port")


if __name__ == "__main__":
    sys.exit(main("the AWS CLI's commands"))
