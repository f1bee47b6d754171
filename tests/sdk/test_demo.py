"""`keyferry demo`: the whole story, in one process and in two. Into hardware it is told in test_hardware.py."""

import pathlib
import subprocess
import tempfile

import pytest

from deployment import binary


@pytest.mark.parametrize("options", [[], ["--remote"]], ids=["here", "remote"])
def test_the_demo_ends_with_migration_complete(options):
    # Short: the path of a socket has hardly more than a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="kf") as directory:
        place = pathlib.Path(directory)
        done = subprocess.run(
            [binary(), "demo", *options, "--keys", "14", "--secrets", "8"],
            capture_output=True, text=True, timeout=300, env={"PATH": "/usr/bin:/bin", "TMPDIR": directory},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.rstrip().endswith("Migration Complete"), done.stdout
        assert "FAILED" not in done.stdout
        for held in (
            "a management operation was refused meanwhile",
            "no rotation is held back",
            "every key that can move shows the instance, the others do not",
        ):
            assert f"  ok      {held}" in done.stdout, done.stdout
        assert " 0 of them failed" in done.stdout
        assert not list(place.iterdir()), "the directory is removed"


def test_a_demo_elsewhere_keeps_two_state_directories_apart(tmp_path):
    with tempfile.TemporaryDirectory(prefix="kf") as directory:
        done = subprocess.run(
            [binary(), "demo", "--remote", "--keys", "14", "--secrets", "8", "--dir", directory],
            capture_output=True, text=True, timeout=300, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        # Kept where it was asked for: one store of the gateway's catalogue, one of the instance elsewhere.
        stores = [path.parent for path in pathlib.Path(directory).rglob("control")]
        assert len(stores) == 1, stores
        assert not (stores[0] / "instances").exists() or not list((stores[0] / "instances").iterdir())
