"""`kill -9` in each state of a job, then start again: the same end."""

import pytest

from deployment import INSTANCE
from population import Population, moved

PHASES = [
    "preflight",
    "closing",
    "locked",
    "rotation_off",
    "copying",
    "verifying",
    "activating",
    "cutting_over",
    "confirming",
    "purging",
    "rotation_on",
    "unlocking",
]


@pytest.mark.parametrize("phase", PHASES)
def test_a_killed_daemon_goes_on(deployment, phase):
    population = Population(deployment.sdk()).fill_small()
    before = population.snapshot()
    soak = '"2s"' if phase == "confirming" else '"0s"'
    deployment.schedule(soak=soak, seconds=2)
    deployment.log.wait("migration.progress", phase=phase)
    deployment.kill()

    deployment.start()
    population.sdk = deployment.sdk()
    population.check_use()
    job = deployment.job()
    if job["state"] != "complete":
        deployment.log.wait("migration.complete", job=job["id"])
    job = deployment.job()
    assert job["state"] == "complete", job
    assert population.snapshot() == moved(before, INSTANCE)
    population.check_use()
    population.key("manageable again")
    code, table = deployment.cli("check")
    assert code == 0 and all(region["lock"] is None for region in table["regions"])
    code, jobs = deployment.cli("job", "list")
    assert len(jobs["jobs"]) == 1, "an instant that ran never runs again"


def test_a_terminated_daemon_leaves_in_order_and_goes_on(deployment):
    population = Population(deployment.sdk()).fill_small()
    deployment.schedule(soak='"3s"', seconds=2)
    deployment.log.wait("migration.progress", phase="confirming")
    assert deployment.stop() == 0
    deployment.log.wait("daemon.stopping")
    deployment.start()
    population.sdk = deployment.sdk()
    job = deployment.job()
    if job["state"] != "complete":
        deployment.log.wait("migration.complete", job=job["id"])
    population.check_use()
