#!/usr/bin/python3
"""Keys from container credentials and instance metadata, end to end.

    tests/cred_metadata.py [--eice PROGRAM] [name …]
"""

import json
import os
import sys

from e2elib import ROOT, check, contains, equal, json_line, main, matches, test

sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim.metadata import Metadata, document  # noqa: E402  (needs the path set above)

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
        "AWS_EC2_METADATA_DISABLED")
TOKEN = "/latest/api/token"
ROLES = "/latest/meta-data/iam/security-credentials/"
REGION = "/latest/meta-data/placement/region"


def service(w, name="temporary"):
    return Metadata(w.sim.world.credential(name), w.sim.world.region)


def imds(w, m, *without, **more):
    without = [name for name in (*KEYS, *without) if name not in more]
    return w.env(*without, AWS_EC2_METADATA_SERVICE_ENDPOINT=m.url, **more)


def container(w, m, **more):
    return w.env(*KEYS, AWS_CONTAINER_CREDENTIALS_FULL_URI=m.url + "/get", **more)


def whoami(w, env, provider):
    said = json_line(w.eice("whoami", "--json", env=env).expect(0).text)
    equal(said["Provider"], provider, "provider")
    equal(said["Arn"], w.sim.world.credential("temporary")["arn"], "identity")
    return said


def refused(w, env, *texts, error="CREDENTIALS"):
    result = w.eice("whoami", "--json", env=env).expect(1)
    said = json_line(result.err)
    equal(said["error"], error, f"error of {result.err}")
    for text in texts:
        contains(said["message"], text, "message")
    return result


# instance metadata

@test
def an_instance_role(w):
    with service(w) as m:
        whoami(w, imds(w, m), "instance role web-role")
        equal([x[:2] for x in m.seen], [("PUT", TOKEN), ("GET", ROLES),
                                        ("GET", ROLES + "web-role")], "requests")
        equal(m.seen[0][2]["X-aws-ec2-metadata-token-ttl-seconds"], "21600", "time to live")
        check(m.seen[1][2]["X-aws-ec2-metadata-token"] in m.tokens, "no token")


@test
def what_verbose_shows(w):
    with service(w) as m:
        said = w.eice("whoami", "-v", env=imds(w, m)).expect(0).err
        matches(said, r"PUT 127\.0\.0\.1/latest/api/token: HTTP 200", "trail")
        matches(said, r"credentials +instance role web-role", "trail")
        for secret in (m.credential["secret"], m.credential["token"], next(iter(m.tokens))):
            check(secret not in said, "a secret is shown")


@test
def the_region_of_the_instance(w):
    with service(w) as m:
        equal(whoami(w, imds(w, m, "AWS_REGION"), "instance role web-role")["Region"],
              "eu-west-1", "region")
        m.behaviour[REGION] = "not a region!"
        refused(w, imds(w, m, "AWS_REGION"), "no region in AWS_REGION", error="NO_REGION")
        env = w.env("AWS_REGION", "AWS_EC2_METADATA_DISABLED",
                    AWS_EC2_METADATA_SERVICE_ENDPOINT=m.url)
        del m.behaviour[REGION]
        said = json_line(w.eice("whoami", "--json", env=env).expect(0).text)
        equal((said["Provider"], said["Region"]), ("environment", "eu-west-1"), "mixed")


@test
def the_endpoint_of_a_profile(w):
    with service(w) as m:
        w.write(".aws/config", f"[profile m]\nec2_metadata_service_endpoint = {m.url}/\n")
        whoami(w, w.env(*KEYS, AWS_PROFILE="m"), "instance role web-role")


@test
def never_through_a_proxy(w):
    """A proxy that nobody listens at is not asked, and neither are rules of --connect-to."""
    with service(w) as m:
        env = imds(w, m, HTTP_PROXY="http://127.0.0.1:9", http_proxy="http://127.0.0.1:9")
        whoami(w, env, "instance role web-role")


@test
def metadata_switched_off(w):
    with service(w) as m:
        refused(w, imds(w, m, AWS_EC2_METADATA_DISABLED="TRUE"), "no credentials",
                error="NO_CREDENTIALS")
        equal(m.seen, [], "requests")


@test
def no_role(w):
    with service(w) as m:
        m.role = None
        refused(w, imds(w, m), "no credentials", "the instance has no role",
                error="NO_CREDENTIALS")


@test
def no_metadata_service(w):
    env = w.env(*KEYS, AWS_EC2_METADATA_SERVICE_ENDPOINT="http://127.0.0.1:9")
    result = refused(w, env, "no credentials", "instance metadata: 127.0.0.1",
                     error="NO_CREDENTIALS")
    check(result.seconds < 5, f"it took {result.seconds} s")


@test
def metadata_that_hangs(w):
    for path in (TOKEN, ROLES):
        with service(w) as m:
            m.behaviour[path] = "hang"
            refused(w, imds(w, m), "instance metadata: 127.0.0.1", error="NO_CREDENTIALS")


@test
def metadata_of_another_kind(w):
    rows = [({TOKEN: 403}, "answered HTTP 403", "NO_CREDENTIALS"),
            ({TOKEN: "a b"}, "its token is not one", "CREDENTIALS"),
            ({TOKEN: "x" * 300}, "its token is not one", "CREDENTIALS"),
            ({ROLES: "two words"}, "not a role", "CREDENTIALS"),
            ({ROLES + "web-role": "{"}, "the answer is malformed", "CREDENTIALS"),
            ({ROLES + "web-role": "{}"}, "no AccessKeyId", "CREDENTIALS"),
            ({ROLES + "web-role": '{"AccessKeyId":"A"}'}, "without a secret", "CREDENTIALS"),
            ({ROLES + "web-role": '{"Code":"AssumeRoleUnauthorizedAccess"}'},
             "gives no keys: AssumeRoleUnauthorizedAccess", "NO_CREDENTIALS"),
            ({ROLES: 500}, "answered HTTP 500", "NO_CREDENTIALS")]
    for behaviour, text, error in rows:
        with service(w) as m:
            m.behaviour = behaviour
            refused(w, imds(w, m), text, error=error)


@test
def attempts_and_modes(w):
    with service(w) as m:
        m.behaviour[TOKEN] = [500, 503]
        whoami(w, imds(w, m, AWS_METADATA_SERVICE_NUM_ATTEMPTS="3"), "instance role web-role")
        for name, value, text in (("NUM_ATTEMPTS", "0", "not a number from 1"),
                                  ("TIMEOUT", "1.5", "not a number from 1")):
            refused(w, imds(w, m, **{"AWS_METADATA_SERVICE_" + name: value}), text,
                    error="CONFIG")
        refused(w, imds(w, m, AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE="IPv5"), "neither",
                error="CONFIG")
        refused(w, w.env(*KEYS, AWS_EC2_METADATA_DISABLED="", AWS_IMDS_USE_IPV6="true"),
                "fd00:ec2::254", error="NO_CREDENTIALS")
        refused(w, w.env(*KEYS, AWS_EC2_METADATA_SERVICE_ENDPOINT="ftp://x/"),
                "not a URL of http", error="CONFIG")


# containers

@test
def a_container(w):
    with service(w) as m:
        whoami(w, container(w, m), "container (127.0.0.1)")
        equal(m.seen[0][:2], ("GET", "/get"), "request")
        check("Authorization" not in m.seen[0][2], "a token that nobody gave")


@test
def a_container_token(w):
    """The file's token counts before the variable's; its line end is not part of it."""
    with service(w) as m:
        m.authorization = "Basic abc+/="
        whoami(w, container(w, m, AWS_CONTAINER_AUTHORIZATION_TOKEN="Basic abc+/="),
               "container (127.0.0.1)")
        path = w.write("token", "Basic abc+/=\n")
        whoami(w, container(w, m, AWS_CONTAINER_AUTHORIZATION_TOKEN="no",
                            AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=path),
               "container (127.0.0.1)")
        refused(w, container(w, m, AWS_CONTAINER_AUTHORIZATION_TOKEN="wrong"), "HTTP 401",
                "not this token")
        refused(w, container(w, m, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=w.path("none")),
                "no such file")
        path = w.write("token", "a\nb\n")
        refused(w, container(w, m, AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=path), "line end")


@test
def hosts_of_containers(w):
    name = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
    for url in ("http://192.0.2.1/", "http://169.254.170.22/", "http://example.com/x",
                "http://[fd00:ec2::24]/", "http://localhost.example.com/"):
        refused(w, w.env(*KEYS, **{name: url}), "neither https nor loopback")
    for url in ("localhost", "http://a@localhost/", "ws://localhost/"):
        refused(w, w.env(*KEYS, **{name: url}), "not a URL of http or https")
    refused(w, w.env(*KEYS, AWS_CONTAINER_CREDENTIALS_RELATIVE_URI="x"), "not a path")
    with service(w) as m:
        url = m.url.replace("127.0.0.1", "localhost")
        whoami(w, w.env(*KEYS, **{name: url}), "container (localhost)")


@test
def a_container_that_fails(w):
    with service(w) as m:
        m.behaviour["/get"] = [500, 500]
        whoami(w, container(w, m), "container (127.0.0.1)")
        m.behaviour["/get"] = "<html>"
        refused(w, container(w, m), "the answer is malformed")
        m.behaviour["/get"] = 404
        refused(w, container(w, m), "HTTP 404: status 404")
    refused(w, w.env(*KEYS, AWS_CONTAINER_CREDENTIALS_FULL_URI="http://127.0.0.1:9/"),
            "container credentials: 127.0.0.1")


@test
def what_comes_before_what(w):
    """The environment before the container, the container before the instance."""
    with service(w) as m:
        env = w.env(AWS_CONTAINER_CREDENTIALS_FULL_URI=m.url + "/get")
        equal(json_line(w.eice("whoami", "--json", env=env).expect(0).text)["Provider"],
              "environment", "provider")
        equal(m.seen, [], "requests")
        env = imds(w, m, AWS_CONTAINER_CREDENTIALS_FULL_URI=m.url + "/get")
        whoami(w, env, "container (127.0.0.1)")


@test
def a_tunnel_with_an_instance_role(w):
    with service(w, "admin") as m:
        equal(w.eice("-q", "ssh", "web-1", "echo", "x", env=imds(w, m)).expect(0).text, "x\n",
              "output")


@test
def keys_that_have_expired(w):
    """What is given is used: the service may still take it, and says when it does not."""
    with service(w) as m:
        m.behaviour[ROLES + "web-role"] = json.dumps(document(m.credential, -60))
        whoami(w, imds(w, m), "instance role web-role")


if __name__ == "__main__":
    sys.exit(main(__doc__))
