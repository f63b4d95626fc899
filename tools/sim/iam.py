"""IAM policy evaluation, as far as identity-based policies go.

    decision = iam.decide(documents, "ec2:CreateTags", "arn:…", {"aws:RequestTag/Name": "x"})

An explicit Deny wins, what no Allow covers is denied. A condition on a key that the request does
not carry is not met, unless its operator is a negated one, ends in IfExists, or is Null. Names of
actions and of condition keys do not depend on case, nothing else is indifferent to it.
"""

import base64
import binascii
import datetime
import fnmatch
import ipaddress
import re

VERSIONS = ("2012-10-17", "2008-10-17")
MEMBERS = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition"}
SETS = ("ForAllValues", "ForAnyValue")
_VARIABLE = re.compile(r"\$\{([^}]*)\}")
_ACTION = re.compile(r"\*|[a-zA-Z0-9-]+:[a-zA-Z0-9*?]+")


class Malformed(ValueError):
    """A document that IAM would not store; the text says where."""


# --- wildcards and values -------------------------------------------------------------------

def _like(value, pattern):
    """* and ? only: brackets mean themselves, unlike in a shell."""
    return fnmatch.fnmatchcase(value, pattern.replace("[", "[[]"))


def _same_arn(value, pattern):
    """ARNs part by part, so that a star does not leap over a colon before the sixth."""
    ours, theirs = value.split(":", 5), pattern.split(":", 5)
    if len(theirs) < 6:
        return _like(value, pattern)
    return len(ours) == 6 and all(_like(o, t) for o, t in zip(ours, theirs))


def _in_network(value, wanted):
    network = ipaddress.ip_network(wanted, strict=False)
    address = ipaddress.ip_address(value)
    return address.version == network.version and address in network


def _moment(text):
    """Seconds since 1970 of an ISO 8601 text, or of a number."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _numbers(compare):
    return lambda value, wanted: compare(float(value), float(wanted))


def _moments(compare):
    return lambda value, wanted: compare(_moment(value), _moment(wanted))


def _same_blob(value, wanted):
    try:
        return base64.b64decode(value, validate=True) == base64.b64decode(wanted, validate=True)
    except binascii.Error:
        return False


ORDER = {"Equals": lambda a, b: a == b, "LessThan": lambda a, b: a < b,
         "LessThanEquals": lambda a, b: a <= b, "GreaterThan": lambda a, b: a > b,
         "GreaterThanEquals": lambda a, b: a >= b}
POSITIVE = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringEqualsIgnoreCase": lambda value, wanted: value.lower() == wanted.lower(),
    "StringLike": _like, "ArnEquals": _same_arn, "ArnLike": _same_arn,
    "IpAddress": _in_network, "BinaryEquals": _same_blob,
    "Bool": lambda value, wanted: value.lower() == wanted.lower(),
    **{"Numeric" + name: _numbers(compare) for name, compare in ORDER.items()},
    **{"Date" + name: _moments(compare) for name, compare in ORDER.items()},
}
NEGATED = {"StringNotEquals": "StringEquals", "StringNotLike": "StringLike",
           "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase", "ArnNotEquals": "ArnEquals",
           "ArnNotLike": "ArnLike", "NotIpAddress": "IpAddress",
           "NumericNotEquals": "NumericEquals", "DateNotEquals": "DateEquals"}


def as_list(value):
    return value if isinstance(value, list) else [value]


# --- conditions -----------------------------------------------------------------------------

class Operator:
    """ForAnyValue:StringNotLikeIfExists, taken apart."""

    def __init__(self, text):
        quantifier, colon, name = text.rpartition(":")
        self.quantifier = quantifier if colon else None
        self.null = name == "Null"
        self.if_exists = name.endswith("IfExists") and not self.null
        name = name[:-len("IfExists")] if self.if_exists else name
        self.negated = name in NEGATED
        self.compare = POSITIVE.get(NEGATED.get(name, name))
        if (self.compare is None and not self.null) or self.quantifier not in (None, *SETS):
            raise Malformed(f"Syntax error: the condition operator '{text}' is not known")

    def one(self, value, wanted):
        """Is one value of the request as one of those wanted, or, negated, as none of them?"""
        try:
            hit = any(self.compare(value, w) for w in wanted)
        except ValueError:
            return False  # no number, no address: there is nothing to compare
        return hit != self.negated

    def met(self, values, wanted):
        if self.null:
            return all((not values) == (w.lower() == "true") for w in wanted)
        if not values:
            return self.if_exists or self.negated or self.quantifier == "ForAllValues"
        every = all if self.quantifier == "ForAllValues" or (
            self.negated and self.quantifier is None) else any
        return every(self.one(v, wanted) for v in values)


def _expand(text, context):
    """${aws:username} and its like; None when the request does not carry the key."""
    missing = []

    def value(match):
        name, _, default = match.group(1).partition(", ")
        if name in ("*", "?", "$"):
            return name
        found = context.get(name.lower())
        if found is None and not default:
            missing.append(name)
        return str(found if found is not None else default.strip("'"))
    expanded = _VARIABLE.sub(value, text)
    return None if missing else expanded


def _values(context, key):
    value = context.get(key.lower())
    return [] if value is None else [_text(v) for v in as_list(value)]


def _text(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def _conditions_met(conditions, context):
    for name, keys in conditions.items():
        operator = Operator(name)
        for key, wanted in keys.items():
            expanded = [_expand(_text(w), context) for w in as_list(wanted)]
            if not operator.met(_values(context, key), [e for e in expanded if e is not None]):
                return False
    return True


def conditions_met(conditions, context):
    """Those of a statement that is not about a resource: a role's trust."""
    return _conditions_met(conditions, {k.lower(): v for k, v in context.items()})


# --- statements -----------------------------------------------------------------------------

def _covers_action(patterns, action):
    return any(_like(action.lower(), p.lower()) for p in as_list(patterns))


def _covers_resource(patterns, resource, context):
    expanded = [_expand(p, context) for p in as_list(patterns)]
    return any(p == "*" or _same_arn(resource, p) for p in expanded if p is not None)


def _applies(statement, action, resource, context):
    if "Action" in statement:
        named = _covers_action(statement["Action"], action)
    else:
        named = not _covers_action(statement["NotAction"], action)
    if "Resource" in statement:
        meant = _covers_resource(statement["Resource"], resource, context)
    else:
        meant = not _covers_resource(statement["NotResource"], resource, context)
    return named and meant and _conditions_met(statement.get("Condition", {}), context)


class Decision:
    """`allowed`, or else whether a Deny said so; the `statements` that denied."""

    def __init__(self, allowed, denying):
        self.allowed = allowed
        self.explicit = bool(denying)
        self.statements = denying


def decide(documents, action, resource, context):
    """What the policies together say."""
    context = {k.lower(): v for k, v in context.items()}
    hits = {"Allow": [], "Deny": []}
    for document in documents:
        for statement in as_list(document["Statement"]):
            if _applies(statement, action, resource, context):
                hits[statement["Effect"]].append(statement)
    return Decision(bool(hits["Allow"]) and not hits["Deny"], hits["Deny"])


def allowed(policy, action, resource, context):
    """decide() on one document, for whom only the outcome matters."""
    return decide([policy], action, resource, context).allowed


# --- what IAM would store -------------------------------------------------------------------

def _check_statement(statement):
    if not isinstance(statement, dict) or set(statement) - MEMBERS:
        raise Malformed("Syntax errors in policy: "
                        + ", ".join(sorted(set(statement) - MEMBERS)) or "no statement")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise Malformed("Effect must be Allow or Deny")
    for one, other in (("Action", "NotAction"), ("Resource", "NotResource")):
        if (one in statement) == (other in statement):
            raise Malformed(f"Policy statement must contain {one.lower()}s")
    for text in as_list(statement.get("Action", statement.get("NotAction"))):
        if not isinstance(text, str) or not _ACTION.fullmatch(text):
            raise Malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, "
                            f"ec2, etc.: {text}")
    for text in as_list(statement.get("Resource", statement.get("NotResource"))):
        if not isinstance(text, str) or (text != "*" and not text.startswith("arn:")):
            raise Malformed(f'Resource {text} must be in ARN format or "*".')
    for name, keys in statement.get("Condition", {}).items():
        Operator(name)
        if not isinstance(keys, dict) or not keys:
            raise Malformed(f"The condition {name} names no key")


def check(document):
    """The document, or Malformed."""
    if not isinstance(document, dict) or set(document) - {"Version", "Id", "Statement"}:
        raise Malformed("The policy is not in the valid JSON format.")
    if document.get("Version", VERSIONS[1]) not in VERSIONS:
        raise Malformed(f"Version must be one of {', '.join(VERSIONS)}")
    for statement in as_list(document.get("Statement", [])):
        _check_statement(statement)
    return document
