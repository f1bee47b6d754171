"""What the doctor says of a store in which something is wrong that keyferry itself never does, and what it puts right."""

import shutil

import pytest

from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, eventually
from edited_backup import EditedBackup
from population import Population
from test_backup import Copies
from test_restore_under_way import is_whole

NOBODY = "job-00000000000000000000"


@pytest.fixture
def copies(deployment):
    return Copies(deployment)


def stop_with_backup(copies):
    done = copies.backup()
    assert done.returncode == 0, done.stderr
    copies.deployment.stop()


def examine(deployment, *more):
    code, said = deployment.cli("doctor", *more)
    assert code == (1 if said["findings"] else 0), said
    assert all(finding["message"] and finding["remedy"] for finding in said["findings"]), said
    return said


def named(examination):
    """Findings by what they are about."""
    fields = ("code", "kind", "id", "account", "region", "keystore")
    about = [tuple(finding[field] for field in fields) for finding in examination["findings"]]
    assert len(about) == len(set(about)), about
    return set(about)


def test_records_without_an_entry_are_named_and_come_back_switched_off(deployment, copies):
    sdk = deployment.sdk()
    population = Population(sdk).fill_small()
    key = population.keys["plain"]
    described = sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]
    stop_with_backup(copies)
    with EditedBackup(copies) as edited:
        edited.control.remove(f"c/key/{REGION}/{key}")
        edited.control.remove(f"c/secret/{REGION}/{RETAIL.id}/small/system")
    edited.bring_back()
    deployment.start()
    lost = {
        ("NotInCatalogue", "key", key, RETAIL.id, REGION, f"shared:{REGION}"),
        ("NotInCatalogue", "secret", "small/system", RETAIL.id, REGION, f"shared:{REGION}"),
    }
    assert named(examine(deployment)) == lost
    treatment = examine(deployment, "--repair")
    assert treatment["findings"] == [] and len(treatment["repaired"]) == 2, treatment
    assert all(one["done"].startswith("entry rebuilt") for one in treatment["repaired"]), treatment
    rebuilt = sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]
    assert rebuilt["KeyState"] == "Disabled" and "keyferry doctor" in rebuilt["Description"]
    same = ("Arn", "CreationDate", "KeySpec", "Origin", "PrimaryKeyVersion")
    assert {name: rebuilt[name] for name in same} == {name: described[name] for name in same}
    sdk.call("EnableKey", KeyId=key)
    population.check_use()
    code, job = deployment.migrate("--all")
    assert code == 0, job
    is_whole(deployment, population)


def test_locks_of_a_job_that_does_not_run_are_named_and_released(deployment, copies, refused):
    logistics = deployment.sdk(account=LOGISTICS)
    population = Population(logistics).fill_small()
    stop_with_backup(copies)
    lock = {"job": NOBODY, "since": "2026-01-01T00:00:00Z"}
    gate = lock | {"until": "2026-01-01T02:00:00Z"}
    with EditedBackup(copies) as edited:
        edited.control.write(f"l/gate/{REGION}/{LOGISTICS.id}", gate)
        edited.control.write(f"l/lock/{REGION}/{LOGISTICS.id}", lock)
        edited.control.write(f"l/instance-gate/{INSTANCE}", gate)
    edited.bring_back()
    deployment.start()
    assert NOBODY in refused("Rejected.Migrating", logistics.call, "CreateKey").message
    population.check_use()
    stranded = {
        ("StrandedLock", None, None, LOGISTICS.id, REGION, None),
        ("StrandedLock", None, None, None, None, INSTANCE),
    }
    found = examine(deployment)
    assert named(found) == stranded, found
    assert all(NOBODY in finding["message"] for finding in found["findings"]), found
    # Looking changes nothing.
    refused("Rejected.Migrating", logistics.call, "CreateKey")
    treatment = examine(deployment, "--repair")
    assert treatment["findings"] == [], treatment
    assert all("released" in one["done"] for one in treatment["repaired"]) and len(treatment["repaired"]) == 2, treatment
    code, job = deployment.migrate("--all", account=LOGISTICS)
    assert code == 0, job
    is_whole(deployment, population)


def test_entries_that_lead_to_records_of_others_are_named_and_not_repaired(deployment, copies, refused):
    retail, logistics = deployment.sdk(), deployment.sdk(account=LOGISTICS)
    mine, theirs = Population(retail).fill_small(), Population(logistics).fill_small()
    swapped = [
        (f"c/key/{REGION}/{mine.keys['plain']}", f"c/key/{REGION}/{theirs.keys['plain']}"),
        (f"c/secret/{REGION}/{RETAIL.id}/small/system", f"c/secret/{REGION}/{RETAIL.id}/small/under-key"),
    ]
    stop_with_backup(copies)
    with EditedBackup(copies) as edited:
        for one, other in swapped:
            first, second = edited.control.read(one), edited.control.read(other)
            first["incarnation"], second["incarnation"] = second["incarnation"], first["incarnation"]
            edited.control.write(one, first)
            edited.control.write(other, second)
    edited.bring_back()
    deployment.start()
    shared = f"shared:{REGION}"
    differ = {
        ("LabelDiffers", "key", mine.keys["plain"], RETAIL.id, REGION, shared),
        ("LabelDiffers", "key", theirs.keys["plain"], LOGISTICS.id, REGION, shared),
        ("LabelDiffers", "secret", "small/system", RETAIL.id, REGION, shared),
        ("LabelDiffers", "secret", "small/under-key", RETAIL.id, REGION, shared),
    }
    found = examine(deployment)
    assert named(found) == differ, found
    label_of = {finding["id"]: finding["message"] for finding in found["findings"]}
    assert theirs.keys["plain"] in label_of[mine.keys["plain"]] and LOGISTICS.id in label_of[mine.keys["plain"]], label_of
    # What was sealed under the one is not taken for something of the other.
    for population in (mine, theirs):
        for blob, context, _ in population.blobs["plain"]:
            refused("InvalidParameter", population.sdk.call, "Decrypt", CiphertextBlob=blob, EncryptionContext=context)
    treatment = examine(deployment, "--repair")
    assert treatment["repaired"] == [] and named(treatment) == differ, treatment
    # Nor does it move: the proofs see it, before anything has left its place.
    code, job = deployment.migrate("--all")
    assert code == 1 and job["state"] == "failed" and "label" in job["failure"]["message"], job
    eventually(lambda: named(examine(deployment)) == differ)
    # The way back that the finding names.
    deployment.stop()
    copies.lose_everything()
    assert copies.restore().returncode == 0
    deployment.start()
    assert examine(deployment)["findings"] == []
    mine.check_use()
    theirs.check_use()


def test_copies_of_a_rolled_back_job_that_an_instance_still_has_are_named_and_not_touched(deployment):
    population = Population(deployment.sdk()).fill_small()
    before = population.snapshot()
    whole = examine(deployment)["examined"]
    deployment.schedule("move", seconds=1, window='"10m"', soak='"5m"')
    deployment.log.wait("migration.progress", phase="confirming")
    deployment.stop()
    places = [deployment.state_dir / part / INSTANCE for part in ("instances", "slots")]
    kept = [deployment.directory / f"kept-{place.parent.name}" for place in places]
    for place, copy in zip(places, kept):
        shutil.copytree(place, copy)
    deployment.start()
    deployment.log.wait("migration.progress", phase="confirming")
    code, answer = deployment.cli("job", "cancel", deployment.job()["id"])
    assert code == 0, answer
    deployment.log.wait("migration.rolled_back")
    # The instance forgets its copies a moment later. Until then the job's clean-up stands behind them.
    eventually(lambda: examine(deployment) == {"examined": whole, "findings": []})
    deployment.stop()
    # The instance is put back to what it was while the job ran.
    for place, copy in zip(places, kept):
        shutil.rmtree(place)
        shutil.move(copy, place)
    deployment.start()
    left = {("LeftBehind", "key", population.keys["plain"], RETAIL.id, REGION, INSTANCE)}
    left |= {("LeftBehind", "secret", name, RETAIL.id, REGION, INSTANCE) for name in population.secrets}
    found = examine(deployment)
    assert named(found) == left and found["examined"]["records"] == whole["records"] + len(left), found
    treatment = examine(deployment, "--repair")
    assert treatment["repaired"] == [] and named(treatment) == left, treatment
    # They are not used, nor taken for copies of a later job.
    population.check_use()
    code, job = deployment.migrate("--all")
    assert code == 1 and job["state"] == "failed" and "already here" in job["failure"]["message"], job
    assert job["failure"]["code"] == "NameConflict" and "keyferry doctor" in job["failure"]["remedy"], job
    eventually(lambda: named(examine(deployment)) == left)
    assert population.snapshot() == before
    population.check_use()
