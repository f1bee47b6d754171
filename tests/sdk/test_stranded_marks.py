"""Rotation marks whose job stops running while the daemon runs: named by the doctor, cleared and told at ERROR, not only at
the next start (for that see `tests/crash/stranded.rs`).

A mark is planted for a job that runs, in another account than the job's: it counts as long as the job runs, and the job,
which clears the marks of its own scope, ends without it.
"""

from deployment import INSTANCE, LOGISTICS, REGION, eventually
from edited_backup import EditedBackup
from population import Population
from test_backup import Copies

NOBODY = "job-00000000000000000000"
ROTATING = {"EnableAutomaticRotation": True, "RotationInterval": "30d"}


class Planted:
    """A deployment with a mark of a running job on a key of another account, and whatever else a test plants."""

    def __init__(self, deployment, plant=lambda control: None, failpoint=None):
        self.deployment = deployment
        deployment.start()
        self.population = Population(deployment.sdk()).fill_small()
        self.sdk = deployment.sdk(account=LOGISTICS)
        self.key = self.sdk.call("CreateKey", **ROTATING)["KeyMetadata"]["KeyId"]
        deployment.schedule("move", seconds=1, window='"10m"', soak='"5m"')
        deployment.log.wait("migration.progress", phase="confirming")
        self.job = deployment.job()["id"]
        copies = Copies(deployment)
        done = copies.backup()
        assert done.returncode == 0, done.stderr
        deployment.kill()
        scope = {"region": REGION, "account": LOGISTICS.id}
        mark = {"job": self.job, "scope": scope, "resource": {"kind": "key", "id": self.key}}
        with EditedBackup(copies) as edited:
            edited.control.write(f"l/mark/{REGION}/{LOGISTICS.id}/key/{self.key}", mark)
            plant(edited.control)
        edited.bring_back()
        if failpoint:
            deployment.environment = {"KEYFERRY_FAILPOINT": failpoint}
        deployment.start()
        deployment.log.wait("migration.resumed", job=self.job)

    def rotation(self):
        return self.sdk.call("DescribeKey", KeyId=self.key)["KeyMetadata"]["AutomaticRotation"]

    def held(self):
        return self.deployment.cli("status")[1]["rotation_held"]

    def told(self):
        return self.deployment.log.all("rotation.stranded")

    def cancel(self):
        code, answer = self.deployment.cli("job", "cancel", self.job)
        assert code == 0, answer
        self.deployment.log.wait("migration.rolled_back", job=self.job)
        eventually(lambda: self.deployment.job()["state"] == "canceled")

    def check_told(self):
        told = self.deployment.log.wait("rotation.stranded")
        assert (told["level"], told["job"], told["account"]) == ("ERROR", self.job, LOGISTICS.id), told
        assert self.key in told["resource"], told
        eventually(lambda: self.held() == 0)
        assert self.rotation() == "Enabled"
        eventually(lambda: self.deployment.cli("doctor")[1]["findings"] == [])
        assert len(self.told()) == 1


def test_a_mark_whose_job_ends_without_it_is_cleared_and_told(unstarted):
    planted = Planted(unstarted)
    # Held back while the job runs, and nothing is wrong with that.
    assert planted.rotation() == "Suspended" and planted.held() == 1
    assert unstarted.cli("doctor") == (0, {"examined": unstarted.cli("doctor")[1]["examined"], "findings": []})
    assert planted.told() == []
    planted.cancel()
    planted.check_told()


def test_the_doctor_names_a_stranded_mark_and_the_next_job_clears_it(unstarted):
    """What clears marks all the time stands still here: it is at work on an earlier job, whose end nobody answers."""

    def plant(control):
        clean_up = {"job": NOBODY, "instance": INSTANCE, "region": REGION, "token": control.about["revision"]}
        control.write(f"j/clean/{NOBODY}", clean_up)

    planted = Planted(unstarted, plant, failpoint="source.close.before=stall")
    eventually(lambda: any("failpoint reached" in line.get("message", "") for line in list(unstarted.log.lines)))
    planted.cancel()
    # It holds nothing back any more, whether it is there or not.
    assert planted.rotation() == "Enabled"
    planted.sdk.call("CreateKeyVersion", KeyId=planted.key)
    for arguments in (["doctor"], ["doctor", "--repair"]):
        code, examination = unstarted.cli(*arguments)
        assert code == 1 and examination.get("repaired", []) == [], examination
        [finding] = examination["findings"]
        about = [finding[field] for field in ("code", "kind", "id", "account", "region", "keystore")]
        assert about == ["StrandedMark", "key", planted.key, LOGISTICS.id, REGION, None], finding
        assert planted.job in finding["message"] and finding["remedy"], finding
    assert planted.told() == []
    code, job = unstarted.migrate("--all")
    assert code == 0, job
    planted.check_told()
    planted.population.check_use()
