"""A disk that fills up under the running daemon."""

import errno
import subprocess

import pytest

import clients
from deployment import INSTANCE, PATIENCE, Deployment, eventually
from population import Population, moved

ROOM = "96m"


@pytest.fixture
def small_disk(tmp_path):
    """A deployment whose state lies on a tmpfs of its own; needs root."""
    made = Deployment(tmp_path)
    made.state_dir.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={ROOM},mode=0700", "keyferry-test", str(made.state_dir)]
    subprocess.run(mount, check=True)
    yield made
    made.close()
    subprocess.run(["umount", "-l", str(made.state_dir)], check=True)


def fill(path):
    """Takes all the room there is."""
    block = b"\0" * 4096
    with open(path, "wb", buffering=0) as ballast:
        try:
            while ballast.write(block):
                pass
        except OSError as full:
            assert full.errno == errno.ENOSPC, full


def test_a_full_disk_loses_nothing_and_heals_by_itself(small_disk):
    small_disk.start()
    sdk = small_disk.sdk()
    population = Population(sdk).fill_small()
    ballast = small_disk.state_dir / "ballast"
    fill(ballast)
    kept, in_doubt = {}, None
    for n in range(2000):
        try:
            sdk.call("CreateSecret", SecretName=f"full/{n}", VersionId="v1", SecretData=f"{n}" * 1000)
            kept[f"full/{n}"] = f"{n}" * 1000
        except clients.Refused as refused:
            assert refused.status >= 500, refused
            in_doubt = f"full/{n}"
            break
    assert in_doubt is not None, "the disk never filled up"
    degraded = small_disk.log.wait("store.degraded")
    assert degraded["level"] == "ERROR", degraded

    # Room again: the daemon ends, as a failure, so that its service manager starts it anew.
    ballast.unlink()
    assert small_disk.process.wait(PATIENCE) == 1
    small_disk.start()
    population.check_use()
    for name, value in kept.items():
        assert sdk.call("GetSecretValue", SecretName=name)["SecretData"] == value
    sdk.call("CreateSecret", SecretName="after", VersionId="v1", SecretData="x")
    code, findings = small_disk.cli("doctor")
    assert code == 0, findings


@pytest.mark.parametrize("phase", ["copying", "confirming"])
def test_a_migration_on_a_full_disk_ends_by_itself(small_disk, phase):
    small_disk.start()
    population = Population(small_disk.sdk()).fill_small()
    before = population.snapshot()
    small_disk.schedule(seconds=2, soak='"1s"')
    small_disk.log.wait("migration.progress", phase=phase)
    ballast = small_disk.state_dir / "ballast"
    fill(ballast)

    def degraded():
        return small_disk.log.all("store.degraded") or small_disk.job()["state"] in ENDED

    try:
        eventually(degraded)
    finally:
        print("\n".join(map(str, small_disk.log.lines[-30:])), small_disk.process.poll())
    ballast.unlink()
    # What it has logged until now has been read once it has answered once more.
    small_disk.cli("status")

    if small_disk.log.all("store.degraded"):
        # It ends when there is room again; who asks it until then may find it gone in the middle of an answer.
        assert small_disk.process.wait(PATIENCE) == 1
        small_disk.start()

    def ended():
        if small_disk.process.poll() is not None:
            small_disk.start()
        code, answer = small_disk.cli("job", "list")
        return code == 0 and answer["jobs"][-1]["state"] in ENDED

    eventually(ended)
    population.sdk = small_disk.sdk()
    complete = small_disk.job()["state"] == "complete"
    eventually(lambda: population.snapshot() == (moved(before, INSTANCE) if complete else before))
    population.check_use()
    population.key("manageable again")
    eventually(lambda: small_disk.cli("doctor")[0] == 0)


ENDED = ("complete", "failed")
