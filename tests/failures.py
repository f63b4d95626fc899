#!/usr/bin/python3
"""The failure table: every way to fail that we know, and what the user is then told.

    failures.py EICE [name …]        prints PASS, FAIL and SKIP lines
    failures.py --list
    failures.py --jobs N EICE …      so many simulators at a time (4)

EICE is the program; one built with AddressSanitizer finds leaks as well. Each row breaks the
world in one way and says which error must come, in which stage, within what time, with what
words for the cause (they hold the value that failed) and for the remedy.
"""

import multiprocessing
import os
import signal
import socket
import ssl
import sys
import time

from faillib import (Row, closed_port, dns_failure, full_backlog, hold, interrupted, need,
                     on_terminal, read_until, resolver, run_rows, tcp_peer)
from sim import targets

ENDPOINT = "eice-0a1b2c3d4e5f60718"
WEB = "i-0123456789abcdef0"
TUNNEL = {"action": "openTunnel"}
TUNNEL_HOST = {"host": "eice-*"}
API_HOST = {"host": "ec2.*"}
NO_RULES = {"EICE_CONNECT_TO": ""}
PROXY = ("proxy", "echo-box")
ALL_HERE = "::127.0.0.1:{port}"

ROWS = []


def row(name, **members):
    ROWS.append(Row(name, **members))


def endpoint_requests(room):
    return room.sim.ctl("journal", kind="request", action="openTunnel")


def pushes(room):
    return room.sim.ctl("count", kind="request", action="SendSSHPublicKey")


def expect_requests(count, **fields):
    """A check: so many requests of this kind were made."""
    def check(room, _):
        got = room.sim.ctl("count", kind="request", **fields)
        need(got == count, f"{got} requests {fields}, expected {count}")
    return check


def client_closed(room, _):
    """The tunnel ended with our Close 1000."""
    ends = room.sim.ctl("journal", kind="tunnel")
    need(ends and ends[-1]["client_close"] and ends[-1]["client_close"][0] == 1000,
         f"no Close was sent: {ends[-1:]}")


# --- credentials ----------------------------------------------------------------------------

NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}

row("no-credentials", env=NO_KEYS, error="NO_CREDENTIALS", stage="credentials", seconds=2,
    cause="no credentials|found none", remedy="AWS_ACCESS_KEY_ID.*AWS_PROFILE")
row("no-credentials-proxy", args=PROXY, env=NO_KEYS, error="NO_CREDENTIALS",
    stage="credentials", seconds=2, cause="credentials", remedy="AWS_ACCESS_KEY_ID")
row("no-credentials-anywhere", env={**NO_KEYS, "AWS_EC2_METADATA_DISABLED": None},
    error="NO_CREDENTIALS", stage="credentials", seconds=3, cause="credentials",
    remedy="AWS_ACCESS_KEY_ID")
row("no-region", env={"AWS_REGION": None}, error="NO_REGION", seconds=2,
    cause="region", remedy="--region.*AWS_REGION")
row("no-such-profile", args=("--profile", "nobody", *("ssh", "web-1", "true")), env=NO_KEYS,
    error="PROFILE", stage="configuration", seconds=2, cause="nobody", remedy="--profile")
row("wrong-secret", env={"AWS_SECRET_ACCESS_KEY": "wrong/secret/of/forty/characters/0000000"},
    error="AWS_AUTH", cause="AKIASIMULATED0000001", remedy="secret access key")
row("wrong-secret-whoami", args=("whoami",),
    env={"AWS_SECRET_ACCESS_KEY": "wrong/secret/of/forty/characters/0000000"},
    error="AWS_AUTH", stage="api", cause="AKIASIMULATED0000001", remedy="secret access key")
row("unknown-key", env={"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN000000001"},
    error="AWS_AUTH", cause="AKIAUNKNOWN000000001", remedy="access key")
row("expired-token", credential="expired", error="CREDENTIALS_EXPIRED",
    cause="ASIASIMULATED0000003|expired", remedy="new temporary credentials")
row("wrong-token", credential="temporary", env={"AWS_SESSION_TOKEN": "A" * 700},
    error="AWS_AUTH", cause="ASIASIMULATED0000002", remedy="session token")
row("temporary-key-without-token", credential="temporary", env={"AWS_SESSION_TOKEN": None},
    error="CREDENTIALS", stage="credentials", seconds=2, cause="ASIA",
    remedy="AWS_SESSION_TOKEN")
row("denied-describe", credential="denied", error="AWS_DENIED", stage="api",
    cause="ec2:Describe", remedy="ec2:Describe|permission")
row("denied-push", credential="limited",
    args=("--max-tunnel-duration", "600", "ssh", "root@web-1", "true"),
    error="AWS_DENIED", stage="push-key", cause="ec2-instance-connect:SendSSHPublicKey.*" + WEB,
    remedy="permission|SendSSHPublicKey")
row("denied-tunnel", credential="limited", error="UPGRADE_DENIED", stage="upgrade",
    cause=ENDPOINT + ".*ec2-instance-connect:OpenTunnel",
    remedy="ec2-instance-connect:OpenTunnel.*maxTunnelDuration")
row("allowed-by-duration", credential="limited",
    args=("--max-tunnel-duration", "600", "ssh", "web-1", "echo hi"), stdout=b"hi\n",
    warnings=("first contact with .*, unconfirmed .ec2:GetConsoleOutput is not allowed",))

# --- clock ----------------------------------------------------------------------------------

for hours, words in ((1, "behind AWS"), (-1, "ahead of AWS")):
    row(f"clock-off-{words.split()[0]}", world=[("clock", {"offset": 3600 * hours})],
        stdout=b"hi\n", seconds=6, warnings=(f"the clock of this machine is 3\\d\\d\\d s {words}",))
row("clock-off-3-minutes", world=[("clock", {"offset": 180})], stdout=b"hi\n",
    check=expect_requests(1, action="openTunnel"))
row("clock-off-proxy", args=("proxy", "source-box"), world=[
    ("clock", {"offset": 3600}), ("instance", {"id": "source-box", "targets": {"22": "source:9"}})],
    stdout=targets.pattern(9), warnings=("the clock of this machine",))

# --- instance and endpoint ------------------------------------------------------------------

row("unknown-name", args=("ssh", "nobody-1", "true"), error="NO_INSTANCE", stage="target",
    cause="nobody-1 in eu-west-1", remedy="region.*account")
row("unknown-id", args=("ssh", "i-0feedfeedfeedfeed", "true"), error="NO_INSTANCE",
    cause="i-0feedfeedfeedfeed", remedy="region.*account")
row("malformed-id", args=("ssh", "i-0xyz", "true"), error="NO_INSTANCE", stage="target",
    cause="i-0xyz", remedy="i-.*hex|name or id")
row("unknown-address", args=("ssh", "10.99.0.1", "true"), error="NO_INSTANCE", stage="target",
    cause="10.99.0.1 in eu-west-1", remedy="region")
row("unknown-tag", args=("ssh", "tag:Env=none", "true"), error="NO_INSTANCE", stage="target",
    cause="tag:Env=none", remedy="region")
row("stopped", args=("ssh", "batch", "true"), error="NOT_RUNNING", stage="target",
    cause="i-0123456789abcde10 is stopped", remedy="start it")
row("stopped-by-id", args=("ssh", "i-0123456789abcde10", "true"), error="NOT_RUNNING",
    stage="target", cause="i-0123456789abcde10 is stopped", remedy="start it")
row("terminated", args=("ssh", "old", "true"), error="NOT_RUNNING", stage="target",
    cause="i-0123456789abcde11 is terminated", remedy="gone for good")
row("ambiguous", args=("ssh", "twin", "true"), error="AMBIGUOUS", stage="target",
    cause="2 instances match twin .*i-0123456789abcde13.*i-0123456789abcde14",
    remedy="instance id")
row("no-address", args=("ssh", "web-1", "true"),
    world=[("instance", {"id": "web-1", "ip": None, "ipv6": None})],
    error="NO_INSTANCE", stage="target", cause=WEB + " has no private address",
    remedy="--private-ip|name or id")
row("no-endpoint", args=("ssh", "lonely", "true"), error="NO_ENDPOINT", stage="endpoint",
    cause="vpc-0ddd3333eee4444aa.*i-0123456789abcde15", remedy="eice enroll")
row("endpoint-being-created", args=("ssh", "early", "true"), error="NO_ENDPOINT",
    stage="endpoint", cause="eice-0a1b2c3d4e5f60bbb.*create-in-progress",
    remedy="again in a minute", retryable=True)
row("endpoint-create-failed", args=("ssh", "broken", "true"), error="NO_ENDPOINT",
    stage="endpoint", cause="eice-0a1b2c3d4e5f60ccc.*create-failed.*no available addresses",
    remedy="delete it", retryable=False)
row("malformed-endpoint", args=("--endpoint-id", "eice-xyz", "ssh", "web-1", "true"),
    error="NO_ENDPOINT", cause="eice-xyz", remedy="check the id")
row("unknown-endpoint", args=("--endpoint-id", "eice-0123456789abcdef0", "ssh", "web-1", "true"),
    error="NO_ENDPOINT", cause="eice-0123456789abcdef0", remedy="check the id")

# --- names and connections ------------------------------------------------------------------

row("name-not-found", env={**NO_RULES, "EICE_RESOLV_CONF": "{resolv}"}, fixture=dns_failure(3),
    error="NAME_NOT_FOUND", stage="resolve", cause=r"ec2\.eu-west-1\.amazonaws\.com",
    remedy="region")
row("tunnel-name-not-found", fixture=dns_failure(3), env={
    "EICE_RESOLV_CONF": "{resolv}", "EICE_CONNECT_TO":
    "ec2.eu-west-1.amazonaws.com:443:127.0.0.1:{sim} "
    "ec2-instance-connect.eu-west-1.amazonaws.com:443:127.0.0.1:{sim}"},
    error="NAME_NOT_FOUND", stage="resolve", cause=ENDPOINT, remedy="name")
row("resolver-refuses", env={**NO_RULES, "EICE_RESOLV_CONF": "{resolv}"}, fixture=dns_failure(5),
    error="DNS_FAILED", stage="resolve", cause=r"ec2\.eu-west-1\.amazonaws\.com",
    remedy="resolv.conf")
row("resolver-silent", env={**NO_RULES, "EICE_RESOLV_CONF": "{resolv}"},
    fixture=resolver(lambda _: None), error="DNS_TIMEOUT", stage="resolve", seconds=3,
    cause=r"ec2\.eu-west-1\.amazonaws\.com", remedy="resolv.conf")
row("resolver-absent", env={**NO_RULES, "EICE_RESOLV_CONF": "{resolv}"},
    fixture=lambda room: _no_resolver(room), error="DNS_FAILED", stage="resolve", seconds=3,
    cause=r"ec2\.eu-west-1\.amazonaws\.com", remedy="resolv.conf")


def _no_resolver(room):
    from contextlib import contextmanager

    @contextmanager
    def fixture():
        with closed_port(room) as found:
            yield {"resolv": room.write("resolv.conf",
                                        f"nameserver [127.0.0.1]:{found['port']}\n")}
    return fixture()


row("not-listening", env={"EICE_CONNECT_TO": ALL_HERE}, fixture=closed_port,
    error="CONNECT_REFUSED", stage="connect",
    cause=r"127\.0\.0\.1.*port \d+|ec2\.eu-west-1", remedy="firewall")
row("black-hole", env={"EICE_CONNECT_TO": ALL_HERE}, fixture=full_backlog,
    error="CONNECT_TIMEOUT", stage="connect", seconds=3, cause=r"127\.0\.0\.1.*in 2 s",
    remedy="route|firewall|proxy")
row("accept-hang", faults=[("accept-hang", {})], error="TLS_TIMEOUT", stage="tls", seconds=3,
    cause=r"ec2\S*\.eu-west-1\.amazonaws\.com.*in 2 s|127.0.0.1", remedy="prox")
row("accept-close", faults=[("accept-close", {})], env={"AWS_MAX_ATTEMPTS": "1"},
    error="NET_RESET", stage="tls", cause=r"ec2\S*\.amazonaws\.com", remedy="try again")
row("not-tls", faults=[("accept-banner", {})], error="TLS", stage="tls",
    cause=r"ec2\S*\.amazonaws\.com", remedy="reason|prox|port")

# --- TLS ------------------------------------------------------------------------------------

for where, host in (("api", API_HOST), ("tunnel", TUNNEL_HOST)):
    name = r"ec2\.eu-west-1" if where == "api" else ENDPOINT
    for variant, code, remedy in (("expired", "TLS_EXPIRED", "clock"),
                                  ("not-yet", "TLS_EXPIRED", "clock"),
                                  ("wrong-name", "TLS_NAME", "host name|--connect-to"),
                                  ("untrusted", "TLS_UNTRUSTED", "--ca-bundle"),
                                  ("self-signed", "TLS_UNTRUSTED", "--ca-bundle")):
        row(f"cert-{variant}-{where}", faults=[("cert", {"variant": variant, **host})],
            error=code, stage="tls", cause=name, remedy=remedy, retryable=False)
    row(f"tls-garbage-{where}", faults=[("tls-garbage", host)], error="TLS", stage="tls",
        cause=name, remedy="reason|prox")
    row(f"tls-hang-{where}", faults=[("tls-hang", host)], error="TLS_TIMEOUT", stage="tls",
        seconds=8 if where == "tunnel" else 3, env={"AWS_MAX_ATTEMPTS": "1"}, cause=name,
        remedy="prox")
    row(f"tls-alert-{where}", faults=[("tls-alert", host)], error="TLS", stage="tls",
        cause=name + ".*handshake failure", remedy="reason|prox")
row("untrusted-without-bundle", env={"AWS_CA_BUNDLE": None}, error="TLS_UNTRUSTED", stage="tls",
    cause=r"ec2\.eu-west-1", remedy="AWS_CA_BUNDLE", seconds=6)
row("no-such-bundle", env={"AWS_CA_BUNDLE": "/nowhere/ca.pem"}, error="CONFIG", stage="tls",
    cause="/nowhere/ca.pem", remedy="AWS_CA_BUNDLE")
row("empty-bundle", env={"AWS_CA_BUNDLE": "/dev/null"}, error="CONFIG", stage="tls",
    cause="/dev/null", remedy="AWS_CA_BUNDLE")


def tls13_only(room):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(*room.sim.certs.files("good"))

    def serve(sock):
        with context.wrap_socket(sock, server_side=True) as tls:
            hold(tls)
    return tcp_peer(serve)


row("tls-1.3-only", env={"EICE_CONNECT_TO": ALL_HERE}, fixture=tls13_only, error="TLS",
    stage="tls", cause=r"ec2\S*\.amazonaws\.com.*version", remedy="TLS 1.2|prox|reason")

# --- API ------------------------------------------------------------------------------------

DESCRIBE = {"action": "DescribeInstances"}
PUSH = {"action": "SendSSHPublicKey"}
ONE_TRY = {"AWS_MAX_ATTEMPTS": "1"}
THROTTLED = {"status": 503, "code": "RequestLimitExceeded", **DESCRIBE}

row("throttled-twice", faults=[("http-error", {**THROTTLED, "times": 2})], stdout=b"hi\n",
    seconds=8, check=expect_requests(3, **DESCRIBE))
row("throttled-for-ever", faults=[("http-error", THROTTLED)], error="AWS_THROTTLED",
    stage="api", seconds=8, cause="DescribeInstances.*RequestLimitExceeded|RequestLimitExceeded",
    remedy="wait", retryable=True, check=expect_requests(3, **DESCRIBE))
row("api-500", faults=[("http-error", {"status": 500, "code": "InternalError", **DESCRIBE})],
    env={"AWS_MAX_ATTEMPTS": "2"}, error="AWS", stage="api", seconds=6,
    cause="DescribeInstances.*500|500.*InternalError|InternalError", remedy="quoted|again",
    retryable=True)
row("api-500-once", faults=[("http-error", {"status": 500, "code": "InternalError", "times": 1,
                                             **DESCRIBE})],
    stdout=b"hi\n", seconds=6)
row("api-400", faults=[("http-error", {"status": 400, "code": "InvalidParameterValue",
                                       "message": "the value is odd", **DESCRIBE})],
    error="AWS", stage="api", cause="InvalidParameterValue.*the value is odd", remedy="quoted",
    retryable=False, check=expect_requests(1, **DESCRIBE))
row("api-malformed", faults=[("malformed", DESCRIBE)], env={"AWS_MAX_ATTEMPTS": "2"},
    error="AWS", stage="api", seconds=6, cause="DescribeInstances is malformed",
    remedy="prox|again|report")
row("api-truncated", faults=[("truncate", DESCRIBE)], env={"AWS_MAX_ATTEMPTS": "2"},
    error="NET_RESET", stage="api", seconds=6, cause=r"ec2\.eu-west-1.*DescribeInstances",
    remedy="again", retryable=True, check=expect_requests(2, **DESCRIBE))
row("api-truncated-hang", faults=[("truncate-hang", DESCRIBE)], env=ONE_TRY,
    error="HTTP_TIMEOUT", stage="api", cause="DescribeInstances in 2 s", remedy="again")
row("api-html", faults=[("html-error", {**DESCRIBE, "status": 403})], error="HTTP_STATUS",
    stage="api", cause="DescribeInstances.*403|403.*Bad Gateway", remedy="quoted|prox")
row("api-html-502", faults=[("html-error", DESCRIBE)], env={"AWS_MAX_ATTEMPTS": "2"},
    error="HTTP_STATUS", stage="api", seconds=6, cause="502", remedy="quoted|prox|again",
    retryable=True)
row("api-hang", faults=[("hang", DESCRIBE)], env=ONE_TRY, error="HTTP_TIMEOUT", stage="api",
    cause=r"ec2\.eu-west-1.*DescribeInstances in 2 s", remedy="again")
row("api-hang-twice", faults=[("hang", DESCRIBE)], env={"AWS_MAX_ATTEMPTS": "2"},
    error="HTTP_TIMEOUT", stage="api", seconds=7, cause="DescribeInstances in 2 s",
    remedy="again", check=expect_requests(2, **DESCRIBE))
row("api-hang-idle", args=("--answer-timeout", "4", "whoami"), quick=False, cpu=0.4, env=ONE_TRY,
    faults=[("hang", {})], error="HTTP_TIMEOUT", stage="api", seconds=6,
    cause="GetCallerIdentity in 4 s", remedy="again")
row("api-head-cut", faults=[("raw", {"text": "HTTP/1.1 200 OK\r\nContent-Le", **DESCRIBE})],
    env={"AWS_MAX_ATTEMPTS": "1"}, error="NET_RESET", stage="api",
    cause=r"ec2\.eu-west-1.*DescribeInstances", remedy="again")
row("api-drop-once", faults=[("drop", {**DESCRIBE, "times": 1})], stdout=b"hi\n", seconds=6)
row("api-not-http", faults=[("raw", {"text": "SSH-2.0-OpenSSH_9\r\n", **DESCRIBE})],
    error="HTTP", stage="api", cause=r"SSH-2\.0|ec2\.eu-west-1", remedy="prox")
row("api-huge", faults=[("huge-body", {"bytes": 17 << 20, **DESCRIBE})], error="LIMIT",
    stage="api", seconds=8, cause="DescribeInstances|bytes", remedy="limit")
row("api-silent-close", faults=[("close-silent", {"action": "Describe*"})], stdout=b"hi\n")
row("api-empty-pages", faults=[("empty-page", {**DESCRIBE, "times": 3})], stdout=b"hi\n")
row("api-same-page-for-ever", faults=[("repeat-token", DESCRIBE), ("empty-page", DESCRIBE)],
    error="AWS", stage="api", cause="token", remedy="quoted", seconds=6)
row("push-hang", faults=[("hang", PUSH)], env=ONE_TRY, error="HTTP_TIMEOUT", stage="push-key",
    cause="SendSSHPublicKey in 2 s", remedy="again")
row("push-success-false", faults=[("success-false", PUSH)], error="AWS", stage="push-key",
    cause="SendSSHPublicKey|Success", remedy="quoted|again")
row("push-throttled", faults=[("http-error", {"status": 429, "code": "ThrottlingException",
                                              "times": 1, **PUSH})],
    stdout=b"hi\n", seconds=6)
row("sts-html", args=("whoami",), faults=[("html-error", {"status": 403})],
    error="HTTP_STATUS", stage="api", cause="GetCallerIdentity|403", remedy="quoted|prox")

# --- proxies --------------------------------------------------------------------------------


def proxy_answers(text):
    """A proxy that answers CONNECT with this text."""
    def serve(sock):
        sock.recv(4096)
        sock.sendall(text.encode())
        sock.shutdown(socket.SHUT_WR)
        hold(sock)
    return lambda room: tcp_peer(serve)


BY_PROXY = {"HTTPS_PROXY": "http://127.0.0.1:{port}"}

row("proxy-not-listening", env=BY_PROXY, fixture=closed_port, error="CONNECT_REFUSED",
    stage="connect", cause=r"proxy 127\.0\.0\.1.*port \d+", remedy="prox|firewall")
row("proxy-refuses", env=BY_PROXY, error="PROXY", stage="proxy",
    fixture=proxy_answers("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
    cause=r"127\.0\.0\.1.*403 Forbidden.*CONNECT", remedy="HTTPS_PROXY")
row("proxy-wants-password", env=BY_PROXY, error="PROXY", stage="proxy",
    fixture=proxy_answers("HTTP/1.1 407 Proxy Authentication Required\r\n"
                          "Proxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"),
    cause="407", remedy="user:password")
row("proxy-password-kept", error="PROXY", stage="proxy", secrets=("pa55word", "am9lOnBhNTV3b3Jk"),
    env={"HTTPS_PROXY": "http://joe:pa55word@127.0.0.1:{port}"},
    fixture=proxy_answers("HTTP/1.1 407 Nope\r\nContent-Length: 0\r\n\r\n"),
    cause="407", remedy="user:password")
row("proxy-hangs", env=BY_PROXY, fixture=lambda room: tcp_peer(hold), error="PROXY",
    stage="proxy", seconds=3, cause=r"127\.0\.0\.1.*in 2 s", remedy="HTTPS_PROXY")
APIS_DIRECT = "ec2.eu-west-1.amazonaws.com,ec2-instance-connect.eu-west-1.amazonaws.com"
row("proxy-hangs-tunnel", env={**BY_PROXY, "NO_PROXY": APIS_DIRECT},
    fixture=lambda room: tcp_peer(hold), error="PROXY", stage="proxy", seconds=4,
    cause=r"127\.0\.0\.1.*in 2 s", remedy="HTTPS_PROXY")
row("proxy-refuses-tunnel", args=PROXY, env={**BY_PROXY, "NO_PROXY": APIS_DIRECT}, error="PROXY",
    stage="proxy", fixture=proxy_answers("HTTP/1.1 503 No route\r\nContent-Length: 0\r\n\r\n"),
    cause=r"127\.0\.0\.1.*503 No route.*CONNECT", remedy="HTTPS_PROXY")
row("proxy-not-resolved", fixture=dns_failure(3), error="NAME_NOT_FOUND", stage="resolve", env={
    "HTTPS_PROXY": "http://proxy.example:3128", "EICE_RESOLV_CONF": "{resolv}"},
    cause=r"proxy proxy\.example", remedy="HTTPS_PROXY|name")
row("proxy-with-tls", env={"HTTPS_PROXY": "https://127.0.0.1:3128"}, error="PROXY", stage="proxy",
    cause="TLS to a proxy", remedy="http://", seconds=2)
row("proxy-six-not-listening", env={"HTTPS_PROXY": "http://[::1]:9"}, error="CONNECT_REFUSED",
    stage="connect", cause=r"proxy ::1.*port 9", remedy="prox|firewall")
row("proxy-closes", env=BY_PROXY, error="PROXY", stage="proxy", fixture=proxy_answers(""),
    cause=r"127\.0\.0\.1 closed", remedy="HTTPS_PROXY")
row("proxy-not-http", env=BY_PROXY, error="PROXY", stage="proxy",
    fixture=proxy_answers("SSH-2.0-OpenSSH\r\n"), cause=r"127\.0\.0\.1", remedy="HTTPS_PROXY")
row("proxy-url-odd", env={"HTTPS_PROXY": "socks5://127.0.0.1:1080"}, error="CONFIG",
    cause="https proxy", remedy="setting|HTTPS_PROXY", seconds=2)

# --- the upgrade ----------------------------------------------------------------------------


row("refused-403", faults=[("refuse", {})], error="UPGRADE_DENIED", stage="upgrade",
    cause=ENDPOINT + ".*AccessDeniedException.*not authorized",
    remedy="ec2-instance-connect:OpenTunnel", check=expect_requests(1, action="openTunnel"))
row("refused-400", faults=[("refuse", {"status": 400, "code": "InvalidParameter",
                                       "message": "The address is odd"})],
    error="UPGRADE_REFUSED", stage="upgrade", retryable=False,
    cause=ENDPOINT + ".*400 InvalidParameter: The address is odd", remedy="quoted",
    check=expect_requests(1, action="openTunnel"))
row("refused-429", world=[("setting", {"name": "quota", "value": 0})], error="UPGRADE_QUOTA",
    stage="upgrade", seconds=8, cause=ENDPOINT + ".*429.*TooManyRequests",
    remedy="20 connections", retryable=True, check=expect_requests(3, action="openTunnel"))
row("refused-429-once", faults=[("refuse", {"status": 429, "code": "TooManyRequestsException",
                                            "times": 1})],
    stdout=b"hi\n", seconds=6)
row("refused-500", faults=[("refuse", {"status": 500, "code": "InternalError"})],
    error="UPGRADE_REFUSED", stage="upgrade", seconds=8, cause=ENDPOINT + ".*500 InternalError",
    remedy="quoted|again", retryable=True, check=expect_requests(3, action="openTunnel"))
row("refused-html", faults=[("refuse", {"body": "html"})], error="UPGRADE_DENIED",
    stage="upgrade", cause=ENDPOINT + ".*403.*Forbidden", remedy="OpenTunnel")
row("refused-empty", faults=[("refuse", {"status": 404, "body": "empty"})],
    error="UPGRADE_REFUSED", stage="upgrade", cause=ENDPOINT + ".*404", remedy="quoted")
row("refused-proxy", args=PROXY, faults=[("refuse", {})], error="UPGRADE_DENIED",
    stage="upgrade", cause="AccessDeniedException", remedy="OpenTunnel", stdout=b"")
row("refused-port", args=("proxy", "web-1", "23"), error="UPGRADE_REFUSED", stage="upgrade",
    cause="400 InvalidParameter: .*22 or 3389", remedy="quoted")
row("upgrade-wrong-accept", faults=[("wrong-accept", {})], error="WS_PROTOCOL",
    stage="upgrade", cause=ENDPOINT + ".*Accept", remedy="report|prox")
row("upgrade-status-200", faults=[("status-200", {})], error="UPGRADE_REFUSED",
    stage="upgrade", cause=ENDPOINT + ".*200", remedy="quoted")
row("upgrade-hang", faults=[("hang", TUNNEL)], env=ONE_TRY, error="UPGRADE_TIMEOUT",
    stage="upgrade", cause=ENDPOINT + ".*2 s", remedy="again", retryable=True)
row("upgrade-drop", faults=[("drop", TUNNEL)], env=ONE_TRY, error="NET_RESET",
    stage="upgrade", cause=ENDPOINT, remedy="again", retryable=True)
row("upgrade-rst-once", faults=[("rst", {**TUNNEL, "times": 1})], stdout=b"hi\n", seconds=6)
row("upgrade-signature", env=ONE_TRY, error="UPGRADE_REFUSED", stage="upgrade",
    faults=[("refuse", {"status": 403, "code": "InvalidSignatureException",
                        "message": "Signature expired"})],
    cause="InvalidSignatureException", remedy="quoted|clock")

# --- the target -----------------------------------------------------------------------------

for name, target, why in (
        ("port-refused", "refuse-box", "whether sshd listens there"),
        ("security-group", "fenced", "the instance.s security group, lets TCP 22 in")):
    row("unreachable-" + name, args=("ssh", target, "true"), error="TARGET_UNREACHABLE",
        stage="tunnel", world=[("setting", {"name": "dial_timeout_ms", "value": 500})],
        cause=ENDPOINT + r".*10\.20\.1\.\d+:22.*Unable to connect to target",
        remedy=why)
row("unreachable-proxy", args=("proxy", "refuse-box"), error="TARGET_UNREACHABLE",
    stage="tunnel", cause=r"10\.20\.1\.32:22", remedy="security group", stdout=b"")
row("target-silent", args=("ssh", "silent-box", "true"), error="TARGET_SILENT", stage="tunnel",
    cause=r"10\.20\.1\.34:22.*2 s", remedy="listens")
row("target-stalled", faults=[("stall", {})], error="TARGET_SILENT", stage="tunnel",
    cause=r"10\.20\.1\.23:22.*2 s", remedy="listens")
row("target-closes", args=("ssh", "closing-box", "true"), error="SSH_BANNER",
    stage="ssh-banner", cause="i-0123456789abcde27|10.20.1.39|ended before", remedy="listens")
row("target-garbage", args=("ssh", "garbage-box", "true"), error="SSH_BANNER",
    stage="ssh-banner", cause="no SSH server", remedy="listens")
row("target-http", args=("ssh", "echo-box", "true"), error="SSH_BANNER", stage="ssh-banner",
    world=[("instance", {"id": "echo-box", "targets": {
        "22": "say:HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n"}})],
    cause="HTTP/1.1 400 Bad Request", remedy="listens")
row("target-not-allowed", args=("ssh", "banned-box", "true"), error="SSH_BANNER",
    stage="ssh-banner", cause="Not allowed at this time", remedy="PerSourcePenalties.*wait")
row("target-resets", args=("ssh", "reset-box", "true"), stage="tunnel", error="TUNNEL_CLOSED",
    cause="Connection to target lost", remedy="quoted|20 connections")
row("target-old-ssh", args=("ssh", "echo-box", "true"), error="SSH_KEX", stage="ssh-kex",
    world=[("instance", {"id": "echo-box", "targets": {"22": "say:SSH-1.5-old\r\n"}})],
    cause="SSH-1.5|protocol|key exchange", remedy="reason|SSH")

# --- login ----------------------------------------------------------------------------------

row("wrong-login", args=("ssh", "app & web-2", "true"), error="SSH_AUTH", stage="ssh-auth",
    cause="i-0123456789abcdef1.*ec2-user", remedy="login of its image is ubuntu", seconds=6)
row("unknown-login", args=("ssh", "joe@web-1", "true"), error="SSH_AUTH", stage="ssh-auth",
    cause=WEB + ".*joe", remedy="login of its image is ec2-user", seconds=6)
row("key-expired-before-login", env={"EICE_KEY_LIFE_MS": "900"}, stdout=b"hi\n", seconds=8,
    world=[("setting", {"name": "key_seconds", "value": 2})],
    faults=[("dial-delay", {"ms": 2500})], quick=False,
    check=lambda room, _: need(pushes(room) >= 2, f"{pushes(room)} pushes"))
row("login-hangs", world=[("setting", {"name": "key_delay_ms", "value": 8000})],
    error="SSH_TIMEOUT", stage="ssh-auth", cause="login", remedy="again")
row("host-key-changed", prepare=lambda room: known(room, "i-0123456789abcdef1"),
    error="HOST_KEY_CHANGED", stage="host-key",
    cause=WEB + ".*SHA256:.*line 1 of .*known_hosts", remedy="something else answered at first "
    "contact; to accept it: ssh-keygen -R " + WEB + " -f ",
    check=lambda room, _: no_login(room))
row("host-key-unknown", args=("ssh", "--hostkey-policy", "strict", "web-1", "true"),
    error="HOST_KEY_UNKNOWN", stage="host-key", cause=WEB + ".*SHA256:",
    remedy="known_hosts.*auto", check=lambda room, _: no_login(room))
FIRST = "first contact with " + WEB
CONSOLE = {"action": "GetConsoleOutput"}
row("host-key-tofu", args=("ssh", "--hostkey-policy", "tofu", "web-1", "echo hi"), stdout=b"hi\n",
    warnings=(FIRST + ": its host key is stored in .*known_hosts",))
row("host-key-no-console", faults=[("http-error", {"status": 403, "code": "UnauthorizedOperation",
                                                   **CONSOLE})],
    stdout=b"hi\n", warnings=(FIRST + ", unconfirmed .ec2:GetConsoleOutput is not allowed.",))
row("host-key-console-fails", faults=[("drop", CONSOLE)], stdout=b"hi\n", seconds=8,
    warnings=(FIRST + ", unconfirmed .ec2.*GetConsoleOutput",))
row("host-key-console-hangs", faults=[("hang", CONSOLE)], stdout=b"hi\n", seconds=8, quick=False,
    warnings=(FIRST + ", unconfirmed .*GetConsoleOutput",))
row("host-key-revoked", prepare=lambda room: known(room, WEB, "@revoked "),
    error="HOST_KEY_REVOKED", stage="host-key", cause=WEB + ".*SHA256:.*line 1",
    remedy="do not connect", check=lambda room, _: no_login(room))
row("host-key-known", prepare=lambda room: known(room, WEB), stdout=b"hi\n")
row("host-key-off", args=("ssh", "--hostkey-policy", "off", "web-1", "echo hi"), stdout=b"hi\n",
    warnings=("not verified",))
row("known-hosts-unwritable", args=("ssh", "--known-hosts", "/proc/eice/known_hosts", "web-1",
                                    "echo hi"),
    stdout=b"hi\n", warnings=("cannot be stored in /proc/eice/known_hosts",))
row("known-hosts-unreadable", args=("ssh", "--known-hosts", "/tmp", "web-1", "true"),
    error="LOCAL_IO", stage="host-key", cause="/tmp", remedy="readable")


def known(room, instance, mark=""):
    """A known_hosts file that ties web-1 to the keys of this instance."""
    lines = room.sim.ctl("sshd", instance=next(
        e["name"] for e in room.sim.world.data["instances"] if e["id"] == instance))["host_keys"]
    room.write("state/eice/known_hosts",
               "".join(f"{mark}{WEB} {' '.join(k.split()[:2])}\n" for k in lines))
    room.keep.add("state")


def no_login(room):
    """The instance was not asked for a login: its key was never looked up."""
    need(room.sim.ctl("count", kind="key-lookup") == 0, "a login was tried all the same")


# --- in mid-session -------------------------------------------------------------------------

STREAM = ("ssh", "web-1", "seq 1 100000")
SEQUENCE = b"".join(b"%d\n" % n for n in range(1, 100001))


def prefix_of_sequence(least):
    """A check: what came out is a beginning of what was sent, and all that was complete."""
    def check(_, result):
        need(SEQUENCE.startswith(result.out), "the output is not what was sent")
        need(len(result.out) >= least, f"only {len(result.out)} bytes came out")
    return check


DEATH = {"args": STREAM, "seconds": 6}

row("dies-rst", **DEATH, faults=[("die", {"bytes": 100000, "how": "rst"})], error="NET_RESET",
    cause=ENDPOINT, remedy="again|reconnect", check=prefix_of_sequence(0))
row("dies-drop", **DEATH, faults=[("die", {"bytes": 100000, "how": "drop"})],
    error="NET_RESET", stage="tunnel", cause=ENDPOINT, remedy="again",
    check=prefix_of_sequence(60000))
row("dies-close", **DEATH, faults=[("die", {"bytes": 100000})], error="TUNNEL_CLOSED",
    stage="tunnel", cause=ENDPOINT + ".*1011: Service restart", remedy="quoted",
    check=prefix_of_sequence(60000))
row("dies-mac", **DEATH, faults=[("die", {"bytes": 100000, "how": "bad-mac"})], error="TLS",
    cause=ENDPOINT, remedy="reason")
row("dies-close-normal", **DEATH, faults=[("die", {"bytes": 100000, "code": 1000,
                                                    "reason": ""})],
    error="SSH_LOST", stage="session", cause="mid-session", remedy="reconnect",
    check=prefix_of_sequence(60000))
row("freezes", args=("ssh", "-o", "ServerAliveInterval=1", "web-1", "seq 1 100000; sleep 60"),
    faults=[("die", {"bytes": 100000, "how": "freeze"})], error="SSH_TIMEOUT", stage="session",
    cause="keepalive", remedy="again|reconnect", seconds=8)
row("duration-reached", args=("--max-tunnel-duration", "2", "ssh", "web-1", "sleep 60"),
    error="TUNNEL_EXPIRED", stage="tunnel", cause=ENDPOINT + ".*2 s", remedy="reconnect", seconds=6)
row("duration-reached-proxy", args=("--max-tunnel-duration", "2", "proxy", "silent-box", "3389"),
    error="TUNNEL_EXPIRED", stage="tunnel", cause=ENDPOINT, remedy="reconnect", stdout=b"",
    seconds=6)
for kind, options, words in (
        ("masked", {}, "mask"), ("text", {}, "text"), ("reserved", {"bit": 64}, "reserved"),
        ("opcode", {}, "opcode"), ("huge-control", {}, "control"),
        ("bad-continuation", {}, "continuation"), ("negative-length", {}, "length"),
        ("bad-close", {}, "Close|close")):
    row("frame-" + kind, faults=[(kind, options)], error="WS_PROTOCOL", stage="tunnel",
        cause=ENDPOINT + ".*(" + words + ")", remedy="report")
for kind, options in (("ping-flood", {}), ("split", {}), ("fragment", {}), ("segments", {}),
                      ("upgrade-split", {}), ("upgrade-with-data", {}), ("ping-every", {"ms": 3}),
                      ("empty-frames", {}), ("slow-read", {}), ("pong-first", {}),
                      ("no-close-echo", {})):
    row("fine-" + kind, faults=[(kind, options)], stdout=b"hi\n", seconds=6)
row("close-with-data", args=("proxy", "source-box"), faults=[("close-with-data", {})],
    world=[("instance", {"id": "source-box", "targets": {"22": "source:5000"}})],
    stdout=targets.pattern(5000))
row("close-with-data-and-reason", args=("proxy", "source-box"),
    faults=[("close-with-data", {"code": 1011, "reason": "gone"})],
    world=[("instance", {"id": "source-box", "targets": {"22": "source:5000"}})],
    stdout=targets.pattern(5000), error="TUNNEL_CLOSED", stage="tunnel",
    cause=ENDPOINT + ".*1011: gone", remedy="quoted")

# --- local ends -----------------------------------------------------------------------------


def no_reader(room):
    """stdout is a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    try:
        child = room.start(stdout=write)
    finally:
        os.close(write)
    child.wait(room.row.seconds + 5)


def nothing_said(_, result):
    said = [line for line in result.lines() if not line.startswith("eice:  ")
            and "warning" not in line]
    need(not said, f"it said {said}")


row("stdin-ends", args=("ssh", "web-1", "cat; echo end"), stdin=b"last", stdout=b"lastend\n")
row("stdin-ends-proxy", args=("proxy", "--idle", "1", "echo-box"), stdin=b"SSH-2.0-x\r\n",
    stdout=b"SSH-2.0-x\r\n", check=client_closed)
row("stdin-closed", args=("ssh", "web-1", "cat; echo end"), shell="<&-", stdout=b"end\n")
row("stdin-closed-proxy", args=("proxy", "--idle", "1", "source-box"), shell="<&-",
    world=[("instance", {"id": "source-box", "targets": {"22": "source:5000"}})],
    stdout=targets.pattern(5000))
row("stdout-closed", args=("ssh", "web-1", "echo hi; exit 3"), shell=">&-", stdout=b"", status=3)
row("all-closed", args=("ssh", "web-1", "echo hi; exit 3"), shell="<&- >&- 2>&-", stdout=b"",
    status=3)
row("stdout-full", args=("ssh", "web-1", "echo hi; sleep 60"), shell=">/dev/full", status=255,
    check=lambda _, result: need("No space" in result.err, "no word of it"))
row("stdout-full-proxy", args=("proxy", "source-box"), shell=">/dev/full",
    error="LOCAL_IO", cause="No space left", remedy="reason", stage="local")
row("reader-gone", args=("ssh", "web-1", "yes"), drive=no_reader, status=255,
    check=nothing_said)
row("reader-gone-silent", args=("ssh", "web-1", "sleep 1; exit 3"), drive=no_reader, status=3,
    check=nothing_said)
row("reader-gone-proxy", args=("proxy", "source-box"), drive=no_reader, status=0,
    check=nothing_said)


# --- signals --------------------------------------------------------------------------------

def struck(kind):
    return lambda room: room.struck(kind)


def said(text):
    return lambda room: text in room.child.text("err")


def printed(text):
    return lambda room: text in room.child.data("out")


def later(room):
    return time.monotonic() - room.child.began > 0.5


STAGES = (
    ("resolve", {"env": {**NO_RULES, "EICE_RESOLV_CONF": "{resolv}"},
                 "fixture": resolver(lambda _: None)}, lambda room: room.values["asked"] > 0),
    ("connect", {"env": {"EICE_CONNECT_TO": ALL_HERE}, "fixture": full_backlog}, later),
    ("tls", {"faults": [("tls-hang", {})]}, struck("tls-hang")),
    ("api", {"faults": [("hang", DESCRIBE)]}, struck("hang")),
    ("tls-tunnel", {"faults": [("tls-hang", TUNNEL_HOST)]}, struck("tls-hang")),
    ("upgrade", {"faults": [("hang", TUNNEL)]}, struck("hang")),
    ("target", {"faults": [("stall", {})]}, struck("stall")),
    ("kex", {"faults": [("die", {"bytes": 60, "how": "freeze"})]}, said("  target ")),
    ("auth", {"world": [("setting", {"name": "key_delay_ms", "value": 8000})]},
     said("; stored in")),
    ("session", {"args": ("ssh", "web-1", "echo ready; sleep 60")},
     printed(b"ready")),
)

for name, members, when in STAGES:
    row("interrupt-" + name, **members, quick=False, status=255, seconds=12,
        drive=interrupted(signal.SIGINT, when))
for name, number in (("term", signal.SIGTERM), ("hangup", signal.SIGHUP)):
    row(name + "-session", args=("ssh", "web-1", "echo ready; sleep 60"),
        status=255, seconds=12, drive=interrupted(number, printed(b"ready")),
        check=client_closed)
    row(name + "-proxy", args=PROXY, status=1, seconds=12,
        drive=interrupted(number, said("  upgrade "), stdin=lambda: os.pipe()[0]),
        check=client_closed)


def at_prompt(room, fd):
    """Waits for the remote shell to answer."""
    os.write(fd, b"echo rea''dy\n")
    read_until(room, fd, b"ready\r\n")


def send_signal(number):
    def action(room, fd):
        at_prompt(room, fd)
        os.kill(room.child.process.pid, number)
    return action


def escape(room, fd):
    at_prompt(room, fd)
    os.write(fd, b"\r~.")


SHELL = {"args": ("ssh", "-tt", "web-1"), "status": 255, "seconds": 12}

row("terminal-interrupt", **SHELL, drive=on_terminal(send_signal(signal.SIGINT)))
row("terminal-term", **SHELL, drive=on_terminal(send_signal(signal.SIGTERM)),
    check=client_closed)
row("terminal-hangup", **SHELL, drive=on_terminal(send_signal(signal.SIGHUP)),
    check=client_closed)
row("terminal-escape", **SHELL, drive=on_terminal(escape), check=client_closed)
row("terminal-dies", args=("ssh", "-tt", "web-1"), seconds=12,
    faults=[("expire", {"ms": 1500, "how": "drop"})], error="NET_RESET", stage="tunnel",
    cause=ENDPOINT, remedy="again", drive=on_terminal(lambda room, fd: None))

# --- exit statuses and usage ----------------------------------------------------------------

row("status-of-command", args=("ssh", "web-1", "exit 42"), status=42)
row("status-of-signal", args=("ssh", "web-1", "kill -TERM $$"), status=255,
    check=lambda _, result: need("killed by SIGTERM" in result.err, result.err[-200:]))
row("status-not-found", args=("ssh", "web-1", "/nowhere/program"), status=127)

for name, args, cause in (
        ("ssh-no-target", ("ssh",), "no target"),
        ("ssh-option", ("ssh", "--nonsense", "web-1"), "--nonsense"),
        ("ssh-letter", ("ssh", "-Z", "web-1"), "-Z"),
        ("ssh-port", ("ssh", "-p", "70000", "web-1"), "70000"),
        ("ssh-o", ("ssh", "-o", "Nonsense=1", "web-1"), "Nonsense=1"),
        ("ssh-policy", ("ssh", "--hostkey-policy", "maybe", "web-1"), "maybe"),
        ("ssh-escape", ("ssh", "-e", "abc", "web-1"), "abc"),
        ("ssh-duration", ("ssh", "--max-tunnel-duration", "4000", "web-1"), "4000"),
        ("ssh-value", ("ssh", "web-1", "--region"), "--region"),
        ("proxy-no-target", ("proxy",), "target"),
        ("proxy-port", ("proxy", "web-1", "0"), "port: 0"),
        ("whoami-operand", ("whoami", "me"), "me"),
        ("command", ("dance",), "dance"),
        ("global-option", ("--nonsense", "ssh", "web-1"), "--nonsense"),
        ("global-timeout", ("--connect-timeout", "soon", "ssh", "web-1"), "soon")):
    row("usage-" + name, args=args, error="ARGUMENT", stage="configuration", seconds=1,
        status=255 if args[0] == "ssh" else 2, cause=cause, remedy="--help")
row("endpoint-dns-alone", args=("--endpoint-dns", "x.example", "ssh", "web-1"),
    error="ARGUMENT", cause="DNS name needs its id", remedy="--endpoint-id|argument", seconds=1)

# --- the words people see -------------------------------------------------------------------

row("plain-unknown-name", args=("ssh", "nobody-1", "true"), json=False, error="NO_INSTANCE",
    cause="^eice: no instance matches nobody-1 in eu-west-1$", remedy="check the name or id")
row("plain-refused", faults=[("refuse", {})], json=False, error="UPGRADE_DENIED",
    cause=ENDPOINT, remedy="OpenTunnel",
    check=lambda _, result: need("request id" in result.err, "no request id"))
row("plain-usage", args=("ssh",), json=False, error="ARGUMENT", cause="no target",
    remedy="--help")


def main():
    arguments = sys.argv[1:]
    jobs = 4
    if arguments[:1] == ["--jobs"]:
        jobs, arguments = int(arguments[1]), arguments[2:]
    if arguments[:1] == ["--list"]:
        print("\n".join(r.name for r in ROWS))
        return 0
    if not arguments:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    wanted = arguments[1:]
    rows = [r for r in ROWS if not wanted or any(w in r.name for w in wanted)]
    failures = 0
    context = multiprocessing.get_context("fork")
    for r, verdict, text, seconds in run_rows(os.path.abspath(arguments[0]), rows,
                                              min(jobs, len(rows)), context):
        failures += verdict == "FAIL"
        print(f"{verdict} failure_{r.name}" + (": " + text if text else ""), flush=True)
        if os.environ.get("EICE_TIMES"):
            print(f"     {seconds:.2f} s", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
