"""A reload that takes an account or an instance away while somebody begins to use it: it is rejected, or nothing begins."""

import json
import signal
import subprocess
import time

import pytest

from clients import Refused
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, SMALL_INSTANCE, STRANGER, binary
from population import Population

# Each takes a moment to be set up, so that something can begin while the reload is under way.
NEW = [f"kst-new{number}" for number in range(20)]


def begin_reload(made, after=0.03):
    made.write_config()
    mark = made.log.mark()
    made.process.send_signal(signal.SIGHUP)
    time.sleep(after)
    return mark


def outcome(made, mark):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = made.log.all("config.reloaded", since=mark) + made.log.all("config.rejected", since=mark)
        if found:
            return found[0]
        time.sleep(0.01)
    raise AssertionError("the reload has not ended")


def make_a_key_meanwhile(made, population):
    """A key in the instance while a reload takes that away; answers what became of the reload. One that was faster than this
    client shows nothing, and the next one has more to set up."""
    for fresh in (NEW, [f"kst-more{number}" for number in range(80)], [f"kst-most{number}" for number in range(160)]):
        made.instances = [SMALL_INSTANCE, *fresh]
        mark = begin_reload(made)
        try:
            population.key("inside", DKMSInstanceId=INSTANCE)
        except Refused as refusal:
            told = outcome(made, mark)
            assert told["event"] == "config.reloaded", (told, refusal)
            made.instances = [INSTANCE, SMALL_INSTANCE]
            made.reload()
            continue
        population.encrypt("inside")
        return outcome(made, mark)
    raise AssertionError("each reload was over before a key could be made")


def refused_at_start(made, words):
    made.stop()
    run = [binary(), "--config", str(made.config), "run"]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2 and words in ended.stderr, ended.stderr


def test_an_instance_in_which_a_key_is_made_meanwhile_stays(deployment):
    made = deployment
    population = Population(made.sdk()).fill_small()
    told = make_a_key_meanwhile(made, population)
    assert told["event"] == "config.rejected" and f"instance {INSTANCE}" in told["message"], told
    population.check_use()
    # What was put back is open again.
    population.key("another", DKMSInstanceId=INSTANCE)
    refused_at_start(made, f"instance {INSTANCE}")
    made.instances = [INSTANCE, SMALL_INSTANCE]
    made.start()
    population.sdk = made.sdk()
    population.check_use()


def test_an_instance_into_which_a_migration_ends_meanwhile_stays(deployment):
    made = deployment
    population = Population(made.sdk()).fill_small()
    made.instances = [SMALL_INSTANCE, *NEW, *(f"kst-more{number}" for number in range(60))]
    mark = begin_reload(made)
    selection = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE, "--all"]
    command = [binary(), "--socket", str(made.socket), "--json", "migrate", *selection, "--yes", "--wait"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    told = outcome(made, mark)
    if told["event"] == "config.reloaded":
        # The reload was faster: then nothing has moved there.
        assert run.returncode != 0 and population.sdk.call("DescribeKey", KeyId=population.keys["plain"]), run.stdout
    else:
        assert f"instance {INSTANCE}" in told["message"], told
        assert json.loads(run.stdout)["state"] == "complete", run.stdout
    population.check_use()


@pytest.mark.parametrize("after", [0.02, 0.05, 0.1, 0.2, 0.4])
def test_an_account_that_makes_its_first_key_meanwhile_stays(deployment, after):
    made = deployment
    sdk = made.sdk(account=STRANGER)
    sdk.call("ListKeys")
    made.accounts = [RETAIL, LOGISTICS]
    made.instances = [INSTANCE, SMALL_INSTANCE, *NEW[:4]]
    mark = begin_reload(made, after)
    try:
        sdk.call("CreateKey")
        created = True
    except Refused as refusal:
        assert refusal.code in ("InvalidAccessKeyId.NotFound", "ServiceUnavailableTemporary"), refusal
        created = False
    told = outcome(made, mark)
    assert created == (told["event"] == "config.rejected"), told
    if created:
        assert f"account {STRANGER.id}" in told["message"], told
        sdk.call("CreateKey")
        refused_at_start(made, f"account {STRANGER.id}")
