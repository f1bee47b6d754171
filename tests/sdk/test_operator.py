"""What an operator relies on: exit codes, refusals with a remedy, reload, shapes of `--json`."""

import uuid

import pytest

from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, SMALL_INSTANCE, STRANGER
from population import Population
from test_crypto import b64


def refusal(document, code):
    """The problem with this code anywhere in a document, with its remedy."""
    if isinstance(document, dict):
        if document.get("code") == code:
            return document
        document = list(document.values())
    if isinstance(document, list):
        for entry in document:
            found = refusal(entry, code)
            if found is not None:
                return found
    return None


def check_refusal(answer, code, exit_code=4):
    found, document = answer
    assert found == exit_code, document
    problem = refusal(document, code)
    assert problem is not None, document
    assert problem["message"] and problem["remedy"], document


def test_preflight_names_each_problem_and_changes_nothing(deployment):
    sdk = deployment.sdk()
    population = Population(sdk).fill()
    before = population.snapshot()
    keys = population.keys
    migrate = deployment.migrate
    check_refusal(migrate("--key", keys["rsa-3072"]), "UnsupportedKeySpec")
    check_refusal(migrate("--key", keys["empty"]), "NoKeyMaterial")
    check_refusal(migrate("--key", keys["rotating"]), "KeyHasSecretsLeftBehind")
    check_refusal(migrate("--secret", "app/under-key"), "SecretKeyNotIncluded")
    check_refusal(migrate("--secret", "left/under-aes-128"), "SecretKeyNotIncluded")
    check_refusal(migrate("--key", str(uuid.uuid4())), "ResourceNotFound")
    check_refusal(migrate("--secret", "no/such"), "ResourceNotFound")
    service = sdk.call("DescribeKey", KeyId="alias/acs/ecs")["KeyMetadata"]["KeyId"]
    check_refusal(migrate("--key", service), "ServiceKey")
    many = [f"many/{number}" for number in range(51)]
    for name in many:
        population.generic(name)
    check_refusal(migrate(*(word for name in many for word in ("--secret", name))), "TooManySelected")
    check_refusal(migrate("--all", instance=SMALL_INSTANCE), "QuotaExceeded")
    check_refusal(migrate("--all", instance="kst-hzznone"), "InstanceNotFound", 2)
    check_refusal(migrate("--all", account=STRANGER), "InstanceNotShared")
    for name in many:
        sdk.call("DeleteSecret", SecretName=name, ForceDeleteWithoutRecovery="true")
        population.secrets.pop(name)
    assert population.snapshot() == before
    code, document = deployment.cli("check")
    assert code == 0 and all(region["lock"] is None for region in document["regions"])


def test_a_plan_tells_and_changes_nothing(deployment):
    population = Population(deployment.sdk()).fill()
    before = population.snapshot()
    where = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE]
    code, plan = deployment.cli("plan", *where, "--all")
    assert code == 0, plan
    assert set(plan) >= {"region", "account", "instance", "keys", "secrets", "problems", "estimated_seconds"}
    assert set(plan["keys"]) == set(population.keys.values()) - population.left_behind
    assert set(plan["secrets"]) == set(population.secrets) - population.left_behind
    assert {entry["id"] for entry in plan["left_behind"]} == population.left_behind and plan["problems"] == []
    code, plan = deployment.cli("plan", *where, "--key", population.keys["rotating"])
    assert code == 4 and refusal(plan, "KeyHasSecretsLeftBehind")
    assert population.snapshot() == before


def test_a_locked_scope_is_told_by_the_exit_code(deployment):
    population = Population(deployment.sdk()).fill_small()
    deployment.schedule(soak='"10s"', seconds=2)
    deployment.log.wait("lock.acquired")
    check_refusal(deployment.migrate("--all", wait=False), "ScopeLocked", 5)
    code, status = deployment.cli("status")
    assert code == 0 and status["job"]["task_status"] == "Migrating"
    assert set(status) >= {"version", "uptime_seconds", "scopes", "job", "next", "rotation_held", "holds", "warnings"}
    code, job = deployment.migrate("--all")
    assert (code, job["state"], job["keys_total"]) == (0, "complete", 0), "with --wait it queues"
    population.check_use()


def test_a_job_can_be_canceled_before_its_first_purge(deployment):
    population = Population(deployment.sdk()).fill_small()
    before = population.snapshot()
    deployment.schedule(soak='"60s"', seconds=2)
    event = deployment.log.wait("migration.progress", phase="confirming")
    code, document = deployment.cli("job", "cancel", event["job"])
    assert code == 0, document
    deployment.log.wait("migration.canceled", job=event["job"])
    code, job = deployment.cli("job", "show", event["job"])
    assert (code, job["state"], job["task_status"]) == (0, "canceled", "Canceled")
    assert population.snapshot() == before
    population.check_use()
    population.key("manageable")
    assert deployment.migrate("--all")[0] == 0
    population.check_use()


def test_a_hold_keeps_jobs_from_starting(deployment):
    Population(deployment.sdk()).fill_small()
    code, document = deployment.cli("hold", "--region", REGION, "--account", RETAIL.id, "--reason", "freeze")
    assert code == 0, document
    check_refusal(deployment.migrate("--all", wait=False), "Held")
    assert deployment.cli("release", "--region", REGION, "--account", RETAIL.id)[0] == 0
    assert deployment.migrate("--all")[0] == 0


def test_what_is_where(deployment):
    population = Population(deployment.sdk()).fill_small()
    assert deployment.migrate("--all")[0] == 0
    code, document = deployment.cli("resources", "--instance", INSTANCE)
    assert code == 0
    [key] = document["keys"]
    expected = {"id": population.keys["plain"], "account": RETAIL.id, "region": REGION, "instance": INSTANCE}
    assert {name: key[name] for name in expected} == expected
    assert set(key) >= {"id", "account", "region", "instance", "alias", "spec", "usage", "state", "service"}
    names = {secret["name"]: secret for secret in document["secrets"]}
    assert set(names) == {"small/under-key", "small/system"}
    assert set(names["small/system"]) >= {"name", "account", "region", "instance", "type", "versions"}
    code, document = deployment.cli("resources", "--service-keys")
    assert code == 0 and {key["service"] for key in document["keys"]} == {"ecs"}
    assert document["keys"][0]["instance"] is None


def test_check_tells_by_its_exit_code_what_is_left(deployment):
    sdk = deployment.sdk()
    assert deployment.cli("check", "--account", RETAIL.id, "--exit-code")[0] == 0
    sdk.call("CreateKey")
    code, document = deployment.cli("check", "--account", RETAIL.id, "--exit-code")
    assert code == 1 and document["regions"][0]["keys_not_migrated"] == 1
    assert deployment.migrate("--all")[0] == 0
    assert deployment.cli("check", "--account", RETAIL.id, "--exit-code")[0] == 0


def test_a_daemon_that_is_not_there(unstarted):
    code, document = unstarted.cli("status")
    assert code == 3 and document["error"]["message"] and document["error"]["remedy"], document


def test_reload_takes_what_may_change_and_refuses_the_rest(deployment):
    deployment.sdk().call("CreateKey", DKMSInstanceId=INSTANCE)
    new = type(STRANGER)("1000000000000004", "LTAInew", "new-secret-0123456789")
    deployment.accounts.append(new)
    deployment.reload()
    assert deployment.sdk(account=new).call("ListKeys")["TotalCount"] >= 0
    deployment.instances.remove(INSTANCE)
    event = deployment.reload(expect="config.rejected")
    assert INSTANCE in str(event), "what is in use is named"
    deployment.sdk().call("CreateKey", DKMSInstanceId=INSTANCE)
    deployment.instances.append(INSTANCE)
    deployment.reload()
    deployment.extra = "nonsense = 1"
    deployment.reload(expect="config.rejected")
    assert deployment.sdk().call("ListKeys")["TotalCount"] >= 1


def test_schedules_of_the_command_line(deployment):
    where = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE, "--all"]
    cron = ["--cron", "0 2 * * Sun", "--time-zone", "Asia/Shanghai"]
    code, document = deployment.cli("schedule", "add", "sundays", *where, *cron)
    assert code == 0, document
    code, document = deployment.cli("schedule", "list")
    [entry] = [entry for entry in document["schedules"] if entry["name"] == "sundays"]
    assert (entry["source"], entry["state"]) == ("cli", "active") and entry["next_run"]
    code, document = deployment.cli("schedule", "next", "sundays")
    assert code == 0 and document["runs"][0]["local"] and document["runs"][0]["utc"]
    assert deployment.cli("schedule", "pause", "sundays")[0] == 0
    code, document = deployment.cli("schedule", "show", "sundays")
    assert code == 0 and document["state"] == "paused"
    assert deployment.cli("schedule", "resume", "sundays")[0] == 0
    assert deployment.cli("schedule", "cancel", "sundays")[0] == 0


def test_an_instance_is_shared_and_taken_back(deployment):
    sdk = deployment.sdk(account=STRANGER)
    assert deployment.cli("instance", "share", INSTANCE, "--with", STRANGER.id)[0] == 0
    key = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    code, document = deployment.cli("instance", "unshare", INSTANCE, "--with", STRANGER.id)
    assert (code, document["error"]["code"]) == (1, "InstanceInUse"), document
    blob = sdk.call("Encrypt", KeyId=key, Plaintext=b64(b"x"))["CiphertextBlob"]
    assert sdk.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == b64(b"x")
    code, document = deployment.cli("instance", "show", INSTANCE)
    assert code == 0 and LOGISTICS.id in str(document)
