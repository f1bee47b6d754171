"""Every operation on secrets, through each of the vendor's clients."""

import json
import uuid

import pytest

from deployment import INSTANCE, REGION, RETAIL, SMALL_INSTANCE, STRANGER


@pytest.fixture
def name():
    return f"app/{uuid.uuid4()}"


def create(sdk, name, **parameters):
    parameters = {"SecretData": "välue 1 +&=", "VersionId": "v1", **parameters}
    return sdk.call("CreateSecret", SecretName=name, **parameters)


def value(sdk, name, **parameters):
    return sdk.call("GetSecretValue", SecretName=name, **parameters)


def stages(sdk, name):
    page = sdk.call("ListSecretVersionIds", SecretName=name, IncludeDeprecated="true", PageSize=100)
    return {v["VersionId"]: v["VersionStages"]["VersionStage"] for v in page["VersionIds"]["VersionId"]}


def test_a_generic_secret(sdk, name, refused):
    tags = json.dumps([{"TagKey": "team", "TagValue": "x"}])
    made = create(sdk, name, Description="d", Tags=tags)
    assert made["Arn"] == f"acs:kms:{REGION}:{RETAIL.id}:secret/{name}"
    assert (made["SecretName"], made["SecretType"], made["VersionId"]) == (name, "Generic", "v1")
    read = value(sdk, name)
    assert read["SecretData"] == "välue 1 +&=" and read["SecretDataType"] == "text"
    assert read["VersionStages"]["VersionStage"] == ["ACSCurrent"]
    found = sdk.call("DescribeSecret", SecretName=made["Arn"], FetchTags="true")
    assert found["Tags"]["Tag"] == [{"TagKey": "team", "TagValue": "x"}]
    assert (found["Description"], found["AutomaticRotation"]) == ("d", "Disabled")
    assert not found.get("DKMSInstanceId") and not found.get("EncryptionKeyId") and not found.get("Tags", {}).get("x")
    assert refused("Rejected.ResourceExist", create, sdk, name).status == 409
    assert refused("Forbidden.ResourceNotFound", value, sdk, "no/such").status == 404


def test_versions_and_stages(sdk, name, refused):
    create(sdk, name, SecretData="1")
    for number in ("2", "3"):
        put = sdk.call("PutSecretValue", SecretName=name, VersionId=f"v{number}", SecretData=number)
        assert put["VersionStages"]["VersionStage"] == ["ACSCurrent"]
    canary = json.dumps(["canary"])
    sdk.call("PutSecretValue", SecretName=name, VersionId="v4", SecretData="4", VersionStages=canary)
    assert stages(sdk, name) == {"v1": [], "v2": ["ACSPrevious"], "v3": ["ACSCurrent"], "v4": ["canary"]}
    assert value(sdk, name)["SecretData"] == "3"
    assert value(sdk, name, VersionStage="ACSPrevious")["SecretData"] == "2"
    assert value(sdk, name, VersionStage="canary")["SecretData"] == "4"
    assert value(sdk, name, VersionId="v1")["SecretData"] == "1"
    again = sdk.call("PutSecretValue", SecretName=name, VersionId="v2", SecretData="2")
    assert again["VersionStages"]["VersionStage"] == ["ACSPrevious"]
    other = {"SecretName": name, "VersionId": "v2", "SecretData": "other"}
    refused("Rejected.ResourceExist", sdk.call, "PutSecretValue", **other)
    move = {"SecretName": name, "VersionStage": "ACSCurrent"}
    sdk.call("UpdateSecretVersionStage", MoveToVersion="v1", RemoveFromVersion="v3", **move)
    assert stages(sdk, name) == {"v1": ["ACSCurrent"], "v2": [], "v3": ["ACSPrevious"], "v4": ["canary"]}
    sdk.call("UpdateSecretVersionStage", SecretName=name, VersionStage="canary", RemoveFromVersion="v4")
    listed = sdk.call("ListSecretVersionIds", SecretName=name)
    assert listed["TotalCount"] == 2 and listed["PageSize"] == 20


def test_a_secret_under_a_key_depends_on_it(sdk, name, refused):
    key = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    create(sdk, name, EncryptionKeyId=key)
    assert sdk.call("DescribeSecret", SecretName=name)["EncryptionKeyId"] == key
    sdk.call("CreateKeyVersion", KeyId=key)
    assert value(sdk, name)["SecretData"] == "välue 1 +&="
    sdk.call("DisableKey", KeyId=key)
    refused("Rejected.Disabled", value, sdk, name)
    sdk.call("EnableKey", KeyId=key)
    assert value(sdk, name)["SecretData"] == "välue 1 +&="


def test_managed_secrets(sdk, refused):
    suffix = str(uuid.uuid4())
    config = {"SecretSubType": "SingleUser", "DBInstanceId": "rm-1", "CustomData": {"a": "b"}}
    accounts = json.dumps({"Accounts": [{"AccountName": "app", "AccountPassword": "p"}]})
    rotation = {"EnableAutomaticRotation": True, "RotationInterval": "7d"}
    managed = {"SecretType": "Rds", "SecretData": accounts, "ExtendedConfig": config}
    made = create(sdk, f"rds/{suffix}", **managed, **rotation)
    assert (made["AutomaticRotation"], made["RotationInterval"]) == ("Enabled", "604800s")
    assert json.loads(made["ExtendedConfig"])["DBInstanceId"] == "rm-1"
    read = value(sdk, f"rds/{suffix}", FetchExtendedConfig=True)
    assert json.loads(read["SecretData"]) == {"AccountName": "app", "AccountPassword": "p"}
    assert json.loads(read["ExtendedConfig"])["CustomData"] == {"a": "b"} and read["NextRotationDate"]
    put = {"SecretName": f"rds/{suffix}", "VersionId": "v2", "SecretData": "x"}
    refused("UnsupportedOperation", sdk.call, "PutSecretValue", **put)
    policy = {"SecretName": f"rds/{suffix}", "EnableAutomaticRotation": False}
    sdk.call("UpdateSecretRotationPolicy", **policy)
    assert sdk.call("DescribeSecret", SecretName=f"rds/{suffix}")["AutomaticRotation"] == "Disabled"

    user = f"u-{suffix}"
    keys = json.dumps({"AccessKeys": [{"AccessKeyId": "id", "AccessKeySecret": "s"}]})
    config = {"SecretSubType": "RamUserAccessKey", "UserName": user}
    made = create(sdk, "$Auto", SecretType="RAMCredentials", SecretData=keys, ExtendedConfig=config)
    assert made["SecretName"] == f"acs/ram/user/{user}"
    assert set(json.loads(value(sdk, made["SecretName"])["SecretData"])) == {
        "AccessKeyId",
        "AccessKeySecret",
        "GenerateTimestamp",
    }
    login = json.dumps({"UserName": "root", "Password": "x"})
    config = {"SecretSubType": "Password", "RegionId": REGION, "InstanceId": "i-1"}
    ecs = {"SecretType": "ECS", "SecretData": login, "ExtendedConfig": config}
    create(sdk, f"acs/ecs/{suffix}", **ecs)
    assert json.loads(value(sdk, f"acs/ecs/{suffix}")["SecretData"])["UserName"] == "root"
    refused("InvalidParameter", create, sdk, f"web/{suffix}", **ecs)


def test_deletion_and_restoration(sdk, name, refused):
    create(sdk, name)
    planned = sdk.call("DeleteSecret", SecretName=name, RecoveryWindowInDays="7")["PlannedDeleteTime"]
    assert sdk.call("DescribeSecret", SecretName=name)["PlannedDeleteTime"] == planned
    refused("Rejected.ResourceInDeleteWindow", create, sdk, name)
    refused("Rejected.ResourceInDeleteWindow", value, sdk, name)
    sdk.call("RestoreSecret", SecretName=name)
    assert value(sdk, name)["SecretData"] == "välue 1 +&="
    refused("Rejected.ResourceInUse", sdk.call, "RestoreSecret", SecretName=name)
    sdk.call("DeleteSecret", SecretName=name, ForceDeleteWithoutRecovery="true")
    refused("Forbidden.ResourceNotFound", value, sdk, name)
    create(sdk, name, SecretData="anew")
    assert value(sdk, name)["SecretData"] == "anew" and list(stages(sdk, name)) == ["v1"]


def test_lists_and_changes(sdk, kms):
    prefix = str(uuid.uuid4())
    tags = json.dumps([{"TagKey": "k", "TagValue": prefix}])
    for number in range(3):
        create(sdk, f"{prefix}/{number}", Tags=tags)
    filters = json.dumps([{"Key": "TagValue", "Values": [prefix]}])
    page = sdk.call("ListSecrets", Filters=filters, PageNumber=2, PageSize=2, FetchTags="true")
    assert [secret["SecretName"] for secret in page["SecretList"]["Secret"]] == [f"{prefix}/2"]
    assert page["TotalCount"] == 3 and page["SecretList"]["Secret"][0]["Tags"]["Tag"][0]["TagValue"] == prefix
    sdk.call("UpdateSecret", SecretName=f"{prefix}/0", Description="changed")
    assert sdk.call("DescribeSecret", SecretName=f"{prefix}/0")["Description"] == "changed"
    stranger = kms.sdk(account=STRANGER)
    assert stranger.call("ListSecrets", Filters=filters)["TotalCount"] == 0


def test_custom_data_changes_in_each_clients_form(kms, refused):
    for kind, form in [("v3", "nested"), ("v1", "nested"), ("old", "flat")]:
        sdk = kms.sdk(kind)
        name = f"rds/{uuid.uuid4()}"
        config = {"SecretSubType": "SingleUser", "DBInstanceId": "rm-1"}
        accounts = json.dumps({"Accounts": [{"AccountName": "app", "AccountPassword": "p"}]})
        create(sdk, name, SecretType="Rds", SecretData=accounts, ExtendedConfig=config)
        if form == "flat":
            sdk.call("UpdateSecret", SecretName=name, ExtendedConfigCustomData=json.dumps({"a": kind}))
        else:
            sdk.call("UpdateSecret", SecretName=name, ExtendedConfig={"CustomData": {"a": kind}})
        read = value(sdk, name, FetchExtendedConfig=True)
        assert json.loads(read["ExtendedConfig"])["CustomData"] == {"a": kind}


def test_an_instance_holds_secrets_up_to_its_quota(kms, refused):
    sdk = kms.sdk()
    names = [f"small/{uuid.uuid4()}" for _ in range(3)]
    for name in names[:2]:
        assert create(sdk, name, DKMSInstanceId=SMALL_INSTANCE)["DKMSInstanceId"] == SMALL_INSTANCE
    refused("Rejected.LimitExceeded", create, sdk, names[2], DKMSInstanceId=SMALL_INSTANCE)
    shared = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    refused("InvalidParameter", create, sdk, names[2], DKMSInstanceId=INSTANCE, EncryptionKeyId=shared)


def test_dry_run(sdk, name, refused):
    create(sdk, name)
    refused("DryRunOperationError", value, sdk, name, DryRun="true")
    refused("ValidationError", value, sdk, "no/such", DryRun="true")
