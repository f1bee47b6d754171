"""While a backup is taken nothing is written: management waits and is not refused, a migration stays, reads go on."""

import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import clients
from deployment import INSTANCE, PATIENCE, RETAIL
from held_backup import HeldBackup, restore
from population import Population, moved
from test_backup import Copies

# Keys and secrets a second: a migration of the whole population is some seconds in each phase.
RATE = 3


@pytest.fixture
def copies(deployment):
    return Copies(deployment)


def digests(directory):
    """What every file below holds now."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_management_waits_for_a_backup_and_is_not_refused(deployment, copies):
    population = Population(deployment.sdk()).fill_small()
    key = population.keys["plain"]
    began = time.monotonic()
    population.sdk.call("UpdateKeyDescription", KeyId=key, Description="before")
    alone = time.monotonic() - began
    writes = {
        "CreateKey": {"Description": "made meanwhile"},
        "CreateSecret": {"SecretName": "made/meanwhile", "SecretData": "x", "VersionId": "v1"},
        "PutSecretValue": {"SecretName": "small/system", "SecretData": "another", "VersionId": "v2"},
        "UpdateKeyDescription": {"KeyId": key, "Description": "changed meanwhile"},
        "CreateAlias": {"KeyId": key, "AliasName": "alias/made-meanwhile"},
    }
    with ThreadPoolExecutor(len(writes)) as pool, HeldBackup(copies) as held:
        before = population.snapshot()
        waiting = {
            action: pool.submit(deployment.sdk().call, action, **parameters) for action, parameters in writes.items()
        }
        # Many times as long as such a write takes where nothing holds it back, and not as long as a client waits for it.
        began, rounds = time.monotonic(), 0
        while rounds < 10 or time.monotonic() - began < min(max(20 * alone, 1), 10):
            population.check_use()
            population.sdk.call("GenerateDataKey", KeyId=key)
            rounds += 1
        assert held.goes_on()
        assert [action for action, call in waiting.items() if call.done()] == []
        assert population.snapshot() == before
        held.release()
        # None of them was refused: `result` raises what the call raised.
        for call in waiting.values():
            call.result(PATIENCE)
    described = population.sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]
    assert described["Description"] == "changed meanwhile"
    assert population.sdk.call("GetSecretValue", SecretName="small/system")["SecretData"] == "another"
    # The backup is as of before them.
    deployment.stop()
    copies.lose_everything()
    restore(copies)
    deployment.start()
    assert population.snapshot() == before
    population.check_use()


@pytest.mark.parametrize("phase", ["copying", "verifying", "cutting_over", "confirming", "purging"])
def test_a_job_neither_flips_nor_purges_nor_unlocks_while_a_backup_is_taken(deployment, copies, phase):
    population = Population(deployment.sdk()).fill()
    before = population.snapshot()
    deployment.extra = f"[migration]\nmax_rate = {RATE}\n"
    deployment.schedule("move", seconds=1, window='"10m"')
    deployment.log.wait("migration.progress", phase=phase)

    def job():
        shown = deployment.job()
        # The figures of the present phase are a hint, not what is stored.
        return {name: value for name, value in shown.items() if not name.endswith("_done")}

    def locks():
        code, table = deployment.cli("check")
        assert code == 0, table
        return [region["lock"] for region in table["regions"]]

    with HeldBackup(copies) as held:
        frozen, stored, seen = job(), digests(deployment.state_dir), population.snapshot()
        assert frozen["state"] == phase, "the phase was too short for this machine"
        # Longer than a whole phase takes at this rate.
        began = time.monotonic()
        while time.monotonic() - began < 2 * (frozen["keys_total"] + frozen["secrets_total"]) / RATE:
            population.check_use()
            assert any(locks())
        assert held.goes_on()
        assert job() == frozen
        assert population.snapshot() == seen
        assert digests(deployment.state_dir) == stored
        held.release()
    # It goes on, now as fast as it can.
    deployment.extra = ""
    deployment.reload()
    deployment.log.wait("migration.complete")
    assert population.snapshot() == moved(before, INSTANCE, population.left_behind)
    population.check_use()
    assert not any(locks())
    assert copies.restore("--check").returncode == 0


def test_backups_one_after_the_other_neither_stop_a_migration_nor_refuse_anybody(deployment, copies):
    population = Population(deployment.sdk()).fill()
    for number in range(40):
        population.generic(f"many/{number}")
    deployment.extra = f"[migration]\nmax_rate = {3 * RATE}\n"
    deployment.schedule("move", seconds=1, window='"10m"')
    deployment.log.wait("migration.progress", phase="copying")
    ended, failed, refused = threading.Event(), [], []

    def manage():
        """Changes and reads as long as it goes on; what is refused has to be because of the migration."""
        sdk = deployment.sdk("v3", RETAIL)
        while not ended.is_set():
            try:
                sdk.call("UpdateKeyDescription", KeyId=population.keys["rotating"], Description="päyments")
            except clients.Refused as refusal:
                (refused if refusal.code == "Rejected.Migrating" else failed).append(refusal)
            try:
                sdk.call("GetSecretValue", SecretName="app/system")
            except clients.Refused as refusal:
                failed.append(refusal)

    client = threading.Thread(target=manage)
    client.start()
    taken = {}
    try:
        while (state := deployment.job()["state"]) != "complete":
            assert state not in ("rolling_back", "failed"), deployment.job()
            file = deployment.directory / f"backup-{len(taken)}"
            done = copies.backup(file)
            assert done.returncode == 0, done.stderr
            taken[file] = state
    finally:
        ended.set()
        client.join()
    assert failed == [] and refused
    assert {"copying", "verifying", "cutting_over", "confirming", "purging"} <= set(taken.values()), taken
    for file in taken:
        assert copies.restore("--check", file=file).returncode == 0, file
    population.check_use()
    assert deployment.cli("doctor")[0] == 0
