"""XML bodies of the EC2 and STS protocols from plain Python values.

A dict becomes child elements, a list becomes <item> children (or <member> for STS), None and
"" an empty element, booleans true/false. A value of OMIT leaves the element out.
"""

from xml.sax.saxutils import escape

OMIT = object()
_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


def text(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return escape(str(value))


def element(name, value, member="item"):
    if value is OMIT:
        return ""
    if isinstance(value, dict):
        inner = "".join(element(k, v, member) for k, v in value.items())
    elif isinstance(value, (list, tuple)):
        inner = "".join(element(member, v, member) for v in value)
    else:
        inner = "" if value is None else text(value)
    return f"<{name}>{inner}</{name}>" if inner else f"<{name}/>"


def ec2_response(action, request_id, tree):
    inner = "".join(element(k, v) for k, v in {"requestId": request_id, **tree}.items())
    return (f'{_DECLARATION}<{action}Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"{inner}</{action}Response>").encode()


def ec2_error(code, message, request_id):
    return (f"{_DECLARATION}<Response><Errors><Error><Code>{text(code)}</Code>"
            f"<Message>{text(message)}</Message></Error></Errors>"
            f"<RequestID>{request_id}</RequestID></Response>").encode()


def sts_response(action, request_id, tree):
    inner = element(f"{action}Result", tree, "member")
    return (f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{inner}'
            f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"
            f"</{action}Response>").encode()


def sts_error(code, message, request_id, status):
    kind = "Sender" if status < 500 else "Receiver"
    return ('<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error>'
            f"<Type>{kind}</Type><Code>{text(code)}</Code><Message>{text(message)}</Message>"
            f"</Error><RequestId>{request_id}</RequestId></ErrorResponse>").encode()
