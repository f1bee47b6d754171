"""Hostile input over raw sockets: each has an expected code, and the daemon serves on as before."""

import base64
import json
import os
import pathlib
import threading
import uuid

import pytest

import wire
from deployment import INSTANCE, REGION, RETAIL, STRANGER

MISSING = "11111111-2222-4333-8444-555555555555"


def ask(deployment, request):
    return wire.ask(deployment.port, request)


def call(deployment, action, query=(), account=RETAIL, **more):
    return ask(deployment, wire.v3(account, action, query, **more))


def key_of(deployment, account=RETAIL, **parameters):
    answer = call(deployment, "CreateKey", parameters, account)
    assert answer.status == 200, answer.body
    return answer.json["KeyMetadata"]["KeyId"]


def resident(deployment):
    status = pathlib.Path(f"/proc/{deployment.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@pytest.fixture(autouse=True)
def serves_on(kms):
    """Whatever a test sends, the daemon lives and answers afterwards."""
    yield
    assert kms.process.poll() is None
    assert call(kms, "DescribeRegions").status == 200


# Size and time


def test_oversized_bodies(kms):
    head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {1 << 40}\r\n\r\n".encode()
    answer = ask(kms, head)
    assert (answer.status, answer.code) == (413, "RequestTooLarge")
    assert answer.headers["connection"] == "close"
    endless = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    answer = ask(kms, endless + chunk * 64)
    assert answer is None or (answer.status, answer.code) == (413, "RequestTooLarge")


def test_long_request_lines_and_many_headers(kms):
    answer = ask(kms, b"GET /?" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (answer.status, answer.code) == (400, "IncompleteSignature")
    answer = ask(kms, b"GET /?" + b"a" * 300_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (answer.status, answer.code) == (413, "RequestTooLarge")
    headers = "".join(f"x-{n}: y\r\n" for n in range(10_000)).encode()
    answer = ask(kms, b"GET / HTTP/1.1\r\nhost: x\r\n" + headers + b"\r\n")
    assert answer.status == 431
    answer = ask(kms, b"GET / HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 1_000_000 + b"\r\n\r\n")
    assert answer is None or answer.status == 431


def test_slow_bodies_hold_nobody_up(kms):
    slow = [wire.connect(kms.port) for _ in range(64)]
    for connection in slow:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf")
    for _ in range(20):
        assert call(kms, "DescribeRegions").status == 200
    answer = wire.receive(slow[0])
    assert (answer.status, answer.code) == (408, "RequestTimeout")
    for connection in slow:
        connection.close()


def test_what_is_not_http(kms):
    for garbage in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\0" * 1000 + b"\r\n\r\n", b"HELO\r\n\r\n"):
        answer = ask(kms, garbage + b"\r\n\r\n")
        assert answer is None or answer.status == 400
    both = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    twice = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef"
    for smuggled in (both, twice):
        answer = ask(kms, smuggled)
        assert answer is None or answer.status == 400, answer.body
    # A pipelined second request is a request of its own, not a part of the first.
    with wire.connect(kms.port) as connection:
        request = wire.v3(RETAIL, "DescribeRegions")
        connection.sendall(request + b"GET /second HTTP/1.1\r\nhost: x\r\n\r\n")
        assert wire.receive(connection).status == 200


def test_methods_and_paths(kms):
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        answer = call(kms, "DescribeRegions", method=method)
        assert (answer.status, answer.code) == (403, "UnsupportedHTTPMethod"), method
    for path in ("/x", "//", "/..", "/%2e%2e/etc/passwd"):
        answer = ask(kms, f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        assert (answer.status, answer.code) == (404, "InvalidApi.NotFound"), path


# Parameters


def test_parameters_that_come_twice_or_by_the_thousand(kms):
    twice = [("KeyId", MISSING), ("KeyId", MISSING)]
    assert call(kms, "DescribeKey", twice).code == "InvalidParameter"
    body = f"KeyId={MISSING}".encode()
    form = [("content-type", "application/x-www-form-urlencoded")]
    assert call(kms, "DescribeKey", {"KeyId": MISSING}, body=body, extra=form).code == "InvalidParameter"
    assert call(kms, "DescribeKey", body=body, extra=form).code == "Forbidden.KeyNotFound"
    many = [(f"p{n}", "") for n in range(10_000)]
    assert call(kms, "DescribeKey", many[:4000]).code == "ParseRequestParameterException"
    body = "&".join(f"p{n}=" for n in range(10_000)).encode()
    assert call(kms, "DescribeKey", body=body, extra=form).code == "ParseRequestParameterException"


def test_invalid_utf_8_and_broken_escapes(kms):
    for broken in ("KeyId=%ff%fe", "KeyId=%c3%28", "KeyId=%ed%a0%80", "KeyId=%4", "KeyId=%zz", "=x"):
        answer = call(kms, "DescribeKey", raw_query=broken)
        assert (answer.status, answer.code) == (400, "ParseRequestParameterException"), broken
    form = [("content-type", "application/x-www-form-urlencoded")]
    answer = call(kms, "DescribeKey", body=b"KeyId=\xff\xfe", extra=form)
    assert answer.code == "ParseRequestParameterException"
    for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain"):
        answer = call(kms, "DescribeKey", body=b"{}", extra=[("content-type", kind)])
        assert answer.code == "ParseRequestParameterException", kind
    # Characters that are valid, but no name of anything.
    for odd in ("\0", "a\r\nb", "\u202e", "../../etc/passwd", "' OR 1=1 --", "x" * 10_000):
        assert call(kms, "DescribeKey", {"KeyId": odd}).code == "Forbidden.KeyNotFound", odd
        assert call(kms, "DescribeSecret", {"SecretName": odd}).code == "Forbidden.ResourceNotFound", odd


def test_broken_json(kms):
    key = key_of(kms)
    there = key_of(kms, DKMSInstanceId=INSTANCE)
    secret = {"SecretName": f"hostile/{uuid.uuid4()}", "SecretData": "v", "VersionId": "v1"}
    assert call(kms, "CreateSecret", secret).status == 200
    name = {"SecretName": secret["SecretName"]}
    places = [
        ("TagResource", {"KeyId": key}, "Tags"),
        ("UntagResource", {"KeyId": key}, "TagKeys"),
        ("ListKeys", {}, "Filters"),
        ("ListSecrets", {}, "Filters"),
        ("Encrypt", {"KeyId": key, "Plaintext": "aGk="}, "EncryptionContext"),
        ("SetKeyPolicy", {"KeyId": there}, "Policy"),
        ("BatchGetSecretValue", {}, "SecretsList"),
        ("PutSecretValue", {**name, "SecretData": "w", "VersionId": "v2"}, "VersionStages"),
        ("UpdateSecret", name, "ExtendedConfig.CustomData"),
    ]
    deep = "[" * 20_000
    for action, parameters, field in places:
        for broken in ("[", "{", '{"a":', "[{]", '[{"TagKey":1}]', "\x00", deep, '{"a":{"b":{}}}'):
            if broken == "\x00" and field == "TagKeys":
                continue  # a key as the comma form has it
            answer = call(kms, action, {**parameters, field: broken})
            assert (answer.status, answer.code) in ((400, "InvalidParameter"), (200, "")), (action, field, broken[:9])
            # What is JSON may be taken where any object is: custom data of a Generic secret is ignored.
            assert answer.status == 400 or action == "UpdateSecret", (action, broken[:9])


def test_numbers_out_of_range(kms):
    for number in ("0", "-1", "4294967296", "99999999999999999999999", "1.5", "1e3", "+1", "0x10", " 1", "١"):
        for action in ("ListKeys", "ListSecrets", "ListAliases", "ListKmsInstances"):
            answer = call(kms, action, {"PageNumber": number})
            assert (answer.status, answer.code) == (400, "InvalidParameter"), (action, number)
            # Some lists take a page of no entries.
            if number != "0":
                answer = call(kms, action, {"PageSize": number})
                assert (answer.status, answer.code) == (400, "InvalidParameter"), (action, number)
    key_of(kms)
    for action, wrapper in (("ListKeys", "Keys"), ("ListAliases", "Aliases"), ("ListSecrets", "SecretList")):
        answer = call(kms, action, {"PageNumber": "4294967295", "PageSize": "100"})
        (rows,) = answer.json[wrapper].values()
        assert rows == [] and answer.json["PageNumber"] == 4294967295
    assert call(kms, "GenerateDataKey", {"KeyId": key_of(kms), "NumberOfBytes": "1025"}).code == "InvalidParameter"
    assert call(kms, "GetRandomPassword", {"PasswordLength": "999999999"}).code == "InvalidParameter"


def test_base64_and_sizes(kms):
    key = key_of(kms)
    for bad in ("*", "aGk", "aGk=\n", "a" * 3, "====", base64.b64encode(bytes(6145)).decode()):
        assert call(kms, "Encrypt", {"KeyId": key, "Plaintext": bad}).code == "InvalidParameter", bad[:9]
    assert call(kms, "Encrypt", {"KeyId": key, "Plaintext": base64.b64encode(bytes(6144)).decode()}).status == 200
    for length in (0, 1, 7, 60, 200, 8192):
        blob = base64.b64encode(os.urandom(length)).decode()
        code = call(kms, "Decrypt", {"CiphertextBlob": blob}).code
        assert code == ("InvalidParameter" if length else "MissingParameter"), length


# Who and when


def test_signatures_that_do_not_hold(kms):
    good = wire.v3(RETAIL, "ListKeys", {"PageSize": "10"})
    assert ask(kms, good.replace(b"PageSize=10", b"PageSize=11")).code == "SignatureDoesNotMatch"
    form = [("content-type", "application/x-www-form-urlencoded")]
    tampered = wire.v3(RETAIL, "DescribeKey", body=b"KeyId=a", extra=form)[:-1] + b"b"
    assert ask(kms, tampered).code == "SignatureDoesNotMatch"
    assert ask(kms, good.replace(b"Signature=", b"Signature=00")).code == "SignatureDoesNotMatch"
    assert ask(kms, good.replace(b"x-acs-version: 2016-01-20\r\n", b"")).code in ("IncompleteSignature", "MissingParameter")
    assert ask(kms, good.replace(b"Credential=LTAIretail", b"Credential=LTAInobody")).code == "InvalidAccessKeyId.NotFound"
    assert ask(kms, b"GET /?Action=ListKeys HTTP/1.1\r\nhost: x\r\n\r\n").status == 400
    added = good.replace(b"\r\n\r\n", b"\r\nx-acs-extra: 1\r\n\r\n", 1)
    assert ask(kms, added).code == "IncompleteSignature"
    # Another account's key with this account's ID.
    forged = type(RETAIL)(RETAIL.id, RETAIL.access_key, STRANGER.secret)
    assert call(kms, "ListKeys", account=forged).code == "SignatureDoesNotMatch"


def test_the_clock_at_its_edges(kms):
    edge = 15 * 60
    for offset, code in ((edge - 20, ""), (20 - edge, ""), (edge + 20, "Expired"), (-edge - 20, "Expired")):
        answer = call(kms, "DescribeRegions", date=wire.stamp(offset))
        assert answer.code == (f"InvalidTimeStamp.{code}" if code else ""), offset
        answer = ask(kms, wire.v1(RETAIL, "DescribeRegions", Timestamp=wire.stamp(offset)))
        assert answer.code == (f"InvalidTimeStamp.{code}" if code else ""), offset
    for bad in ("2026-13-01T00:00:00Z", "now", "2026-01-01", "2026-01-01T00:00:00+08:00", "9" * 400):
        assert call(kms, "DescribeRegions", date=bad).code == "InvalidTimeStamp.Format", bad
    assert call(kms, "DescribeRegions", date="").code in ("IllegalTimestamp", "IncompleteSignature")
    assert ask(kms, wire.v1(RETAIL, "DescribeRegions", Timestamp="")).code == "IllegalTimestamp"


def test_replays(kms):
    for request in (wire.v3(RETAIL, "DescribeRegions"), wire.v1(RETAIL, "CreateKey"), wire.v3(RETAIL, "CreateKey")):
        assert ask(kms, request).status == 200
        for _ in range(3):
            answer = ask(kms, request)
            assert (answer.status, answer.code) == (400, "SignatureNonceUsed")
    nonce = uuid.uuid4().hex
    assert call(kms, "DescribeRegions", nonce=nonce).status == 200
    assert call(kms, "ListKeys", nonce=nonce).code == "SignatureNonceUsed"
    # Another access key has nonces of its own, and a request that was refused for its signature burns none.
    assert call(kms, "DescribeRegions", nonce=nonce, account=STRANGER).status == 200
    nonce = uuid.uuid4().hex
    forged = type(RETAIL)(RETAIL.id, RETAIL.access_key, "wrong")
    assert call(kms, "DescribeRegions", nonce=nonce, account=forged).code == "SignatureDoesNotMatch"
    assert call(kms, "DescribeRegions", nonce=nonce).status == 200
    assert call(kms, "DescribeRegions", nonce="n" * 257).code == "InvalidParameter"


def test_one_of_many_simultaneous_replays_succeeds(kms):
    request = wire.v3(RETAIL, "CreateKey")
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(ask(kms, request).code)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [""] + ["SignatureNonceUsed"] * 15


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_management_requests_are_not_replayed_across_a_restart(deployment, end):
    requests = [wire.v3(RETAIL, "CreateKey"), wire.v1(RETAIL, "CreateKey")]
    for request in requests:
        assert ask(deployment, request).status == 200
    getattr(deployment, end)()
    deployment.start()
    for request in requests:
        assert ask(deployment, request).code == "SignatureNonceUsed"
    assert call(deployment, "ListKeys", {"PageSize": "100"}).json["TotalCount"] == 3, "two keys and a service key"


# Where and whose


def test_regions(kms):
    assert call(kms, "ListKeys", {"RegionId": "cn-nowhere"}).code == "InvalidParameter"
    assert call(kms, "ListKeys", {"RegionId": "../x"}).code == "InvalidParameter"
    key = key_of(kms)
    arn = f"acs:kms:cn-shanghai:{RETAIL.id}:key/{key}"
    assert call(kms, "DescribeKey", {"KeyId": arn}).code == "Forbidden.KeyNotFound"
    assert call(kms, "DescribeKey", {"KeyId": arn.replace("cn-shanghai", REGION)}).status == 200


def test_what_is_somebody_elses_looks_like_what_is_not(kms):
    """Code, message and remedy are the same, for every operation that names something."""
    key = key_of(kms)
    alias = f"alias/{uuid.uuid4()}"
    name = f"hostile/{uuid.uuid4()}"
    assert call(kms, "CreateAlias", {"KeyId": key, "AliasName": alias}).status == 200
    assert call(kms, "CreateSecret", {"SecretName": name, "SecretData": "v", "VersionId": "v1"}).status == 200
    version = call(kms, "ListKeyVersions", {"KeyId": key}).json["KeyVersions"]["KeyVersion"][0]["KeyVersionId"]
    blob = call(kms, "Encrypt", {"KeyId": key, "Plaintext": "aGk="}).json["CiphertextBlob"]
    damaged = bytearray(base64.b64decode(blob))
    damaged[-1] ^= 1
    tags = json.dumps([{"TagKey": "a", "TagValue": "b"}])
    policy = json.dumps({"Version": "1", "Statement": []})
    many = {"RegionId": REGION, "Tag.1.Key": "a"}
    own = key_of(kms, STRANGER)
    by_key = {
        "DescribeKey": {},
        "EnableKey": {},
        "DisableKey": {},
        "UpdateKeyDescription": {"Description": "d"},
        "ScheduleKeyDeletion": {"PendingWindowInDays": "7"},
        "CancelKeyDeletion": {},
        "SetDeletionProtection": {"EnableDeletionProtection": "true"},
        "UpdateRotationPolicy": {"EnableAutomaticRotation": "false"},
        "CreateKeyVersion": {},
        "DescribeKeyVersion": {"KeyVersionId": version},
        "ListKeyVersions": {},
        "CreateAlias": {"AliasName": "alias/mine"},
        "ListAliasesByKeyId": {},
        "TagResource": {"Tags": tags},
        "UntagResource": {"TagKeys": '["a"]'},
        "ListResourceTags": {},
        "Encrypt": {"Plaintext": "aGk="},
        "GenerateDataKey": {},
        "GenerateDataKeyWithoutPlaintext": {},
        "GenerateMac": {"Algorithm": "HMAC_SHA_256", "Message": "aGk="},
        "GetPublicKey": {"KeyVersionId": version},
        "AsymmetricSign": {"KeyVersionId": version, "Algorithm": "ECDSA_SHA_256", "Digest": "aGk="},
        "GetParametersForImport": {"WrappingKeySpec": "RSA_2048", "WrappingAlgorithm": "RSAES_OAEP_SHA_256"},
        "DeleteKeyMaterial": {},
        "SetKeyPolicy": {"Policy": policy},
        "GetKeyPolicy": {},
    }
    by_secret = {
        "DescribeSecret": {},
        "GetSecretValue": {},
        "PutSecretValue": {"SecretData": "v", "VersionId": "v2"},
        "ListSecretVersionIds": {},
        "UpdateSecret": {"Description": "d"},
        "UpdateSecretVersionStage": {"VersionStage": "x", "MoveToVersion": "v1"},
        "UpdateSecretRotationPolicy": {"EnableAutomaticRotation": "false"},
        "RotateSecret": {"VersionId": "v2"},
        "DeleteSecret": {},
        "RestoreSecret": {},
        "TagResource": {"Tags": tags},
        "SetSecretPolicy": {"Policy": policy},
        "GetSecretPolicy": {},
    }
    pairs = [(action, {"KeyId": key}, {"KeyId": MISSING}, more) for action, more in by_key.items()]
    pairs += [(action, {"SecretName": name}, {"SecretName": "no/such"}, more) for action, more in by_secret.items()]
    pairs += [
        ("TagResources", {"ResourceId.1": key}, {"ResourceId.1": MISSING}, {"ResourceType": "key", **many}),
        ("UntagResources", {"ResourceId.1": key}, {"ResourceId.1": MISSING}, {"ResourceType": "key", "All": "true", "RegionId": REGION}),
        ("ListTagResources", {"ResourceId.1": key}, {"ResourceId.1": MISSING}, {"ResourceType": "key", "RegionId": REGION}),
        ("DescribeKey", {"KeyId": alias}, {"KeyId": "alias/none"}, {}),
        ("DeleteAlias", {"AliasName": alias}, {"AliasName": "alias/none"}, {}),
        ("UpdateAlias", {"AliasName": alias}, {"AliasName": "alias/none"}, {"KeyId": own}),
        ("Decrypt", {"CiphertextBlob": blob}, {"CiphertextBlob": base64.b64encode(damaged).decode()}, {}),
        ("ReEncrypt", {"CiphertextBlob": blob}, {"CiphertextBlob": base64.b64encode(damaged).decode()}, {"DestinationKeyId": own}),
        ("GetKmsInstance", {"KmsInstanceId": INSTANCE}, {"KmsInstanceId": "kst-none"}, {}),
        ("CreateKey", {"DKMSInstanceId": INSTANCE}, {"DKMSInstanceId": "kst-none"}, {}),
    ]
    for action, foreign, missing, more in pairs:
        seen = []
        for parameters in (foreign, missing):
            answer = call(kms, action, {**parameters, **more}, STRANGER)
            told = answer.json
            told.pop("RequestId")
            seen.append((answer.status, told))
        assert seen[0] == seen[1], (action, seen)
        assert seen[0][0] in (400, 403, 404) or action == "ListTagResources", (action, seen)
        assert RETAIL.id not in json.dumps(seen[0]), action
    # By the owner's ARN as well.
    arn = f"acs:kms:{REGION}:{RETAIL.id}:key/{key}"
    assert call(kms, "DescribeKey", {"KeyId": arn}, STRANGER).code == "Forbidden.KeyNotFound"
    batch = json.dumps([{"SecretName": name}, {"SecretName": "no/such"}])
    foreign, missing = call(kms, "BatchGetSecretValue", {"SecretsList": batch}, STRANGER).json["Errors"]
    assert {**foreign, "SecretName": ""} == {**missing, "SecretName": ""}


def test_a_storm_takes_bounded_memory(kms):
    """Thousands of large refused requests leave nothing behind."""
    form = [("content-type", "application/x-www-form-urlencoded")]

    def storm():
        for _ in range(40):
            ask(kms, wire.v3(RETAIL, "Encrypt", body=b"KeyId=" + b"a" * 200_000, extra=form))
            ask(kms, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 300000\r\n\r\n")
            ask(kms, wire.v3(RETAIL, "ListKeys", {"Filters": "[" * 30_000}))

    storm()
    before = resident(kms)
    threads = [threading.Thread(target=storm) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert resident(kms) - before < 64 * 1024, "KiB"


def test_lists_of_resources_that_are_too_long_or_wrong(kms):
    key = key_of(kms)
    many = {"RegionId": REGION, "ResourceType": "key"}
    numbered = lambda name, count: {f"{name}.{n}": key for n in range(1, count + 1)}
    assert call(kms, "TagResources", {**many, **numbered("ResourceId", 50), "Tag.1.Key": "a"}).status == 200
    wrong = [
        {**numbered("ResourceId", 51), "Tag.1.Key": "a"},
        {"ResourceId.1": key, **{f"Tag.{n}.Key": f"k{n}" for n in range(21)}},
        {"ResourceId.x": key, "Tag.1.Key": "a"},
        {"ResourceId.99999999999": key, "Tag.1.Key": "a"},
        {"ResourceId.1": key, "Tag.1.Value": "a"},
        {"ResourceId.1": key, "Tag.1.Key": "acs:mine"},
        {"ResourceId.1": key, "Tag.1.Key": "k" * 129},
        {"ResourceId.1": key, "Tag.1.Key": "a", "Tag.2.Key": "a"},
        {"ResourceId.1": "", "Tag.1.Key": "a"},
        {"ResourceId.1": key, "Tag.1.Key": "a", "ResourceType": "certificate"},
    ]
    for parameters in wrong:
        answer = call(kms, "TagResources", {**many, **parameters})
        assert (answer.status, answer.code) == (400, "InvalidParameter"), list(parameters)[:3]
    for token in ("x", "AAAA", base64.b64encode(b"[1,2]").decode(), base64.b64encode(b'["a"]').decode(), "%"):
        assert call(kms, "ListTagResources", {**many, "NextToken": token}).code == "InvalidParameter", token
    for lacking in ("RegionId", "ResourceType"):
        left = {name: value for name, value in many.items() if name != lacking}
        assert call(kms, "ListTagResources", left).code == "MissingParameter", lacking
