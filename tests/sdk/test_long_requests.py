"""Requests that percent-encoding makes long: the SDKs put all parameters into the query, up to three times their size."""

import json
import uuid

import pytest

import wire
from deployment import INSTANCE, RETAIL
from test_service import certificate

# More than the 65,534 bytes of a target that the daemon's HTTP library takes, in any client's encoding.
BEYOND = 70_000
LONGEST_LINE = 256 * 1024


def policy(size):
    """A policy of exactly that many bytes, most of them such that one takes three."""
    resources = ["*", "acs:"]
    principal = {"RAM": [f"acs:ram::{RETAIL.id}:*"]}
    statement = {"Effect": "Allow", "Principal": principal, "Action": ["kms:*"], "Resource": resources}
    document = {"Version": "1", "Statement": [statement]}
    resources[1] += "/" * (size - len(json.dumps(document)))
    text = json.dumps(document)
    assert len(text) == size
    return text


def line_of(length, **more):
    """A signed request whose request line, with its line end, has that many bytes."""
    short = wire.v1(RETAIL, "DescribeKey", {"KeyId": "a"}, **more)
    # The signature is as long whatever is signed, but for characters that are escaped: Base64 has some.
    for _ in range(100):
        missing = length - short.index(b"\r\n") - 2
        request = wire.v1(RETAIL, "DescribeKey", {"KeyId": "a" * (missing + 1)}, **more)
        if request.index(b"\r\n") + 2 == length:
            return request
    raise AssertionError("no such request")


@pytest.mark.parametrize("value", ["密" * 10_240, '"' * 30_720, "%" * 30_720], ids=["text", "quotes", "percent"])
def test_the_largest_secrets(sdk, value, refused):
    name = f"long/{uuid.uuid4()}"
    assert len(value.encode()) == 30_720
    sdk.call("CreateSecret", SecretName=name, VersionId="v1", SecretData=value)
    assert sdk.call("GetSecretValue", SecretName=name)["SecretData"] == value
    sdk.call("PutSecretValue", SecretName=name, VersionId="v2", SecretData=value[::-1])
    too_long = {"SecretName": name, "VersionId": "v3", "SecretData": value + "a"}
    assert refused("InvalidParameter", sdk.call, "PutSecretValue", **too_long).status == 400


def test_the_longest_descriptions(sdk):
    text = "密" * 8192
    key = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    sdk.call("UpdateKeyDescription", KeyId=key, Description=text)
    assert sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]["Description"] == text
    name = f"long/{uuid.uuid4()}"
    sdk.call("CreateSecret", SecretName=name, VersionId="v1", SecretData="a", Description=text)
    assert sdk.call("DescribeSecret", SecretName=name)["Description"] == text


def test_the_largest_policies(sdk, refused):
    key = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    largest = policy(32_768)
    sdk.call("SetKeyPolicy", KeyId=key, Policy=largest)
    assert json.loads(sdk.call("GetKeyPolicy", KeyId=key)["Policy"]) == json.loads(largest)
    refused("InvalidParameter", sdk.call, "SetKeyPolicy", KeyId=key, Policy=policy(32_769))


def test_longer_requests_are_refused_in_the_api_s_form(sdk, refused):
    key = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    for length in (LONGEST_LINE, 3 * LONGEST_LINE):
        error = refused("RequestTooLarge", sdk.call, "UpdateKeyDescription", KeyId=key, Description="a" * length)
        assert error.status == 413
    assert not sdk.call("DescribeKey", KeyId=key)["KeyMetadata"].get("Description")


def test_the_limit_is_exact(kms):
    answer = wire.ask(kms.port, line_of(LONGEST_LINE))
    assert (answer.status, answer.code) == (404, "Forbidden.KeyNotFound")
    answer = wire.ask(kms.port, line_of(LONGEST_LINE + 1))
    assert (answer.status, answer.code) == (413, "RequestTooLarge")
    assert answer.headers["x-acs-request-id"] == answer.json["RequestId"]
    assert (answer.headers["connection"], answer.headers["content-type"]) == ("close", "application/json;charset=utf-8")


def test_a_line_without_end_is_answered(kms):
    # Whether the answer arrives while the client still sends is not in the daemon's hands.
    answer = wire.ask(kms.port, b"GET /?" + b"a" * 16_000_000)
    assert answer is None or (answer.status, answer.code) == (413, "RequestTooLarge")


def test_one_connection_with_long_and_short_requests(kms):
    requests, expected = [], []
    for number in range(6):
        missing = f"{number}" * (1 if number % 2 else BEYOND)
        requests += [
            wire.v3(RETAIL, "DescribeKey", {"KeyId": missing}),
            wire.v1(RETAIL, "DescribeSecret", {"SecretName": missing}),
            wire.assemble("POST", "", [("host", "127.0.0.1")], b""),
        ]
        expected += ["Forbidden.KeyNotFound", "Forbidden.ResourceNotFound", "IncompleteSignature"]
    with wire.connect(kms.port) as connection:
        answers = []
        for request in requests:
            connection.sendall(request)
            answers.append(wire.receive(connection).code)
    assert answers == expected


def test_what_is_long_is_signed_as_well(kms):
    request = wire.v3(RETAIL, "DescribeKey", {"KeyId": "a" * BEYOND})
    assert wire.ask(kms.port, request.replace(b"KeyId=a", b"KeyId=b")).code == "SignatureDoesNotMatch"
    assert wire.ask(kms.port, request).code == "Forbidden.KeyNotFound"
    assert wire.ask(kms.port, request).code == "SignatureNonceUsed"


def test_over_tls(unstarted):
    deployment = unstarted
    certificate(deployment.directory, "127.0.0.1")
    pem, key = deployment.directory / "tls.pem", deployment.directory / "tls.key"
    deployment.extra = f'[api.tls]\ncertificate = "{pem}"\nprivate_key = "{key}"\n'
    deployment.start()
    answer = wire.ask(deployment.port, wire.v1(RETAIL, "DescribeKey", {"KeyId": "密" * BEYOND}), tls=True)
    assert answer.code == "RequestTooLarge"
    value = {"SecretName": "long", "VersionId": "v1", "SecretData": "密" * 10_240}
    assert wire.ask(deployment.port, wire.v1(RETAIL, "CreateSecret", value), tls=True).status == 200
    answer = wire.ask(deployment.port, wire.v1(RETAIL, "GetSecretValue", {"SecretName": "long"}), tls=True)
    assert answer.json["SecretData"] == value["SecretData"]
