"""Operations that came with instances, and the forms that requests and answers take, through the vendor's clients."""

import base64
import hashlib
import hmac
import json
import time
import uuid
import xml.etree.ElementTree as ElementTree

import pytest
from alibabacloud_kms20160120 import models
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import wire
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, SMALL_INSTANCE, STRANGER
from test_crypto import OAEP, b64, first_version, new_key, public_key, raw, verify

POLICY = json.dumps({"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["kms:*"], "Resource": ["*"]}]})


def test_re_encrypt(sdk, refused):
    first, second = new_key(sdk), new_key(sdk)
    blob = sdk.call("Encrypt", KeyId=first, Plaintext=b64(b"text"), EncryptionContext={"a": "1"})["CiphertextBlob"]
    contexts = {"SourceEncryptionContext": {"a": "1"}, "DestinationEncryptionContext": {"b": "2"}}
    made = sdk.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=second, **contexts)
    assert made["KeyId"] == second
    opened = sdk.call("Decrypt", CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"b": "2"})
    assert opened["Plaintext"] == b64(b"text")
    refused("InvalidParameter", sdk.call, "ReEncrypt", CiphertextBlob=blob, DestinationKeyId=second)
    refused("Forbidden.KeyNotFound", sdk.call, "ReEncrypt", CiphertextBlob=blob, DestinationKeyId=str(uuid.uuid4()), **contexts)


@pytest.mark.parametrize("algorithm", OAEP)
def test_data_keys_for_a_public_key(sdk, algorithm):
    private = rsa.generate_private_key(65537, 2048)
    der = private.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    wrapping = {"PublicKeyBlob": b64(der), "WrappingKeySpec": "RSA_2048", "WrappingAlgorithm": algorithm}
    key = new_key(sdk)
    made = sdk.call("GenerateAndExportDataKey", KeyId=key, NumberOfBytes=24, **wrapping)
    plain = private.decrypt(raw(made["ExportedDataKey"]), OAEP[algorithm])
    assert len(plain) == 24
    assert raw(sdk.call("Decrypt", CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == plain
    exported = sdk.call("ExportDataKey", CiphertextBlob=made["CiphertextBlob"], **wrapping)
    assert private.decrypt(raw(exported["ExportedDataKey"]), OAEP[algorithm]) == plain


def test_codes(kms, refused):
    sdk = kms.sdk()
    key = sdk.call("CreateKey", KeySpec="HMAC_SHA_512", DKMSInstanceId=INSTANCE)["KeyMetadata"]
    assert key["KeyUsage"] == "GENERATE/VERIFY MAC"
    call = {"KeyId": key["KeyId"], "Algorithm": "HMAC_SHA_512", "Message": b64(b"message")}
    made = sdk.call("GenerateMac", **call)["Mac"]
    assert len(raw(made)) == 64
    assert sdk.call("VerifyMac", Mac=made, **call)["Value"] is True
    other = hmac.new(b"another key", b"message", hashlib.sha512).digest()
    assert sdk.call("VerifyMac", Mac=b64(other), **call)["Value"] is False
    refused("InvalidParameter", sdk.call, "GenerateMac", **{**call, "Algorithm": "HMAC_SHA_256"})
    refused("InvalidParameter", sdk.call, "CreateKey", KeySpec="HMAC_SHA_512")
    refused("DryRunOperationError", sdk.call, "GenerateMac", DryRun="true", **call)


def test_tags_of_many(sdk, refused):
    keys = [new_key(sdk) for _ in range(3)]
    label = uuid.uuid4().hex
    # The older SDK has names of its own for the lists, and sends the region by itself.
    old = hasattr(sdk, "endpoint")
    many = {"ResourceType": "key", **({} if old else {"RegionId": REGION})}
    flat, tagged = ("ResourceIds", "Tags") if old else ("ResourceId", "Tag")
    named, tags = {**many, flat: keys}, {tagged: [{"Key": label, "Value": "1"}]}
    sdk.call("TagResources", **named, **tags)
    rows = sdk.call("ListTagResources", **many, **tags)["TagResources"]["TagResource"]
    assert sorted(row["ResourceId"] for row in rows) == sorted(keys)
    assert {(row["TagKey"], row["TagValue"], row["ResourceType"]) for row in rows} == {(label, "1", "key")}
    stranger = {**named, flat: [*keys[:1], str(uuid.uuid4())]}
    refused("Forbidden.KeyNotFound", sdk.call, "UntagResources", All=True, **stranger)
    assert len(sdk.call("ListTagResources", **many, **tags)["TagResources"]["TagResource"]) == 3, "all or none"
    sdk.call("UntagResources", All=True, **named)
    assert sdk.call("ListTagResources", **many, **tags)["TagResources"]["TagResource"] == []


def test_tag_pages_go_on_where_they_ended(kms):
    sdk = kms.sdk(account=STRANGER)
    many = {"RegionId": REGION, "ResourceType": "secret"}
    names = [f"paged/{n:02}" for n in range(12)]
    for name in names:
        tags = json.dumps([{"TagKey": f"k{n:02}", "TagValue": "v"} for n in range(20)])
        sdk.call("CreateSecret", SecretName=name, SecretData="v", VersionId="v1", Tags=tags)
    first = sdk.call("ListTagResources", **many)
    assert len(first["TagResources"]["TagResource"]) == 200 and first["NextToken"]
    sdk.call("DeleteSecret", SecretName=names[0], ForceDeleteWithoutRecovery="true")
    second = sdk.call("ListTagResources", NextToken=first["NextToken"], **many)
    assert len(second["TagResources"]["TagResource"]) == 40 and not second["NextToken"]
    rows = [(row["ResourceId"], row["TagKey"]) for page in (first, second) for row in page["TagResources"]["TagResource"]]
    assert len(set(rows)) == 240 and rows == sorted(rows)


def test_passwords(sdk, refused):
    assert len(sdk.call("GetRandomPassword")["RandomPassword"]) == 32
    made = sdk.call("GetRandomPassword", PasswordLength="128", ExcludePunctuation="true", ExcludeCharacters="0Oo1Il")
    assert len(made["RandomPassword"]) == 128 and made["RandomPassword"].isalnum()
    assert not set(made["RandomPassword"]) & set("0Oo1Il")
    refused("InvalidParameter", sdk.call, "GetRandomPassword", PasswordLength="7")
    assert len({sdk.call("GetRandomPassword")["RandomPassword"] for _ in range(20)}) == 20


def test_many_values_at_once(kms, refused):
    sdk = kms.sdk()
    names = [f"batch/{uuid.uuid4()}" for _ in range(2)]
    for name in names:
        sdk.call("CreateSecret", SecretName=name, SecretData=f"value of {name}", VersionId="v1")
    wishes = [{"SecretName": name} for name in names]
    answer = sdk.call("BatchGetSecretValue", SecretsList=[*wishes, {"SecretName": "batch/none"}])
    assert [value["SecretData"] for value in answer["SecretValues"]] == [f"value of {name}" for name in names]
    (error,) = answer["Errors"]
    assert (error["Code"], error["HttpStatus"], error["SecretName"]) == ("Forbidden.ResourceNotFound", 404, "batch/none")
    refused("InvalidParameter", sdk.call, "BatchGetSecretValue", SecretsList=[wishes[0], wishes[0]])
    refused("InvalidParameter", sdk.call, "BatchGetSecretValue", SecretsList=[{"SecretName": f"s{n}"} for n in range(21)])
    refused("InvalidParameter", sdk.call, "BatchGetSecretValue", SecretsList=[])


def test_policies(sdk, refused):
    key = new_key(sdk, DKMSInstanceId=INSTANCE)
    assert RETAIL.id in sdk.call("GetKeyPolicy", KeyId=key, PolicyName="default")["Policy"]
    sdk.call("SetKeyPolicy", KeyId=key, Policy=POLICY)
    assert json.loads(sdk.call("GetKeyPolicy", KeyId=key)["Policy"]) == json.loads(POLICY)
    refused("InvalidParameter", sdk.call, "SetKeyPolicy", KeyId=key, Policy='{"Version":"1"}')
    refused("InvalidParameter", sdk.call, "SetKeyPolicy", KeyId=key, Policy=POLICY, PolicyName="other")
    refused("UnsupportedOperation", sdk.call, "SetKeyPolicy", KeyId=new_key(sdk), Policy=POLICY)
    # A migration gives a resource the default policy; one created in an instance may bring its own.
    made = sdk.call("CreateKey", DKMSInstanceId=INSTANCE, Policy=POLICY)["KeyMetadata"]["KeyId"]
    assert json.loads(sdk.call("GetKeyPolicy", KeyId=made)["Policy"]) == json.loads(POLICY)


def test_instances(kms, refused):
    sdk = kms.sdk()
    page = sdk.call("ListKmsInstances")
    shown = {row["KmsInstanceId"]: row["KmsInstanceArn"] for row in page["KmsInstances"]["KmsInstance"]}
    assert shown[INSTANCE] == f"acs:kms:{REGION}:{RETAIL.id}:keystore/{INSTANCE}" and SMALL_INSTANCE in shown
    assert len(kms.sdk(account=LOGISTICS).call("ListKmsInstances")["KmsInstances"]["KmsInstance"]) == 2
    assert kms.sdk(account=STRANGER).call("ListKmsInstances")["TotalCount"] == 0
    found = sdk.call("GetKmsInstance", KmsInstanceId=INSTANCE)["KmsInstance"]
    assert (found["InstanceId"], found["Status"], found["KeyNum"]) == (INSTANCE, "Connected", 1000)
    used = lambda: {
        row["ResourceType"]: (row["UsedQuantity"], row["ResourceQuota"])
        for row in sdk.call("GetKmsInstanceQuotaInfos", KmsInstanceId=INSTANCE)["KmsInstanceQuotaInfos"]
    }
    before = used()
    new_key(sdk, DKMSInstanceId=INSTANCE)
    assert used()["key"] == (before["key"][0] + 1, 1000)
    refused("Forbidden.DKMSInstanceNotFound", kms.sdk(account=STRANGER).call, "GetKmsInstance", KmsInstanceId=INSTANCE)
    refused("MissingParameter", sdk.call, "GetKmsInstanceQuotaInfos")
    assert not sdk.call("GetDefaultKmsInstance").get("DefaultKmsInstanceId")


def test_the_service(sdk, refused):
    assert sdk.call("DescribeAccountKmsStatus")["AccountStatus"] == "Enabled"
    refused("Forbidden.Opened", sdk.call, "OpenKmsService")


def test_rotation_of_secrets_needs_a_rotator(sdk, refused):
    name = f"rotate/{uuid.uuid4()}"
    sdk.call("CreateSecret", SecretName=name, SecretData="v", VersionId="v1")
    refused("UnsupportedOperation", sdk.call, "RotateSecret", SecretName=name, VersionId="v2")


def test_what_is_not_offered_says_why(kms, refused):
    sdk = kms.sdk()
    for action, parameters in (
        ("CreateNetworkRule", {"Name": "a", "Type": "Private"}),
        ("ListPolicies", {}),
        ("ReleaseKmsInstance", {"KmsInstanceId": INSTANCE}),
        ("GetClientKey", {"ClientKeyId": "KAAP.x"}),
        ("GetChallenge", {}),
    ):
        assert refused("UnsupportedOperation", sdk.call, action, **parameters).status == 400
        answer = wire.ask(kms.port, wire.v3(RETAIL, action, parameters))
        assert answer.code == "UnsupportedOperation" and answer.json["Recommend"].startswith("Not offered: "), action


def test_all_parameters_in_a_form(kms):
    """As Terraform's provider sends them."""
    answer = wire.ask(kms.port, wire.v1(RETAIL, "CreateKey", {"Description": "terra +&=form"}, in_body=True))
    key = answer.json["KeyMetadata"]["KeyId"]
    answer = wire.ask(kms.port, wire.v1(RETAIL, "DescribeKey", {"KeyId": key}, in_body=True))
    assert answer.json["KeyMetadata"]["Description"] == "terra +&=form"
    tagged = {"RegionId": REGION, "ResourceType": "key", "ResourceId.1": key, "Tag.1.Key": "a", "Tag.1.Value": "b"}
    assert wire.ask(kms.port, wire.v1(RETAIL, "TagResources", tagged, in_body=True)).status == 200
    again = wire.ask(kms.port, wire.v1(RETAIL, "ListResourceTags", {"KeyId": key}, in_body=True)).json
    assert again["Tags"]["Tag"] == [{"KeyId": key, "TagKey": "a", "TagValue": "b"}]


def test_xml(kms):
    def ask(action, parameters):
        answer = wire.ask(kms.port, wire.v1(RETAIL, action, parameters, Format="XML"))
        assert answer.headers["content-type"].startswith("text/xml")
        return answer.status, ElementTree.fromstring(answer.body)

    status, root = ask("CreateKey", {"Description": "<a> & 'b'"})
    assert (status, root.tag) == (200, "CreateKeyResponse")
    key = root.findtext("KeyMetadata/KeyId")
    _, root = ask("DescribeKey", {"KeyId": key})
    assert root.findtext("KeyMetadata/Description") == "<a> & 'b'"
    _, root = ask("TagResource", {"KeyId": key, "Tags": '[{"TagKey":"a","TagValue":"1"},{"TagKey":"b","TagValue":"2"}]'})
    _, root = ask("ListResourceTags", {"KeyId": key})
    assert [tag.findtext("TagKey") for tag in root.findall("Tags/Tag")] == ["a", "b"]
    _, root = ask("Encrypt", {"KeyId": key, "Plaintext": base64.b64encode(b"x").decode()})
    _, root = ask("Decrypt", {"CiphertextBlob": root.findtext("CiphertextBlob")})
    assert root.findtext("Plaintext") == "eA=="
    status, root = ask("DescribeKey", {"KeyId": "none"})
    assert (status, root.tag, root.findtext("Code")) == (404, "Error", "Forbidden.KeyNotFound")


def test_a_dry_run_always_fails_and_says_what_would_have_been(kms, refused):
    """For every request model of the SDK that has the parameter."""
    sdk = kms.sdk()
    models_with = {
        name.removesuffix("Request")
        for name in dir(models)
        if name.endswith("Request") and not name.endswith("ShrinkRequest") and hasattr(getattr(models, name)(), "dry_run")
    }
    assert len(models_with) == 15
    key = new_key(sdk)
    name = f"dry/{uuid.uuid4()}"
    sdk.call("CreateSecret", SecretName=name, SecretData="v", VersionId="v1")
    for action in models_with:
        answer = wire.ask(kms.port, wire.v3(RETAIL, action, {"DryRun": "true"}))
        assert (answer.status, answer.code) == (400, "ValidationError"), action
        assert "needed but not provided" in answer.json["Recommend"], action
        answer = wire.ask(kms.port, wire.v3(RETAIL, action, {"DryRun": "perhaps"}))
        assert answer.code in ("InvalidParameter", "MissingParameter"), action
    refused("DryRunOperationError", sdk.call, "Encrypt", KeyId=key, Plaintext=b64(b"x"), DryRun="true")
    refused("DryRunOperationError", sdk.call, "GetSecretValue", SecretName=name, DryRun="true")
    refused("ValidationError", sdk.call, "Encrypt", KeyId=str(uuid.uuid4()), Plaintext=b64(b"x"), DryRun="true")


def test_requests_a_second(unstarted):
    unstarted.extra = "[limits]\nread_per_second = 5\nmanagement_per_second = 2\n"
    unstarted.start()

    def burst(action, parameters=(), account=RETAIL, count=12):
        requests = b"".join(wire.v3(account, action, parameters) for _ in range(count))
        with wire.connect(unstarted.port) as connection:
            connection.sendall(requests)
            return [wire.receive(connection) for _ in range(count)]

    began = time.monotonic()
    answers = burst("ListKeys", count=60)
    seconds = time.monotonic() - began
    refusals = [answer for answer in answers if answer.status != 200]
    # A second's worth at once, and then as they fall due, however slow this machine is.
    assert refusals and len(answers) - len(refusals) <= 5 * (1 + seconds), seconds
    for answer in refusals:
        assert (answer.status, answer.code) == (429, "Rejected.Throttling")
        assert int(answer.headers["retry-after"]) >= 1 and "5 such requests" in answer.json["Recommend"]
    assert any(answer.status == 200 for answer in burst("ListKeys", account=LOGISTICS)), "each account has its own"
    # Cryptography is not limited here, and a change is by its own rate.
    key = next(a for a in burst("CreateKey") if a.status == 200).json["KeyMetadata"]["KeyId"]
    encrypt = {"KeyId": key, "Plaintext": b64(b"x")}
    assert all(answer.status == 200 for answer in burst("Encrypt", encrypt, count=40))
    unstarted.extra = ""
    assert "limits" in unstarted.reload()["message"]
    assert all(answer.status == 200 for answer in burst("ListKeys"))


@pytest.mark.parametrize(("spec", "algorithm"), [("RSA_4096", "RSA_PSS_SHA_256"), ("RSA_4096", "RSA_PKCS1_SHA_256")])
def test_larger_rsa_keys_of_an_instance(kms, spec, algorithm, refused):
    sdk = kms.sdk()
    key = new_key(sdk, KeySpec=spec, KeyUsage="SIGN/VERIFY", DKMSInstanceId=INSTANCE)
    version = first_version(sdk, key)
    digest = hashlib.sha256(b"message").digest()
    call = {"KeyId": key, "KeyVersionId": version, "Algorithm": algorithm, "Digest": b64(digest)}
    signature = sdk.call("AsymmetricSign", **call)["Value"]
    public = public_key(sdk, key, version)
    assert public.key_size == 4096
    verify(public, algorithm, raw(signature), digest)
    assert sdk.call("AsymmetricVerify", Value=signature, **call)["Value"] is True
    refused("InvalidParameter", sdk.call, "CreateKey", KeySpec=spec)


def test_aes_of_192_bits_in_an_instance(sdk, refused):
    key = new_key(sdk, KeySpec="Aliyun_AES_192", DKMSInstanceId=INSTANCE)
    blob = sdk.call("Encrypt", KeyId=key, Plaintext=b64(b"text"))["CiphertextBlob"]
    assert sdk.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == b64(b"text")
    refused("InvalidParameter", sdk.call, "CreateKey", KeySpec="Aliyun_AES_192")


def test_the_newer_operations_across_a_migration(deployment, refused):
    sdk = deployment.sdk()
    key = new_key(sdk)
    blob = sdk.call("Encrypt", KeyId=key, Plaintext=b64(b"before"))["CiphertextBlob"]
    sdk.call("TagResources", RegionId=REGION, ResourceType="key", ResourceId=[key], Tag=[{"Key": "a", "Value": "b"}])
    sdk.call("CreateSecret", SecretName="moved", SecretData="v", VersionId="v1", EncryptionKeyId=key)
    refused("UnsupportedOperation", sdk.call, "GetKeyPolicy", KeyId=key)
    code, document = deployment.migrate("--all")
    assert code == 0, document
    policy = json.loads(sdk.call("GetKeyPolicy", KeyId=key)["Policy"])
    assert policy["Statement"][0]["Principal"] == {"RAM": [f"acs:ram::{RETAIL.id}:*"]}
    assert json.loads(sdk.call("GetSecretPolicy", SecretName="moved")["Policy"])["Version"] == "1"
    sdk.call("SetSecretPolicy", SecretName="moved", Policy=POLICY)
    (row,) = sdk.call("ListTagResources", RegionId=REGION, ResourceType="key")["TagResources"]["TagResource"]
    assert (row["ResourceId"], row["TagKey"]) == (key, "a")
    again = sdk.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=new_key(sdk))["CiphertextBlob"]
    assert sdk.call("Decrypt", CiphertextBlob=again)["Plaintext"] == b64(b"before")
    wishes = [{"SecretName": "moved"}]
    assert sdk.call("BatchGetSecretValue", SecretsList=wishes)["SecretValues"][0]["SecretData"] == "v"
    used = sdk.call("GetKmsInstanceQuotaInfos", KmsInstanceId=INSTANCE)["KmsInstanceQuotaInfos"]
    # The key that moved, and the one made since: the instance is the account's default now.
    assert {entry["ResourceType"]: entry["UsedQuantity"] for entry in used} == {"key": 2, "secret": 1}
    assert sdk.call("GetDefaultKmsInstance")["DefaultKmsInstanceId"] == INSTANCE
    assert {row["ResourceType"] for row in sdk.call("GetKmsInstanceQuotaInfos")["KmsInstanceQuotaInfos"]} == {"key", "secret"}


def test_what_only_instances_have_outlives_restarts_and_migrations_beside_it(deployment):
    sdk = deployment.sdk()
    mac = new_key(sdk, KeySpec="HMAC_SHA_384", DKMSInstanceId=INSTANCE)
    aes = new_key(sdk, KeySpec="Aliyun_AES_192", DKMSInstanceId=INSTANCE)
    large = new_key(sdk, KeySpec="RSA_4096", KeyUsage="ENCRYPT/DECRYPT", DKMSInstanceId=INSTANCE)
    version = first_version(sdk, large)
    message = {"KeyId": mac, "Algorithm": "HMAC_SHA_384", "Message": b64(b"message")}
    code = sdk.call("GenerateMac", **message)["Mac"]
    blob = sdk.call("Encrypt", KeyId=aes, Plaintext=b64(b"text"))["CiphertextBlob"]
    rsa_call = {"KeyId": large, "KeyVersionId": version, "Algorithm": "RSAES_OAEP_SHA_256"}
    ciphertext = sdk.call("AsymmetricEncrypt", Plaintext=b64(b"text"), **rsa_call)["CiphertextBlob"]
    new_key(sdk)

    def usable():
        sdk = deployment.sdk()
        assert sdk.call("GenerateMac", **message)["Mac"] == code
        assert sdk.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == b64(b"text")
        assert sdk.call("AsymmetricDecrypt", CiphertextBlob=ciphertext, **rsa_call)["Plaintext"] == b64(b"text")
        status, examination = deployment.cli("doctor")
        assert status == 0 and examination["findings"] == [], examination

    usable()
    status, job = deployment.migrate("--all")
    assert status == 0 and job["keys_done"] == 1, job
    usable()
    deployment.kill()
    deployment.start()
    usable()
