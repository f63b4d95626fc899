#!/usr/bin/python3
"""Configuration as users have it, end to end: proxies, roots, endpoints.

    tests/e2e_config.py [--eice PROGRAM] [name …]

More about proxies is in e2e.py, failures.py (what goes wrong) and proxy_rules.py (which one).
"""

import base64
import socket
import ssl
import sys

from e2elib import ConnectProxy, Server, Skip, check, contains, equal, json_line, main, test

STS = "sts.eu-west-1.amazonaws.com"
KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")


def profile(w, *lines, more=""):
    """A config file with the admin's keys, and what the lines say."""
    env = w.sim.env()
    w.write(".aws/config", "\n".join([
        "[default]", "region = eu-west-1", f"aws_access_key_id = {env['AWS_ACCESS_KEY_ID']}",
        f"aws_secret_access_key = {env['AWS_SECRET_ACCESS_KEY']}", *lines, more, ""]))


# --- proxies ---------------------------------------------------------------------------------


@test
def a_proxy_with_an_ipv6_address(w):
    try:
        proxy = ConnectProxy(("127.0.0.1", w.sim.port), host="::1")
    except OSError:
        raise Skip("no IPv6 on the loopback interface") from None
    with proxy:
        env = w.env("EICE_CONNECT_TO", https_proxy=f"http://[::1]:{proxy.port}")
        equal(w.eice("-q", "ssh", "web-1", "echo x", env=env).expect(0).text, "x\n", "output")
        equal(len({name for _, name in proxy.seen}), 3, "hosts asked for")


@test
def one_proxy_for_all(w):
    """ALL_PROXY, without a scheme, carries the calls and the tunnel."""
    with ConnectProxy(("127.0.0.1", w.sim.port)) as proxy:
        env = w.env("EICE_CONNECT_TO", ALL_PROXY=f"127.0.0.1:{proxy.port}")
        equal(w.eice("-q", "ssh", "web-1", "echo x", env=env).expect(0).text, "x\n", "output")
        check({method for method, _ in proxy.seen} == {"CONNECT"}, f"{proxy.seen}")


@test
def only_the_tunnel_by_proxy(w):
    with ConnectProxy(("127.0.0.1", w.sim.port)) as proxy:
        env = w.env(HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
                    NO_PROXY="ec2.eu-west-1.amazonaws.com, ec2-instance-connect.eu-west-1."
                    "amazonaws.com:443")
        equal(w.eice("-q", "ssh", "web-1", "echo x", env=env).expect(0).text, "x\n", "output")
        equal(len(proxy.seen), 1, "connections by the proxy")


class PlainProxy(Server):
    """Takes requests in absolute form (RFC 9112 3.2.2) and passes them on to the simulator."""

    def __init__(self, sim):
        self.sim = sim
        self.lines = []
        super().__init__(self._pass_on)

    def _pass_on(self, sock):
        data = b""
        while b"\r\n\r\n" not in data:
            data += sock.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        first, *fields = head.decode("latin-1").split("\r\n")
        self.lines.append((first, [f for f in fields if f.startswith("Proxy-")]))
        method, target, version = first.split(" ")
        length = next(int(f.split(":")[1]) for f in fields if f.lower().startswith("content-le"))
        while len(body) < length:
            body += sock.recv(65536)
        fields = [f for f in fields if not f.startswith("Proxy-")]
        host = target.split("/")[2]
        path = "/" + target.split("/", 3)[3]
        context = ssl.create_default_context(cafile=self.sim.ca_file)
        with socket.create_connection(("127.0.0.1", self.sim.port)) as raw, \
                context.wrap_socket(raw, server_hostname=host) as peer:
            peer.sendall("\r\n".join([f"{method} {path} {version}", *fields, "Connection: close",
                                      "", ""]).encode() + body)
            while more := peer.recv(65536):
                sock.sendall(more)


@test
def a_plain_endpoint_by_proxy(w):
    """What is signed is the endpoint's host, not the proxy's; a password goes to the latter."""
    with PlainProxy(w.sim) as proxy:
        env = w.env("EICE_CONNECT_TO", AWS_ENDPOINT_URL_STS=f"http://{STS}",
                    http_proxy=f"http://joe:p%40ss@127.0.0.1:{proxy.port}",
                    https_proxy="http://127.0.0.1:9")
        contains(w.eice("whoami", env=env).expect(0).text, ":user/admin", "identity")
        word = base64.b64encode(b"joe:p@ss").decode()
        equal(proxy.lines, [(f"POST http://{STS}/ HTTP/1.1",
                             [f"Proxy-Authorization: Basic {word}"])], "request")


def content(path):
    with open(path, "rb") as f:
        return f.read()


# --- roots -----------------------------------------------------------------------------------


@test
def where_roots_come_from(w):
    """Each place in turn, for a call and for the tunnel; the first that is set counts."""
    bundle = w.sim.ca_file
    profile(w, f"ca_bundle = {bundle}")
    bare = ("AWS_CA_BUNDLE", *KEYS)
    w.eice("ssh", "web-1", "true", env=w.env(*bare)).expect(0)
    profile(w)
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        w.eice("ssh", "web-1", "true", env=w.env(*bare, **{name: bundle})).expect(0, name)
    said = w.eice("whoami", env=w.env(*KEYS, AWS_CA_BUNDLE=w.path("none"),
                                      REQUESTS_CA_BUNDLE=bundle)).expect(1).err
    contains(said, w.path("none"), "which file is missing")
    w.write("ca.pem", content(bundle))
    profile(w, "ca_bundle = ~/ca.pem")
    w.eice("whoami", env=w.env(*bare)).expect(0, "~/ca.pem")


# --- endpoints -------------------------------------------------------------------------------


def host_asked(w, env, *options):
    before = len(w.requests())
    w.eice(*options, "whoami", env=env).expect(0)
    return w.requests()[before]["host"]


@test
def endpoints_of_a_profile(w):
    here = f"https://localhost:{w.sim.port}"
    lab = f"[services lab]\nsts =\n  endpoint_url = {here}\nec2 =\n  endpoint_url = http://no\n"
    profile(w, "services = lab", "endpoint_url = http://127.0.0.1:9", more=lab)
    equal(host_asked(w, w.env(*KEYS)), "localhost", "services section")
    equal(host_asked(w, w.env(*KEYS, AWS_ENDPOINT_URL_STS=f"https://{STS}",
                              AWS_ENDPOINT_URL="http://127.0.0.1:9")), STS, "variable")
    equal(host_asked(w, w.env(*KEYS, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true")), STS, "ignored")
    profile(w, "services = lab", "ignore_configured_endpoint_urls = true", more=lab)
    equal(host_asked(w, w.env(*KEYS)), STS, "ignored by the profile")
    profile(w, f"endpoint_url = {here}/below/", more=lab)
    equal(host_asked(w, w.env(*KEYS)), "localhost", "profile")
    profile(w, "services = none", more=lab)
    contains(w.eice("whoami", env=w.env(*KEYS)).expect(1).err, "no such section", "what is wrong")


@test
def kinds_of_endpoints(w):
    rows = [({}, [], "sts.eu-west-1.amazonaws.com"),
            ({"AWS_USE_FIPS_ENDPOINT": "TRUE"}, [], "sts-fips.eu-west-1.amazonaws.com"),
            ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, [], "sts.eu-west-1.api.aws"),
            ({"AWS_USE_DUALSTACK_ENDPOINT": "yes"}, [], "sts.eu-west-1.amazonaws.com"),
            ({"AWS_USE_DUALSTACK_ENDPOINT": "true"}, ["--fips"], "sts-fips.eu-west-1.api.aws"),
            ({"AWS_REGION": "fips-eu-west-1"}, [], "sts-fips.eu-west-1.amazonaws.com")]
    for more, options, host in rows:
        equal(host_asked(w, w.env(**more), *options), host, f"host with {more} {options}")
    profile(w, "use_fips_endpoint = true", "use_dualstack_endpoint = true")
    equal(host_asked(w, w.env(*KEYS)), "sts-fips.eu-west-1.api.aws", "profile")
    equal(host_asked(w, w.env(*KEYS, AWS_USE_FIPS_ENDPOINT="false")), "sts.eu-west-1.api.aws",
          "the variable comes first")
    env = w.env(AWS_USE_FIPS_ENDPOINT="true", AWS_ENDPOINT_URL="https://localhost")
    equal(json_line(w.eice("whoami", "--json", env=env).expect(1).err)["error"], "CONFIG",
          "FIPS with a URL")


@test
def attempts(w):
    """How often a call is tried comes from the variable or else the profile."""
    profile(w, "max_attempts = 2")
    for more, times in (({}, 2), ({"AWS_MAX_ATTEMPTS": "1"}, 1)):
        w.sim.ctl("clear")
        w.sim.ctl("fault", kind="http-error", times=0, action="GetCallerIdentity", status=503,
                  code="ServiceUnavailable")
        w.eice("whoami", env=w.env(*KEYS, **more)).expect(1)
        equal(len(w.requests("GetCallerIdentity")), times, f"requests with {more}")
    w.sim.ctl("clear")
    for bad in ("0", "-1", "many"):
        said = json_line(w.eice("whoami", "--json",
                                env=w.env(AWS_MAX_ATTEMPTS=bad)).expect(1).err)
        equal(said["error"], "CONFIG", f"AWS_MAX_ATTEMPTS={bad}")


if __name__ == "__main__":
    sys.exit(main(__doc__))
