"""The doctor and an instance on another host that does not answer."""

import signal

import pytest

from deployment import INSTANCE, eventually
from population import Population
from test_remote import elsewhere, gateway, status

# Fixtures of another file, which pytest finds by their names.
assert elsewhere and gateway

# A call that is not answered is given up after a minute; the doctor looks twice.
SILENCE = 180


def unreachable(deployment):
    code, examination = deployment.cli("doctor", timeout=SILENCE)
    found = [finding for finding in examination["findings"] if finding["code"] == "KeystoreUnreachable"]
    assert code == (1 if examination["findings"] else 0), examination
    return found, examination


@pytest.mark.parametrize("silent", [False, True], ids=["gone", "silent"])
def test_an_instance_that_does_not_answer_is_a_finding_and_no_record_is_called_missing(gateway, elsewhere, silent):
    population = Population(gateway.sdk()).fill_small()
    code, job = gateway.migrate("--all")
    assert code == 0, job
    assert unreachable(gateway)[0] == []
    if silent:
        # It has the connections and says nothing on them.
        elsewhere.process.send_signal(signal.SIGSTOP)
    else:
        elsewhere.kill()
    found, examination = unreachable(gateway)
    assert len(found) == 1, examination
    [finding] = found
    assert INSTANCE in finding["keystore"] and finding["remedy"] and finding["message"], finding
    # What could not be asked is not known to be wrong; and what could be was examined.
    assert examination["findings"] == found, examination
    assert examination["examined"]["keys"] >= len(population.keys)
    # Nothing that cannot be seen is repaired.
    code, treatment = gateway.cli("doctor", "--repair", timeout=SILENCE)
    assert code == 1, treatment
    mark = gateway.log.mark()
    if silent:
        elsewhere.process.send_signal(signal.SIGCONT)
    else:
        elsewhere.start()
        gateway.log.wait("instance.connected", since=mark)
    eventually(lambda: status(gateway) == "Connected")
    eventually(lambda: unreachable(gateway)[1]["findings"] == [])
    population.check_use()
