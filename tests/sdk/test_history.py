"""The model of the API, on the real daemon: migrations under load while the daemon is killed, dies at failpoints or loses its
instance; every call of every client is recorded and checked (`history.py`)."""

import os
import random
import time

import pytest

from deployment import INSTANCE, LOGISTICS, PATIENCE, REGION, RETAIL
from history import Call, History, seconds
from population import MARKER, found_in_the_clear

# Where the daemon dies, or what it cannot reach for a while; one start each, then one without.
FAULTS = [
    "gate.close.after=abort",
    "lock.put.before=abort",
    "target.stage.after:2=abort",
    "proof.digests.before=error,target.activate.before=abort",
    "target.activate.after=abort",
    "catalogue.flip.before:2=abort",
    "catalogue.flip.after:1=abort",
    "target.confirm.after=error,journal.purging.before=abort",
    "journal.purging.after=abort",
    "source.purge.before=error,source.purge.after:2=abort",
    "marks.clear.after=abort",
    "job.end.before=abort",
    "job.end.after=abort",
]


def story(made, fault, seed, disturb=None, monkeypatch=None):
    """A migration of two accounts as a group, with clients of both, until both jobs have ended."""
    made.start()
    histories = [History(made, account, f"{seed}/{account.id}").fill() for account in (RETAIL, LOGISTICS)]
    if fault:
        # The failpoints are armed for one life of the daemon.
        made.stop()
        monkeypatch.setenv("KEYFERRY_FAILPOINT", fault)
        made.start()
        monkeypatch.delenv("KEYFERRY_FAILPOINT")
    with histories[0], histories[1]:
        names = ["--account", RETAIL.id, "--account", LOGISTICS.id]
        where = ["--region", REGION, "--instance", INSTANCE]
        code, group = made.cli("migrate", *where, *names, "--all", "--yes")
        # It may die before whoever ordered the migration has got the answer; that there are two jobs is seen at the end.
        assert code == 0 or fault, group
        until_ended(made, disturb)
        # A while after the last unlock: what is written now has to land in the instance.
        time.sleep(0.5)
    code, document = made.cli("job", "list")
    jobs = {job["account"]: job for job in document["jobs"]}
    assert {job["state"] for job in jobs.values()} == {"complete"}, f"seed {seed}: {document}"
    for history in histories:
        job = jobs[history.account.id]
        locks = [(seconds(job["locked_at"]) + 0.001, seconds(job["unlocked_at"]) - 0.001)]
        history.check(locks)
        assert history.refused_inside(locks) > 0 or fault or disturb, "nothing was tried while the scope was locked"
        assert len(history.sealed) > 10
    assert_nothing_in_the_source(made, histories)


def until_ended(made, disturb):
    deadline = time.monotonic() + PATIENCE * 2
    while True:
        if made.process.poll() is not None:
            made.start()
        if disturb:
            disturb()
        code, document = made.cli("job", "list")
        if code == 0 and all(job["finished_at"] for job in document["jobs"]):
            return
        assert time.monotonic() < deadline, f"the jobs do not end: {document}"
        time.sleep(0.05)


def assert_nothing_in_the_source(made, histories):
    """Everything of the accounts is in the instance, what was written after the cut-over too, and no material lies anywhere
    that no entry names."""
    code, document = made.cli("resources")
    assert code == 0, document
    for kind in ("keys", "secrets"):
        left = [row for row in document[kind] if not row.get("service") and row["instance"] != INSTANCE]
        assert left == [], left
    for history in histories:
        newest = max(call.number for call in history.calls if call.operation == "PutSecretValue")
        assert newest > 1
    made.stop()
    made.start()
    code, document = made.cli("doctor")
    assert code == 0, document
    assert document["findings"] == [], document
    assert found_in_the_clear(made.state_dir, MARKER) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_the_record_of_all_calls_holds_when_the_daemon_dies_at(unstarted, fault, monkeypatch):
    story(unstarted, fault, fault, monkeypatch=monkeypatch)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_record_of_all_calls_holds_when_the_daemon_is_killed_again_and_again(unstarted, seed):
    made, seed = unstarted, int(os.environ.get("KEYFERRY_SEED", seed))
    chance = random.Random(seed)
    left = [6]

    def kill_sometimes():
        if left[0] and made.process.poll() is None:
            left[0] -= 1
            time.sleep(chance.random() * 0.4)
            made.kill()
            made.start()

    story(made, None, seed, disturb=kill_sometimes)
    assert left[0] < 6, "it was killed at all"


def test_the_record_of_all_calls_holds_without_faults(unstarted):
    story(unstarted, None, 0)


def test_the_checks_notice_what_must_not_be():
    def record(*calls):
        history = History(None, RETAIL, 0)
        history.secrets = ["s"]
        history.calls = [Call(*call) for call in calls]
        return history

    good = [("PutSecretValue", 1, 2, "done", 1, "s"), ("read", 1.5, 3, "done", 0, "s"), ("read", 3, 4, "done", 1, "s")]
    record(*good).check_secret("s")
    for wrong in [
        [*good, ("read", 5, 6, "done", 0, "s")],  # after its write was acknowledged
        [*good, ("read", 5, 6, "done", 2, "s")],  # never sent
        [("PutSecretValue", 1, 9, "lost", 2, "s"), ("read", 2, 3, "done", 2, "s"), ("read", 4, 5, "done", 0, "s")],
    ]:
        with pytest.raises(AssertionError):
            record(*wrong).check_secret("s")
    for before in [("CreateKey", 1, 2, "done"), ("CreateKey", 4, 4.1, "Rejected.Migrating")]:
        history = record(before, ("CreateKey", 4.2 if before[1] == 4 else 5.5, 6, "done"))
        with pytest.raises(AssertionError, match="committed in a locked scope"):
            history.check([(4, 7)])
    history = record()
    history.blame("Decrypt was answered InvalidParameter")
    with pytest.raises(AssertionError, match="InvalidParameter"):
        history.check([])
