"""SIGTERM in every phase of a job, once and twice: the daemon leaves, is started again, and the job completes."""

import signal
import time

import pytest

from deployment import INSTANCE
from population import Population, moved
from test_crash import PHASES

# What systemd/keyferry.service grants before it kills.
GRANTED = 90


def under_way(deployment, phase):
    """A job that is in this phase, or has just left it."""
    population = Population(deployment.sdk()).fill_small()
    before = population.snapshot()
    # Slow enough that a phase which goes through the plan is not over before the signal comes.
    deployment.extra = "[migration]\nmax_rate = 4\n"
    soak = '"2s"' if phase == "confirming" else '"0s"'
    deployment.schedule(soak=soak, seconds=1)
    deployment.log.wait("migration.progress", phase=phase)
    return population, before


def goes_on(deployment, population, before):
    """Started again, the job completes and nothing is lost."""
    deployment.extra = ""
    deployment.start()
    population.sdk = deployment.sdk()
    population.check_use()
    job = deployment.job()
    if job["state"] != "complete":
        deployment.log.wait("migration.complete", job=job["id"])
    assert population.snapshot() == moved(before, INSTANCE)
    population.check_use()
    population.key("manageable again")
    code, examination = deployment.cli("doctor")
    assert code == 0, examination
    code, jobs = deployment.cli("job", "list")
    assert code == 0 and len(jobs["jobs"]) == 1, jobs


@pytest.mark.parametrize("phase", PHASES)
def test_sigterm_leaves_in_time_and_the_job_goes_on(deployment, phase):
    population, before = under_way(deployment, phase)
    began = time.monotonic()
    assert deployment.stop() == 0
    assert time.monotonic() - began < GRANTED / 6
    deployment.log.wait("daemon.stopping")
    goes_on(deployment, population, before)


@pytest.mark.parametrize("phase", PHASES)
def test_a_second_sigterm_right_after_the_first_loses_nothing(deployment, phase):
    population, before = under_way(deployment, phase)
    began = time.monotonic()
    deployment.process.send_signal(signal.SIGTERM)
    deployment.process.send_signal(signal.SIGTERM)
    # Two that come before the first is looked at are one to the kernel, and it may have left at the first.
    assert deployment.process.wait(GRANTED / 6) in (0, 128 + signal.SIGTERM)
    assert time.monotonic() - began < GRANTED / 6
    goes_on(deployment, population, before)
