"""Every operation on keys, through each of the vendor's clients."""

import base64
import json
import uuid

from deployment import INSTANCE, LOGISTICS, RETAIL, REGION, STRANGER


def new_key(sdk, **parameters):
    return sdk.call("CreateKey", **parameters)["KeyMetadata"]


def described(sdk, key_id):
    return sdk.call("DescribeKey", KeyId=key_id)["KeyMetadata"]


def fresh_alias():
    return f"alias/{uuid.uuid4()}"


def test_a_key_is_created_described_and_listed(sdk):
    tags = json.dumps([{"TagKey": "team", "TagValue": "a b*~"}])
    made = new_key(sdk, Description="päyments", Tags=tags)
    assert made["KeySpec"] == "Aliyun_AES_256" and made["KeyUsage"] == "ENCRYPT/DECRYPT"
    assert made["KeyState"] == "Enabled" and made["Origin"] == "Aliyun_KMS" and made["ProtectionLevel"] == "SOFTWARE"
    assert made["Arn"] == f"acs:kms:{REGION}:{RETAIL.id}:key/{made['KeyId']}"
    assert made["Creator"] == RETAIL.id and not made.get("DKMSInstanceId")
    assert str(uuid.UUID(made["KeyId"])) == made["KeyId"] and made["PrimaryKeyVersion"]

    found = described(sdk, made["KeyId"])
    assert {name: found.get(name) for name in made} == made
    assert found["Description"] == "päyments" and found["DeletionProtection"] == "Disabled"
    assert found["AutomaticRotation"] == "Disabled"
    assert described(sdk, made["Arn"])["KeyId"] == made["KeyId"]
    tagged = sdk.call("ListResourceTags", KeyId=made["KeyId"])["Tags"]["Tag"]
    assert tagged == [{"KeyId": made["KeyId"], "TagKey": "team", "TagValue": "a b*~"}]

    # Of this test's own: a page does not hold all that other tests have made in the shared daemon.
    filters = json.dumps([{"Key": "KeyState", "Values": ["Enabled"]}, {"Key": "KeyId", "Values": [made["KeyId"]]}])
    page = sdk.call("ListKeys", PageNumber=1, PageSize=100, Filters=filters)
    assert made["KeyId"] in [key["KeyId"] for key in page["Keys"]["Key"]]
    assert (page["PageNumber"], page["PageSize"]) == (1, 100) and page["TotalCount"] >= 1
    assert sdk.call("ListKeys", PageNumber=1000, PageSize=100)["Keys"]["Key"] == []


def test_an_instance_key(sdk, kms, refused):
    made = new_key(sdk, DKMSInstanceId=INSTANCE)
    assert made["DKMSInstanceId"] == INSTANCE and made["KeyId"].startswith("key-")
    other = kms.sdk(account=STRANGER)
    refused("Forbidden.DKMSInstanceNotFound", other.call, "CreateKey", DKMSInstanceId=INSTANCE)
    assert new_key(kms.sdk(account=LOGISTICS), DKMSInstanceId=INSTANCE)["Creator"] == LOGISTICS.id


def test_a_foreign_key_looks_like_a_missing_one(sdk, kms, refused):
    key = new_key(sdk)
    other = kms.sdk(account=STRANGER)
    error = refused("Forbidden.KeyNotFound", other.call, "DescribeKey", KeyId=key["KeyId"])
    assert error.status == 404
    refused("Forbidden.KeyNotFound", sdk.call, "DescribeKey", KeyId=str(uuid.uuid4()))
    refused("Forbidden.AliasNotFound", sdk.call, "DescribeKey", KeyId="alias/never")


def test_states(sdk, refused):
    key = new_key(sdk)["KeyId"]
    sdk.call("DisableKey", KeyId=key)
    assert described(sdk, key)["KeyState"] == "Disabled"
    refused("Rejected.Disabled", sdk.call, "Encrypt", KeyId=key, Plaintext="aGk=")
    sdk.call("EnableKey", KeyId=key)
    sdk.call("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    found = described(sdk, key)
    assert found["KeyState"] == "PendingDeletion" and found["DeleteDate"]
    refused("Rejected.PendingDeletion", sdk.call, "Encrypt", KeyId=key, Plaintext="aGk=")
    assert refused("Rejected.StateModifiedFailed", sdk.call, "DisableKey", KeyId=key).status == 409
    sdk.call("CancelKeyDeletion", KeyId=key)
    assert described(sdk, key)["KeyState"] == "Enabled"
    refused("InvalidParameter", sdk.call, "ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=6)


def test_deletion_protection(sdk, refused):
    made = new_key(sdk)
    key, arn = made["KeyId"], made["Arn"]
    parameters = {"EnableDeletionProtection": True, "DeletionProtectionDescription": "in use"}
    sdk.call("SetDeletionProtection", ProtectedResourceArn=arn, **parameters)
    found = described(sdk, key)
    assert found["DeletionProtection"] == "Enabled" and found["DeletionProtectionDescription"] == "in use"
    error = refused("Forbidden.DeletionProtected", sdk.call, "ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    assert error.status == 409 and "SetDeletionProtection" in error.message
    sdk.call("SetDeletionProtection", ProtectedResourceArn=arn, EnableDeletionProtection=False)
    sdk.call("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)


def test_description_and_tags_change(sdk):
    key = new_key(sdk, Description="old")["KeyId"]
    sdk.call("UpdateKeyDescription", KeyId=key, Description="new")
    assert described(sdk, key)["Description"] == "new"
    tags = [{"TagKey": name, "TagValue": "1"} for name in ("a", "b", "c")]
    sdk.call("TagResource", KeyId=key, Tags=json.dumps(tags))
    sdk.call("UntagResource", KeyId=key, TagKeys=json.dumps(["a", "b"]))
    left = sdk.call("ListResourceTags", KeyId=key)["Tags"]["Tag"]
    assert [tag["TagKey"] for tag in left] == ["c"]


def test_aliases(sdk, refused):
    first, second = new_key(sdk)["KeyId"], new_key(sdk)["KeyId"]
    alias = fresh_alias()
    sdk.call("CreateAlias", KeyId=first, AliasName=alias)
    assert described(sdk, alias)["KeyId"] == first
    refused("AliasAlreadyExists", sdk.call, "CreateAlias", KeyId=second, AliasName=alias)
    refused("InvalidParameter", sdk.call, "CreateAlias", KeyId=second, AliasName="no-prefix")
    sdk.call("UpdateAlias", KeyId=second, AliasName=alias)
    listed = sdk.call("ListAliasesByKeyId", KeyId=second)["Aliases"]["Alias"]
    expected = {"AliasName": alias, "KeyId": second, "AliasArn": f"acs:kms:{REGION}:{RETAIL.id}:{alias}"}
    assert listed == [expected]
    assert sdk.call("ListAliasesByKeyId", KeyId=first)["Aliases"]["Alias"] == []
    everything = sdk.call("ListAliases", PageSize=100)
    assert expected in everything["Aliases"]["Alias"]
    refused("Unsupported.Alias", sdk.call, "DisableKey", KeyId=alias)
    sdk.call("DeleteAlias", AliasName=alias)
    refused("Forbidden.AliasNotFound", sdk.call, "DeleteAlias", AliasName=alias)


def test_versions_and_rotation(sdk, refused):
    made = new_key(sdk, EnableAutomaticRotation=True, RotationInterval="30d")
    key, first = made["KeyId"], made["PrimaryKeyVersion"]
    found = described(sdk, key)
    assert (found["AutomaticRotation"], found["RotationInterval"]) == ("Enabled", "2592000s")
    assert found["NextRotationDate"] > found["LastRotationDate"]
    blob = sdk.call("Encrypt", KeyId=key, Plaintext="aGk=")["CiphertextBlob"]
    second = sdk.call("CreateKeyVersion", KeyId=key)["KeyVersion"]
    assert described(sdk, key)["PrimaryKeyVersion"] == second["KeyVersionId"] != first
    assert sdk.call("DescribeKeyVersion", KeyId=key, KeyVersionId=first)["KeyVersion"]["KeyVersionId"] == first
    page = sdk.call("ListKeyVersions", KeyId=key)
    assert {version["KeyVersionId"] for version in page["KeyVersions"]["KeyVersion"]} == {first, second["KeyVersionId"]}
    assert page["TotalCount"] == 2
    opened = sdk.call("Decrypt", CiphertextBlob=blob)
    assert (opened["Plaintext"], opened["KeyVersionId"]) == ("aGk=", first)
    sdk.call("UpdateRotationPolicy", KeyId=key, EnableAutomaticRotation=False)
    assert described(sdk, key)["AutomaticRotation"] == "Disabled"
    sdk.call("UpdateRotationPolicy", KeyId=key, EnableAutomaticRotation=True, RotationInterval="168h")
    assert described(sdk, key)["RotationInterval"] == "604800s"
    sdk.call("DisableKey", KeyId=key)
    assert described(sdk, key)["AutomaticRotation"] == "Suspended"
    missing = str(uuid.uuid4())
    refused("Forbidden.KeyVersionNotFound", sdk.call, "DescribeKeyVersion", KeyId=key, KeyVersionId=missing)


def test_service_keys_are_there_and_cannot_be_managed(sdk, refused):
    key = described(sdk, "alias/acs/ecs")
    assert key["Creator"] == "Ecs" or key["Creator"].lower() == "ecs"
    blob = sdk.call("Encrypt", KeyId="alias/acs/ecs", Plaintext="aGk=")["CiphertextBlob"]
    assert sdk.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == "aGk="
    refused("UnsupportedOperation", sdk.call, "DisableKey", KeyId=key["KeyId"])
    service = json.dumps([{"Key": "CreatorType", "Values": ["Service"]}])
    assert sdk.call("ListKeys", Filters=service)["Keys"]["Key"][0]["KeyId"] == key["KeyId"]


def test_regions(sdk):
    regions = sdk.call("DescribeRegions")["Regions"]["Region"]
    assert [region["RegionId"] for region in regions] == [REGION]


def test_what_is_wrong_is_named(sdk, refused):
    assert refused("InvalidParameter", sdk.call, "CreateKey", KeySpec="AES_1024").status == 400
    refused("MissingParameter", sdk.call, "DescribeKey")
    refused("Unsupported.ProtectionLevel", sdk.call, "CreateKey", ProtectionLevel="HSM")
    large = base64.b64encode(b"x" * 6145).decode()
    key = new_key(sdk)["KeyId"]
    refused("InvalidParameter", sdk.call, "Encrypt", KeyId=key, Plaintext=large)
