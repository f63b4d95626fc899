#!/usr/bin/python3
"""Keys from IAM Identity Center, end to end: config and token cache as the AWS CLI leaves them.

And those of `aws login`, with which there is nothing to compare: the files are made as AWS
describes them.

    tests/cred_sso.py [--eice PROGRAM] [name …]
"""

import hashlib
import json
import os
import re
import sys
import time

from e2elib import check, contains, equal, json_line, main, test

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
ACCOUNT = "123456789012"
START = "https://corp.example/start"
PORTAL = "portal.sso.eu-west-1.amazonaws.com"
DEVELOPER = f"arn:aws:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Developer_0123456789abcdef/alice"
SESSION = f"""[profile dev]
sso_session = corp
sso_account_id = {ACCOUNT}
sso_role_name = Developer
region = eu-west-1

[sso-session corp]
sso_start_url = {START}
sso_region = eu-west-1
sso_registration_scopes = sso:account:access
"""
LEGACY = f"""[profile old one]
sso_start_url = {START}
sso_region = eu-west-1
sso_account_id = {ACCOUNT}
sso_role_name = Developer
region = eu-west-1
""".replace("[profile old one]", "[profile 'old one']")


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))


def cache_path(name):
    return f".aws/sso/cache/{hashlib.sha1(name.encode()).hexdigest()}.json"


def put(w, config=SESSION, name="corp", **changed):
    """Config, and the cache file of a login; members of it changed, or left out with None."""
    w.write(".aws/config", config)
    login = {"startUrl": START, "region": "eu-west-1", **w.sim.sso.login(), **changed}
    login = {k: v for k, v in login.items() if v is not None}
    w.write(cache_path(name), json.dumps(login))
    return login


def cached(w, name="corp"):
    with open(w.path(cache_path(name)), encoding="utf-8") as f:
        return json.load(f)


def env(w, profile="dev", **more):
    return w.env(*KEYS, "AWS_REGION", AWS_PROFILE=profile, **more)


def whoami(w, profile="dev", arn=DEVELOPER, **more):
    said = json_line(w.eice("whoami", "--json", env=env(w, profile, **more)).expect(0).text)
    equal(said["Arn"], arn, "identity")
    return said


def refused(w, *texts, profile="dev", error="CREDENTIALS_EXPIRED", remedy="", **more):
    said = json_line(w.eice("whoami", "--json", env=env(w, profile, **more)).expect(1).err)
    equal(said["error"], error, f"error of {said}")
    for text in texts:
        contains(said["message"], text, "message")
    contains(said["remedy"], remedy, "remedy")
    return said


@test
def a_session(w):
    put(w)
    said = whoami(w)
    equal(said["Provider"], f"SSO role Developer of {ACCOUNT} (profile dev)", "provider")
    equal([r["action"] for r in w.requests()], ["GetRoleCredentials", "GetCallerIdentity"],
          "calls")
    equal(w.requests()[0]["host"], PORTAL, "host")


@test
def the_legacy_form(w):
    """No sso-session: the file is named after the start URL, and nothing is renewed."""
    put(w, LEGACY, START, expiresAt=stamp(60).replace("Z", "UTC"))
    whoami(w, "old one")
    equal(w.actions(), {"GetRoleCredentials": 1, "GetCallerIdentity": 1}, "calls")
    put(w, LEGACY, START, expiresAt=stamp(-60))
    refused(w, "token expired at 20", profile="old one",
            remedy="aws sso login --profile 'old one'")


@test
def a_shell_with_it(w):
    put(w)
    equal(w.eice("-q", "ssh", "web-1", "echo", "x", env=env(w)).expect(0).text, "x\n", "output")


@test
def the_source_of_a_role(w):
    """AssumeRole with the keys of the portal."""
    put(w, SESSION + "[profile top]\nrole_arn = arn:aws:iam::123456789012:role/Ops\n"
        "source_profile = dev\nregion = eu-west-1\n")
    said = json_line(w.eice("whoami", "--json", env=env(w, "top")).expect(0).text)
    contains(said["Arn"], ":assumed-role/Ops/", "identity")
    equal([r["action"] for r in w.requests()],
          ["GetRoleCredentials", "AssumeRole", "GetCallerIdentity"], "calls")


@test
def a_token_is_renewed(w):
    """Near its end, and after it; the file then holds what came, as the CLI writes it."""
    for seconds in (600, -600):
        old = put(w, expiresAt=stamp(seconds))
        before = w.actions().get("CreateToken", 0)
        whoami(w)
        equal(w.actions()["CreateToken"], before + 1, f"renewals with {seconds} s left")
        new = cached(w)
        equal(set(new), set(old), "members of the file")
        check(new["accessToken"] != old["accessToken"]
              and new["refreshToken"] != old["refreshToken"], "the file holds the old tokens")
        equal({k: new[k] for k in ("startUrl", "region", "clientId", "clientSecret",
                                   "registrationExpiresAt")},
              {k: old[k] for k in ("startUrl", "region", "clientId", "clientSecret",
                                   "registrationExpiresAt")}, "what stays")
        check(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", new["expiresAt"])
              and stamp(3500) < new["expiresAt"] < stamp(3700), f"expiry {new['expiresAt']}")
        equal(os.stat(w.path(cache_path("corp"))).st_mode & 0o777, 0o600, "mode")
        equal(os.listdir(w.path(".aws/sso/cache")), [os.path.basename(cache_path("corp"))],
              "files left behind")
        whoami(w)
        equal(w.actions()["CreateToken"], before + 1, "renewals of a fresh token")


@test
def a_token_that_is_not_renewed(w):
    """Not before the last quarter of an hour, and not without what it takes."""
    put(w, expiresAt=stamp(1200))
    whoami(w)
    for lacks in ({"refreshToken": None}, {"clientId": None}, {"clientSecret": None},
                  {"registrationExpiresAt": stamp(-1)}, {"registrationExpiresAt": None}):
        put(w, expiresAt=stamp(300), **lacks)
        whoami(w)
        put(w, expiresAt=stamp(-300), **lacks)
        refused(w, "sso-session corp", "token expired at 20",
                remedy="aws sso login --sso-session corp")
    check("CreateToken" not in w.actions(), "a token was renewed")


@test
def a_renewal_that_fails(w):
    """The old token does while it is valid; else both causes are told."""
    put(w, expiresAt=stamp(300), refreshToken="wrong")
    whoami(w)
    put(w, expiresAt=stamp(-300), refreshToken="wrong")
    said = refused(w, "token expired at 20", "InvalidGrantException",
                   "Invalid refresh token provided", remedy="aws sso login --sso-session corp")
    check(said["request_id"], f"no request id: {said}")
    put(w, expiresAt=stamp(300))
    w.sim.ctl("fault", kind="http-error", times=0, action="CreateToken", status=500,
              code="InternalServerException")
    whoami(w, AWS_MAX_ATTEMPTS="1")


@test
def another_process_was_faster(w):
    """The refresh token is spent, but the file holds a new login by then."""
    login = put(w, expiresAt=stamp(-300))
    fresh = {"startUrl": START, "region": "eu-west-1", **w.sim.sso.login()}
    renew = w.sim.sso.renew

    def late(*given):
        w.write(cache_path("corp"), json.dumps(fresh))
        w.sim.sso.refresh.pop(login["refreshToken"])
        return renew(*given)

    w.sim.sso.renew = late
    try:
        whoami(w)
    finally:
        w.sim.sso.renew = renew
    equal(cached(w), fresh, "file")


@test
def a_file_that_cannot_be_written(w):
    """The command goes on; what it means is told. The new file's name would be too long."""
    for length, works in ((254, False), (40, True)):
        old = put(w, expiresAt=stamp(300))
        path, real = w.path(cache_path("corp")), w.path("f" * length)
        os.rename(path, real)
        os.symlink(real, path)
        said = w.eice("whoami", env=env(w)).expect(0)
        contains(said.text, DEVELOPER, "identity")
        equal("cannot be written" in said.err, not works, f"a warning in {said.err!r}")
        check(os.path.islink(path), "the link is gone")
        equal(cached(w)["accessToken"] != old["accessToken"], works, "a new token in the file")
        os.unlink(path)


@test
def a_token_that_is_refused(w):
    """By the portal, whatever the file says: renewed where that is possible."""
    put(w, LEGACY, START, accessToken="nonsense")
    said = refused(w, "not accepted: HTTP 401 UnauthorizedException", profile="old one",
                   remedy="aws sso login --profile 'old one'")
    equal(said["aws_code"], "UnauthorizedException", "code")
    put(w, accessToken="nonsense")
    whoami(w)
    equal(w.actions()["CreateToken"], 1, "renewals")
    put(w, accessToken="nonsense", refreshToken="wrong")
    refused(w, "401", "cannot be renewed: HTTP 400", remedy="aws sso login --sso-session corp")


@test
def who_is_not_logged_in(w):
    login = put(w)
    hint = "aws sso login --sso-session corp"
    os.unlink(w.path(cache_path("corp")))
    refused(w, "no login in ~/.aws/sso/cache/", remedy=hint)
    for text in ("", "{", "[]", json.dumps({**login, "accessToken": ""}),
                 json.dumps({**login, "accessToken": "a\r\nHost: evil"}),
                 json.dumps({"clientId": "x", "clientSecret": "y", "expiresAt": stamp(99)})):
        w.write(cache_path("corp"), text)
        refused(w, remedy=hint)
    w.write(cache_path("corp"), json.dumps({**login, "expiresAt": "soon", "refreshToken": ""}))
    refused(w, "expired at soon", remedy=hint)
    equal(w.requests(), [], "requests")


@test
def what_the_portal_refuses(w):
    put(w, SESSION.replace("Developer", "Admin & co"))
    refused(w, "role Admin & co in account 123456789012", "ForbiddenException", "No access",
            error="AWS_DENIED", remedy="sso_role_name")
    put(w, SESSION.replace(ACCOUNT, "000000000000"))
    refused(w, "ResourceNotFoundException", error="AWS_DENIED", remedy="sso_account_id")
    put(w, SESSION.replace(ACCOUNT, "12"))
    refused(w, "InvalidRequestException", error="AWS")
    put(w)
    fault = {"kind": "http-error", "action": "GetRoleCredentials", "status": 429,
             "code": "TooManyRequestsException"}
    w.sim.ctl("fault", times=1, **fault)
    whoami(w)
    w.sim.ctl("fault", times=0, **fault)
    refused(w, "TooManyRequestsException", error="AWS_THROTTLED", AWS_MAX_ATTEMPTS="2")
    w.sim.ctl("clear")
    w.sim.ctl("fault", kind="malformed", action="GetRoleCredentials")
    refused(w, "malformed", error="CREDENTIALS")


@test
def what_the_config_lacks(w):
    for old, new, *texts in (
            ("sso_role_name = Developer\n", "", "profile dev lacks sso_role_name"),
            ("sso_region = eu-west-1\n", "", "lacks sso_region"),
            (f"sso_start_url = {START}\nsso_region = eu-west-1\n", "",
             "lacks sso_start_url, sso_region"),
            ("[sso-session corp]", "[sso-session other]", "sso_session corp, and ~/.aws/config"),
            ("sso_session = corp\n", "sso_session = corp\nsso_region = us-east-1\n",
             "different sso_region"),
            ("sso_region = eu-west-1\n", "sso_region = evil.example/\n", "evil.example/")):
        check(old in SESSION, f"{old!r} is not there")
        put(w, SESSION.replace(old, new))
        refused(w, *texts, error="CONFIG")
    equal(w.requests(), [], "requests")


@test
def which_comes_first(w):
    """SSO before the keys of the same profile; a profile that only says where to log in is not
    asked; the environment before both."""
    admin = w.sim.env()
    keys = (f"aws_access_key_id = {admin['AWS_ACCESS_KEY_ID']}\n"
            f"aws_secret_access_key = {admin['AWS_SECRET_ACCESS_KEY']}\n")
    put(w, SESSION.replace("[profile dev]\n", "[profile dev]\n" + keys))
    whoami(w)
    put(w, SESSION.replace("[profile dev]\n", "[profile dev]\n" + keys)
        .replace(f"sso_account_id = {ACCOUNT}\nsso_role_name = Developer\n", ""))
    whoami(w, arn=f"arn:aws:iam::{ACCOUNT}:user/admin")
    put(w)
    said = json_line(w.eice("whoami", "--json", env=w.env(AWS_PROFILE="dev")).expect(0).text)
    equal(said["Provider"], "environment", "provider")


@test
def services_elsewhere(w):
    """Endpoint URLs apply, by variable and by section; nobody listening is told as such."""
    here = f"https://localhost:{w.sim.port}"
    put(w, expiresAt=stamp(60))
    whoami(w, AWS_ENDPOINT_URL_SSO=here, AWS_ENDPOINT_URL_SSO_OIDC=here + "/below")
    equal({r["host"] for r in w.requests() if r["action"] != "GetCallerIdentity"}, {"localhost"},
          "hosts")
    put(w, SESSION.replace("[profile dev]\n", "[profile dev]\nservices = lab\n")
        + f"[services lab]\nsso =\n  endpoint_url = {here}/\n")
    whoami(w)
    equal(w.requests("GetRoleCredentials")[-1]["host"], "localhost", "host")
    refused(w, "127.0.0.1", error="CONNECT_REFUSED", AWS_MAX_ATTEMPTS="1",
            AWS_ENDPOINT_URL_SSO="http://127.0.0.1:9", EICE_CONNECT_TO="")


LOGIN = "arn:aws:sts::123456789012:assumed-role/Console/alice"


def put_login(w, folder=".aws/login/cache", seconds=900, **changed):
    entry = w.sim.world.credential("temporary")
    w.write(".aws/config", f"[profile con]\nlogin_session = {LOGIN}\nregion = eu-west-1\n")
    token = {"accessKeyId": entry["access_key"], "secretAccessKey": entry["secret"],
             "sessionToken": entry["token"], "accountId": ACCOUNT, "expiresAt": stamp(seconds)}
    w.write(f"{folder}/{hashlib.sha256(LOGIN.encode()).hexdigest()}.json", json.dumps(
        {"accessToken": {**token, **changed}, "refreshToken": "x", "dpopKey": "y",
         "clientId": "z"}))


@test
def no_token_goes_plainly_to_a_proxy(w):
    put(w)
    refused(w, "sso.lab.example: without TLS", error="PROXY", remedy="NO_PROXY",
            AWS_ENDPOINT_URL_SSO="http://sso.lab.example/", EICE_CONNECT_TO="",
            http_proxy=f"http://127.0.0.1:{w.sim.port}")


@test
def a_console_login(w):
    """The keys in the file, from one place or the other, until they expire."""
    arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/Jump/alice"
    put_login(w)
    equal(whoami(w, "con", arn)["Provider"], "login of profile con", "provider")
    put_login(w, seconds=-1)
    hint = "aws login --profile con"
    refused(w, "its keys have expired", profile="con", remedy=hint)
    refused(w, "there is none in " + w.path("x"), profile="con", remedy=hint,
            AWS_LOGIN_CACHE_DIRECTORY=w.path("x"))
    put_login(w, "x")
    whoami(w, "con", arn, AWS_LOGIN_CACHE_DIRECTORY=w.path("x"))
    for changed in ({"secretAccessKey": ""}, {"accessKeyId": ""}, {"expiresAt": "never"}):
        put_login(w, **changed)
        refused(w, profile="con", error="CREDENTIALS")


@test
def what_verbose_shows(w):
    """The calls, and no token."""
    login = put(w, expiresAt=stamp(60))
    said = w.eice("whoami", "-vv", env=env(w)).expect(0).err
    contains(said, "GET " + PORTAL + "/federation/credentials?role_name=Developer", "trail")
    contains(said, "POST oidc.eu-west-1.amazonaws.com/token", "trail")
    for secret in (login["accessToken"], login["refreshToken"], login["clientSecret"],
                   cached(w)["accessToken"], cached(w)["refreshToken"]):
        check(secret not in said, "a token is shown")


if __name__ == "__main__":
    sys.exit(main(__doc__))
