"""Requests as bytes: signed like the vendor's clients sign them, but with every part in the test's hands."""

import base64
import datetime
import hashlib
import hmac
import json
import socket
import ssl
import urllib.parse
import uuid

PATIENCE = 45


def stamp(offset=0):
    """A time stamp so many seconds from now."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset)
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def encode(text):
    return urllib.parse.quote(text, safe="-_.~")


def canonical(pairs):
    return "&".join(f"{encode(name)}={encode(value)}" for name, value in sorted(pairs))


def v3(account, action, query=(), body=b"", nonce=None, date=None, method="POST", host="127.0.0.1", extra=(), raw_query=None):
    """A request with signature V3. `raw_query` is sent as it is and signed as `query`."""
    query = list(query.items()) if isinstance(query, dict) else list(query)
    headers = {
        "host": host,
        "x-acs-action": action,
        "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        "x-acs-date": stamp() if date is None else date,
        "x-acs-signature-nonce": nonce or uuid.uuid4().hex,
        "x-acs-version": "2016-01-20",
    }
    headers = {name: value for name, value in headers.items() if value != ""}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    text = f"{method}\n/\n{canonical(query)}\n{lines}\n{names}\n{headers.get('x-acs-content-sha256', '')}"
    to_sign = f"ACS3-HMAC-SHA256\n{hashlib.sha256(text.encode()).hexdigest()}"
    signature = hmac.new(account.secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    headers["authorization"] = (
        f"ACS3-HMAC-SHA256 Credential={account.access_key},SignedHeaders={names},Signature={signature}"
    )
    sent = canonical(query) if raw_query is None else raw_query
    return assemble(method, sent, [*headers.items(), *extra], body)


def v1(account, action, parameters=(), in_body=False, **overrides):
    """A request with signature V1; with `in_body` all parameters travel in a form, as Terraform's provider sends them."""
    common = {
        "Action": action,
        "Version": "2016-01-20",
        "Format": "JSON",
        "AccessKeyId": account.access_key,
        "SignatureMethod": "HMAC-SHA1",
        "SignatureVersion": "1.0",
        "SignatureNonce": uuid.uuid4().hex,
        "Timestamp": stamp(),
    }
    common.update(overrides)
    pairs = [*common.items(), *(parameters.items() if isinstance(parameters, dict) else parameters)]
    to_sign = f"POST&%2F&{encode(canonical(pairs))}"
    digest = hmac.new(f"{account.secret}&".encode(), to_sign.encode(), hashlib.sha1).digest()
    form = canonical([*pairs, ("Signature", base64.b64encode(digest).decode())])
    if in_body:
        kind = [("host", "127.0.0.1"), ("content-type", "application/x-www-form-urlencoded")]
        return assemble("POST", "", kind, form.encode())
    return assemble("POST", form, [("host", "127.0.0.1")], b"")


def assemble(method, query, headers, body):
    target = f"/?{query}" if query else "/"
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Answer:
    """Status, headers and body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        """The code of a refusal; empty for success."""
        return self.json.get("Code", "") if self.body else ""


def connect(port, tls=False):
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.settimeout(PATIENCE)
    if tls:
        # Self-signed by the test itself.
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = context.wrap_socket(connection)
    return connection


def receive(connection):
    """One answer; None when the other side hung up without one."""
    try:
        head = read_until(connection, b"\r\n\r\n")
        if head is None:
            return None
        first, *rest = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in rest if ": " in line)}
        body = b""
        while len(body) < int(headers.get("content-length", 0)):
            more = connection.recv(int(headers["content-length"]) - len(body))
            if not more:
                return None
            body += more
    except ConnectionResetError:
        return None
    return Answer(int(first.split()[1]), headers, body)


def read_until(connection, end):
    """Byte by byte, so that nothing of a next answer is taken."""
    data = b""
    while not data.endswith(end):
        more = connection.recv(1)
        if not more:
            return None
        data += more
    return data


def ask(port, request, tls=False):
    """Sends bytes over a connection of their own; None when there is no answer."""
    with connect(port, tls) as connection:
        try:
            connection.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return receive(connection)
