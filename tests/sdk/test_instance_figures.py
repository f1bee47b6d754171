"""Metrics and health of an instance's own process: what a scraper, a load balancer and a watchdog see of it."""

import signal
import socket

import pytest

from clients import Refused
from deployment import INSTANCE, PATIENCE, RETAIL, eventually, free_port
from population import Population
from test_crypto import b64
from test_elsewhere import TokenElsewhere, point_to
from test_hardware import PIN
from test_observed import get, series
from test_remote import Elsewhere, issue, own_command, status
from test_token_faults import FaultyToken

OK = (200, "ok\n")
CERTIFICATE = "keyferry_certificate_expiry_seconds"
HARDWARE_ERRORS = 'keyferry_keystore_errors_total{keystore="hardware"}'


def listening(instance):
    """Has its process serve figures and health; answers the port."""
    port = free_port()
    instance.extra = f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    return port


def scrape(port):
    code, text = get(port, "/metrics")
    assert code == 200 and text.endswith("# EOF\n"), text
    return series(text)


def reload(instance, expect="config.reloaded"):
    """Writes its file anew and sends SIGHUP; answers the event that tells what became of it."""
    instance.write_config()
    mark = instance.log.mark()
    instance.process.send_signal(signal.SIGHUP)
    return instance.log.wait(expect, since=mark)


@pytest.fixture
def started():
    """Starts instances; those that are left end with the test."""
    made = []

    def start(instance, failpoint=None):
        made.append(instance)
        return instance.start(failpoint)

    yield start
    for instance in made:
        if instance.process is not None and instance.process.poll() is None:
            instance.kill()


def test_a_scraper_sees_an_instance(unstarted, tmp_path, started):
    elsewhere = Elsewhere(tmp_path / "elsewhere")
    elsewhere.made_of.append("expires = 2131-01-01T00:00:00Z")
    port = listening(elsewhere)
    started(elsewhere)
    # Nobody has to wait for it: it listens before it says that it has started.
    assert (get(port, "/readyz"), get(port, "/livez"), get(port, "/nothing")[0]) == (OK, OK, 404)
    point_to(unstarted, elsewhere)
    unstarted.start()
    eventually(lambda: status(unstarted) == "Connected")
    population = Population(unstarted.sdk()).fill_small()
    code, job = unstarted.migrate("--all")
    assert code == 0, job
    population.check_use()
    found = scrape(port)
    for measured in ("commit", "sync"):
        assert found[f"keyferry_store_{measured}_duration_seconds_count"] > 0, measured
    assert found["keyferry_instance_expiry_seconds"] > 1e9 and found["keyferry_uptime_seconds"] > 0
    assert found["keyferry_resident_memory_bytes"] > 1e6 and found["keyferry_store_errors_total"] == 0
    assert any(name.startswith("keyferry_build_info{") for name in found)
    # Of its own kind of keystore and of nothing that it does not have.
    errors = [name for name in found if name.startswith("keyferry_keystore_errors_total")]
    assert errors == ['keyferry_keystore_errors_total{keystore="software"}'], errors
    assert not [name for name in found if name.startswith(("keyferry_jobs", "keyferry_request"))]
    text = get(port, "/metrics")[1]
    assert not any(name in text for name in (RETAIL.id, "cn-hangzhou", "kst-", job["id"])), "a name is in a label"


def test_what_it_presents_is_what_ends(tmp_path, started):
    elsewhere = Elsewhere(tmp_path / "elsewhere")
    port = listening(elsewhere)
    started(elsewhere)

    def days():
        return scrape(port)[CERTIFICATE] / 86_400

    assert 29.9 < days() < 30
    issue(elsewhere.directory, "instance", elsewhere.issuer, days=3)
    assert 29.9 < days() < 30, "the new one is not presented yet"
    reload(elsewhere)
    assert 2.9 < days() < 3


def test_a_reload_says_what_it_did_not_do(tmp_path, started):
    elsewhere = Elsewhere(tmp_path / "elsewhere")
    port = listening(elsewhere)
    started(elsewhere)
    assert scrape(port)["keyferry_config_rejected"] == 0
    right, elsewhere.extra = elsewhere.extra, "[metrics]\nlissen = 1\n"
    reload(elsewhere, expect="config.rejected")
    assert scrape(port)["keyferry_config_rejected"] == 1
    elsewhere.extra = right
    assert "next start" not in reload(elsewhere)["message"]
    assert scrape(port)["keyferry_config_rejected"] == 0
    # Another address is taken from the next start on.
    other = listening(elsewhere)
    assert reload(elsewhere)["message"].endswith("; from the next start: metrics")
    assert get(port, "/readyz") == OK
    elsewhere.process.send_signal(signal.SIGTERM)
    assert elsewhere.process.wait(PATIENCE) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
    started(elsewhere)
    assert get(other, "/readyz") == OK


def test_a_taken_address_is_named_at_the_start(tmp_path):
    elsewhere = Elsewhere(tmp_path / "elsewhere")
    port = listening(elsewhere)
    elsewhere.write_config()
    with socket.socket() as held:
        held.bind(("127.0.0.1", port))
        held.listen()
        done = own_command(elsewhere, "run", "--role", "instance")
    assert done.returncode == 1, done.stderr
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr and "Choose another `listen`" in done.stderr, done.stderr
    assert "daemon.started" not in done.stderr


def test_an_instance_whose_store_hangs_is_not_alive(tmp_path, started):
    elsewhere = Elsewhere(tmp_path / "elsewhere")
    port = listening(elsewhere)
    # Two seconds of patience.
    elsewhere.environment = {"WATCHDOG_USEC": "4000000"}
    # The thread that writes hangs at a later write: whoever writes waits for ever.
    started(elsewhere, failpoint="store.write.before:8=stall")
    eventually(lambda: get(port, "/livez") == OK)
    eventually(lambda: scrape(port)["keyferry_worker_silence_seconds"] > 6)
    code, why = get(port, "/livez")
    assert code == 503 and why.startswith("the store has made no progress for"), why
    # What can be read is served.
    assert get(port, "/readyz") == OK


def test_a_token_that_refuses_the_pin_makes_an_instance_unready_and_not_dead(tmp_path, started):
    token = FaultyToken(tmp_path / "token")
    token.set_pin("000000")
    elsewhere = TokenElsewhere(tmp_path / "elsewhere", token)
    port = listening(elsewhere)
    started(elsewhere)
    eventually(lambda: "not tried again" in get(port, "/readyz")[1])
    for _ in range(3):
        code, why = get(port, "/readyz")
        assert code == 503 and why.startswith("the token cannot be used:"), why
    assert get(port, "/livez") == OK
    assert len(token.noted("logins")) == 1, "tokens lock"
    token.set_pin(PIN)
    reload(elsewhere)
    eventually(lambda: get(port, "/readyz") == OK)


def test_a_token_that_is_away_makes_an_instance_unready_until_it_is_back(unstarted, tmp_path, started):
    token = FaultyToken(tmp_path / "token")
    elsewhere = TokenElsewhere(tmp_path / "elsewhere", token)
    port = listening(elsewhere)
    started(elsewhere)
    point_to(unstarted, elsewhere, kind="hardware")
    unstarted.start()
    eventually(lambda: status(unstarted) == "Connected")
    sdk = unstarted.sdk()
    key = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    plain = b64(b"under a key of the token")
    sealed = sdk.call("Encrypt", KeyId=key, Plaintext=plain)["CiphertextBlob"]
    eventually(lambda: get(port, "/readyz") == OK)
    before = scrape(port)[HARDWARE_ERRORS]
    token.order("removed")
    code, why = get(port, "/readyz")
    assert code == 503 and why.startswith("the token cannot be used:"), why
    assert get(port, "/livez") == OK
    for _ in range(3):
        with pytest.raises(Refused) as caught:
            sdk.call("Decrypt", CiphertextBlob=sealed)
        assert caught.value.status == 503, caught.value
    assert scrape(port)[HARDWARE_ERRORS] >= before + 3
    token.control.unlink()
    eventually(lambda: get(port, "/readyz") == OK)
    assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == plain
