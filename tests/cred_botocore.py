#!/usr/bin/python3
"""Resolves generated configurations with botocore and with us: the answers must agree.

usage: cred_botocore.py CRED_DUMP [SEED [COUNT]]

CRED_DUMP is the program made of cred_dump.c. COUNT configurations of each family are made.
Endpoint URLs, which botocore knows since 1.31 only, are also told by the maker of the
configuration. What botocore does otherwise on purpose is a row of DIFFERENCES, with its source:
both answers are checked there too. One line a test: PASS, FAIL or SKIP.
"""

import datetime
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

try:
    import botocore
    import botocore.configprovider
    import botocore.credentials
    import botocore.exceptions
    import botocore.session
    import botocore.tokens
except ImportError:
    botocore = None

SERVICES = {"ec2": "EC2", "ec2-instance-connect": "EC2_INSTANCE_CONNECT", "sts": "STS"}
METHODS = {"env", "shared-credentials-file", "config-file", "assume-role",
           "assume-role-with-web-identity", "sso", "custom-process"}
# What ours says of the provider: of which method it is.
PROVIDERS = {"environment": "env", "role ": "assume-role", "SSO role ": "sso",
             "web identity ": "assume-role-with-web-identity",
             "credential_process ": "custom-process"}
REGIONS = ["eu-west-1", "us-east-2", "ap-southeast-7", "us-gov-west-1", "cn-north-1"]
NAMES = ["default", "p", "two words", "a.b-c_d", "x/y", "Ops", "über"]
PARAMETERS = ["RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId", "SerialNumber",
              "TokenCode", "WebIdentityToken"]
FIELDS = ["error", "provider", "key", "secret", "token", "region"]
EMPTY = dict.fromkeys(FIELDS + list(SERVICES), "")


# --- the two sides ---------------------------------------------------------------------------


class Config:
    """Environment, files and the profile named by option (None: not named).

    `told` is what must come out, as far as the maker knows.
    """

    def __init__(self, env=None, credentials=None, config=None, profile=None, told=None,
                 logins=None):
        self.told = told or {}
        self.logins = logins or {}  # name of a session or start URL: its cache file
        self.env = env or {}
        self.credentials = credentials
        self.config = config
        self.profile = profile

    def write(self, home):
        folder = os.path.join(home, ".aws")
        os.makedirs(folder, exist_ok=True)
        for name, text in (("credentials", self.credentials), ("config", self.config)):
            path = os.path.join(folder, name)
            if os.path.exists(path):
                os.unlink(path)
            if text is not None:
                with open(path, "w", encoding="utf-8", newline="") as out:
                    out.write(text.replace("@HOME@", home))
        with open(os.path.join(home, "token"), "w", encoding="ascii") as out:
            out.write("a.web.token")
        self.write_logins(os.path.join(folder, "sso"))
        return dict(self.env, HOME=home, LC_ALL="C.UTF-8")

    def write_logins(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in self.logins.items():
            os.makedirs(folder + "/cache", exist_ok=True)
            path = f"{folder}/cache/{hashlib.sha1(name.encode()).hexdigest()}.json"
            with open(path, "w", encoding="utf-8") as out:
                out.write(text)

    def __str__(self):
        return (f"profile={self.profile!r} env={self.env!r} credentials={self.credentials!r} "
                f"config={self.config!r} logins={self.logins!r}")


def method_of(provider):
    """Of what ours says of a provider."""
    if provider.startswith("profile "):
        return "config-file" if provider.endswith("config)") else "shared-credentials-file"
    return next((m for p, m in PROVIDERS.items() if provider.startswith(p)), provider)


def ask_ours(config, home):
    env = config.write(home)
    words = [DUMP] + ([config.profile] if config.profile else [])
    done = subprocess.run(words, env=env, stdout=subprocess.PIPE, check=True)
    lines = done.stdout.decode().splitlines()
    answer = dict(line.split("=", 1) for line in lines)
    answer["provider"] = method_of(answer["provider"]) if answer["error"] == "OK" else ""
    if answer["error"] == "OK":
        answer["error"] = ""
    else:
        answer.update(key="", secret="", token="")
    if answer["error"] in ("PROFILE", "CONFIG"):
        answer.update(dict.fromkeys(["region", *SERVICES], ""))
    return answer


def botocore_urls(session, answer, services=None):
    """Configured endpoints, which botocore knows since 1.31."""
    provider = getattr(botocore.configprovider, "ConfiguredEndpointProvider", None)
    if provider is None:
        return
    if session.get_config_variable("ignore_configured_endpoint_urls"):
        return
    for name in services or SERVICES:
        url = provider(full_config=session.full_config,
                       scoped_config=session.get_scoped_config(), client_name=name).provide()
        answer[name] = url or ""


def assumed(self):
    """Stands for the call of STS: keys that tell what they were asked for with, as cred_dump's."""
    self._mfa_prompter = lambda prompt: "123456"
    given = self._assume_role_kwargs()
    if given["RoleSessionName"].startswith("botocore-session-"):
        del given["RoleSessionName"]
    source = getattr(self, "_source_credentials", None)
    frozen = source.get_frozen_credentials() if source else None
    token = f"{frozen.access_key if frozen else ''}[{frozen and frozen.token or ''}]"
    token += "".join(f";{name}={given[name]}" for name in PARAMETERS if name in given)
    life = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    return {"Credentials": {"AccessKeyId": "ASIAROLE", "SecretAccessKey": "s",
                            "SessionToken": token, "Expiration": life},
            "AssumedRoleUser": {"Arn": "arn:aws:sts::123456789012:assumed-role/x/y"}}


def told_by_portal(self):
    """Stands for GetRoleCredentials, likewise."""
    if self._token_provider:
        token = self._token_provider.load_token().get_frozen_token().token
    else:
        token = self._token_loader(self._start_url)["accessToken"]
    life = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    return {"Credentials": {
        "AccessKeyId": "ASIASSO", "SecretAccessKey": "s", "Expiration": life, "SessionToken":
        f"{self._sso_region};{self._role_name};{self._account_id};{token}"}}


def told_by_process(_, command):
    """Stands for a credential_process, likewise."""
    words = [urllib.parse.quote(w, safe="") for w in
             botocore.credentials.compat_shell_split(command)]
    return {"access_key": "ASIAP", "secret_key": "s", "token": "|".join(words),
            "expiry_time": None}


def botocore_resolve(config, answer):
    for provider in (botocore.credentials.SSOProvider, botocore.tokens.SSOTokenProvider):
        provider._SSO_TOKEN_CACHE_DIR = os.path.expanduser("~/.aws/sso/cache")
    botocore.credentials.SSOCredentialFetcher._get_credentials = told_by_portal
    botocore.credentials.ProcessProvider._retrieve_credentials_using = told_by_process
    for fetcher in (botocore.credentials.AssumeRoleCredentialFetcher,
                    botocore.credentials.AssumeRoleWithWebIdentityCredentialFetcher):
        fetcher._get_credentials = assumed
    session = botocore.session.Session(profile=config.profile)
    answer["region"] = session.get_config_variable("region") or ""
    botocore_urls(session, answer)
    resolver = botocore.credentials.create_credential_resolver(session)
    resolver.providers = [p for p in resolver.providers if p.METHOD in METHODS]
    keys = resolver.load_credentials()
    if keys is None:
        answer["error"] = "NO_CREDENTIALS"
        return
    method = keys.method
    keys = keys.get_frozen_credentials()
    answer.update(key=keys.access_key, secret=keys.secret_key, token=keys.token or "",
                  provider=method)


def ask_botocore(config, home):
    env = config.write(home)
    saved = dict(os.environ)
    answer = dict(EMPTY)
    os.environ.clear()
    os.environ.update(env)
    try:
        botocore_resolve(config, answer)
    except botocore.exceptions.ProfileNotFound:
        answer.update(EMPTY, error="PROFILE")
    except (botocore.exceptions.PartialCredentialsError,
            botocore.exceptions.CredentialRetrievalError, ValueError):
        answer["error"] = "CREDENTIALS"
    except (botocore.exceptions.SSOError, botocore.exceptions.TokenRetrievalError):
        answer["error"] = "CREDENTIALS_EXPIRED"
    except (botocore.exceptions.ConfigParseError, botocore.exceptions.InvalidConfigError):
        answer.update(EMPTY, error="CONFIG")
    finally:
        os.environ.clear()
        os.environ.update(saved)
    return answer


def compared(config):
    """The fields both sides can answer; of an old botocore not what hangs on URLs."""
    if hasattr(botocore.configprovider, "ConfiguredEndpointProvider"):
        return FIELDS + list(SERVICES)
    return [] if config.told.get("error") else FIELDS


def differences(ours, theirs, fields):
    return [f"{name}: ours {ours[name]!r}, theirs {theirs[name]!r}" for name in fields
            if ours[name] != theirs[name]]


# --- generated configurations ----------------------------------------------------------------


def word(rng, prefix):
    return prefix + "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(12))


def secret(rng):
    return "".join(rng.choice("abcdefXYZ0123456789/+=") for _ in range(20)) + "s"


def spelled(rng, name):
    return rng.choice([name, name, name.upper(), name.title()])


def pair(rng, name, value):
    delimiter = rng.choice([" = ", "=", ": ", ":", "\t=\t", " =", "=   "])
    return spelled(rng, name) + delimiter + value + rng.choice(["", "", " ", "\t"])


def noise(rng):
    return rng.choice(["", "", "", "# note = x", "; [other]", "   # indented", "\t", " "])


def lines_of(rng, head, pairs):
    """A section: its lines with comments and blank ones between."""
    lines = [head + rng.choice(["", "", " "])]
    for name, value in pairs:
        text = noise(rng)
        lines += ([text] if text else []) + [pair(rng, name, value)]
    return lines


def file_of(rng, sections):
    end = rng.choice(["\n", "\n", "\r\n"])
    return end.join(noise(rng) if line is None else line for section in sections
                    for line in section + [None]) + end


def key_pairs(rng, whole=True):
    pairs = [("aws_access_key_id", word(rng, "AKIA")), ("aws_secret_access_key", secret(rng))]
    if rng.random() < 0.3:
        pairs.append((rng.choice(["aws_session_token", "aws_security_token"]), secret(rng)))
    if not whole and rng.random() < 0.2:
        pairs.pop(1)
    rng.shuffle(pairs)
    return pairs


def config_head(rng, name):
    if name == "default" and rng.random() < 0.7:
        return "[default]"
    quotes = ['"', "'"] if " " in name else ["", '"', "'"]
    quote = rng.choice(quotes)
    return f"[profile{rng.choice([' ', '  ', chr(9)])}{quote}{name}{quote}]"


def profile_pairs(rng):
    pairs = []
    if rng.random() < 0.7:
        pairs.append(("region", rng.choice(REGIONS)))
    if rng.random() < 0.3:
        pairs += [("output", "json"), ("cli_pager", "")]
    return pairs


def env_keys(rng):
    env = {}
    if rng.random() < 0.5:
        env["AWS_ACCESS_KEY_ID"] = rng.choice([word(rng, "AKIA"), word(rng, "AKIA"), ""])
        env["AWS_SECRET_ACCESS_KEY"] = secret(rng)
        if rng.random() < 0.3:
            env[rng.choice(["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"])] = secret(rng)
        if rng.random() < 0.1:
            del env["AWS_SECRET_ACCESS_KEY"]
    if rng.random() < 0.3:
        env["AWS_DEFAULT_REGION"] = rng.choice(REGIONS)
    return env


def chosen(rng, env, names):
    """A profile by option, by a variable, or not at all; sometimes one that is missing."""
    name = rng.choice(names + ["nope"])
    way = rng.randrange(4)
    if way == 0:
        return name
    if way == 1:
        env[rng.choice(["AWS_PROFILE", "AWS_DEFAULT_PROFILE"])] = name
    return None


def family_environment(rng):
    env = env_keys(rng)
    profile = chosen(rng, env, ["default"])
    return Config(env, None, file_of(rng, [lines_of(rng, "[default]", profile_pairs(rng))]),
                  profile)


def family_profiles(rng):
    names = rng.sample(NAMES, rng.randint(1, 4))
    env = env_keys(rng)
    cred_names = rng.sample(names, rng.randint(0, len(names)))
    credentials = [lines_of(rng, f"[{name}]", key_pairs(rng, False) + profile_pairs(rng)[:1])
                   for name in cred_names]
    config = [lines_of(rng, config_head(rng, name),
                       profile_pairs(rng) + (key_pairs(rng) if rng.random() < 0.4 else []))
              for name in rng.sample(names, rng.randint(0, len(names)))]
    return Config(env, file_of(rng, credentials) if credentials else None,
                  file_of(rng, config) if config else None, chosen(rng, env, names))


def nested(rng, name, pairs):
    """In a block botocore knows no ':' and minds the case."""
    indent = rng.choice(["  ", "\t", "    "])
    delimiter = rng.choice([" = ", "=", "\t= "])
    return [name + rng.choice([" =", "=", " = "])] + [indent + delimiter.join(p) for p in pairs]


def family_nested(rng):
    """Blocks whose keys are not the profile's."""
    lines = lines_of(rng, "[default]", profile_pairs(rng))
    block = nested(rng, "s3", [("region", "xx-1"), ("aws_access_key_id", "AKIANESTED")])
    at = rng.choice([1, len(lines)])
    lines[at:at] = block
    credentials = lines_of(rng, "[default]", key_pairs(rng))
    credentials += nested(rng, "other", [("aws_session_token", "x")])
    return Config({}, file_of(rng, [credentials]), file_of(rng, [lines]))


def family_odd_sections(rng):
    """Sections that are no profiles, and such that only look like one."""
    odd = rng.sample(["[foo]", "[plugins]", "[profilefoo]", "[profile]", "[profile a b]",
                      "[profile 'open]", "[sso-session p]", "[services p]", "[preview]",
                      "[Default]"], 4)
    sections = [lines_of(rng, head, [("region", "no-1")]) for head in odd]
    sections.insert(rng.randrange(5), lines_of(rng, "[profile p]", [("region", "eu-west-1")]))
    env = env_keys(rng)
    return Config(env, None, file_of(rng, sections), chosen(rng, env, ["p", "foo", "a b"]))


def url(rng):
    return rng.choice(["http://127.0.0.1:4566", "https://localhost:8443/p", "http://h.example"])


def services_section(rng, name):
    """Blocks only: of a plain key botocore wants the value to be a block too."""
    lines = [f"[services {name}]"]
    urls = {}
    for service in rng.sample(["ec2", "ec2_instance_connect", "sts", "s3", "sso", "sso_oidc"],
                              rng.randint(1, 3)):
        urls[service] = f"{url(rng)}/{name}/{service}"
        lines += nested(rng, service, [("endpoint_url", urls[service])])
    return lines, urls


def endpoint_env(rng):
    env = dict(AWS_ACCESS_KEY_ID="AKIA1", AWS_SECRET_ACCESS_KEY="s", AWS_DEFAULT_REGION="a-b-1")
    if rng.random() < 0.3:
        env["AWS_ENDPOINT_URL"] = url(rng) + "/env"
    for name in SERVICES.values():
        if rng.random() < 0.2:
            env[f"AWS_ENDPOINT_URL_{name}"] = url(rng) + "/own"
    if rng.random() < 0.2:
        env["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] = rng.choice(["true", "TRUE", "false", "1"])
    return env


def endpoints_told(env, pairs, urls, services=None):
    """The order of precedence, applied to what the configuration was made of."""
    ignore = env.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                     pairs.get("ignore_configured_endpoint_urls", ""))
    told = {}
    for name, variable in (services or SERVICES).items():
        found = env.get(f"AWS_ENDPOINT_URL_{variable}") or env.get("AWS_ENDPOINT_URL")
        if not found and pairs.get("services") == "nope" and ignore.lower() != "true":
            return {"error": "CONFIG"}
        found = found or urls.get(variable.lower()) or pairs.get("endpoint_url", "")
        told[name] = "" if ignore.lower() == "true" else found
    return told


def family_endpoints(rng):
    env = endpoint_env(rng)
    pairs = {}
    if rng.random() < 0.5:
        pairs["endpoint_url"] = url(rng) + "/global"
    if rng.random() < 0.6:
        pairs["services"] = rng.choice(["lab", "lab", "lab", "nope"])
    if rng.random() < 0.1:
        pairs["ignore_configured_endpoint_urls"] = "true"
    lab, urls = services_section(rng, "lab")
    sections = [lines_of(rng, "[default]", pairs.items()), lab, services_section(rng, "other")[0]]
    rng.shuffle(sections)
    told = endpoints_told(env, pairs, urls if pairs.get("services") == "lab" else {})
    return Config(env, None, file_of(rng, sections), None, told)


def role_pairs(rng, names):
    """A role with what a profile may say about it, and sometimes what it may not."""
    pairs = [("role_arn", f"arn:aws:iam::1:role/{word(rng, 'r')}")]
    if rng.random() < 0.9:
        pairs.append(("source_profile", rng.choice(names + ["nope"] if rng.random() < 0.2
                                                   else names)))
    if rng.random() < 0.12:
        pairs.append(("credential_source", rng.choice(["Environment", "Environment",
                                                       "EcsContainer", "Elsewhere"])))
        if len(pairs) > 2 and rng.random() < 0.8:
            pairs.pop(1)
    for name, value in (("external_id", "tenant-1"), ("role_session_name", "alice"),
                        ("duration_seconds", rng.choice(["900", "3600", "1h"])),
                        ("mfa_serial", "arn:aws:iam::1:mfa/a")):
        if rng.random() < 0.25:
            pairs.append((name, value))
    return pairs


def family_roles(rng):
    """Chains of profiles, whole and broken."""
    names = rng.sample(NAMES, rng.randint(2, 5))
    env = {**env_keys(rng), "AWS_DEFAULT_REGION": "eu-west-1"}
    if rng.random() < 0.6:
        env.pop("AWS_ACCESS_KEY_ID", None)
    credentials, config = [], []
    for place, name in enumerate(names):
        pairs = profile_pairs(rng)
        kind = rng.random()
        if kind < 0.65 and place < len(names) - 1:
            pairs += role_pairs(rng, names[place + 1:] if rng.random() < 0.8 else names)
        elif kind < 0.8:
            pairs += [("role_arn", "arn:aws:iam::1:role/web"),
                      ("web_identity_token_file", "@HOME@/token")]
        if kind > 0.8 or rng.random() < 0.15:
            if rng.random() < 0.5:
                pairs += key_pairs(rng)
            else:
                credentials.append(lines_of(rng, f"[{name}]", key_pairs(rng, False)))
        config.append(lines_of(rng, config_head(rng, name), pairs))
    return Config(env, file_of(rng, credentials) if credentials else None, file_of(rng, config),
                  chosen(rng, env, names[:2]))


def login(rng, region):
    """A cache file that is good for an hour, or was for one; or is none."""
    kind = rng.random()
    hours = rng.choice([1, 1, 1, 1, -1]) if region else 1
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)
    entry = {"startUrl": "x", "region": region, "accessToken": word(rng, "tok/en+=.")}
    if region == "" or rng.random() < 0.5:
        entry["clientId"] = "c"
    entry["expiresAt"] = until.strftime("%Y-%m-%dT%H:%M:%SZ")
    if kind < 0.1:
        del entry["accessToken"]
    return json.dumps(entry)


def sso_pairs(rng, session, url):
    """A profile of IAM Identity Center, with what it needs, or nearly."""
    pairs = [("sso_account_id", str(rng.randrange(10 ** 11, 10 ** 12))),
             ("sso_role_name", word(rng, "Role_"))]
    if session:
        pairs.append(("sso_session", session))
    own = [("sso_start_url", url), ("sso_region", rng.choice(["eu-west-1", "us-east-2"]))]
    if session:
        own = rng.sample(own, 1) if rng.random() < 0.25 else []
    pairs += own
    if rng.random() < 0.15:
        pairs.pop(rng.randrange(len(pairs)))
    rng.shuffle(pairs)
    return pairs


def family_sso(rng):
    """Sessions and the older form, with and without a login, beside keys and processes."""
    names = rng.sample(NAMES, rng.randint(1, 3))
    session = rng.choice(["corp", "my corp", "ünï"])
    url = f"https://{word(rng, 'd').lower()}.awsapps.com/start#/"
    config, credentials, logins = [], [], {}
    for name in names:
        pairs = profile_pairs(rng) + sso_pairs(rng, session if rng.random() < 0.6 else None, url)
        pairs += key_pairs(rng) if rng.random() < 0.3 else []
        if rng.random() < 0.3:
            credentials.append(lines_of(rng, f"[{name}]", key_pairs(rng)))
        config.append(lines_of(rng, config_head(rng, name), pairs))
    quote = '"' if " " in session else rng.choice(["", "'"])
    if rng.random() < 0.9:
        config.append(lines_of(rng, f"[sso-session {quote}{session}{quote}]", [
            ("sso_region", rng.choice(["eu-west-1", "us-east-2"])), ("sso_start_url", url),
            ("sso_registration_scopes", "sso:account:access")]))
    rng.shuffle(config)
    if rng.random() < 0.85:
        logins[session] = login(rng, "eu-west-1")
    if rng.random() < 0.85:
        logins[url] = login(rng, "")
    env = {"AWS_DEFAULT_REGION": "eu-west-1"}
    return Config(env, file_of(rng, credentials) if credentials else None, file_of(rng, config),
                  chosen(rng, env, names), None, logins)


def command(rng):
    """Words with all that a shell may have around them."""
    return " ".join(rng.choice(["/bin/x", "-v", "'a b'", '"c d"', "e\\ f", "g'h'i", '"j\\"k"', "''",
                                "'l\\m'", '"n\\o"', "$p", "a=b", "q\"r\"", "~/x", "*"])
                    for _ in range(rng.randint(1, 5))) + rng.choice(["", "", "", " 'open", ' "'])


def family_processes(rng):
    """How a command is cut into words, and what comes before it."""
    config, credentials = [], []
    names = rng.sample(NAMES, rng.randint(1, 2))
    for name in names:
        pairs = profile_pairs(rng) + [("credential_process", command(rng))]
        pairs += key_pairs(rng) if rng.random() < 0.3 else []
        if rng.random() < 0.2:
            credentials.append(lines_of(rng, f"[{name}]", key_pairs(rng)))
        config.append(lines_of(rng, config_head(rng, name), pairs))
    env = env_keys(rng) if rng.random() < 0.2 else {}
    return Config(env, file_of(rng, credentials) if credentials else None, file_of(rng, config),
                  chosen(rng, env, names))


FAMILIES = {
    "roles": family_roles,
    "IAM Identity Center": family_sso,
    "processes": family_processes,
    "environment": family_environment,
    "profiles": family_profiles,
    "nested blocks": family_nested,
    "sections that are no profiles": family_odd_sections,
    "endpoint URLs": family_endpoints,
}


# --- what differs, and why -------------------------------------------------------------------

KEYS = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s"}
TWO = "[a]\naws_access_key_id=AKIAA\naws_secret_access_key=s\n" \
      "[b]\naws_access_key_id=AKIAB\naws_secret_access_key=s\n"
GUIDE = "SDKs and Tools Reference Guide"

# name, why ours is so, configuration, what ours answers, what botocore answers
DIFFERENCES = [
    ("AWS_REGION", f"{GUIDE}: AWS_REGION is the variable of the region; botocore leaves it out",
     Config({**KEYS, "AWS_REGION": "eu-west-1"}), {"region": "eu-west-1"}, {"region": ""}),
    ("AWS_PROFILE before AWS_DEFAULT_PROFILE", f"{GUIDE}: AWS_PROFILE; the other is older",
     Config({"AWS_PROFILE": "a", "AWS_DEFAULT_PROFILE": "b"}, TWO), {"key": "AKIAA"},
     {"key": "AKIAB"}),
    ("AWS_SESSION_TOKEN before AWS_SECURITY_TOKEN", f"{GUIDE}: AWS_SESSION_TOKEN; same reason",
     Config({**KEYS, "AWS_SESSION_TOKEN": "new", "AWS_SECURITY_TOKEN": "old"}), {"token": "new"},
     {"token": "old"}),
    ("an empty region variable is none", "as every other variable that is set but empty",
     Config({**KEYS, "AWS_DEFAULT_REGION": ""}, None, "[default]\nregion=eu-west-1\n"),
     {"region": "eu-west-1"}, {"region": ""}),
    ("an empty AWS_PROFILE is none", "same", Config({**KEYS, "AWS_PROFILE": ""}),
     {"error": "", "key": "AKIA1"}, {"error": "PROFILE"}),
    ("duplicate keys", "the last one wins, as in the other SDKs",
     Config(KEYS, None, "[default]\nregion=eu-west-1\nregion=eu-west-2\n"),
     {"error": "", "region": "eu-west-2"}, {"error": "CONFIG"}),
    ("duplicate sections", "they are merged, as in the other SDKs",
     Config(KEYS, None, "[default]\nregion=eu-west-1\n[default]\noutput=x\n"),
     {"error": "", "region": "eu-west-1"}, {"error": "CONFIG"}),
    ("comment behind a value", f"{GUIDE}: a comment may follow white space",
     Config(KEYS, None, "[default]\nregion = eu-west-1 # home\n"), {"region": "eu-west-1"},
     {"region": "eu-west-1 # home"}),
    ("[profile default] and [default]", f"{GUIDE}: the former is preferred; botocore: the last",
     Config(KEYS, None, "[profile default]\nregion=eu-west-1\n[default]\nregion=eu-west-2\n"),
     {"region": "eu-west-1"}, {"region": "eu-west-2"}),
    ("byte order mark", "editors write it",
     Config(KEYS, None, "\ufeff[default]\nregion=eu-west-1\n"),
     {"error": "", "region": "eu-west-1"}, {"error": "CONFIG"}),
    ("ASIA without a token", "no service takes it: said at once",
     Config({**KEYS, "AWS_ACCESS_KEY_ID": "ASIA1"}), {"error": "CREDENTIALS"}, {"error": ""}),
    ("blanks in the brackets", "a name begins and ends with no blank",
     Config({**KEYS, "AWS_PROFILE": "p"}, None, "[ profile p ]\nregion=eu-west-1\n"),
     {"error": "", "region": "eu-west-1"}, {"error": "PROFILE"}),
    ("profilefoo", "botocore takes every section that begins with these letters",
     Config({**KEYS, "AWS_PROFILE": "x"}, None, "[profilefoo x]\nregion=eu-west-1\n"),
     {"error": "PROFILE"}, {"error": "", "region": "eu-west-1"}),
    ("colon in a block", "as everywhere else in these files; botocore calls it malformed",
     Config(KEYS, None, "[default]\nregion=eu-west-1\ns3 =\n  a: b\n"),
     {"error": "", "region": "eu-west-1"}, {"error": "CONFIG"}),
    ("an empty key id", "broken, not a key",
     Config({}, "[default]\naws_access_key_id=\naws_secret_access_key=s\n"),
     {"error": "CREDENTIALS"}, {"error": "", "secret": "s"}),
    ("a region that is no host label", "it becomes a part of host names",
     Config({**KEYS, "AWS_DEFAULT_REGION": "a.example"}), {"error": "CONFIG"}, {"error": ""}),
]


# --- the tests -------------------------------------------------------------------------------


def report(name, failures):
    print(f"FAIL {name}: {failures[0]} ({len(failures)} in all)" if failures else f"PASS {name}",
          flush=True)
    return bool(failures)


def run_family(name, make, rng, count, home):
    failures = []
    for _ in range(count):
        config = make(rng)
        ours = ask_ours(config, home)
        wrong = differences(ours, ask_botocore(config, home), compared(config))
        wrong += [f"{field}: ours {ours[field]!r}, told {value!r}"
                  for field, value in config.told.items() if ours[field] != value]
        failures += [f"{'; '.join(wrong)}; {config}"] if wrong else []
    return report(f"cred: {count} configurations, botocore agrees: {name}", failures)


def run_difference(row, home):
    name, why, config, ours, theirs = row
    wrong = []
    for side, ask, want in (("ours", ask_ours, ours), ("botocore", ask_botocore, theirs)):
        got = ask(config, home)
        wrong += [f"{side}: {field} is {got[field]!r}, not {value!r}"
                  for field, value in want.items() if got[field] != value]
    return report(f"cred: unlike botocore: {name} ({why})", wrong)


def main():
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 20261122
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 24
    if botocore is None:
        print("SKIP cred: configurations, botocore agrees: python3-botocore is not installed")
        return 0
    failed = False
    with tempfile.TemporaryDirectory() as home:
        for name, make in FAMILIES.items():
            rng = random.Random(f"{seed} {name}")
            failed |= run_family(name, make, rng, count, home)
        for row in DIFFERENCES:
            failed |= run_difference(row, home)
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    DUMP = sys.argv[1]
    sys.exit(main())
