#!/usr/bin/python3
"""What `aws ec2-instance-connect ssh` does, with the libraries the AWS CLI is made of.

    aws_like.py ssh KEY INSTANCE COMMAND…          calls AWS, then becomes ssh
    aws_like.py open-tunnel INSTANCE ENDPOINT IP   the ProxyCommand of that ssh

botocore makes and signs the calls, python3-websockets carries the tunnel, OpenSSH does the rest.
Like the AWS CLI it starts a second interpreter for the tunnel, which asks for the endpoint's name
again. KEY is a private key beside its KEY.pub (the AWS CLI makes one, which is not counted here).
All connections go where EICE_CONNECT_TO says.
"""

import asyncio
import os
import re
import socket
import ssl
import sys
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.httpsession
import botocore.session
import urllib3.util.connection

ADDRESS = tuple(os.environ["EICE_CONNECT_TO"].rsplit(":", 2)[1:])
CHUNK = 65000  # the AWS CLI's largest frame


def dial(*_, **__):
    sock = socket.create_connection((ADDRESS[0], int(ADDRESS[1])))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def client(name):
    return botocore.session.get_session().create_client(name)


def describe_endpoints(**parameters):
    """DescribeInstanceConnectEndpoints, which Debian's botocore is too old to know."""
    session = botocore.session.get_session()
    region = session.get_config_variable("region")
    request = botocore.awsrequest.AWSRequest(
        "POST", f"https://ec2.{region}.amazonaws.com/",
        headers={"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"},
        data=urllib.parse.urlencode({"Action": "DescribeInstanceConnectEndpoints",
                                     "Version": "2016-11-15", **parameters}))
    botocore.auth.SigV4Auth(session.get_credentials(), "ec2", region).add_auth(request)
    http = botocore.httpsession.URLLib3Session(verify=os.environ["AWS_CA_BUNDLE"])
    text = http.send(request.prepare()).text
    return [re.search(f"<{name}>([^<]*)<", text)[1]
            for name in ("instanceConnectEndpointId", "dnsName")]


def run_ssh(key, instance_id, command):
    ec2 = client("ec2")
    found = ec2.describe_instances(InstanceIds=[instance_id])
    instance = found["Reservations"][0]["Instances"][0]
    point, _ = describe_endpoints(**{
        "Filter.1.Name": "state", "Filter.1.Value.1": "create-complete",
        "Filter.2.Name": "vpc-id", "Filter.2.Value.1": instance["VpcId"]})
    with open(key + ".pub", encoding="ascii") as f:
        client("ec2-instance-connect").send_ssh_public_key(
            InstanceId=instance_id, InstanceOSUser="ec2-user", SSHPublicKey=f.read())
    proxy = " ".join([sys.executable, os.path.abspath(__file__), "open-tunnel", instance_id, point,
                      instance["PrivateIpAddress"]])
    os.execvp("ssh", ["ssh", "-F", "none", "-i", key, "-o", "IdentitiesOnly=yes",
                      "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                      "-o", "LogLevel=ERROR", "-o", "ProxyCommand=" + proxy,
                      "ec2-user@" + instance_id, *command])


def tunnel_url(point, address):
    """The name of the endpoint, asked for, and the URL, signed."""
    _, host = describe_endpoints(**{"InstanceConnectEndpointId.1": point})
    session = botocore.session.get_session()
    request = botocore.awsrequest.AWSRequest("GET", f"https://{host}/openTunnel", params={
        "instanceConnectEndpointId": point, "maxTunnelDuration": "3600",
        "privateIpAddress": address, "remotePort": "22"})
    signer = botocore.auth.SigV4QueryAuth(session.get_credentials(), "ec2-instance-connect",
                                          session.get_config_variable("region"), expires=60)
    signer.add_auth(request)
    return host, request.prepare().url.replace("https:", "wss:")


async def carry(host, url):
    import websockets  # the AWS CLI, too, loads it late
    context = ssl.create_default_context(cafile=os.environ["AWS_CA_BUNDLE"])
    async with websockets.connect(url, ssl=context, sock=dial(), server_hostname=host,
                                  compression=None, max_size=None) as ws:
        reader = asyncio.StreamReader(limit=1 << 20)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer)

        async def upward():
            while data := await reader.read(CHUNK):
                await ws.send(data)

        task = asyncio.create_task(upward())
        try:
            async for data in ws:
                os.write(1, data)
        except (websockets.ConnectionClosed, BrokenPipeError):
            pass
        task.cancel()


def main():
    urllib3.util.connection.create_connection = dial
    if sys.argv[1] == "ssh":
        run_ssh(sys.argv[2], sys.argv[3], sys.argv[4:])
    else:
        asyncio.run(carry(*tunnel_url(sys.argv[3], sys.argv[4])))


if __name__ == "__main__":
    main()
