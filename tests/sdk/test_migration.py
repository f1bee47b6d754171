"""The main road: create with the vendor's SDKs, migrate by schedule, read everything back."""

import json

import pytest

from clients import Refused
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL
from load import Load
from population import MARKER, Population, found_in_the_clear, moved
from test_crypto import b64

JOB_FIELDS = {
    "id", "group", "state", "task_status", "method", "rehearsal", "schedule", "region", "account", "instance",
    "scheduled_for", "started_at", "finished_at", "keys_total", "keys_done", "secrets_total", "secrets_done",
    "locked_at", "unlocked_at", "failure", "left_behind",
}  # fmt: skip


def scope(deployment, account=RETAIL):
    code, document = deployment.cli("check", "--region", REGION, "--account", account.id)
    assert code == 0, document
    return document["regions"][0]


def management_calls(population):
    """Every operation of the management plane that this release serves, on resources of the account."""
    key, name = population.keys["rotating"], "app/system"
    disabled, own = population.keys["disabled"], population.keys["own"]
    arn = f"acs:kms:{REGION}:{RETAIL.id}:key/{key}"
    tags = json.dumps([{"TagKey": "a", "TagValue": "b"}])
    wrapping = {"WrappingAlgorithm": "RSAES_OAEP_SHA_256", "WrappingKeySpec": "RSA_2048"}
    return [
        ("CreateKey", {}),
        ("CreateKey", {"DKMSInstanceId": INSTANCE}),
        ("EnableKey", {"KeyId": disabled}),
        ("DisableKey", {"KeyId": key}),
        ("UpdateKeyDescription", {"KeyId": key, "Description": "x"}),
        ("SetDeletionProtection", {"ProtectedResourceArn": arn, "EnableDeletionProtection": False}),
        ("ScheduleKeyDeletion", {"KeyId": disabled, "PendingWindowInDays": 7}),
        ("CancelKeyDeletion", {"KeyId": population.keys["going"]}),
        ("GetParametersForImport", {"KeyId": own, **wrapping}),
        ("DeleteKeyMaterial", {"KeyId": own}),
        ("CreateKeyVersion", {"KeyId": key}),
        ("UpdateRotationPolicy", {"KeyId": key, "EnableAutomaticRotation": False}),
        ("CreateAlias", {"KeyId": key, "AliasName": "alias/new"}),
        ("UpdateAlias", {"KeyId": population.keys["disabled"], "AliasName": "alias/payments"}),
        ("DeleteAlias", {"AliasName": "alias/payments"}),
        ("TagResource", {"KeyId": key, "Tags": tags}),
        ("TagResource", {"SecretName": name, "Tags": tags}),
        ("UntagResource", {"KeyId": key, "TagKeys": json.dumps(["team"])}),
        ("CreateSecret", {"SecretName": "new", "SecretData": "x", "VersionId": "v1"}),
        ("UpdateSecret", {"SecretName": name, "Description": "x"}),
        ("DeleteSecret", {"SecretName": name}),
        ("DeleteSecret", {"SecretName": name, "ForceDeleteWithoutRecovery": "true"}),
        ("RestoreSecret", {"SecretName": "app/going"}),
        ("PutSecretValue", {"SecretName": name, "SecretData": "x", "VersionId": "new"}),
        ("UpdateSecretVersionStage", {"SecretName": name, "VersionStage": "blue", "MoveToVersion": "v1"}),
        ("UpdateSecretRotationPolicy", {"SecretName": "rds/orders", "EnableAutomaticRotation": False}),
    ]


def check_refused(sdk, population):
    for action, parameters in management_calls(population):
        with pytest.raises(Refused) as caught:
            sdk.call(action, **parameters)
        error = caught.value
        assert (error.code, error.status) == ("Rejected.Migrating", 409), f"{action}: {error}"
        assert "job-" in error.message, f"{action} names the job"


def test_a_scheduled_migration(deployment):
    sdk = deployment.sdk()
    population = Population(sdk).fill()
    neighbour = Population(deployment.sdk("old", LOGISTICS))
    neighbour.generic("app/system", DKMSInstanceId=INSTANCE)
    neighbour.key("inside", DKMSInstanceId=INSTANCE)
    before = population.snapshot()
    table = scope(deployment)
    assert table["task_status"] == "Not Started" and table["keys_migrated"] == 0 and table["lock"] is None
    not_migratable = {(entry["kind"], entry["id"]) for entry in table["not_migratable"]}
    assert not_migratable >= {("key", population.keys["rsa-3072"]), ("key", population.keys["empty"])}

    with Load(deployment, population) as load:
        # Under this load a busy machine takes its time for what is asked below, before the job starts and while it is locked.
        deployment.schedule(soak='"12s"', seconds=6)
        deployment.log.wait("schedule.registered", schedule="move")
        assert scope(deployment)["task_status"] == "Scheduled"
        deployment.log.wait("schedule.fired", schedule="move")
        deployment.log.wait("lock.acquired", account=RETAIL.id)
        deployment.log.wait("migration.progress", phase="confirming")

        # Served by the instance, still locked.
        check_refused(sdk, population)
        locked = scope(deployment)
        assert locked["task_status"] == "Migrating" and locked["lock"]["job"].startswith("job-")
        during = sdk.call("DescribeKey", KeyId=population.keys["rotating"])["KeyMetadata"]
        assert during["AutomaticRotation"] == "Suspended" and during["DKMSInstanceId"] == INSTANCE
        assert sdk.call("DescribeSecret", SecretName="rds/orders")["AutomaticRotation"] == "Enabled"
        population.check_use()

        # Other accounts, and their resources in that instance, stay manageable.
        neighbour.key("meanwhile")
        neighbour.key("meanwhile inside", DKMSInstanceId=INSTANCE)
        neighbour.put("app/system", "v2")
        neighbour.sdk.call("DisableKey", KeyId=neighbour.keys["inside"])

        deployment.log.wait("lock.released", account=RETAIL.id)
        deployment.log.wait("migration.complete")
    assert load.failures == [], f"{len(load.failures)} of {load.calls} calls failed"
    assert load.calls > 100

    after = population.snapshot()
    assert after == moved(before, INSTANCE, population.left_behind)
    population.check_use()
    neighbour.check_use()
    assert found_in_the_clear(deployment.state_dir, MARKER) == []

    # What waited keeps what it had: the old ciphertexts of a disabled key and of one that was to go.
    sdk.call("EnableKey", KeyId=population.keys["disabled"])
    sdk.call("CancelKeyDeletion", KeyId=population.keys["going"])
    sdk.call("RestoreSecret", SecretName="app/going")
    population.check_use()
    for action, parameters in management_calls(population)[4:6]:
        sdk.call(action, **parameters)
    sdk.call("CreateKeyVersion", KeyId=population.keys["rotating"])
    population.put("app/under-key", "after")
    population.check_use()

    job = deployment.job()
    assert set(job) >= JOB_FIELDS
    assert (job["state"], job["task_status"], job["method"]) == ("complete", "Migration Complete", "scheduled")
    assert (job["schedule"], job["account"], job["instance"]) == ("move", RETAIL.id, INSTANCE)
    assert job["keys_done"] == job["keys_total"] == len(population.keys) - 3
    assert job["secrets_done"] == job["secrets_total"] == len(population.secrets) - 1
    left = {entry["id"] for entry in job["left_behind"]}
    assert left == population.left_behind
    table = scope(deployment)
    assert table["keys_migrated"] == job["keys_total"] and table["keys_not_migrated"] == 0
    assert table["secrets_migrated"] == job["secrets_total"] and table["task_status"] == "Migration Complete"


def test_everything_survives_a_restart_after_the_migration(deployment):
    population = Population(deployment.sdk()).fill_small()
    code, job = deployment.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    expected = population.snapshot()
    assert deployment.stop() == 0
    deployment.start()
    population.sdk = deployment.sdk()
    assert population.snapshot() == expected
    population.check_use()
    code, job = deployment.migrate("--all")
    assert (code, job["keys_total"], job["secrets_total"]) == (0, 0, 0), "nothing is left to move"


def test_a_hand_picked_migration_takes_what_was_picked(deployment):
    population = Population(deployment.sdk()).fill_small()
    population.key("other")
    code, job = deployment.migrate("--key", population.keys["plain"], "--secret", "small/under-key")
    assert (code, job["keys_done"], job["secrets_done"]) == (0, 1, 1), job
    instances = {
        name: population.sdk.call("DescribeKey", KeyId=key)["KeyMetadata"].get("DKMSInstanceId")
        for name, key in population.keys.items()
    }
    assert instances["plain"] == INSTANCE and not instances["other"]
    assert not population.sdk.call("DescribeSecret", SecretName="small/system").get("DKMSInstanceId")
    population.check_use()


def test_a_rehearsal_changes_nothing(deployment):
    population = Population(deployment.sdk()).fill()
    before = population.snapshot()
    code, job = deployment.migrate("--all", extra=["--rehearse"])
    assert (code, job["state"], job["task_status"]) == (0, "rehearsed", "Rehearsed"), job
    assert population.snapshot() == before
    population.check_use()
    deployment.log.wait("migration.rehearsed")
    assert scope(deployment)["task_status"] == "Not Started"
    code, job = deployment.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    assert population.snapshot() == moved(before, INSTANCE, population.left_behind)
    population.check_use()


def test_two_accounts_one_after_the_other(deployment):
    populations = [Population(deployment.sdk(account=account)).fill_small() for account in (RETAIL, LOGISTICS)]
    accounts = ["--account", RETAIL.id, "--account", LOGISTICS.id]
    where = ["--region", REGION, "--instance", INSTANCE]
    code, document = deployment.cli("migrate", *where, *accounts, "--all", "--yes", "--wait")
    assert code == 0, document
    assert [job["state"] for job in document["jobs"]] == ["complete", "complete"]
    assert {job["group"] for job in document["jobs"]} == {document["group"]}
    for population in populations:
        population.check_use()


def test_new_resources_follow_their_key_after_the_migration(deployment):
    sdk = deployment.sdk()
    population = Population(sdk).fill_small()
    assert deployment.migrate("--all")[0] == 0
    population.generic("later", EncryptionKeyId=population.keys["plain"])
    assert sdk.call("DescribeSecret", SecretName="later")["DKMSInstanceId"] == INSTANCE
    blob = sdk.call("Encrypt", KeyId=population.keys["plain"], Plaintext=b64(b"x"))["CiphertextBlob"]
    assert sdk.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == b64(b"x")
    population.check_use()
