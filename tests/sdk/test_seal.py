"""Root keys: exchanged while everything goes on, exported for escrow, and refused when they are not the right ones."""

import os
import stat
import subprocess

from deployment import INSTANCE, PATIENCE, binary
from population import Population


def keys_of(document):
    return {name: key for key in document["root_keys"] for name in key["names"]}


def refused_start(deployment):
    """What a daemon says that does not start."""
    command = [binary(), "--config", str(deployment.config), "run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode != 0
    return done.stderr


def test_root_keys_are_exchanged_while_everything_goes_on(deployment):
    population = Population(deployment.sdk()).fill()
    before = population.snapshot()
    code, status = deployment.cli("seal", "status")
    assert code == 0, status
    old = keys_of(status)
    assert set(old) >= {"shared", INSTANCE}
    assert all(key["state"] == "settled" and key["beside_data"] and key["before"] is None for key in old.values())
    _, screen = deployment.cli("status")
    warnings = [warning for warning in screen["warnings"] if warning["code"] == "RootKeyBesideData"]
    assert len(warnings) == len(status["root_keys"]) and all(warning["remedy"] for warning in warnings)

    # One moves to the instance while the keys change under both keystores.
    code, started = deployment.migrate("--all", wait=False)
    assert code == 0, started
    code, rotated = deployment.cli("seal", "rotate", "--wait")
    assert code == 0, rotated
    new = keys_of(rotated)
    assert all(key["state"] == "settled" and key["before"] is None for key in new.values())
    for name, key in new.items():
        assert key["id"] != old[name]["id"]
        assert [retired["id"] for retired in key["retired"]] == [old[name]["id"]]
        assert stat.S_IMODE(os.stat(key["place"]).st_mode) == 0o600
    deployment.log.wait("seal.rotated")
    deployment.log.wait("migration.complete")
    population.check_use()
    deployment.stop()
    deployment.start()
    population.check_use()
    assert set(population.snapshot()) == set(before)

    # The key before is not enough any more, and the text names the one that is needed.
    deployment.stop()
    shared = new["shared"]
    place, retired = shared["place"], shared["retired"][0]["place"]
    os.rename(place, place + ".away")
    os.link(retired, place)
    text = refused_start(deployment)
    assert shared["id"] in text and old["shared"]["id"] in text and "nothing has been changed" in text, text
    os.unlink(place)
    text = refused_start(deployment)
    assert place in text and "put it back from your backup" in text, text
    os.rename(place + ".away", place)
    deployment.start()
    population.check_use()


def test_an_exchange_that_was_killed_goes_on_at_the_next_start(deployment):
    population = Population(deployment.sdk()).fill()
    for _ in range(3):
        _, before = deployment.cli("seal", "status")
        code, _ = deployment.cli("seal", "rotate")
        assert code == 0
        deployment.kill()
        deployment.start()
        code, after = deployment.cli("seal", "rotate", "shared", "--wait")
        assert code == 0, after
        assert keys_of(after)["shared"]["id"] != keys_of(before)["shared"]["id"]
        assert keys_of(after)["shared"]["state"] == "settled"
        population.check_use()


def test_export_is_for_the_one_who_asked_and_overwrites_nothing(deployment):
    target = deployment.directory / "escrow"

    def export():
        command = [binary(), "--config", str(deployment.config), "--socket", str(deployment.socket)]
        command += ["seal", "export", "--to", str(target)]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    done = export()
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    _, status = deployment.cli("seal", "status")
    lines = [line.split(" ") for line in target.read_text().splitlines()]
    assert {(name, key_id) for name, key_id, _ in lines} == {
        (name, key["id"]) for name, key in keys_of(status).items()
    }
    for name, _, digits in lines:
        with open(keys_of(status)[name]["place"], encoding="ascii") as kept:
            assert kept.read().strip() == digits
        assert digits not in done.stdout and digits not in done.stderr
    command = deployment.log.wait("admin.command")
    assert command["message"].startswith("seal export")
    before = target.read_bytes()
    done = export()
    assert done.returncode == 1 and "nothing is overwritten" in done.stderr, done.stderr
    assert target.read_bytes() == before


def test_a_root_key_that_is_not_there_is_named(deployment):
    code, document = deployment.cli("seal", "rotate", "kst-unknown")
    assert code == 2 and document["error"]["code"] == "RootKeyNotFound" and INSTANCE in document["error"]["remedy"]
