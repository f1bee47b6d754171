"""The vendor's SDKs behind one call: `sdk.call("DescribeKey", KeyId=...)` answers the response as a dict.

Three clients reach the daemon: the 3.x SDK with signature V3, the same with V1, and the older SDK with V1. Nothing in
them is patched; only endpoint and protocol are set, as their documentation says.
"""

import importlib
import json
import re

from aliyunsdkcore.acs_exception.exceptions import ServerException
from aliyunsdkcore.auth.credentials import StsTokenCredential
from aliyunsdkcore.client import AcsClient
from alibabacloud_kms20160120 import models
from alibabacloud_kms20160120.client import Client
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.exceptions import DaraException
from darabonba.runtime import RuntimeOptions

import markers

KINDS = ("v3", "v1", "old")


class Refused(Exception):
    """The daemon answered with an error."""

    def __init__(self, code, status, message):
        super().__init__(f"{status} {code}: {message}")
        self.code = code
        self.status = status
        self.message = message


class Account:
    """One tenant with its access key; also one of its users, or a role with temporary credentials (token)."""

    def __init__(self, account_id, access_key, secret, token=None):
        self.id = account_id
        self.access_key = access_key
        self.secret = secret
        self.token = token


def connect(kind, account, region, port):
    """A client of its own for each thread: connections are not shared."""
    if kind == "old":
        return OldSdk(account, region, port)
    return NewSdk(account, region, port, kind)


class NewSdk:
    def __init__(self, account, region, port, kind):
        config = Config(
            access_key_id=account.access_key,
            access_key_secret=account.secret,
            region_id=region,
            endpoint=f"127.0.0.1:{port}",
            protocol="HTTP",
        )
        if account.token:
            config.security_token = account.token
        if kind == "v1":
            config.signature_algorithm = "v2"
        self.client = Client(config)
        self.runtime = RuntimeOptions(autoretry=False, read_timeout=30_000, connect_timeout=10_000)

    def call(self, action, **parameters):
        markers.learn(parameters)
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()
        request_type = getattr(models, f"{action}Request", None)
        method = getattr(self.client, f"{name}_with_options")
        try:
            if request_type is None:
                response = method(self.runtime)
            else:
                response = method(request_type().from_map(parameters), self.runtime)
        except DaraException as error:
            status = getattr(error, "status_code", None) or (getattr(error, "data", None) or {}).get("HttpStatus")
            raise Refused(error.code, status, error.message) from error
        return markers.learn(response.body.to_map())


class OldSdk:
    def __init__(self, account, region, port):
        if account.token:
            credential = StsTokenCredential(account.access_key, account.secret, account.token)
            self.client = AcsClient(region_id=region, credential=credential, auto_retry=False, timeout=30)
        else:
            self.client = AcsClient(account.access_key, account.secret, region, auto_retry=False, timeout=30)
        self.endpoint = f"127.0.0.1:{port}"

    def call(self, action, **parameters):
        markers.learn(parameters)
        module = importlib.import_module(f"aliyunsdkkms.request.v20160120.{action}Request")
        request = getattr(module, f"{action}Request")()
        request.set_endpoint(self.endpoint)
        request.set_protocol_type("http")
        for name, value in parameters.items():
            getattr(request, f"set_{name}")(json.dumps(value) if isinstance(value, dict) else value)
        try:
            answer = self.client.do_action_with_exception(request)
        except ServerException as error:
            raise Refused(error.get_error_code(), error.get_http_status(), error.get_error_msg()) from error
        return markers.learn(json.loads(answer))
