"""Whether an endpoint's packets reach an instance: families, security groups, ACLs, routes.

    endpoint's interface --egress rules--> [ACL out] route [ACL in] --ingress rules--> instance

ACLs stand between subnets and know no connections, so the answers pass them once more. Security
groups do. With preserve_ip the packets carry the client's public address instead of that of the
endpoint's interface.
"""

import ipaddress

# A port the answers go to; where the endpoint's are is not told, all are above 1023.
EPHEMERAL = 40000
NO_PRESERVE = ("c1", "cg1", "cg2", "g1", "hi1", "m1", "m2", "m3", "t1")
INTERFACE_HOST = 250


def networks(data, source):
    """The address ranges of a rule's source that is no group."""
    if source.startswith("pl-"):
        return [ipaddress.ip_network(c) for c in data["prefix_lists"][source]["entries"]]
    return [ipaddress.ip_network(source)]


def rule_covers(data, rule, port, address, groups):
    """Does a security group rule cover this port and this peer (address and groups)?"""
    if rule["protocol"] != "-1" and not rule["from"] <= port <= rule["to"]:
        return False
    if rule["source"].startswith("sg-"):
        return rule["source"] in groups
    return address is not None and any(
        address.version == n.version and address in n for n in networks(data, rule["source"]))


def endpoint_address(data, endpoint, version):
    """The address of the endpoint's network interface in its subnet."""
    subnet = data["subnets"].get(endpoint["subnet"], {})
    cidr = subnet.get("cidr" if version == 4 else "ipv6_cidr")
    return ipaddress.ip_network(cidr)[INTERFACE_HOST] if cidr else None


# --- routes -----------------------------------------------------------------------------------

def route_table(data, vpc, subnet):
    """(id, table) of a subnet: its own, or the main one of the VPC; (None, None) for neither."""
    tables = [(i, t) for i, t in data["route_tables"].items() if t["vpc"] == vpc]
    own = [t for t in tables if subnet in t[1]["subnets"]]
    return (own or [t for t in tables if t[1]["main"]] or [(None, None)])[0]


def vpc_ranges(entry):
    return [c for c in (entry["cidr"], *entry.get("more_cidrs", ()), entry.get("ipv6_cidr")) if c]


def routes(data, vpc, subnet):
    """[(network, target)] with those every VPC has."""
    _, table = route_table(data, vpc, subnet)
    local = [(c, "local") for c in vpc_ranges(data["vpcs"].get(vpc, {"cidr": None}))]
    given = [(r["destination"], r["target"] if r["state"] == "active" else "blackhole")
             for r in (table["routes"] if table else ())]
    return [(ipaddress.ip_network(c), target) for c, target in local + given]


def next_vpc(data, vpc, subnet, address):
    """The VPC that packets from a subnet to an address come to; None where they end."""
    fitting = [(n.prefixlen, target) for n, target in routes(data, vpc, subnet)
               if n.version == address.version and address in n]
    if not fitting:
        # without ranges in the data (a filler) a VPC routes whatever it holds
        return vpc if vpc not in data["vpcs"] else None
    target = max(fitting, key=lambda f: f[0])[1]
    if target == "local":
        return vpc
    pair = data["peerings"].get(target, ())
    return next((v for v in pair if v != vpc), None) if vpc in pair else None


# --- network ACLs -------------------------------------------------------------------------------

def acl_of(data, vpc, subnet):
    """The ACL of a subnet: its own, or the default one of the VPC; None when there is neither."""
    acls = [a for a in data["acls"].values() if a["vpc"] == vpc]
    own = [a for a in acls if subnet in a["subnets"]]
    return (own or [a for a in acls if a["default"]] or [None])[0]


def acl_passes(acl, egress, address, port):
    """The first entry that fits decides, in the order of their numbers; no entry means no."""
    for entry in sorted(acl["entries"] if acl else (), key=lambda e: e["number"]):
        network = ipaddress.ip_network(entry["cidr"])
        if (entry["egress"] == egress and network.version == address.version
                and address in network and (entry["protocol"] == "-1"
                                            or entry["from"] <= port <= entry["to"])):
            return entry["action"] == "allow"
    return acl is None


def _acls_pass(data, endpoint, instance, source, address, port):
    near = acl_of(data, endpoint["vpc"], endpoint["subnet"])
    far = acl_of(data, instance["vpc"], instance["subnet"])
    if endpoint["subnet"] == instance["subnet"] or source is None:
        return True
    return (acl_passes(near, True, address, port) and acl_passes(far, False, source, port)
            and acl_passes(far, True, source, EPHEMERAL)
            and acl_passes(near, False, address, EPHEMERAL))


# --- the whole way ------------------------------------------------------------------------------

def find(data, endpoint, address):
    """The instance that an address means to the endpoint, or None."""
    vpc = next_vpc(data, endpoint["vpc"], endpoint["subnet"], address)
    for entry in data["instances"]:
        if entry["vpc"] == vpc and vpc and address in [
                ipaddress.ip_address(a) for a in (entry["ip"], entry["ipv6"]) if a]:
            return entry
    return None


def _family_fits(endpoint, address):
    return endpoint["address_type"] in ("dualstack", f"ipv{address.version}")


def _preserve_works(endpoint, instance):
    return (instance["vpc"] == endpoint["vpc"]
            and instance["type"].split(".")[0] not in NO_PRESERVE)


def obstacle(world, endpoint, instance, address, port):
    """What keeps the endpoint from dialling the instance, in a word; None: nothing does."""
    data = world.data
    if not _family_fits(endpoint, address):
        return "family"
    source = endpoint_address(data, endpoint, address.version)
    if endpoint["preserve_ip"]:
        if not _preserve_works(endpoint, instance):
            return "preserve-client-ip"
        source = ipaddress.ip_address(world.settings["client_ip"])
    elif source and next_vpc(data, instance["vpc"], instance["subnet"], source) != endpoint["vpc"]:
        return "route-back"
    groups = data["groups"]
    egress = [r for g in endpoint["groups"] if g in groups for r in groups[g]["egress"]]
    if not any(rule_covers(data, r, port, address, instance["groups"]) for r in egress):
        return "egress"
    if not _acls_pass(data, endpoint, instance, source, address, port):
        return "acl"
    ingress = [r for g in instance["groups"] if g in groups for r in groups[g]["ingress"]]
    if not any(rule_covers(data, r, port, source, endpoint["groups"]) for r in ingress):
        return "ingress"
    return None
