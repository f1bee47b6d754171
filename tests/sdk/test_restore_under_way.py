"""Stores that are destroyed while a job runs, and a backup from the middle of it: the job ends by itself, and what is
left of the earlier life is fenced out."""

import re
import shutil

import pytest

from deployment import INSTANCE, LOGISTICS, PATIENCE, Deployment, eventually
from held_backup import HeldBackup, lose_stores, restore
from population import Population, moved
from test_backup import Copies
from test_remote import elsewhere, gateway

# How far a restored store goes on above all that the earlier life can have given out (docs/design.md).
EPOCH = 2**40
SLOWLY = "[migration]\nmax_rate = {}\n"


# Fixtures of another file, which pytest finds by their names.
assert elsewhere and gateway


@pytest.fixture
def copies(deployment):
    return Copies(deployment)


def is_whole(deployment, population):
    """Everything opens, nothing is left lying about, and it can be managed."""
    population.check_use()
    code, examination = deployment.cli("doctor")
    assert code == 0 and examination["findings"] == [], examination
    code, verdict = deployment.cli("audit", "verify")
    assert code == 0 and verdict["intact"], verdict
    code, table = deployment.cli("check")
    assert code == 0 and not any(region["lock"] for region in table["regions"]), table
    code, jobs = deployment.cli("job", "list")
    assert code == 0 and len(jobs["jobs"]) == 1, "an instant that ran never runs again"
    population.key("manageable again")


@pytest.mark.parametrize("phase", ["copying", "verifying", "cutting_over", "confirming", "purging"])
def test_stores_lost_in_a_phase_come_back_from_its_backup_and_the_job_completes(deployment, copies, phase):
    population = Population(deployment.sdk()).fill()
    before = population.snapshot()
    deployment.extra = SLOWLY.format(2)
    deployment.schedule("move", seconds=1, window='"10m"')
    deployment.log.wait("migration.progress", phase=phase, timeout=2 * PATIENCE)
    # Inside of the phase, not at its beginning.
    eventually(lambda: deployment.job()["keys_done"] + deployment.job()["secrets_done"] > 0)
    with HeldBackup(copies) as held:
        assert deployment.job()["state"] == phase, "the phase was too short for this machine"
        held.release()
    lose_stores(copies)
    restore(copies)
    deployment.extra = ""
    deployment.start()
    assert deployment.log.wait("migration.resumed")["phase"] == phase
    deployment.log.wait("migration.complete")
    assert population.snapshot() == moved(before, INSTANCE, population.left_behind)
    is_whole(deployment, population)


# The catalogue flips in two batches, the keys and the secrets, and back in two more.
@pytest.mark.parametrize("stall", ["catalogue.flip.before:3", "catalogue.flip.before:4", "clean_up.add.before"])
def test_stores_lost_in_a_roll_back_come_back_from_its_backup_and_it_ends_rolled_back(unstarted, stall):
    deployment, copies = unstarted, Copies(unstarted)
    deployment.environment = {"KEYFERRY_FAILPOINT": f"{stall}=stall"}
    deployment.start()
    population = Population(deployment.sdk()).fill()
    before = population.snapshot()
    deployment.schedule("move", seconds=1, window='"10m"', soak='"5m"')
    deployment.log.wait("migration.progress", phase="confirming")
    code, answer = deployment.cli("job", "cancel", deployment.job()["id"])
    assert code == 0, answer
    eventually(lambda: any("failpoint reached" in line.get("message", "") for line in list(deployment.log.lines)))
    with HeldBackup(copies) as held:
        assert deployment.job()["state"] == "rolling_back"
        held.release()
    lose_stores(copies)
    restore(copies)
    deployment.environment = {}
    deployment.start()
    deployment.log.wait("migration.resumed", phase="rolling_back")
    deployment.log.wait("migration.rolled_back")
    eventually(lambda: deployment.job()["state"] == "canceled")
    assert population.snapshot() == before
    # The target forgets what it had staged a moment after the end.
    eventually(lambda: deployment.cli("doctor")[0] == 0)
    is_whole(deployment, population)


def stops(deployment):
    """What a worker said that was refused because of its token."""
    lines = [line.get("message", "") for line in list(deployment.log.lines)]
    return [line for line in lines if line.startswith("the work on the job stops here")]


def copying_slowly(gateway):
    """Everything is being copied, for as long as this lasts. What is there, how it reads, the copies of its stores, and the
    configuration to go on with."""
    population = Population(gateway.sdk()).fill()
    before = population.snapshot()
    copies = Copies(gateway)
    plain = gateway.extra
    gateway.extra = plain + "\n" + SLOWLY.format(1)
    gateway.schedule("move", seconds=1, window='"20m"')
    gateway.log.wait("migration.progress", phase="copying")
    return population, before, copies, plain


def test_after_a_restore_the_instance_obeys_the_new_life_and_refuses_the_old_one(gateway, elsewhere, tmp_path):
    """The fencing token of a job is the revision at which it was taken over, and an instance obeys the highest it has
    seen. The instance is on another host here: it is not restored, and has seen tokens of after the backup."""
    population, before, copies, plain = copying_slowly(gateway)
    with HeldBackup(copies) as held:
        assert gateway.job()["state"] == "copying"
        held.release()
    # The earlier life goes on after the backup: it writes, and each start takes the job over under a higher token.
    for _ in range(3):
        gateway.kill()
        gateway.start()
        gateway.log.wait("migration.progress", phase="copying")
        eventually(lambda: gateway.job()["keys_done"] > 0)
    gateway.kill()
    earlier = Deployment(tmp_path / "earlier")
    earlier.directory.mkdir()
    shutil.copytree(gateway.state_dir, earlier.state_dir)
    copies.lose_everything()
    restore(copies)

    gateway.start()
    gateway.log.wait("migration.resumed")
    eventually(lambda: gateway.job()["keys_done"] > 0)
    # The instance took what the new life staged although it knows later tokens of the earlier one.
    assert stops(gateway) == [], stops(gateway)
    # Meanwhile somebody starts the earlier life again, which holds the same job.
    earlier.accounts, earlier.instances, earlier.schedules = gateway.accounts, gateway.instances, gateway.schedules
    earlier.extra = plain
    try:
        earlier.start()
        earlier.log.wait("migration.resumed")
        eventually(lambda: stops(earlier))
        old, seen = map(int, re.search(r"token (\d+) of job-\w+ is older than (\d+)", stops(earlier)[0]).groups())
        assert old < EPOCH < seen
        assert earlier.job()["state"] == "copying"
        gateway.extra = plain
        gateway.reload()
        gateway.log.wait("migration.complete")
        assert stops(gateway) == [], stops(gateway)
        assert earlier.job()["state"] == "copying"
    finally:
        earlier.close()
    population.sdk = gateway.sdk()
    assert population.snapshot() == moved(before, INSTANCE, population.left_behind)
    is_whole(gateway, population)


def test_a_backup_that_is_brought_back_twice_begins_above_its_first_life_too(gateway, elsewhere):
    """The instance, on another host, has seen tokens of the first life that was restored from the backup."""
    population, before, copies, plain = copying_slowly(gateway)
    done = copies.backup()
    assert done.returncode == 0 and gateway.job()["state"] == "copying", done.stderr
    gateway.kill()
    copies.lose_everything()
    restore(copies)
    gateway.start()
    gateway.log.wait("migration.resumed")
    # It commits as much as a life of some time does, so that the token of its next start lies far above that of its first.
    logistics = gateway.sdk(account=LOGISTICS)
    for _ in range(30):
        logistics.call("CreateKey")
    gateway.kill()
    gateway.start()
    gateway.log.wait("migration.resumed")
    # By then the instance has seen the token with what is staged.
    gateway.log.wait("migration.progress", phase="copying")
    gateway.kill()
    copies.lose_everything()
    restore(copies)
    gateway.extra = plain
    gateway.start()
    gateway.log.wait("migration.resumed")
    gateway.log.wait("migration.complete")
    # The instance obeyed at once: the job did not have to be taken over until its token was high enough.
    assert stops(gateway) == [], stops(gateway)
    assert population.snapshot() == moved(before, INSTANCE, population.left_behind)
    is_whole(gateway, population)
