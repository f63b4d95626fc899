#!/usr/bin/python3
"""Roles of profiles (AssumeRole): where the keys come from, and what may go wrong, end to end.

    tests/cred_role.py [--eice PROGRAM] [name …]
"""

import os
import re
import sys

from e2elib import ROOT, check, contains, equal, json_line, main, matches, test

sys.path.insert(0, os.path.join(ROOT, "tools"))

from sim.metadata import Metadata  # noqa: E402  (needs the path set above)
from sim.roles import role_arn  # noqa: E402

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SESSION = "arn:aws:sts::123456789012:assumed-role/"


def role(name, *lines):
    return "\n".join([f"role_arn = {role_arn(name)}", *lines])


def profiles(w, credential="admin", **sections):
    """~/.aws with the keys of `base`, and the profiles given."""
    entry = w.sim.world.credential(credential)
    keys = f"aws_access_key_id = {entry['access_key']}\n" \
           f"aws_secret_access_key = {entry['secret']}\n"
    if entry["token"]:
        keys += f"aws_session_token = {entry['token']}\n"
    w.write(".aws/credentials", "[base]\n" + keys)
    w.write(".aws/config", "".join(f"[profile {name}]\n{text.format(keys=keys)}\n\n"
                                   for name, text in sections.items()))


def env(w, *without, **more):
    return w.env(*[name for name in KEYS if name not in more], *without, **more)


def whoami(w, profile, arn, provider=None, **options):
    options.setdefault("env", env(w))
    said = json_line(w.eice("--profile", profile, "whoami", "--json", **options).expect(0).text)
    equal(said["Arn"], SESSION + arn, "identity")
    name = arn.partition("/")[0]
    equal(said["Provider"], provider or f"role {role_arn(name)} (profile {profile})", "provider")
    return said


def refused(w, profile, *texts, error="CREDENTIALS", code=None, **options):
    options.setdefault("env", env(w))
    said = json_line(w.eice("--profile", profile, "whoami", "--json", **options).expect(1).err)
    equal((said["error"], said.get("aws_code")), (error, code), f"error of {said}")
    for text in texts:
        contains(said["message"], text, "message")
    check(said["remedy"], f"no remedy: {said}")
    return said


@test
def keys_of_another_profile(w):
    profiles(w, ops=role("Ops", "source_profile = base", "role_session_name = alice",
                         "duration_seconds = 1800"))
    whoami(w, "ops", "Ops/alice")
    first, second = w.requests()
    equal((first["action"], first["access_key"], first["params"]),
          ("AssumeRole", w.sim.world.credential("admin")["access_key"],
           {"RoleArn": role_arn("Ops"), "RoleSessionName": "alice", "DurationSeconds": "1800"}),
          "call")
    check(first["conn"] == second["conn"], "the connection is not kept")


@test
def a_chain(w):
    profiles(w, inner=role("Inner", "source_profile = ops"),
             ops=role("Ops", "source_profile = base"))
    whoami(w, "inner", "Inner/eice")
    equal([x["action"] for x in w.requests()], ["AssumeRole", "AssumeRole", "GetCallerIdentity"],
          "calls")
    equal(w.eice("-q", "--profile", "inner", "ssh", "web-1", "echo x", env=env(w)).expect(0).text,
          "x\n", "a shell with it")


@test
def by_a_variable(w):
    """AWS_PROFILE leaves the environment's keys in front; without them the role counts."""
    profiles(w, ops=role("Ops", "source_profile = base"))
    said = json_line(w.eice("whoami", "--json", env=w.env(AWS_PROFILE="ops")).expect(0).text)
    equal(said["Provider"], "environment", "provider")
    said = json_line(w.eice("whoami", "--json", env=env(w, AWS_PROFILE="ops")).expect(0).text)
    equal(said["Arn"], SESSION + "Ops/eice", "identity")


@test
def keys_of_the_same_profile(w):
    profiles(w, own=role("Ops", "source_profile = own", "{keys}"))
    whoami(w, "own", "Ops/eice")


@test
def static_keys_of_a_source_come_before_its_role(w):
    profiles(w, inner=role("Ops", "source_profile = both"),
             both=role("Closed", "source_profile = nowhere", "{keys}"))
    whoami(w, "inner", "Ops/eice")


@test
def credential_source_environment(w):
    profiles(w, ops=role("Ops", "credential_source = Environment"))
    whoami(w, "ops", "Ops/eice", env=w.env())
    refused(w, "ops", "credential_source Environment, and there are none")


@test
def credential_source_of_instance_and_container(w):
    profiles(w, a=role("Ops", "credential_source = Ec2InstanceMetadata"),
             b=role("Ops", "credential_source = EcsContainer"))
    with Metadata(w.sim.world.credential("temporary"), w.sim.world.region) as m:
        with_imds = env(w, "AWS_EC2_METADATA_DISABLED", AWS_EC2_METADATA_SERVICE_ENDPOINT=m.url)
        whoami(w, "a", "Ops/eice", env=with_imds)
        with_imds.pop("AWS_REGION")
        equal(whoami(w, "a", "Ops/eice", env=with_imds)["Region"], "eu-west-1", "region")
        whoami(w, "b", "Ops/eice", env=env(w, AWS_CONTAINER_CREDENTIALS_FULL_URI=m.url + "/get"))
    refused(w, "a", "credential_source Ec2InstanceMetadata, and there are none")
    refused(w, "b", "credential_source EcsContainer, and there are none")


@test
def a_web_identity_in_the_chain(w):
    token = w.write("token", w.sim.oidc.token())
    profiles(w, inner=role("Inner", "source_profile = web"),
             web=role("Web", f"web_identity_token_file = {token}"))
    # what the environment says is not for a source
    whoami(w, "inner", "Inner/eice", env=env(w, AWS_WEB_IDENTITY_TOKEN_FILE=w.path("none"),
                                             AWS_ROLE_ARN="x"))


@test
def external_id(w):
    profiles(w, good=role("Tenant", "source_profile = base", "external_id = tenant-42"),
             bad=role("Tenant", "source_profile = base", "external_id = tenant-43"),
             none=role("Tenant", "source_profile = base"))
    whoami(w, "good", "Tenant/eice")
    for name in ("bad", "none"):
        refused(w, name, "not allowed to do sts:AssumeRole", "role/Tenant",
                error="AWS_DENIED", code="AccessDenied")


@test
def durations(w):
    profiles(w, long=role("Ops", "source_profile = base", "duration_seconds = 7200"),
             longer=role("Ops", "source_profile = base", "duration_seconds = 7201"),
             short=role("Ops", "source_profile = base", "duration_seconds = 899"),
             text=role("Ops", "source_profile = base", "duration_seconds = an hour"),
             chained=role("Inner", "source_profile = long", "duration_seconds = 3601"))
    whoami(w, "long", "Ops/eice")
    whoami(w, "text", "Ops/eice")
    for name, text in (("longer", "MaxSessionDuration"), ("short", "greater than or equal to 900"),
                       ("chained", "role chaining")):
        refused(w, name, text, error="AWS", code="ValidationError")


@test
def what_aws_refuses(w):
    profiles(w, closed=role("Closed", "source_profile = base"),
             nowhere=role("Nowhere", "source_profile = base"))
    for name, text in (("closed", "role/Closed"), ("nowhere", "role/Nowhere")):
        said = refused(w, name, text, error="AWS_DENIED", code="AccessDenied")
        check(said["request_id"], f"no request id: {said}")
    profiles(w, "denied", ops=role("Ops", "source_profile = base"))
    refused(w, "ops", "as arn:aws:iam::123456789012:user/denied", error="AWS_DENIED",
            code="AccessDenied")
    profiles(w, "expired", ops=role("Ops", "source_profile = base"))
    refused(w, "ops", "profile base", error="CREDENTIALS_EXPIRED", code="ExpiredToken")


@test
def what_is_wrong_in_the_files(w):
    profiles(w, a=role("Ops", "source_profile = b"), b=role("Ops", "source_profile = c"),
             c=role("Ops", "source_profile = a"), own=role("Ops", "source_profile = own"),
             gone=role("Ops", "source_profile = nope"),
             both=role("Ops", "source_profile = base", "credential_source = Environment"),
             none=role("Ops"), odd=role("Ops", "credential_source = Elsewhere"),
             bare=role("Ops", "source_profile = empty"), empty="region = eu-west-1")
    refused(w, "a", "profile c has source_profile a", "loop", error="CONFIG")
    refused(w, "own", "profile own has source_profile own", "loop", error="CONFIG")
    refused(w, "gone", "source_profile nope", "in neither file", error="CONFIG")
    refused(w, "both", "both source_profile and credential_source", error="CONFIG")
    refused(w, "none", "neither source_profile nor credential_source")
    refused(w, "odd", "credential_source Elsewhere", "none of", error="CONFIG")
    refused(w, "bare", "profile empty is the source of a role, and has no keys", error="CONFIG")
    profiles(w, **{f"p{n}": role("Ops", f"source_profile = p{n + 1}") for n in range(20)})
    refused(w, "p0", "more profiles than a chain may have", error="CONFIG")
    equal(w.requests(), [], "calls")


@test
def the_region(w):
    profiles(w, ops=role("Ops", "source_profile = base", "region = eu-west-1"),
             none=role("Ops", "source_profile = base"))
    whoami(w, "ops", "Ops/eice", env=env(w, "AWS_REGION"))
    equal(w.requests("AssumeRole")[0]["host"], "sts.eu-west-1.amazonaws.com", "host")
    refused(w, "none", "no region", error="NO_REGION", env=env(w, "AWS_REGION"))


@test
def one_retry(w):
    profiles(w, ops=role("Ops", "source_profile = base"))
    w.sim.ctl("fault", kind="http-error", times=1, action="AssumeRole", status=503,
              code="ServiceUnavailable")
    whoami(w, "ops", "Ops/eice")


@test
def what_verbose_shows(w):
    profiles(w, ops=role("Ops", "source_profile = base"))
    said = w.eice("--profile", "ops", "whoami", "-v", env=env(w)).expect(0).err
    matches(said, r"sts AssumeRole request id", "trail")
    matches(said, r"credentials +role arn:aws:iam::\d+:role/Ops \(profile ops\)", "trail")
    check(w.sim.world.credential("admin")["secret"] not in said, "the secret is shown")


def notes(text):
    """What -v says of each provider, in order."""
    return re.findall(r"(?m)^eice: ([a-zA-Z][a-zA-Z_ ]*?) {2,}([^ ].*)$", text)


@test
def why_the_others_did_not(w):
    profiles(w, ops=role("Ops", "source_profile = base"))
    got = notes(w.eice("--profile", "ops", "whoami", "-v", env=env(w)).expect(0).err)
    equal([n for n in got if n[0] in ("environment", "role", "credentials file")],
          [("environment", "the environment counts only without --profile"),
           ("role", "its keys come from profile base"),
           ("credentials file", "answered: profile base (~/.aws/credentials)"),
           ("role", f"answered: role {role_arn('Ops')} (profile ops)")], "notes")
    check(("web identity", "the environment counts only without --profile, and profile base has "
           "no web_identity_token_file") in got, f"no web identity in {got}")
    check(("config file", "not tried any more") in got, f"no rest in {got}")
    said = json_line(w.eice("--profile", "ops", "whoami", "--json", env=env(w)).expect(0).text)
    equal([(x["Name"], x["Outcome"]) for x in said["Providers"]], got, "the same in JSON")
    matches(said["Expires"], r"^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$", "end of the keys")
    matches(w.eice("--profile", "ops", "whoami", env=env(w)).expect(0).text,
            r"(?m)^until     20\d\d-\d\d-\d\dT", "end of the keys")


@test
def the_end_of_keys_in_the_environment(w):
    for text, wanted in (("2099-01-02T03:04:05Z", "2099-01-02T03:04:05Z"), ("soon", None)):
        said = w.eice("whoami", "--json", env=w.env(AWS_CREDENTIAL_EXPIRATION=text)).expect(0)
        equal(json_line(said.text).get("Expires"), wanted, "end")


@test
def why_none_did(w):
    result = w.eice("whoami", "-v", env=env(w)).expect(1)
    got = dict(notes(result.err))
    for name, why in (("environment", "AWS_ACCESS_KEY_ID is not set"),
                      ("role", "profile default has no role_arn"),
                      ("credential_process", "profile default has no credential_process"),
                      ("container", "AWS_CONTAINER_CREDENTIALS_FULL_URI is not set"),
                      ("instance metadata", "AWS_EC2_METADATA_DISABLED is true")):
        equal(got.get(name), why, name)
    contains(result.err, "credentials no provider: no credentials", "trail")
    profiles(w, closed=role("Closed", "source_profile = base"))
    result = w.eice("--profile", "closed", "whoami", "-v", env=env(w)).expect(1)
    matches(result.err, r"credentials role: not allowed", "trail")
    matches(dict(notes(result.err))["role"], r"^failed: .*AccessDenied", "note")


if __name__ == "__main__":
    sys.exit(main(__doc__))
