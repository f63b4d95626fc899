"""The small part of IAM policy evaluation that the simulated services need.

Effect, Action and Resource with wildcards, and the condition operators listed in OPERATORS. A
condition on a key the request does not carry is not met, as in IAM.
"""

import fnmatch
import ipaddress


def _in_network(value, wanted):
    address, network = ipaddress.ip_address(value), ipaddress.ip_network(wanted)
    return address.version == network.version and address in network


OPERATORS = {
    "StringEquals": lambda value, wanted: value == wanted,
    "StringNotEquals": lambda value, wanted: value != wanted,
    "StringLike": fnmatch.fnmatchcase,
    "NumericEquals": lambda value, wanted: float(value) == float(wanted),
    "NumericLessThanEquals": lambda value, wanted: float(value) <= float(wanted),
    "IpAddress": _in_network,
}


def _as_list(value):
    return value if isinstance(value, list) else [value]


def _covers(patterns, value):
    return any(fnmatch.fnmatchcase(value.lower(), p.lower()) for p in _as_list(patterns))


def _conditions_met(conditions, context):
    for operator, wanted in conditions.items():
        for key, values in wanted.items():
            value = context.get(key)
            if value is None:
                return False
            if not any(OPERATORS[operator](str(value), str(w)) for w in _as_list(values)):
                return False
    return True


def allowed(policy, action, resource, context):
    """True when a statement allows it and none denies it."""
    verdict = False
    for statement in policy["Statement"]:
        if (_covers(statement["Action"], action) and _covers(statement["Resource"], resource)
                and _conditions_met(statement.get("Condition", {}), context)):
            if statement["Effect"] == "Deny":
                return False
            verdict = True
    return verdict
