"""The clock is set forward while a job runs: the job goes on to its end, what falls due because of the step waits."""

import json
import pathlib
import subprocess
import sys

import pytest

from deployment import INSTANCE, PATIENCE, REGION, RETAIL, eventually
from population import Population, moved

# What a client of a daemon with another clock has to do: signatures have a time, too.
CALLS = """
import json, sys
sys.path.insert(0, {path!r})
import clients
sdk = clients.connect("v3", clients.Account(*{account!r}), {region!r}, {port})
due = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
sdk.call("ScheduleKeyDeletion", KeyId=due, PendingWindowInDays=7)
rotating = sdk.call("CreateKey", EnableAutomaticRotation=True, RotationInterval="7d")["KeyMetadata"]["KeyId"]
print(json.dumps([due, rotating]))
"""


class Clock:
    """A wall clock of the test's own, which it can set while a program runs. Only programs started under it have it."""

    def __init__(self, directory):
        self.file = directory / "clock"

    def set(self, offset):
        # In one step: it is read at any time.
        fresh = self.file.with_name("clock.fresh")
        fresh.write_text(offset + "\n")
        fresh.rename(self.file)

    def under(self):
        library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        return [
            "env",
            f"LD_PRELOAD={library}",
            f"FAKETIME_TIMESTAMP_FILE={self.file}",
            "FAKETIME_NO_CACHE=1",
            "FAKETIME_DONT_FAKE_MONOTONIC=1",
        ]


@pytest.mark.parametrize("phase", ["confirming", "purging"])
def test_a_job_completes_over_a_step_of_the_clock_and_a_deletion_waits_for_its_confirmation(unstarted, phase):
    deployment, clock = unstarted, Clock(unstarted.directory)
    # A week ago: a key is to be deleted, another to rotate, both in seven days.
    clock.set("-7d")
    deployment.start(prefix=clock.under())
    account = (RETAIL.id, RETAIL.access_key, RETAIL.secret)
    here = str(pathlib.Path(__file__).parent)
    calls = CALLS.format(path=here, account=account, region=REGION, port=deployment.port)
    done = subprocess.run(
        [*clock.under(), sys.executable, "-c", calls], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    due, rotating = json.loads(done.stdout)
    deployment.stop()

    # Ten minutes before now nothing of it is due, and days between two starts are no step.
    clock.set("-10m")
    # Some seconds in each phase that goes through the plan.
    deployment.extra = "[migration]\nmax_rate = 2\n"
    deployment.start(prefix=clock.under())
    population = Population(deployment.sdk()).fill()
    before = population.snapshot()
    deployment.schedule("move", seconds=-600 + 2, window='"2h"', soak='"2m"' if phase == "confirming" else '"0s"')

    def states():
        code, document = deployment.cli("resources")
        assert code == 0, document
        return {entry["id"]: entry["state"] for entry in document["keys"]}

    def versions():
        return deployment.sdk().call("ListKeyVersions", KeyId=rotating, PageSize=100)["TotalCount"]

    # Before the last of them there are four.
    deployment.log.wait("migration.progress", phase=phase, timeout=2 * PATIENCE)
    assert not deployment.log.all("clock.stepped")
    assert states()[due] == "PendingDeletion" and versions() == 1
    clock.set("+1m")
    deployment.log.wait("clock.stepped")
    assert deployment.job()["state"] == phase, "the phase was too short for this machine"
    deployment.log.wait("migration.complete")
    # What falls due and destroys nothing is done: the daemon has looked at it by the new clock, after the lock.
    eventually(lambda: versions() == 2)
    assert states()[due] == "PendingDeletion"
    _, status = deployment.cli("status")
    assert any(warning["code"] == "ClockStepped" for warning in status["warnings"]), status
    assert population.snapshot()["secrets"] == moved(before, INSTANCE, population.left_behind)["secrets"]
    population.check_use()
    code, examination = deployment.cli("doctor")
    assert code == 0, examination
    code, answer = deployment.cli("clock", "confirm")
    assert code == 0 and answer["confirmed"] is not None, answer
    eventually(lambda: due not in states())
    population.check_use()
