"""What others see of the daemon: its service manager, a scraper, the journal's reader, whoever is notified."""

import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest

from deployment import PATIENCE, REGION, RETAIL, eventually, free_port
from population import Population
from test_remote import authority, issue

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Manager:
    """A service manager: reads what it is told, in order (sd_notify(3))."""

    def __init__(self, directory):
        self.path = directory / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.told = []
        self.changed = threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while True:
            message = self.socket.recv(65536).decode()
            with self.changed:
                self.told += [(time.monotonic(), line) for line in message.splitlines()]
                self.changed.notify_all()

    def prefix(self, *more):
        return ["env", f"NOTIFY_SOCKET={self.path}", *more]

    def wait(self, holds, since=0):
        """The place behind the first line for which it holds."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while True:
                for place, (_, line) in enumerate(self.told[since:], since):
                    if holds(line):
                        return place + 1
                assert self.changed.wait(deadline - time.monotonic()), [line for _, line in self.told]

    def lines(self):
        with self.changed:
            return [line for _, line in self.told]


def starts(head):
    return lambda line: line.startswith(head)


def test_the_service_manager_is_told_everything(unstarted, tmp_path):
    manager = Manager(tmp_path)
    unstarted.start(manager.prefix("WATCHDOG_USEC=4000000"))
    ready = manager.wait(starts("READY=1"))
    # Who is ready accepts.
    socket.create_connection(("127.0.0.1", unstarted.port)).close()
    assert "STATUS=opening the stores" in manager.lines()[:ready]
    manager.wait(starts("STATUS=keyferry "))
    beat = manager.wait(starts("WATCHDOG=1"), ready)
    manager.wait(starts("WATCHDOG=1"), beat)

    population = Population(unstarted.sdk()).fill_small()
    code, document = unstarted.migrate("--all")
    assert code == 0, document
    population.check_use()
    mark = len(manager.lines())
    unstarted.reload()
    again = manager.wait(starts("RELOADING=1"), mark)
    assert manager.lines()[again].startswith("MONOTONIC_USEC=")
    now = time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
    assert 0 <= now - int(manager.lines()[again].partition("=")[2]) < 60e6
    manager.wait(starts("READY=1"), again)

    mark = len(manager.lines())
    assert unstarted.stop() == 0
    stopping = manager.wait(starts("STOPPING=1"), mark)
    manager.wait(starts("EXTEND_TIMEOUT_USEC="), stopping)


def test_progress_is_told_while_a_migration_runs(unstarted, tmp_path):
    manager = Manager(tmp_path)
    unstarted.extra = "[migration]\nmax_rate = 2\n"
    unstarted.start(manager.prefix())
    Population(unstarted.sdk()).fill_small()
    code, document = unstarted.migrate("--all", wait=False)
    assert code == 0, document
    place = manager.wait(starts(f"STATUS=migrating {RETAIL.id}/cn-hangzhou: "))
    line = manager.lines()[place - 1]
    assert " of " in line and " %" in line and line.endswith(")"), line
    # The step under way is finished, and until then there is patience.
    assert unstarted.stop() == 0
    manager.wait(starts("STOPPING=1"))


def test_a_daemon_whose_worker_is_stuck_is_not_said_to_live(unstarted, tmp_path):
    manager = Manager(tmp_path)
    metrics = free_port()
    unstarted.extra = f'[metrics]\nlisten = "127.0.0.1:{metrics}"\n'
    # The thread that writes hangs at a later write: whoever writes waits for ever.
    stall = "KEYFERRY_FAILPOINT=store.write.before:60=stall"
    unstarted.start(manager.prefix("WATCHDOG_USEC=10000000", stall))
    manager.wait(starts("WATCHDOG=1"))
    assert get(metrics, "/livez") == (200, "ok\n")
    sdk = unstarted.sdk()

    def keep_writing():
        try:
            while True:
                sdk.call("CreateKey")
        except Exception:  # the daemon is killed in the end
            pass

    threading.Thread(target=keep_writing, daemon=True).start()
    stalled = unstarted.log.wait("worker.stalled")
    assert "has made no progress" in stalled["message"]
    status, text = get(metrics, "/livez")
    assert status == 503 and "has made no progress" in text
    silence = len([line for line in manager.lines() if line == "WATCHDOG=1"])
    # systemd would restart it now: nothing was told for the time it waits.
    deadline = time.monotonic() + 11
    eventually(lambda: time.monotonic() > deadline)
    assert len([line for line in manager.lines() if line == "WATCHDOG=1"]) == silence
    unstarted.kill()
    # As systemd would have it.
    unstarted.start(manager.prefix("WATCHDOG_USEC=4000000"))
    assert get(metrics, "/livez") == (200, "ok\n")


def test_no_connection_is_refused_while_the_daemon_restarts(unstarted):
    with socket.socket() as held:
        held.bind(("127.0.0.1", unstarted.port))
        held.listen(64)
        names = f"LISTEN_FDS=1 LISTEN_FDS_FIRST_FD={held.fileno()}"
        activated = ["sh", "-c", f'LISTEN_PID=$$ {names} exec "$@"', "sh"]
        unstarted.start(activated, pass_fds=[held.fileno()])
        population = Population(unstarted.sdk()).fill_small()
        assert unstarted.stop() == 0
        failures = []

        def ask():
            try:
                population.check_use()
            except Exception as error:  # told by the assertion below
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        unstarted.start(activated, pass_fds=[held.fileno()])
        asking.join(PATIENCE)
        assert not asking.is_alive() and not failures, failures


def test_systemds_own_tool_hands_the_listener_over(unstarted):
    tool = shutil.which("systemd-socket-activate")
    assert tool, "systemd-socket-activate is missing: apt install systemd"
    knocking = threading.Thread(target=knock, args=[unstarted.port])
    knocking.start()
    # It waits for the first connection, and only then starts the daemon.
    unstarted.start([tool, "-l", f"127.0.0.1:{unstarted.port}"])
    knocking.join(PATIENCE)
    Population(unstarted.sdk()).fill_small().check_use()


def knock(port):
    def reached():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    eventually(reached)


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def series(text):
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines}


def test_a_scraper_sees_what_happens(unstarted):
    port = free_port()
    unstarted.extra = f'[metrics]\nlisten = "127.0.0.1:{port}"\n'
    unstarted.expires["kst-hzz0000000000000002"] = "2031-01-01T00:00:00Z"
    unstarted.start()
    population = Population(unstarted.sdk()).fill_small()
    code, document = unstarted.migrate("--all")
    assert code == 0, document
    population.check_use()
    assert (get(port, "/readyz"), get(port, "/nothing")[0]) == ((200, "ok\n"), 404)
    status, text = get(port, "/metrics")
    assert status == 200 and text.endswith("# EOF\n")
    found = series(text)
    assert found['keyferry_jobs{state="complete"}'] == 1 and found["keyferry_rotation_suspended_outside_job"] == 0
    # Before the move the shared keystore decrypted, now the instance does.
    decrypted = 'keyferry_request_duration_seconds_count{operation="%s",keystore="%s"}'
    assert found[decrypted % ("Encrypt", "shared")] > 0 and found[decrypted % ("Decrypt", "software")] > 0
    assert found["keyferry_store_sync_duration_seconds_count"] > 0 and found["keyferry_instance_expiry_seconds"] > 1e6
    assert not any(name in text for name in (RETAIL.id, "cn-hangzhou", "kst-", document["id"])), "a name is in a label"
    # The same over the admin socket.
    command = ["curl", "-sS", "--unix-socket", str(unstarted.socket), "http://keyferry/metrics"]
    over_socket = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert set(series(over_socket)) >= set(found)


def test_a_scraper_sees_when_a_certificate_towards_an_instance_elsewhere_ends(unstarted, tmp_path):
    port = free_port()
    ours = authority(tmp_path, "gateway")
    _, theirs = authority(tmp_path, "instance")
    mine = issue(tmp_path, "gateway", ours, days=20)
    # It answers nobody: what would be shown to it ends all the same.
    unstarted.extra = f"""[metrics]
listen = "127.0.0.1:{port}"
[[instance]]
id = "kst-hzz0000000000000003"
region = "{REGION}"
owner = "{RETAIL.id}"
kind = "software"
[instance.remote]
endpoint = "https://localhost:{free_port()}"
ca = "{theirs}"
certificate = "{mine}"
private_key = "{tmp_path}/gateway.key"
"""
    unstarted.start()

    def days():
        found = series(get(port, "/metrics")[1])
        # That of the API, which has none here, is another figure.
        assert "keyferry_certificate_expiry_seconds" not in found
        return found["keyferry_instance_certificate_expiry_seconds"] / 86_400

    assert 19.9 < days() < 20
    issue(tmp_path, "gateway", ours, days=3)
    assert 2.9 < days() < 3
    # One that outlives the authority of the instance is not what ends first.
    issue(tmp_path, "gateway", ours, days=60)
    assert 29.9 < days() < 30


def test_alert_rules_are_read_by_prometheus():
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: apt install prometheus"
    said = subprocess.run([tool, "check", "rules", str(ROOT / "docs/alerts/prometheus.yml")], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_journal_takes_the_catalogue(tmp_path):
    place = tmp_path / "usr/lib/systemd/catalog"
    place.mkdir(parents=True)
    shutil.copy(ROOT / "systemd/keyferry.catalog", place)
    command = ["journalctl", "--root", str(tmp_path), "--update-catalog"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    command = ["journalctl", "--root", str(tmp_path), "--dump-catalog"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Subject: migration.complete" in text and "keyferry job show JOB" in text


def test_every_line_of_a_request_has_the_id_of_its_answer(unstarted, refused):
    unstarted.start()
    stranger = type(RETAIL)(RETAIL.id, RETAIL.access_key, "wrong-secret")
    refused("SignatureDoesNotMatch", unstarted.sdk(account=stranger).call, "ListKeys")
    denied = unstarted.log.wait("request.denied")
    assert denied["code"] == "SignatureDoesNotMatch" and denied["source"] == "127.0.0.1"
    assert len(denied["request_id"]) == 36
    # An answer that can be looked at: the same ID is in it, in its header and in the log.
    query = urllib.parse.urlencode({"Action": "ListKeys", "Version": "2016-01-20", "Signature": "x", "AccessKeyId": "nobody",
        "SignatureMethod": "HMAC-SHA1", "SignatureVersion": "1.0", "SignatureNonce": "1", "Timestamp": now()})
    mark = unstarted.log.mark()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{unstarted.port}/?{query}", timeout=10)
    body = json.loads(caught.value.read())
    assert body["RequestId"] == caught.value.headers["x-acs-request-id"]
    unstarted.log.wait("request.denied", since=mark, request_id=body["RequestId"])


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@pytest.fixture
def hook():
    """A webhook on this machine; answers its address and what it gets."""
    got, changed = [], threading.Condition()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            with changed:
                got.append((dict(self.headers), json.loads(body)))
                changed.notify_all()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def wait(event, **fields):
        deadline = time.monotonic() + PATIENCE
        with changed:
            while True:
                for headers, body in got:
                    if body["event"] == event and all(body.get(name) == value for name, value in fields.items()):
                        return headers, body
                assert changed.wait(deadline - time.monotonic()), [body["event"] for _, body in got]

    yield f"http://127.0.0.1:{server.server_port}/hook", wait, got
    server.shutdown()


def test_a_migration_is_told_from_its_schedule_to_its_end(unstarted, hook):
    url, wait, got = hook
    unstarted.extra = f'[[notify]]\nname = "operators"\nurl = "{url}"\nsecret = "s3cret"\n'
    unstarted.start()
    population = Population(unstarted.sdk()).fill_small()
    unstarted.schedule(seconds=4)
    _, upcoming = wait("schedule.upcoming")
    assert upcoming["schedule"] == "move" and "within an hour" in upcoming["message"]
    wait("migration.started")
    headers, complete = wait("migration.complete")
    assert complete["job"] == unstarted.job()["id"] and headers["x-keyferry-signature"].startswith("v1=")
    population.check_use()
    shown = subprocess.run(
        [os.environ.get("KEYFERRY_BIN", str(ROOT / "target/debug/keyferry")), "--config", str(unstarted.config), "config", "show"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "s3cret" not in shown and "/hook" not in shown
    # What is told next shows that all before it was struck off: the daemon has seen that it arrived.
    unstarted.schedule("later", seconds=1800)
    wait("schedule.upcoming", schedule="later")
    # A restart says nothing of it again.
    told = len(got)
    unstarted.stop()
    unstarted.start()
    unstarted.stop()
    again = [body["event"] for _, body in got[told:] if body.get("schedule") != "later"]
    assert not any(event.startswith(("migration.", "schedule.")) for event in again), again


def test_a_rejected_file_shows_in_status_until_it_is_put_right(unstarted):
    unstarted.start()

    def codes():
        code, status = unstarted.cli("status")
        assert code == 0, status
        return [warning["code"] for warning in status["warnings"]]

    assert "ConfigRejected" not in codes()
    unstarted.extra = "[metrics]\nlissen = 1\n"
    unstarted.reload(expect="config.rejected")
    # Logged first, shown then.
    eventually(lambda: "ConfigRejected" in codes())
    unstarted.extra = ""
    unstarted.reload()
    assert "ConfigRejected" not in codes()
