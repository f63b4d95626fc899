"""Which permissions a call needs, on which resources, with which condition keys.

    authorize(call, action, resource, context)    one permission, for any service
    authorize_ec2(call)                           all that an EC2 call needs

A denial is worded as AWS words it; that of EC2 carries an encoded message, which STS
DecodeAuthorizationMessage opens.
"""

import base64
import hashlib
import json
import time
import zlib

from . import iam
from .errors import ApiError

ROLE_SERVICE = "ec2-instance-connect.amazonaws.com"
ROLE = f"role/aws-service-role/{ROLE_SERVICE}/AWSServiceRoleForEC2InstanceConnect"


def arn(call, resource):
    """A resource of EC2 in the account and Region of the simulator."""
    return f"arn:aws:ec2:{call.world.region}:{call.world.data['account']}:{resource}"


def tag_keys(tags):
    """The condition keys of the tags a resource carries."""
    return {prefix + key: value for key, value in tags.items()
            for prefix in ("aws:ResourceTag/", "ec2:ResourceTag/")}


def request_keys(tags):
    """The condition keys of the tags a request brings."""
    given = {"aws:TagKeys": list(tags)} if tags else {}
    return {**given, **{"aws:RequestTag/" + key: value for key, value in tags.items()}}


def _principal(identity):
    """The ARN policies know: of the role, not of its session."""
    parts = identity.arn.split(":", 5)
    if parts[2] == "sts" and parts[5].startswith("assumed-role/"):
        return f"arn:aws:iam::{parts[4]}:role/{parts[5].split('/')[1]}"
    return identity.arn


def global_keys(call):
    """The keys every request carries."""
    now = call.world.clock()
    identity = call.identity
    keys = {
        "aws:SourceIp": call.world.settings["client_ip"], "aws:SecureTransport": True,
        "aws:CurrentTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "aws:EpochTime": int(now), "aws:PrincipalArn": _principal(identity),
        "aws:PrincipalAccount": call.world.data["account"], "aws:userid": identity.user_id,
        "aws:RequestedRegion": call.world.region, "ec2:Region": call.world.region,
        "aws:UserAgent": call.request.header("user-agent"), "aws:ViaAWSService": False,
    }
    if ":user/" in identity.arn:
        keys["aws:username"] = identity.arn.rpartition("/")[2]
    return keys


# --- the verdict ------------------------------------------------------------------------------

def _stream(secret, size):
    block = b"".join(hashlib.sha256(secret + bytes([n])).digest() for n in range(size // 32 + 1))
    return block[:size]


def encode(secret, report):
    """What only decode() with the same secret can read."""
    plain = zlib.compress(json.dumps(report).encode())
    plain = hashlib.sha256(secret + plain).digest()[:8] + plain
    mixed = bytes(a ^ b for a, b in zip(plain, _stream(secret, len(plain))))
    return base64.urlsafe_b64encode(mixed).decode().rstrip("=")


def decode(secret, text):
    """The report as JSON text, or ApiError."""
    try:
        mixed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        plain = bytes(a ^ b for a, b in zip(mixed, _stream(secret, len(mixed))))
        if hashlib.sha256(secret + plain[8:]).digest()[:8] == plain[:8]:
            return zlib.decompress(plain[8:]).decode()
    except ValueError:
        pass
    raise ApiError("InvalidAuthorizationMessageException", "Message is not valid")


def _items(values):
    return {"items": [{"value": str(value)} for value in iam.as_list(values)]}


def _statement(statement):
    """A statement that denied, as the decoded message shows it."""
    return {"statementId": statement.get("Sid", ""), "effect": "DENY",
            "principals": {"items": []}, "principalGroups": {"items": []},
            "actions": _items(statement.get("Action", statement.get("NotAction"))),
            "resources": _items(statement.get("Resource", statement.get("NotResource"))),
            "conditions": {"items": [
                {"key": key, "values": _items(values)}
                for keys in statement.get("Condition", {}).values()
                for key, values in keys.items()]}}


def _report(call, decision, action, resource, context):
    return {"allowed": False, "explicitDeny": decision.explicit,
            "matchedStatements": {"items": [_statement(s) for s in decision.statements]},
            "failures": {"items": []},
            "context": {"principal": {"id": call.identity.user_id, "arn": call.identity.arn},
                        "action": action, "resource": resource, "conditions": {"items": [
                            {"key": k, "values": _items(v)}
                            for k, v in context.items() if v is not None]}}}


def _policies(call):
    """(kind, documents) of each policy that has to allow a call. The first that does not is
    named, an explicit deny before a missing allow."""
    entry = call.identity.entry
    return [*((kind, iam.as_list(document)) for kind, document in entry["guards"].items()),
            ("identity-based policy", iam.as_list(entry["policy"]))]


def authorize(call, action, resource, context):
    """Raises the service's denial unless the caller's policies allow it."""
    context = {**global_keys(call), **context}
    decisions = [(iam.decide(documents, action, resource, context), kind)
                 for kind, documents in _policies(call)]
    refused = sorted(((d, kind) for d, kind in decisions if not d.allowed),
                     key=lambda one: not one[0].explicit)
    if not refused:
        return
    decision, kind = refused[0]
    on = "" if resource == "*" else f" on resource: {resource}"
    why = (f" with an explicit deny in {'an' if kind[0] in 'aeiou' else 'a'} {kind}"
           if decision.explicit else f" because no {kind} allows the {action} action")
    code, status, form = call.service.DENIED
    text = form.format(
        text=f"User: {call.identity.arn} is not authorized to perform: {action}{on}{why}",
        blob=encode(call.world.secret, _report(call, decision, action, resource, context)))
    raise ApiError(code, text, status)


# --- EC2 ----------------------------------------------------------------------------------------

def _tags(table, id_):
    return table.get(id_, {}).get("tags", {})


def instance_keys(entry):
    """The condition keys of an instance; none of one that is not there."""
    if entry is None:
        return {}
    name = {"Name": entry["name"]} if entry["name"] else {}
    return {**tag_keys({**name, **entry["tags"]}), "ec2:InstanceType": entry["type"]}


def endpoint_keys(entry):
    return {"ec2:SubnetID": entry["subnet"], **tag_keys(entry["tags"])} if entry else {}


def _instance(call):
    id_ = call.params.one("InstanceId")
    yield f"ec2:{call.action}", f"instance/{id_}", instance_keys(call.world.instance(id_))


def _instances(call):
    for id_ in call.params.many("InstanceId"):
        yield f"ec2:{call.action}", f"instance/{id_}", instance_keys(call.world.instance(id_))


def _network(parameter, table, kind):
    """An action on an ACL or a route table."""
    def needs(call):
        id_ = call.params.one(parameter)
        entry = call.world.data[table].get(id_, {})
        yield f"ec2:{call.action}", f"{kind}/{id_}", {
            "ec2:Vpc": arn(call, f"vpc/{entry.get('vpc')}"), **tag_keys(entry.get("tags", {}))}
    return needs


def _endpoint(call):
    id_ = call.params.one("InstanceConnectEndpointId")
    keys = endpoint_keys(call.world.endpoint(id_))
    yield f"ec2:{call.action}", f"instance-connect-endpoint/{id_}", keys


def _groups(call, action, ids):
    for id_ in ids:
        entry = call.world.data["groups"].get(id_, {})
        yield action, f"security-group/{id_}", {
            "ec2:Vpc": arn(call, f"vpc/{entry.get('vpc')}"), **tag_keys(entry.get("tags", {}))}


def _tagging(call, resource):
    """Tags given on creation need a permission of their own."""
    tags = call.params.given_tags()
    if tags:
        yield "ec2:CreateTags", resource, {"ec2:CreateAction": call.action, **request_keys(tags)}


def _modify_endpoint(call):
    yield from _endpoint(call)
    yield from _groups(call, f"ec2:{call.action}", call.params.many("SecurityGroupId"))


def _create_endpoint(call):
    data = call.world.data
    subnet = call.params.one("SubnetId")
    keys = {"ec2:SubnetID": subnet}
    groups = call.params.many("SecurityGroupId")
    for action, made in ((f"ec2:{call.action}", "instance-connect-endpoint/*"),
                         ("ec2:CreateNetworkInterface", "network-interface/*")):
        yield action, f"subnet/{subnet}", {**keys, **tag_keys(_tags(data["subnets"], subnet))}
        yield from _groups(call, action, groups)
        own = action == f"ec2:{call.action}"
        yield action, made, {**keys, **(request_keys(call.params.given_tags()) if own else {})}
    yield from _tagging(call, "instance-connect-endpoint/*")
    if not data["service_linked_role"]:
        yield ("iam:CreateServiceLinkedRole", f"arn:aws:iam::{data['account']}:{ROLE}",
               {"iam:AWSServiceName": ROLE_SERVICE})


def _rules(call):
    yield from _groups(call, f"ec2:{call.action}", [call.params.one("GroupId")])
    yield from _tagging(call, "security-group-rule/*")


def _create_group(call):
    vpc = call.params.one("VpcId")
    tags = request_keys(call.params.given_tags())
    yield f"ec2:{call.action}", "security-group/*", {"ec2:Vpc": arn(call, f"vpc/{vpc}"), **tags}
    yield f"ec2:{call.action}", f"vpc/{vpc}", tag_keys(_tags(call.world.data["vpcs"], vpc))
    yield from _tagging(call, "security-group/*")


KINDS = {"i": "instance", "eice": "instance-connect-endpoint", "sg": "security-group",
         "sgr": "security-group-rule", "subnet": "subnet", "vpc": "vpc", "eni": "network-interface"}


def _change_tags(call):
    given = request_keys(call.params.plain_tags())
    for id_ in call.params.many("ResourceId"):
        tags = call.world.tags_of(id_)
        yield (f"ec2:{call.action}", f"{KINDS.get(id_.partition('-')[0], 'unknown')}/{id_}",
               {**given, **tag_keys(tags or {})})


NEEDS = {
    "GetConsoleOutput": _instance, "ModifyInstanceMetadataOptions": _instance,
    "StartInstances": _instances,
    **{f"{verb}NetworkAclEntry": _network("NetworkAclId", "acls", "network-acl")
       for verb in ("Create", "Replace", "Delete")},
    "DeleteRoute": _network("RouteTableId", "route_tables", "route-table"),
    "CreateInstanceConnectEndpoint": _create_endpoint,
    "ModifyInstanceConnectEndpoint": _modify_endpoint,
    "DeleteInstanceConnectEndpoint": _endpoint,
    **{f"{verb}SecurityGroup{way}": _rules for verb in ("Authorize", "Revoke")
       for way in ("Ingress", "Egress")},
    "CreateSecurityGroup": _create_group, "DeleteSecurityGroup": _rules,
    "CreateTags": _change_tags, "DeleteTags": _change_tags,
}


def authorize_ec2(call):
    """Every permission of the call; those not in the table are for all resources at once."""
    if call.action not in NEEDS:
        authorize(call, f"ec2:{call.action}", "*", {})
        return
    for action, resource, keys in NEEDS[call.action](call):
        full = resource if resource.startswith("arn:") else arn(call, resource)
        authorize(call, action, full, keys)
