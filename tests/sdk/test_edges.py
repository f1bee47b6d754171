"""Edges of the reference that a client would notice: lengths, forms and codes beside the common road."""

import uuid

import pytest

import clients
import wire
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, Deployment

ACCOUNTS = '{"Accounts":[{"AccountName":"u","AccountPassword":"a-password"}]}'


def name():
    return f"edge/{uuid.uuid4()}"


def asked(kms, action, *pairs):
    """By V1, as clients do that send what the SDKs here do not."""
    return wire.ask(kms.port, wire.v1(RETAIL, action, list(pairs)))


def test_a_map_may_come_flattened(kms):
    named = name()
    config = [("ExtendedConfig.SecretSubType", "SingleUser"), ("ExtendedConfig.DBInstanceId", "rm-1")]
    config.append(("ExtendedConfig.CustomData.team", "orders"))
    fields = [("SecretName", named), ("VersionId", "v1"), ("SecretType", "Rds"), ("SecretData", ACCOUNTS)]
    made = asked(kms, "CreateSecret", *fields, *config)
    assert made.status == 200, made.body
    kept = kms.sdk().call("DescribeSecret", SecretName=named)["ExtendedConfig"]
    assert '"DBInstanceId":"rm-1"' in kept and '"team":"orders"' in kept, kept
    both = asked(kms, "CreateSecret", *fields, *config, ("ExtendedConfig", "{}"))
    assert both.code == "InvalidParameter", both.body


def test_tags_that_were_set_can_be_removed(kms):
    sdk = kms.sdk()
    key = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    long = "密" * 128
    for operation, listed in [("UntagResource", {"TagKeys": f'["{long}"]'}), ("UntagResources", {})]:
        sdk.call("TagResource", KeyId=key, Tags=f'[{{"TagKey":"{long}","TagValue":"{long}"}}]')
        if listed:
            sdk.call(operation, KeyId=key, **listed)
        else:
            pairs = [("RegionId", REGION), ("ResourceType", "key"), ("ResourceId.1", key), ("TagKey.1", long)]
            assert asked(kms, operation, *pairs).status == 200
        assert sdk.call("ListResourceTags", KeyId=key)["Tags"]["Tag"] == []


def test_lists_of_tags_are_not_empty(kms, refused):
    sdk = kms.sdk()
    key = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    refused("MissingParameter", sdk.call, "TagResource", KeyId=key, Tags="[]")
    refused("MissingParameter", sdk.call, "UntagResource", KeyId=key, TagKeys="[]")


def test_the_region_of_the_newer_tag_operations_counts(kms):
    key = kms.sdk().call("CreateKey")["KeyMetadata"]["KeyId"]
    pairs = [("ResourceType", "key"), ("ResourceId.1", key), ("Tag.1.Key", "a"), ("Tag.1.Value", "b")]
    assert asked(kms, "TagResources", ("RegionId", REGION), *pairs).status == 200
    assert asked(kms, "TagResources", ("RegionId", "cn-beijing"), *pairs).code == "InvalidParameter"


def test_who_does_not_know_the_regions_can_ask_for_them(tmp_path):
    made = Deployment(tmp_path)
    made.extra = '[[region]]\nid = "cn-beijing"\n'
    try:
        made.start()
        sdk = made.sdk("v3")
        regions = sdk.call("DescribeRegions")["Regions"]["Region"]
        assert {row["RegionId"] for row in regions} == {REGION, "cn-beijing"}
        assert sdk.call("DescribeAccountKmsStatus")["AccountStatus"] == "Enabled"
        assert len(sdk.call("GetRandomPassword", PasswordLength="20")["RandomPassword"]) == 20
        with pytest.raises(clients.Refused) as caught:
            sdk.call("CreateKey")
        assert caught.value.code == "MissingParameter"
    finally:
        made.close()


def test_xml_never_answers_another_value(kms):
    sdk, named = kms.sdk(), name()
    sdk.call("CreateSecret", SecretName=named, VersionId="v1", SecretData="a\x01b")
    assert sdk.call("GetSecretValue", SecretName=named)["SecretData"] == "a\x01b"
    answer = wire.ask(kms.port, wire.v1(RETAIL, "GetSecretValue", {"SecretName": named}, Format="XML"))
    assert answer.status == 400 and b"<Code>InvalidParameter</Code>" in answer.body, answer.body
    assert b"Format=JSON" in answer.body, answer.body


def test_a_new_key_rotates_at_least_once_a_year(sdk, refused):
    rotation = {"EnableAutomaticRotation": True}
    refused("InvalidParameter", sdk.call, "CreateKey", RotationInterval="366d", **rotation)
    key = sdk.call("CreateKey", RotationInterval="365d", **rotation)["KeyMetadata"]["KeyId"]
    sdk.call("UpdateRotationPolicy", KeyId=key, RotationInterval="730d", **rotation)


def test_pages_have_at_most_a_hundred_rows(kms, refused):
    sdk = kms.sdk()
    for operation in ["ListKeys", "ListAliases"]:
        sdk.call(operation, PageSize=100)
        refused("InvalidParameter", sdk.call, operation, PageSize=101)


def test_an_instance_that_cannot_be_is_one_that_is_not(kms, refused):
    sdk = kms.sdk()
    refused("Forbidden.DKMSInstanceNotFound", sdk.call, "CreateKey", DKMSInstanceId="nonsense")
    value = {"SecretName": name(), "VersionId": "v1", "SecretData": "x"}
    refused("Forbidden.DKMSInstanceNotFound", sdk.call, "CreateSecret", DKMSInstanceId="nonsense", **value)


def test_a_version_that_cannot_be_is_one_that_is_not(kms, refused):
    sdk, named = kms.sdk(), name()
    sdk.call("CreateSecret", SecretName=named, VersionId="v1", SecretData="x")
    refused("Forbidden.ResourceNotFound", sdk.call, "GetSecretValue", SecretName=named, VersionId="a:b")


def test_the_same_version_and_value_again_is_no_error(kms, refused):
    sdk, named = kms.sdk(), name()
    sdk.call("CreateSecret", SecretName=named, VersionId="v1", SecretData="YQ==")
    again = {"SecretName": named, "VersionId": "v1", "SecretDataType": "binary"}
    sdk.call("PutSecretValue", SecretData="YQ==", **again)
    refused("Rejected.ResourceExist", sdk.call, "PutSecretValue", SecretData="Yg==", **again)


def test_a_batch_names_each_secret_once(kms, refused):
    sdk, named = kms.sdk(), name()
    sdk.call("CreateSecret", SecretName=named, VersionId="v1", SecretData="x")
    arn = f"acs:kms:{REGION}:{RETAIL.id}:secret/{named}"
    twice = [{"SecretName": named}, {"SecretName": arn}]
    refused("InvalidParameter", sdk.call, "BatchGetSecretValue", SecretsList=twice)


def test_a_context_names_each_member_once(kms):
    sdk = kms.sdk()
    key = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    answer = asked(kms, "Encrypt", ("KeyId", key), ("Plaintext", "aGk="), ("EncryptionContext", '{"a":"1","a":"2"}'))
    assert answer.code == "InvalidParameter", answer.body


def test_an_instance_that_nobody_enabled_says_so(tmp_path, refused):
    made = Deployment(tmp_path)
    made.instances = [INSTANCE]
    made.extra = (
        f'[[instance]]\nid = "kst-later"\nregion = "{REGION}"\nowner = "{RETAIL.id}"\nkind = "software"\nenabled = false\n'
    )
    try:
        made.start()
        sdk = made.sdk()
        found = refused("Rejected.Uninitialized", sdk.call, "CreateKey", DKMSInstanceId="kst-later")
        assert found.status == 409
        sdk.call("ConnectKmsInstance", KmsInstanceId="kst-later", KMProvider="Aliyun")
        sdk.call("CreateKey", DKMSInstanceId="kst-later")
    finally:
        made.close()


def test_a_secret_lies_under_a_key_of_its_own_account(kms, refused):
    """Otherwise it would lie in the other account's scope: beside its lock, its quota and its names."""
    owner, other = kms.sdk(), kms.sdk(account=LOGISTICS)
    key = owner.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    statement = f'{{"Effect":"Allow","Principal":{{"RAM":["acs:ram::{LOGISTICS.id}:*"]}},"Action":"kms:*","Resource":"*"}}'
    policy = f'{{"Version":"1","Statement":[{statement}]}}'
    owner.call("SetKeyPolicy", KeyId=key, PolicyName="default", Policy=policy)
    arn = f"acs:kms:{REGION}:{RETAIL.id}:key/{key}"
    other.call("Encrypt", KeyId=arn, Plaintext="aGk=")
    value = {"VersionId": "v1", "SecretData": "x", "EncryptionKeyId": arn, "DKMSInstanceId": INSTANCE}
    refused("Forbidden.KeyNotFound", other.call, "CreateSecret", SecretName=name(), **value)
