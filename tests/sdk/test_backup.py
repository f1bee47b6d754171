"""Backups: taken while everything runs, brought back on a machine that has lost its stores, refused when not whole."""

import os
import shutil
import stat
import subprocess
import time

import pytest

from deployment import INSTANCE, PATIENCE, binary, eventually
from population import Population


class Copies:
    """The backup commands of a deployment."""

    def __init__(self, deployment):
        self.deployment = deployment
        self.key = deployment.directory / "backup.key"
        self.file = deployment.directory / "backup"

    def run(self, *arguments):
        command = [binary(), "--config", str(self.deployment.config), "--socket", str(self.deployment.socket), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def backup(self, file=None):
        return self.run("backup", str(file or self.file), "--key-file", str(self.key))

    def restore(self, *more, file=None, key=None):
        return self.run("restore", str(file or self.file), "--key-file", str(key or self.key), *more)

    def lose_everything(self):
        """All but the root keys, which a backup does not hold."""
        for entry in self.deployment.state_dir.iterdir():
            if entry.name != "keys":
                shutil.rmtree(entry)


@pytest.fixture
def copies(deployment):
    return Copies(deployment)


def test_a_backup_taken_during_a_migration_brings_everything_back_and_the_job_ends(deployment, copies):
    population = Population(deployment.sdk()).fill()
    deployment.schedule("move", seconds=2, window='"10m"', soak='"15s"')
    deployment.log.wait("migration.progress", phase="confirming")
    done = copies.backup()
    assert done.returncode == 0, done.stderr
    assert "Written and read back" in done.stdout and "root key" in done.stdout, done.stdout
    assert stat.S_IMODE(copies.file.stat().st_mode) == 0o600 == stat.S_IMODE(copies.key.stat().st_mode)
    assert not copies.file.with_name("backup.partial").exists()
    assert deployment.job()["state"] == "confirming", "the soak was too short for this machine"
    deployment.log.wait("migration.complete")
    deployment.stop()

    copies.lose_everything()
    done = copies.restore("--check")
    assert done.returncode == 0 and not (deployment.state_dir / "control").exists(), done.stderr
    done = copies.restore()
    assert done.returncode == 0 and "Restored" in done.stdout, done.stderr
    deployment.start()
    # As of the backup the source was whole; the job goes on from there.
    deployment.log.wait("migration.resumed")
    deployment.log.wait("migration.complete")
    population.check_use()
    code, resources = deployment.cli("resources", "--instance", INSTANCE)
    assert code == 0 and resources["keys"] and resources["secrets"], resources
    code, verdict = deployment.cli("audit", "verify")
    assert code == 0 and verdict["intact"], verdict
    # It is a life like any other: it can be written to, backed up, and started again.
    Population(deployment.sdk()).generic("after/restore")
    assert copies.backup(deployment.directory / "second").returncode == 0
    deployment.stop()
    deployment.start()
    population.check_use()


def test_clients_go_on_while_a_backup_is_taken(deployment, copies):
    population = Population(deployment.sdk()).fill_small()
    taken = []
    for number in range(5):
        taken.append(deployment.directory / f"backup-{number}")
        command = [binary(), "--socket", str(deployment.socket), "backup", str(taken[-1]), "--key-file", str(copies.key)]
        running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while running.poll() is None:
            population.check_use()
        assert running.returncode == 0
    assert all(copies.restore("--check", file=file).returncode == 0 for file in taken)


def test_what_is_not_whole_or_not_ours_changes_nothing(deployment, copies):
    population = Population(deployment.sdk()).fill_small()
    assert copies.backup().returncode == 0
    again = copies.backup()
    assert again.returncode == 1 and "nothing is overwritten" in again.stderr, again.stderr
    refused = copies.restore()
    assert refused.returncode == 1 and "move it away" in refused.stderr, refused.stderr
    population.check_use()
    deployment.stop()
    copies.lose_everything()
    whole = copies.file.read_bytes()
    damaged = deployment.directory / "damaged"

    other = deployment.directory / "other.key"
    other.touch(mode=0o600)
    other.write_text("11" * 32)
    refused = copies.restore(key=other)
    assert refused.returncode == 1 and "is sealed under key" in refused.stderr, refused.stderr
    missing = copies.restore(key=deployment.directory / "none.key")
    assert missing.returncode == 2 and "none.key" in missing.stderr, missing.stderr
    # Another byte for certain: what is sealed is random.
    changed = whole[:500] + bytes([whole[500] ^ 1]) + whole[501:]
    for content in (whole[:-1], whole[: len(whole) // 2], whole + b"x", changed, b""):
        damaged.write_bytes(content)
        refused = copies.restore(file=damaged)
        assert refused.returncode == 1, refused.stdout
        assert "damaged" in refused.stderr or "no backup" in refused.stderr, refused.stderr
        assert os.listdir(deployment.state_dir) == ["keys"]

    # One that was cut while it was written keeps the daemon from starting, and is done again from its beginning.
    (deployment.state_dir / "restoring" / "control").mkdir(parents=True)
    refused = subprocess.run(
        [binary(), "--config", str(deployment.config), "run"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert refused.returncode == 1 and "restore" in refused.stderr, refused.stderr
    assert copies.restore().returncode == 0
    deployment.start()
    population.check_use()


def test_the_daemon_takes_backups_by_itself_and_keeps_so_many(deployment, copies):
    population = Population(deployment.sdk()).fill_small()
    deployment.stop()
    shelf = deployment.directory / "shelf"
    deployment.extra = "\n".join(
        ["[backup]", f'directory = "{shelf}"', f'key_file = "{copies.key}"', 'every = "1s"', "keep = 2"]
    )
    # The directory is not there: told, and nothing else happens.
    deployment.start()
    failed = deployment.log.wait("backup.failed")
    assert str(shelf) in failed["message"] and failed["level"] == "ERROR", failed
    deployment.stop()
    shelf.mkdir()
    (shelf / "of-somebody-else").write_text("stays")
    (shelf / "keyferry-20200101T000000Z.backup").write_text("an old one")
    (shelf / "keyferry-20200102T000000Z.backup.partial").write_text("a torn one")
    for _ in range(3):
        deployment.start()
        deployment.log.wait("backup.done")
        deployment.stop()
        # The next start looks once, and then a minute later: it has to find the next one due.
        done = time.time()
        eventually(lambda: time.time() - done > 1.5)
    left = sorted(path.name for path in shelf.iterdir())
    taken = [name for name in left if name.startswith("keyferry-")]
    assert len(taken) == 2 and all(name > "keyferry-2026" for name in taken) and "of-somebody-else" in left, left
    copies.lose_everything()
    restored = copies.restore(file=shelf / taken[-1])
    assert restored.returncode == 0, restored.stderr
    deployment.start()
    population.check_use()
    code, trail = deployment.cli("audit", "verify")
    assert code == 0, trail
