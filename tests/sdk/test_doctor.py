"""`keyferry doctor`: silent about a healthy deployment in every state of a migration, and it finds what is planted."""

import shutil
import subprocess

from deployment import INSTANCE, PATIENCE, REGION, binary
from population import Population


def test_it_finds_nothing_before_during_and_after_a_migration(deployment):
    population = Population(deployment.sdk()).fill()

    def healthy():
        code, examination = deployment.cli("doctor")
        assert code == 0 and examination["findings"] == [], examination
        return examination["examined"]

    before = healthy()
    assert before["keys"] >= len(population.keys) and before["secrets"] == len(population.secrets)
    deployment.schedule("move", seconds=2, window='"10m"', soak='"3s"')
    deployment.log.wait("migration.progress", phase="copying")
    while deployment.job()["state"] != "complete":
        healthy()
    after = healthy()
    assert (after["keys"], after["secrets"]) == (before["keys"], before["secrets"])
    assert after["records"] == before["records"]


def test_it_finds_an_instance_that_is_not_what_it_was(deployment):
    population = Population(deployment.sdk()).fill_small()
    earlier = deployment.directory / "earlier"
    deployment.stop()
    shutil.copytree(deployment.state_dir / "instances" / INSTANCE, earlier)
    deployment.start()
    code, job = deployment.migrate("--all")
    assert code == 0, job
    deployment.stop()
    # The instance is put back to what it was before anything moved into it.
    shutil.rmtree(deployment.state_dir / "instances" / INSTANCE)
    shutil.move(earlier, deployment.state_dir / "instances" / INSTANCE)
    deployment.start()
    code, examination = deployment.cli("doctor")
    assert code == 1
    missing = {finding["id"] for finding in examination["findings"] if finding["code"] == "RecordMissing"}
    assert missing >= set(population.secrets) and all(finding["remedy"] for finding in examination["findings"])


def test_slots_that_are_gone_are_found_or_keep_the_daemon_from_starting(deployment):
    population = Population(deployment.sdk()).fill_small()
    code, job = deployment.migrate("--all")
    assert code == 0, job
    deployment.stop()
    for slot in (deployment.state_dir / "slots" / INSTANCE).iterdir():
        slot.unlink()
    deployment.start()
    code, examination = deployment.cli("doctor")
    assert code == 1
    closed = {finding["id"] for finding in examination["findings"] if finding["code"] == "DoesNotOpen"}
    assert closed >= set(population.secrets), examination
    # The daemon's own key lies under a slot of the shared keystore: without it nothing could be signed.
    deployment.stop()
    for slot in (deployment.state_dir / "slots" / REGION).iterdir():
        slot.unlink()
    command = [binary(), "--config", str(deployment.config), "run"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert refused.returncode == 1
    assert "slot" in refused.stderr and "keyferry restore" in refused.stderr, refused.stderr


def test_a_store_that_lost_its_end_keeps_the_daemon_from_starting(deployment):
    population = Population(deployment.sdk()).fill_small()
    code, job = deployment.migrate("--all")
    assert code == 0, job
    deployment.stop()
    copy = deployment.directory / "copy"
    shutil.copytree(deployment.state_dir, copy)
    logs = sorted(deployment.state_dir.rglob("db"))
    assert len(logs) >= 3, logs
    for log in logs:
        whole = log.read_bytes()
        # The end of what is written, not of the file, which the engine makes longer in advance.
        end = len(whole.rstrip(b"\0"))
        log.write_bytes(whole[: end // 2])
        command = [binary(), "--config", str(deployment.config), "run"]
        refused = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert refused.returncode == 1, log
        assert str(log.parent) in refused.stderr and "keyferry restore" in refused.stderr, refused.stderr
        shutil.rmtree(log.parent)
        shutil.copytree(copy / log.parent.relative_to(deployment.state_dir), log.parent)
    deployment.start()
    population.check_use()
