#!/usr/bin/python3
"""Settings and endpoints of generated configurations: botocore's and ours must agree.

usage: config_botocore.py CRED_DUMP [SEED [COUNT]]

CRED_DUMP is the program made of cred_dump.c. What is compared: region, FIPS, dual-stack, how
often a call is tried, the roots, where instance metadata is, and the URL of each service. Of an
old botocore, which knows no configured URLs, the URLs are those that the maker of the
configuration tells. One line a test: PASS, FAIL or SKIP.
"""

import os
import random
import re
import subprocess
import sys
import tempfile

import cred_botocore as base

try:
    import botocore.client
    import botocore.configprovider
    import botocore.endpoint_provider
    import botocore.exceptions
    import botocore.session
except ImportError:
    botocore = None

SERVICES = {**base.SERVICES, "sso": "SSO", "sso-oidc": "SSO_OIDC"}
# In the order of partitions; the last two are of none that is known.
REGIONS = ["eu-west-1", "us-east-1", "ap-southeast-5", "il-central-1", "cn-north-1",
           "us-gov-west-1", "us-gov-east-1", "us-iso-east-1", "us-isob-east-1", "xx-west-1",
           "local"]
NEW_REGIONS = ["eu-isoe-west-1", "us-isof-south-1", "mx-central-1"]
MODERN = botocore and hasattr(botocore.configprovider, "ConfiguredEndpointProvider")
# Since 2025 these partitions have dual-stack names, which neither release of botocore knows.
ISOLATED = re.compile(r"us-iso|eu-isoe")
DUAL = re.compile(r"//[a-z2.-]+\.[a-z0-9-]+\.api\.(aws|cloud-aws)\.")
ODD = {"true": True, "TRUE": True, "True": True, "false": False, "yes": False, "1": False}


class Rules:
    """botocore's rule sets, each read once."""

    session = None
    made = {}

    @classmethod
    def url(cls, service, **inputs):
        if cls.session is None:
            cls.session = botocore.session.Session()
        loader = cls.session.get_component("data_loader")
        if service not in cls.made:
            cls.made[service] = botocore.endpoint_provider.EndpointProvider(
                loader.load_service_model(service, "endpoint-rule-set-1"),
                loader.load_data("partitions"))
        if service == "sts":
            inputs["UseGlobalEndpoint"] = False
        try:
            return cls.made[service].resolve_endpoint(**inputs).url
        except botocore.exceptions.EndpointProviderError:
            return "CONFIG"


def settings(config, told):
    """What botocore makes of the environment and the files."""
    session = botocore.session.Session(profile=config.profile)
    get = session.get_config_variable
    answer = {"region": get("region") or "", "ca_bundle": get("ca_bundle") or
              os.environ.get("REQUESTS_CA_BUNDLE", "")}
    mode = os.environ.get("AWS_RETRY_MODE") or session.get_scoped_config().get("retry_mode")
    # Without a mode botocore's is legacy; that of the AWS CLI, and ours, is standard.
    answer["attempts"] = str(get("max_attempts") or (5 if mode == "legacy" else 3))
    region, flags = botocore.client.ClientCreator._normalize_fips_region(
        None, answer["region"], None)
    answer["region"] = region
    fips, dual = bool(flags or get("use_fips_endpoint")), bool(get("use_dualstack_endpoint"))
    answer.update(fips=str(int(fips)), dualstack=str(int(dual)))
    urls = dict(told)
    base.botocore_urls(session, urls, SERVICES)
    for service in SERVICES:
        inputs = {"Endpoint": urls[service]} if urls[service] else {}
        answer["place " + service] = Rules.url(service, Region=region, UseFIPS=fips,
                                               UseDualStack=dual, **inputs)
    return answer


def theirs(config, home):
    env = config.write(home)
    saved = dict(os.environ)
    os.environ.clear()
    os.environ.update(env)
    try:
        return settings(config, config.told)
    finally:
        os.environ.clear()
        os.environ.update(saved)


def ours(config, home):
    words = [base.DUMP] + ([config.profile] if config.profile else [])
    done = subprocess.run(words, env=config.write(home), stdout=subprocess.PIPE, check=True)
    answer = dict(line.split("=", 1) for line in done.stdout.decode().splitlines())
    for name in SERVICES:
        # botocore keeps the URL as it is written
        answer["place " + name] = answer["place " + name].removesuffix("/")
    return answer


# --- generated configurations ----------------------------------------------------------------


def flag(rng, env, pairs, variable, key):
    """Sets a boolean in the environment, the profile, or both; what must come out."""
    text = [rng.choice(list(ODD)) if rng.random() < 0.2 else None for _ in range(2)]
    if text[0]:
        env[variable] = text[0]
    if text[1]:
        pairs[key] = text[1]


def numbers_and_paths(rng, env, pairs):
    if rng.random() < 0.3:
        env["AWS_MAX_ATTEMPTS"] = str(rng.randint(1, 9))
    if rng.random() < 0.3:
        pairs["max_attempts"] = str(rng.randint(1, 9))
    for where, name in ((env, "AWS_RETRY_MODE"), (pairs, "retry_mode")):
        if rng.random() < 0.2:
            where[name] = rng.choice(["standard", "adaptive", "legacy"])
    for where, name in ((env, "AWS_CA_BUNDLE"), (pairs, "ca_bundle"), (env, "REQUESTS_CA_BUNDLE")):
        if rng.random() < 0.25:
            where[name] = f"/etc/{base.word(rng, 'ca')}.pem"


def region_of(rng, known):
    region = rng.choice(known)
    return rng.choice(["fips-" + region, region + "-fips"]) if rng.random() < 0.08 else region


def endpoints(rng, env, pairs):
    """URLs, sometimes; (services section, what they come to)"""
    lab, urls = base.services_section(rng, "lab")
    if rng.random() < 0.6:
        return lab, dict.fromkeys(SERVICES, "")
    if rng.random() < 0.3:
        env["AWS_ENDPOINT_URL"] = base.url(rng) + "/env"
    for name in SERVICES.values():
        if rng.random() < 0.2:
            env[f"AWS_ENDPOINT_URL_{name}"] = base.url(rng) + "/own"
    if rng.random() < 0.3:
        pairs["endpoint_url"] = base.url(rng) + "/all"
    if rng.random() < 0.5:
        pairs["services"] = "lab"
    if rng.random() < 0.2:
        rng.choice([env, env, pairs])["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = "true"
        if "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS" in pairs:
            pairs["ignore_configured_endpoint_urls"] = pairs.pop(
                "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
    return lab, base.endpoints_told(env, pairs, urls if "services" in pairs else {}, SERVICES)


def made(rng, known):
    env = dict(base.KEYS)
    pairs = {}
    if rng.random() < 0.7:
        pairs["region"] = region_of(rng, known)
    if rng.random() < 0.4 or "region" not in pairs:
        env["AWS_DEFAULT_REGION"] = region_of(rng, known)
    flag(rng, env, pairs, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")
    flag(rng, env, pairs, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")
    numbers_and_paths(rng, env, pairs)
    lab, told = endpoints(rng, env, pairs)
    name = rng.choice(base.NAMES)
    rows = list(pairs.items())
    rng.shuffle(rows)
    sections = [base.lines_of(rng, base.config_head(rng, name), rows), lab]
    rng.shuffle(sections)
    profile = name if rng.random() < 0.3 else None
    if profile is None:
        env[rng.choice(["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])] = name
    else:
        del env["AWS_ACCESS_KEY_ID"]
        sections[0][1:1] = []
    return base.Config(env, base.file_of(rng, [[f"[{name}]", "aws_access_key_id = AKIA2",
                                               "aws_secret_access_key = s"]]),
                       base.file_of(rng, sections), profile, told)


def later_names(mine, other):
    """What botocore does not know yet is told: dual-stack names of an isolated partition; and, in
    rule sets from before 2023, that two hosts of aws-us-gov are FIPS without the word."""
    for name in ("place sso", "place sso-oidc"):
        if re.search(r"-fips\.us-gov-.*\.amazonaws\.com$", other[name]) and not MODERN:
            other[name] = other[name].replace("-fips", "")
    if other["dualstack"] == "1" and ISOLATED.match(other["region"]):
        for name in SERVICES:
            if other["place " + name] == "CONFIG" and DUAL.search(mine["place " + name]):
                other["place " + name] = mine["place " + name]


def compare(rng, count, known, home):
    wrong = []
    for _ in range(count):
        config = made(rng, known)
        mine, other = ours(config, home), theirs(config, home)
        later_names(mine, other)
        bad = [f"{name}: ours {mine.get(name)!r}, botocore {value!r}"
               for name, value in other.items() if mine.get(name) != value]
        wrong += [f"{'; '.join(bad)}; {config}"] if bad else []
    return wrong


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261125
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    if botocore is None:
        print("SKIP config: settings, botocore agrees: python3-botocore is not installed")
        return 0
    known = REGIONS + (NEW_REGIONS if MODERN else [])
    with tempfile.TemporaryDirectory() as home:
        wrong = compare(random.Random(seed), count, known, home)
    return base.report(f"config: settings and endpoints of {count} configurations, botocore "
                       f"{botocore.__version__} agrees", wrong)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    base.DUMP = sys.argv[1]
    sys.exit(main())
