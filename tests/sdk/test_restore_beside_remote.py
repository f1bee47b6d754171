"""`keyferry restore` and an instance on another host: it is in no backup, so it may have gone on since."""

import json
import os
import signal

import pytest

from deployment import INSTANCE, RETAIL, SMALL_INSTANCE, eventually
from held_backup import HeldBackup, restore
from population import Population
from test_backup import Copies
from test_doctor_planted import examine, named
from test_remote import elsewhere, gateway, status
from test_restore_under_way import SLOWLY, is_whole

# Fixtures of another file, which pytest finds by their names.
assert elsewhere and gateway


@pytest.fixture
def copies(gateway):
    return Copies(gateway)


def take(copies, name):
    """A backup of now."""
    file = copies.deployment.directory / name
    done = copies.backup(file)
    assert done.returncode == 0, done.stderr
    return file


def lose(copies):
    copies.deployment.stop()
    copies.lose_everything()


def bring_back(copies, file):
    """Exit code, document, and what was said beside it."""
    done = copies.run("--json", "restore", str(file), "--key-file", str(copies.key))
    return done.returncode, json.loads(done.stdout), done.stderr


def refused(copies, file, *words):
    """Nothing is restored, and it is said what speaks for the instance being newer."""
    code, document, _ = bring_back(copies, file)
    assert code == 1 and document["error"]["code"] == "InstanceIsNewer", document
    message = document["error"]["message"]
    assert INSTANCE in message and all(word in message for word in words), message
    assert "stop its process" in document["error"]["remedy"], document
    assert os.listdir(copies.deployment.state_dir) == ["keys"]
    # To look into a backup nobody has to be asked.
    assert copies.restore("--check", file=file).returncode == 0


def is_restored(copies, file):
    code, document, said = bring_back(copies, file)
    assert code == 0 and document["warnings"] == [] and said == "", (document, said)
    copies.deployment.start()
    eventually(lambda: status(copies.deployment) == "Connected")


def test_an_instance_that_has_what_the_backup_does_not_know_is_newer(gateway, copies):
    population = Population(gateway.sdk()).fill_small()
    before = take(copies, "before")
    code, job = gateway.migrate("--all")
    assert code == 0, job
    population.put("small/system", "v2")
    after = take(copies, "after")
    lose(copies)
    refused(copies, before, "secret small/system", f"key {population.keys['plain']}", "does not know there")
    # The backup from after it is as the instance is.
    is_restored(copies, after)
    assert population.sdk.call("GetSecretValue", SecretName="small/system")["VersionId"] == "v2"
    is_whole(gateway, population)


def test_every_kind_of_change_since_the_backup_makes_an_instance_newer(gateway, copies):
    population = Population(gateway.sdk()).fill_small()
    population.generic("small/going")
    code, job = gateway.migrate("--all")
    assert code == 0, job
    sdk, key = population.sdk, population.keys["plain"]
    changes = [
        ("1 newer version(s) of secret small/system", lambda: population.put("small/system", "v2")),
        (f"1 newer version(s) of key {key}", lambda: sdk.call("CreateKeyVersion", KeyId=key)),
        ("secret small/new", lambda: population.generic("small/new")),
        (
            "1 version(s) of secret small/going no more",
            lambda: sdk.call("DeleteSecret", SecretName="small/going", ForceDeleteWithoutRecovery="true"),
        ),
    ]
    files = []
    for number, (_, change) in enumerate(changes):
        files.append(take(copies, f"backup-{number}"))
        change()
    population.secrets.pop("small/going")
    last = take(copies, "last")
    lose(copies)
    for number, file in enumerate(files):
        refused(copies, file, *(words for words, _ in changes[number:]))
    is_restored(copies, last)
    is_whole(gateway, population)


@pytest.mark.parametrize("silent", [False, True], ids=["gone", "silent"])
def test_an_instance_that_does_not_answer_holds_nothing_up_and_what_it_has_is_found_later(
    gateway, elsewhere, copies, silent
):
    population = Population(gateway.sdk()).fill_small()
    before = population.snapshot()
    file = take(copies, "before")
    code, job = gateway.migrate("--all")
    assert code == 0, job
    gateway.kill()
    copies.lose_everything()
    if silent:
        # It has the connections and says nothing on them.
        elsewhere.process.send_signal(signal.SIGSTOP)
    else:
        elsewhere.kill()
    code, document, said = bring_back(copies, file)
    assert code == 0, document
    [warning] = document["warnings"]
    assert warning["code"] == "InstanceUnreachable" and INSTANCE in warning["message"], warning
    assert "keyferry doctor" in warning["remedy"], warning
    if silent:
        elsewhere.process.send_signal(signal.SIGCONT)
    else:
        elsewhere.start()
    # Beside it there is an instance of this process now.
    gateway.instances = [SMALL_INSTANCE]
    gateway.start()
    eventually(lambda: status(gateway) == "Connected")
    # Everything is as of the backup; what the instance has is named, and not touched.
    assert population.snapshot() == before
    kinds = [("key", population.keys["plain"]), *(("secret", name) for name in population.secrets)]
    left = {("LeftBehind", kind, name, RETAIL.id, "cn-hangzhou", INSTANCE) for kind, name in kinds}
    assert named(examine(gateway)) == left
    treatment = examine(gateway, "--repair")
    assert treatment["repaired"] == [] and named(treatment) == left, treatment
    # Nothing moves over it, and the operator is told what to do.
    code, job = gateway.migrate("--all")
    assert code == 1 and job["state"] == "failed", job
    failure = job["failure"]
    assert failure["code"] == "NameConflict" and INSTANCE in failure["message"], failure
    assert "already here" in failure["message"] and "keyferry doctor" in failure["remedy"], failure
    assert population.snapshot() == before
    # It moves elsewhere.
    code, job = gateway.migrate("--all", instance=SMALL_INSTANCE)
    assert code == 0, job
    population.check_use()


def test_an_instance_that_is_away_is_named_on_standard_error_too(gateway, elsewhere, copies):
    population = Population(gateway.sdk()).fill_small()
    file = take(copies, "backup")
    lose(copies)
    elsewhere.kill()
    done = copies.restore(file=file)
    assert done.returncode == 0 and "Restored" in done.stdout, done.stderr
    assert done.stderr.startswith("warning: ") and INSTANCE in done.stderr, done.stderr
    gateway.start()
    population.check_use()


def test_a_job_that_has_ended_in_the_instance_since_the_backup_makes_it_newer(gateway, copies):
    population = Population(gateway.sdk()).fill()
    plain = gateway.extra
    gateway.extra = plain + "\n" + SLOWLY.format(1)
    gateway.schedule("move", seconds=1, window='"20m"')
    gateway.log.wait("migration.progress", phase="copying")
    with HeldBackup(copies) as held:
        assert gateway.job()["state"] == "copying", "the phase was too short for this machine"
        held.release()
    gateway.extra = plain
    gateway.reload()
    gateway.log.wait("migration.complete")
    after = take(copies, "after")
    lose(copies)
    # Restored, the job could neither go on into the instance nor take back what it has put there for good.
    refused(copies, copies.file, "has ended there")
    restore(copies, after)
    gateway.start()
    eventually(lambda: status(gateway) == "Connected")
    is_whole(gateway, population)
