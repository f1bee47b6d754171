"""The audit trail's heads in the log while nothing runs."""

import datetime

from deployment import PATIENCE
from population import Population

EVERY = 60


def at(line):
    return datetime.datetime.fromisoformat(line["timestamp"])


def test_a_head_comes_each_minute_although_nothing_runs_and_an_older_one_is_still_good(deployment):
    Population(deployment.sdk()).fill_small()
    first = deployment.log.wait("audit.head")
    assert "job" not in first, "told because of a job, not of the time"
    mark = deployment.log.mark()
    second = deployment.log.wait("audit.head", since=mark, timeout=EVERY + PATIENCE)
    assert "job" not in second
    # Each is told once it is signed, which takes a busy machine longer at one time than at another.
    assert EVERY - 15 <= (at(second) - at(first)).total_seconds() <= EVERY + 30
    places = [int(line["head"].split(":")[0]) for line in (first, second)]
    assert places[0] < places[1], "the population was recorded in between"
    for line in (first, second):
        code, verdict = deployment.cli("audit", "verify", "--head", line["head"])
        assert code == 0 and verdict["intact"], verdict
    # A head is worth something only if another one is not taken for it.
    place, link = second["head"].split(":")
    forged = f"{place}:{'0' if link[0] != '0' else '1'}{link[1:]}"
    code, verdict = deployment.cli("audit", "verify", "--head", forged)
    assert code == 1, verdict
