#!/usr/bin/python3
"""Keys for a token of an OpenID Connect issuer (AssumeRoleWithWebIdentity), end to end.

    tests/cred_web.py [--eice PROGRAM] [name …]
"""

import sys

from e2elib import check, contains, equal, json_line, main, matches, test

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
ROLE = "arn:aws:iam::123456789012:role/Web"
SESSION = "arn:aws:sts::123456789012:assumed-role/Web/"


def web(w, *without, token=None, **more):
    """The environment of a pod or a pipeline with a token file."""
    path = w.write("token", (w.sim.oidc.token() if token is None else token) + "\n")
    return w.env(*KEYS, *without, **{"AWS_WEB_IDENTITY_TOKEN_FILE": path, "AWS_ROLE_ARN": ROLE,
                                     **more})


def whoami(w, env, session="eice"):
    said = json_line(w.eice("whoami", "--json", env=env).expect(0).text)
    equal((said["Arn"], said["Provider"]), (SESSION + session, "web identity as " + ROLE),
          "identity")
    return said


def refused(w, env, *texts, error="CREDENTIALS", code=None):
    said = json_line(w.eice("whoami", "--json", env=env).expect(1).err)
    equal((said["error"], said.get("aws_code")), (error, code), f"error of {said}")
    for text in texts:
        contains(said["message"], text, "message")
    return said


@test
def from_the_environment(w):
    whoami(w, web(w))
    first, second = w.requests()
    equal((first["action"], first["access_key"]), ("AssumeRoleWithWebIdentity", None), "call")
    equal(second["action"], "GetCallerIdentity", "second call")
    check(first["conn"] == second["conn"], "the connection is not kept")
    whoami(w, web(w, AWS_ROLE_SESSION_NAME="build-7"), "build-7")


@test
def from_a_profile(w):
    path = w.write("token", w.sim.oidc.token())
    w.write(".aws/config", f"[profile p]\nrole_arn = {ROLE}\nweb_identity_token_file = {path}\n"
            "role_session_name = alice\nregion = eu-west-1\n")
    whoami(w, w.env(*KEYS, AWS_PROFILE="p"), "alice")
    env = web(w, AWS_WEB_IDENTITY_TOKEN_FILE=w.path("none"), AWS_ROLE_ARN="other")
    equal(json_line(w.eice("--profile", "p", "whoami", "--json", env=env).expect(0).text)["Arn"],
          SESSION + "alice", "a profile that is named comes before the environment")


@test
def an_elliptic_issuer(w):
    """ES256 (RFC 7518 3.4): two numbers, not DER; the key must be the one of the algorithm."""
    good = w.sim.oidc.token(alg="ES256")
    whoami(w, web(w, token=good))
    head, body, signature = good.split(".")
    other = w.sim.oidc.token(alg="ES256", sub="repo:example/other").split(".")
    rsa = w.sim.oidc.token().split(".")
    for token in (f"{head}.{body}.{other[2]}", f"{head}.{body}.{rsa[2]}",
                  f"{rsa[0]}.{body}.{signature}", f"{head}.{body}.{signature[:-6]}",
                  w.sim.oidc.token(alg="ES256", kid="1")):
        refused(w, web(w, token=token), code="InvalidIdentityToken")


@test
def a_shell_with_it(w):
    equal(w.eice("-q", "ssh", "web-1", "echo", "x", env=web(w)).expect(0).text, "x\n", "output")


@test
def what_verbose_shows(w):
    env = web(w)
    said = w.eice("whoami", "-v", env=env).expect(0).err
    matches(said, r"sts AssumeRoleWithWebIdentity request id", "trail")
    matches(said, r"credentials +web identity as arn:", "trail")
    with open(env["AWS_WEB_IDENTITY_TOKEN_FILE"], encoding="ascii") as f:
        check(f.read().strip() not in said, "the token is shown")


@test
def tokens_that_are_refused(w):
    good = w.sim.oidc.token()
    head, body, signature = good.split(".")
    rows = [(f"{head}.{body}x.{signature}", "InvalidIdentityToken", "CREDENTIALS"),
            (f"{head}.{w.sim.oidc.token(sub='repo:example/other').split('.')[1]}.{signature}",
             "InvalidIdentityToken", "CREDENTIALS"),
            ("nonsense", "InvalidIdentityToken", "CREDENTIALS"),
            (w.sim.oidc.token(kid="2"), "InvalidIdentityToken", "CREDENTIALS"),
            (w.sim.oidc.token(aud="other"), "InvalidIdentityToken", "CREDENTIALS"),
            (w.sim.oidc.token(iss="https://evil.example"), "InvalidIdentityToken",
             "CREDENTIALS"),
            (w.sim.oidc.token(exp=1), "ExpiredTokenException", "CREDENTIALS_EXPIRED"),
            (w.sim.oidc.token(sub="repo:evil/x"), "AccessDenied", "AWS_DENIED")]
    for token, code, error in rows:
        said = refused(w, web(w, token=token), code, error=error, code=code)
        check(said["remedy"] and said["request_id"], f"no remedy: {said}")


@test
def what_is_missing(w):
    refused(w, web(w, "AWS_ROLE_ARN"), "no role: AWS_ROLE_ARN")
    refused(w, web(w, AWS_WEB_IDENTITY_TOKEN_FILE=w.path("none")), "none: no such file")
    refused(w, web(w, token=""), "does not hold a token")
    refused(w, web(w, token="two words"), "does not hold a token")
    refused(w, web(w, "AWS_REGION"), "no region", error="NO_REGION")
    refused(w, web(w, AWS_ROLE_ARN="x"), "x is invalid", error="AWS", code="ValidationError")


@test
def one_retry(w):
    """The issuer's keys cannot be fetched for a moment; and the server fails once."""
    for status, code in ((400, "IDPCommunicationError"), (503, "ServiceUnavailable")):
        w.sim.ctl("fault", kind="http-error", times=1, action="AssumeRoleWithWebIdentity",
                  status=status, code=code)
        whoami(w, web(w))


@test
def sts_elsewhere(w):
    """Nobody listens at the endpoint that is configured."""
    refused(w, web(w, "EICE_CONNECT_TO", AWS_ENDPOINT_URL_STS="http://127.0.0.1:9"), "127.0.0.1",
            error="CONNECT_REFUSED")


if __name__ == "__main__":
    sys.exit(main(__doc__))
