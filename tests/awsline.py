"""Command lines of the AWS CLI, carried out by botocore.

    AwsLine(port, ca_file, credential, home, consent).run(["aws", "ec2", "delete-route", …])

What an option takes is told by botocore's model of the service: names, numbers, booleans (--x,
--no-x), lists, and structures in the CLI's shorthand (a=1,b=[{c=2}]). Waiters go quicker than the
CLI's. An operation that the botocore at hand does not know is added to its model, in the way
that botocore has for that. `aws sso login` is the CLI's login on a device; `consent` is called
with the code the user is to type.
"""

import configparser
import gzip
import hashlib
import json
import os
import re
import tempfile
import time

import botocore
import botocore.config
import botocore.session
from botocore import UNSIGNED, xform_name

REGION = "eu-west-1"
MODEL = "ec2/2016-11-15"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
# Options that the CLI calls otherwise than the model does.
RENAMED = {"no-egress": "ingress"}

# aws-apis.md 2.4, in the form of a service model
LATER = {
    "ModifyInstanceConnectEndpoint": {
        "InstanceConnectEndpointId": "String", "IpAddressType": "String", "DryRun": "Boolean",
        "PreserveClientIp": "Boolean", "SecurityGroupIds": "SecurityGroupIdStringList"},
}
LISTS = {"SecurityGroupIds": "SecurityGroupId"}


class Unknown(AssertionError):
    """The AWS CLI would not take this line."""


# --- the model --------------------------------------------------------------------------------

def model_text():
    path = os.path.join(os.path.dirname(botocore.__file__), "data", MODEL, "service-2.json")
    if os.path.exists(path):
        with open(path, "rb") as f:
            return f.read()
    with gzip.open(path + ".gz") as f:
        return f.read()


def added(name, members):
    """(operation, shape of its input)"""
    shape = {name: {"shape": kind, **({"locationName": LISTS[name]} if name in LISTS else {})}
             for name, kind in members.items()}
    operation = {"name": name, "http": {"method": "POST", "requestUri": "/"},
                 "input": {"shape": name + "Request"}}
    return operation, {"type": "structure", "members": shape}


def write_later(folder):
    """The operations that are missing, where botocore's loader looks for more."""
    text = model_text()
    made = {name: added(name, members) for name, members in LATER.items()
            if f'"{name}"'.encode() not in text}
    if not made:
        return
    os.makedirs(os.path.join(folder, MODEL))
    with open(os.path.join(folder, MODEL, "service-2.sdk-extras.json"), "w",
              encoding="ascii") as f:
        json.dump({"version": 1.0, "merge": {
            "operations": {name: operation for name, (operation, _) in made.items()},
            "shapes": {name + "Request": shape for name, (_, shape) in made.items()}}}, f)


# --- values -----------------------------------------------------------------------------------

class Shorthand:
    """The CLI's way to write a structure: a=1,b=[2,3],c={d=4}"""

    def __init__(self, text):
        self.text = text
        self.at = 0

    def take(self, pattern, what):
        match = re.compile(pattern).match(self.text, self.at)
        if match is None:
            raise Unknown(f"{what} expected at {self.text[self.at:]!r} of {self.text!r}")
        self.at = match.end()
        return match[0]

    def sees(self, text):
        if not self.text.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def fields(self, shape):
        out = {}
        while True:
            name = self.take(r"[A-Za-z0-9_.-]+", "a name")
            if name not in shape.members:
                raise Unknown(f"{shape.name} has no member {name}")
            self.take("=", "=")
            out[name] = self.value(shape.members[name])
            if not self.sees(","):
                return out

    def value(self, shape):
        if shape.type_name == "structure":
            self.take(r"\{", "{")
            out = self.fields(shape)
            self.take(r"\}", "}")
            return out
        if shape.type_name == "list":
            return self.items(shape.member)
        if self.text[self.at:self.at + 1] in "'\"" and self.at < len(self.text):
            return scalar(shape, self.take(r"'[^']*'|\"[^\"]*\"", "a quoted text")[1:-1])
        return scalar(shape, self.take(r"[^,\]}]*", "a value"))

    def items(self, member):
        if not self.sees("["):
            return [self.value(member)]
        out = [self.value(member)]
        while self.sees(","):
            out.append(self.value(member))
        self.take(r"\]", "]")
        return out

    def whole(self, shape):
        out = self.fields(shape)
        if self.at != len(self.text):
            raise Unknown(f"{self.text[self.at:]!r} is left over")
        return out


def scalar(shape, text):
    if shape.type_name in ("integer", "long"):
        return int(text)
    if shape.type_name == "boolean":
        if text not in ("true", "false"):
            raise Unknown(f"{text!r} is neither true nor false")
        return text == "true"
    return text


def one_value(shape, text):
    if shape.type_name not in ("structure", "list"):
        return scalar(shape, text)
    if text[:1] in ("{", "["):
        return json.loads(text)
    return Shorthand(text).whole(shape)


def values(shape, words, name):
    if shape.type_name == "list":
        return [one_value(shape.member, word) for word in words]
    if len(words) != 1:
        raise Unknown(f"--{name} takes one value, not {words}")
    return one_value(shape, words[0])


def split_options(words):
    """[(name, values)]"""
    out = []
    for word in words:
        if word.startswith("--"):
            out.append((word[2:], []))
        elif out:
            out[-1][1].append(word)
        else:
            raise Unknown(f"{word!r} is no option")
    return out


def given(shape, options):
    """The parameters that options mean."""
    names = {xform_name(member, "-"): member for member in shape.members}
    flags = {}
    for name, member in names.items():
        if shape.members[member].type_name == "boolean":
            no = "no-" + name
            flags.update({name: (member, True), RENAMED.get(no, no): (member, False)})
    out = {}
    for name, words in options:
        if name in flags and not words:
            member, out[member] = flags[name][0], flags[name][1]
        elif name in names:
            out[names[name]] = values(shape.members[names[name]], words, name)
        else:
            raise Unknown(f"--{name} is no option of {shape.name}")
    return out


# --- the commands -----------------------------------------------------------------------------

class AwsLine:
    """`credential` is one of the simulator's world."""

    def __init__(self, port, ca_file, credential):
        self.folder = tempfile.TemporaryDirectory(prefix="eice-model-")
        write_later(self.folder.name)
        session = botocore.session.get_session()
        session.set_config_variable("data_path", self.folder.name)
        self.place = {"verify": ca_file, "endpoint_url": f"https://localhost:{port}"}
        self.session = session
        self.credential = credential
        self.clients = {}

    def close(self):
        self.folder.cleanup()

    def client(self, service):
        if service not in self.clients:
            keys = {"aws_access_key_id": self.credential["access_key"],
                    "aws_secret_access_key": self.credential["secret"]}
            self.clients[service] = self.session.create_client(service, REGION, **self.place,
                                                               **keys)
        return self.clients[service]

    def run(self, words, home, consent):
        """Carries the line out; Unknown, or botocore's error."""
        if words[1:3] == ["sso", "login"]:
            return self.sso_login(dict(split_options(words[3:])), home, consent)
        waits = words[2] == "wait"
        options = split_options(words[4 if waits else 3:])
        place = [v for name, v in options if name == "region"]
        if place != [[REGION]]:
            raise Unknown(f"the Region is {place}")
        options = [o for o in options if o[0] not in ("region", "profile")]
        client, name = self.client(words[1]), words[3 if waits else 2].replace("-", "_")
        if waits:
            if name not in client.waiter_names:
                raise Unknown(f"nothing waits for {name}")
            operation = client.get_waiter(name).config.operation
        else:
            operation = client.meta.method_to_api_mapping.get(name)
            if operation is None:
                raise Unknown(f"{words[1]} cannot do {name}")
        model = client.meta.service_model.operation_model(operation)
        parameters = given(model.input_shape, options)
        if waits:
            return client.get_waiter(name).wait(
                **parameters, WaiterConfig={"Delay": 0.1, "MaxAttempts": 100})
        return getattr(client, name)(**parameters)

    def sso_login(self, options, home, consent):
        """Asks for a code, has the user consent, writes the token where the CLI keeps it."""
        config = configparser.RawConfigParser()
        config.read(os.path.join(home, ".aws", "config"))
        if "sso-session" in options:
            name = options["sso-session"][0]
            section = config[f"sso-session {name}"]
        else:
            section = config[f"profile {options['profile'][0]}"]
            name = section["sso_start_url"]
        client = self.session.create_client(
            "sso-oidc", section["sso_region"], **self.place,
            config=botocore.config.Config(signature_version=UNSIGNED))
        made = client.register_client(clientName="botocore-client-test", clientType="public",
                                      scopes=["sso:account:access"])
        who = {"clientId": made["clientId"], "clientSecret": made["clientSecret"]}
        asked = client.start_device_authorization(startUrl=section["sso_start_url"], **who)
        grant = {"grantType": DEVICE_GRANT, "deviceCode": asked["deviceCode"], **who}
        try:
            client.create_token(**grant)
            raise Unknown("there is a token before the user has consented")
        except client.exceptions.AuthorizationPendingException:
            consent(asked["userCode"])
        token = client.create_token(**grant)

        def stamp(seconds):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
        login = {"startUrl": section["sso_start_url"], "region": section["sso_region"],
                 "accessToken": token["accessToken"],
                 "expiresAt": stamp(time.time() + token["expiresIn"])}
        if "sso-session" in options:
            login.update(who, refreshToken=token["refreshToken"],
                         registrationExpiresAt=stamp(made["clientSecretExpiresAt"]))
        folder = os.path.join(home, ".aws", "sso", "cache")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(folder, hashlib.sha1(name.encode()).hexdigest() + ".json")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="ascii") as f:
            json.dump(login, f)
