"""The daemon as a service: a second signal, a changed configuration, new certificates, allowed hours."""

import datetime
import pathlib
import signal
import socket
import ssl
import subprocess

from deployment import INSTANCE, PATIENCE, eventually
from population import Population

OTHER = "kst-hzz0000000000000003"


def hours(begin, end):
    """An entry of allowed_hours, from and to so many hours from now."""
    now = datetime.datetime.now(datetime.timezone.utc)
    shown = [(now + datetime.timedelta(hours=at)).strftime("%H:%M") for at in (begin, end)]
    return f'[migration]\nallowed_hours = ["{shown[0]}-{shown[1]} Etc/UTC"]\n'


def test_a_second_sigterm_leaves_at_once_and_nothing_is_lost(deployment):
    population = Population(deployment.sdk()).fill_small()
    # A request under way keeps the daemon from leaving at the first.
    with socket.create_connection(("127.0.0.1", deployment.port), timeout=PATIENCE) as half:
        half.sendall(b"POST / HTTP/1.1\r\nHost: kms\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
        # That it wants the body shows that it is at work on the request.
        assert half.recv(100).startswith(b"HTTP/1.1 100 ")
        half.sendall(b"half")
        mark = deployment.log.mark()
        deployment.process.send_signal(signal.SIGTERM)
        deployment.log.wait("daemon.stopping", since=mark)
        assert deployment.process.poll() is None
        deployment.process.send_signal(signal.SIGTERM)
        # It would leave with 0 once it had given the request up.
        assert deployment.process.wait(PATIENCE) == 128 + signal.SIGTERM
    deployment.start()
    population.check_use()


def test_a_reload_brings_an_instance_that_is_at_once_a_target(deployment):
    population = Population(deployment.sdk()).fill_small()
    deployment.instances.append(OTHER)
    assert "instance" in deployment.reload()["message"]
    code, document = deployment.migrate("--all", instance=OTHER)
    assert code == 0, document
    population.check_use()
    # One that holds something cannot go, and then nothing else of the file is taken either.
    deployment.instances.remove(OTHER)
    deployment.extra = hours(-1, 1)
    rejected = deployment.reload(expect="config.rejected")
    assert OTHER in rejected["message"]
    code, status = deployment.cli("status")
    assert code == 0, status
    population.check_use()


def certificate(directory, name):
    """A self-signed certificate in the place of the present one; answers it in DER form."""
    pem, key = directory / "tls.pem", directory / "tls.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    return ssl.PEM_cert_to_DER_cert(pem.read_text())


def presented(port):
    return ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate(("127.0.0.1", port), timeout=PATIENCE))


def test_sighup_presents_a_new_certificate_and_keeps_the_old_one_when_it_is_broken(unstarted):
    deployment = unstarted
    first = certificate(deployment.directory, "one")
    pem, key = deployment.directory / "tls.pem", deployment.directory / "tls.key"
    deployment.extra = f'[api.tls]\ncertificate = "{pem}"\nprivate_key = "{key}"\n'
    deployment.start()
    assert presented(deployment.port) == first
    second = certificate(deployment.directory, "two")
    deployment.reload()
    assert presented(deployment.port) == second != first
    pem.write_text("no certificate")
    rejected = deployment.reload(expect="config.rejected")
    assert str(pem) in rejected["message"]
    assert presented(deployment.port) == second


def test_scheduled_migrations_start_in_the_allowed_hours_only(deployment):
    population = Population(deployment.sdk()).fill_small()
    deployment.extra = hours(2, 4)
    deployment.schedule("closed", seconds=2, window='"10m"')
    missed = deployment.log.wait("schedule.missed", schedule="closed")
    assert missed["code"] == "OutsideAllowedHours", missed
    deployment.extra = hours(-1, 1)
    deployment.schedule("open", seconds=2, window='"10m"')
    deployment.log.wait("migration.complete", schedule="open")
    population.check_use()


def test_a_configuration_that_was_not_taken_is_shown_until_one_is(deployment):
    def rejected():
        code, status = deployment.cli("status")
        assert code == 0, status
        return [warning for warning in status["warnings"] if warning["code"] == "ConfigRejected"]

    def told(words):
        # Logged first, shown then.
        eventually(lambda: any(words in warning["message"] for warning in rejected()))
        [warning] = rejected()
        return warning

    assert not rejected()
    # A mistake in the file: what it is, where, and that the old one is in force.
    deployment.extra = '[log]\nlevel = "info"'
    deployment.reload(expect="config.rejected")
    warning = told("duplicate key")
    assert "the one from before is in force" in warning["message"], warning
    assert "config check" in warning["remedy"]
    deployment.extra = "[migraton]\nworkers = 0"
    deployment.reload(expect="config.rejected")
    told('did you mean "migration"')
    # Something in use that would go.
    deployment.extra = ""
    deployment.sdk().call("CreateKey", DKMSInstanceId=INSTANCE)
    deployment.instances.remove(INSTANCE)
    deployment.reload(expect="config.rejected")
    told(INSTANCE)
    deployment.instances.append(INSTANCE)
    deployment.reload()
    assert not rejected()


def test_secret_files_that_others_can_read_or_write_are_warned_about(unstarted):
    deployment = unstarted
    certificate(deployment.directory, "one")
    pem, key = deployment.directory / "tls.pem", deployment.directory / "tls.key"
    deployment.extra = f'[api.tls]\ncertificate = "{pem}"\nprivate_key = "{key}"\n'
    key.chmod(0o644)
    deployment.start()

    def warned():
        _, status = deployment.cli("status")
        return [warning["message"] for warning in status["warnings"] if warning["code"] == "Configuration"]

    assert any(f"{key} can be read by every user" in message for message in warned()), warned()
    key.chmod(0o666)
    deployment.reload()
    assert any(f"{key} can be written by every user" in message for message in warned()), warned()
    key.chmod(0o600)
    deployment.reload()
    assert not warned()


def later(by):
    """Runs a program with another wall clock: the kernel's belongs to the whole machine, libfaketime moves that of one
    process."""
    library = next(pathlib.Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return ["env", f"LD_PRELOAD={library}", f"FAKETIME={by}", "FAKETIME_DONT_FAKE_MONOTONIC=1"]


def test_a_clock_that_was_set_forward_destroys_nothing_before_it_is_confirmed(deployment):
    sdk = deployment.sdk()
    key = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    sdk.call("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    deployment.stop()

    def listed():
        code, document = deployment.cli("resources")
        assert code == 0, document
        return [entry["state"] for entry in document["keys"] if entry["id"] == key]

    def clock_warnings():
        _, status = deployment.cli("status")
        return [warning for warning in status["warnings"] if warning["code"] == "ClockStepped"]

    deployment.start(prefix=later("+40d"))
    stepped = deployment.log.wait("clock.stepped")
    assert stepped["level"] == "WARN" and "clock confirm" in stepped["message"], stepped
    assert listed() == ["PendingDeletion"]
    assert len(clock_warnings()) == 1
    # Also of the next process.
    deployment.stop()
    deployment.start(prefix=later("+40d"))
    assert listed() == ["PendingDeletion"]
    code, document = deployment.cli("clock", "confirm")
    assert code == 0 and document["confirmed"] is not None, document
    assert clock_warnings() == []
    eventually(lambda: listed() == [])
    code, document = deployment.cli("clock", "confirm")
    assert code == 0 and document["confirmed"] is None, document
