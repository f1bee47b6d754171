"""What people see: text on a terminal of 80 columns, decisions in words, and Ctrl-C while a job is watched."""

import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time
from fcntl import ioctl

import pytest

import markers
from deployment import INSTANCE, PATIENCE, REGION, RETAIL, SMALL_INSTANCE, binary
from population import Population
from test_access import TEAM, arn, identities

COLUMNS = 80
WHERE = ["--region", REGION, "--account", RETAIL.id]


def on_a_terminal(deployment, *arguments):
    """Exit code and what is on the screen, line by line: both streams go to one terminal of 80 columns."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    command = [binary(), "--socket", str(deployment.socket), *arguments]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    running = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    screen, deadline = b"", time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, screen.decode()
        if select.select([ours], [], [], 1)[0]:
            try:
                more = os.read(ours, 65536)
            except OSError:
                # The other end is closed: the command has ended.
                break
            if not more:
                break
            screen += more
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.decode()).replace("\r\n", "\n")
    markers.keep("command", f"{arguments}\n{text}")
    return running.wait(PATIENCE), text


def too_long(text):
    return [line for line in text.splitlines() if len(line) > COLUMNS]


def test_check_fits_a_terminal_of_80_columns(deployment):
    population = Population(deployment.sdk()).fill()
    code, text = on_a_terminal(deployment, "check")
    assert code == 0 and too_long(text) == [], too_long(text)
    # What it says is all there: the table, and what cannot migrate with its reason.
    assert RETAIL.id in text and f"key {population.keys['empty']}" in text and "NoKeyMaterial" in text
    assert all(name in text for name in population.left_behind), text
    # Also with a lock below the table.
    deployment.schedule(soak='"60s"', seconds=2)
    job = deployment.log.wait("lock.acquired")["job"]
    code, text = on_a_terminal(deployment, "check")
    assert code == 0 and job in text and "Migrating" in text and too_long(text) == [], too_long(text)
    assert deployment.cli("job", "cancel", job)[0] == 0
    deployment.log.wait("migration.canceled", job=job)
    assert deployment.migrate("--all")[0] == 0
    code, text = on_a_terminal(deployment, "check")
    assert code == 0 and "Migration Complete" in " ".join(text.split()) and too_long(text) == [], too_long(text)


def test_a_plan_fits_a_terminal_of_80_columns(deployment):
    population = Population(deployment.sdk()).fill()
    code, text = on_a_terminal(deployment, "plan", *WHERE, "--instance", INSTANCE, "--all")
    assert code == 0 and "Migration Instructions" in text, text
    assert all(name in text for name in [*population.keys.values(), *population.secrets]), text
    assert too_long(text) == [], too_long(text)


def test_a_plan_with_problems_fits_a_terminal_of_80_columns(deployment):
    population = Population(deployment.sdk()).fill()
    for instance, pick, told in [
        (SMALL_INSTANCE, ["--all"], "QuotaExceeded"),
        (INSTANCE, ["--key", population.keys["rsa-3072"]], "UnsupportedKeySpec"),
        (INSTANCE, ["--secret", "app/under-key"], "SecretKeyNotIncluded"),
    ]:
        code, text = on_a_terminal(deployment, "plan", *WHERE, "--instance", instance, *pick)
        assert code == 4 and told in text, text
        # Nothing is cut off: the remedy is there, too.
        assert "->" in text, text
        assert too_long(text) == [], too_long(text)


def test_a_plan_with_a_warning_fits_a_terminal_of_80_columns(unstarted):
    unstarted.expires[INSTANCE] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7 * 86_400))
    unstarted.start()
    Population(unstarted.sdk()).fill_small()
    code, text = on_a_terminal(unstarted, "plan", *WHERE, "--instance", INSTANCE, "--all")
    assert code == 0 and "InstanceExpiring" in text, text
    assert too_long(text) == [], too_long(text)


def said(deployment, *arguments):
    """Exit code, data and talk of a command without --json."""
    command = [binary(), "--socket", str(deployment.socket), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    markers.keep("command", f"{arguments}\n{done.stdout}{done.stderr}")
    return done.returncode, done.stdout, done.stderr


def test_a_decision_is_explained_in_words_and_by_its_exit_code(unstarted):
    unstarted.of_account = identities()
    unstarted.start()
    root = unstarted.sdk()
    tags = '[{"TagKey":"team","TagValue":"pay"}]'
    mine, other = (root.call("CreateKey", Tags=t)["KeyMetadata"]["KeyId"] for t in (tags, "[]"))
    root.call("CreateAlias", KeyId=other, AliasName="alias/orders")
    there = root.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    app, team = (f"acs:ram::{RETAIL.id}:user/{name}" for name in ("app", "team"))

    def explain(identity, action, resource):
        command = ["policy", "explain", "--identity", identity, "--action", action, "--resource", resource]
        code, data, talk = said(unstarted, *command)
        assert talk == "", talk
        return code, data

    shared = "in the shared KMS, where nothing has a policy of its own"
    same = "Migrated   the same; its default policy changes nothing here"

    def expected(identity, action, resource, place, now, *more):
        lines = [f"Identity   {identity}", f"Action     {action}", f"Resource   {resource}", f"           {place}"]
        return "\n".join([*lines, f"Now        {now}", *more]) + "\n"

    # Denied: nothing allows it; an alias is answered as the key it names.
    alias = f"acs:kms:{REGION}:{RETAIL.id}:alias/orders"
    code, text = explain(app, "kms:DisableKey", alias)
    assert (code, text) == (
        1,
        expected(app, "kms:DisableKey", arn(other), shared, "denied: no statement allows it", same),
    )
    # Denied by a statement, which is named with its policy.
    code, text = explain(team, "kms:ScheduleKeyDeletion", arn(mine))
    by = "denied by statement 2 (never) of the policy own"
    assert (code, text) == (1, expected(team, "kms:ScheduleKeyDeletion", arn(mine), shared, by, same))
    # Allowed by a statement, by being the root identity, and in an instance, where a migration is over.
    code, text = explain(team, "kms:Encrypt", arn(mine))
    by = "allowed by statement 0 of the policy own"
    assert (code, text) == (0, expected(team, "kms:Encrypt", arn(mine), shared, by, same))
    code, text = explain(f"acs:ram::{RETAIL.id}:root", "kms:DisableKey", arn(other))
    assert code == 0 and "Now        allowed: the root identity may do everything" in text, text
    code, text = explain(app, "kms:Encrypt", arn(there))
    assert code == 0 and f"           in {INSTANCE}\n" in text and "Migrated" not in text, text
    assert "Now        allowed by statement" in text and "AliyunKMSCryptoUserAccess" in text, text
    # What does not exist is decided by its name, and said so.
    missing = arn("11111111-2222-4333-8444-555555555555")
    code, text = explain(app, "kms:Encrypt", missing)
    assert code == 0 and "there is no such thing: decided by its name alone" in text, text
    # What was asked is what the API does.
    assert unstarted.sdk("v3", TEAM).call("Encrypt", KeyId=mine, Plaintext="aGk=")["CiphertextBlob"]
    # A question that cannot be read is no decision.
    code, data, talk = said(
        unstarted, "policy", "explain", "--identity", "nobody", "--action", "kms:Encrypt", "--resource", arn(mine)
    )
    assert code == 2 and data == "" and "->" in talk, (code, data, talk)


class Watching:
    """A command that follows a job, with what it says line by line."""

    def __init__(self, deployment, *arguments):
        command = [binary(), "--socket", str(deployment.socket), *arguments]
        self.running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = {"data": [], "talk": []}
        self.changed = threading.Condition()
        streams = {"data": self.running.stdout, "talk": self.running.stderr}
        self.readers = [threading.Thread(target=self.read, args=item, daemon=True) for item in streams.items()]
        for reader in self.readers:
            reader.start()

    def read(self, kind, stream):
        for line in stream:
            markers.keep("command", line)
            with self.changed:
                self.lines[kind].append(line)
                self.changed.notify_all()

    def wait(self, kind, words):
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while not any(words in line for line in self.lines[kind]):
                assert self.changed.wait(deadline - time.monotonic()), self.lines

    def interrupt(self):
        """Ctrl-C; answers the exit code and all that was said."""
        self.running.send_signal(signal.SIGINT)
        code = self.running.wait(PATIENCE)
        for reader in self.readers:
            reader.join(PATIENCE)
        return code, "".join(self.lines["data"]), "".join(self.lines["talk"])


@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
def test_ctrl_c_ends_the_watching_and_not_the_job(deployment, json):
    population = Population(deployment.sdk()).fill_small()
    deployment.schedule(seconds=2, soak='"15s"')
    job = deployment.log.wait("migration.progress", phase="confirming")["job"]
    watching = Watching(deployment, *(["--json"] if json else []), "job", "watch", job)
    watching.wait("data", "confirming")
    code, data, talk = watching.interrupt()
    assert code == 130, (code, talk)
    assert f"{job} goes on; follow it with `keyferry job watch {job}`" in talk, talk
    assert f"keyferry job cancel {job}" in talk
    assert "complete" not in data
    assert deployment.job()["finished_at"] is None, "the soak was too short for this machine"
    # Taken up again, it is followed to its end.
    code, _, talk = said(deployment, "job", "watch", job)
    assert code == 0, talk
    deployment.log.wait("migration.complete", job=job)
    assert not deployment.log.all("migration.canceled")
    population.check_use()


@pytest.mark.parametrize("json", [False, True], ids=["text", "json"])
def test_ctrl_c_ends_the_waiting_of_migrate_and_not_the_job(unstarted, json):
    # A manual migration has no soak: it is slowed down instead.
    unstarted.extra = "[migration]\nmax_rate = 1\n"
    unstarted.start()
    population = Population(unstarted.sdk()).fill_small()
    scope = [*WHERE, "--instance", INSTANCE, "--all", "--yes", "--wait"]
    watching = Watching(unstarted, *(["--json"] if json else []), "migrate", *scope)
    job = unstarted.log.wait("lock.acquired")["job"]
    watching.wait("talk", job)
    code, data, talk = watching.interrupt()
    assert code == 130 and data == "", (code, data, talk)
    assert f"{job} goes on; follow it with `keyferry job watch {job}`" in talk, talk
    assert unstarted.job()["finished_at"] is None, "it was too quick to be interrupted"
    unstarted.log.wait("migration.complete", job=job)
    assert unstarted.job()["state"] == "complete"
    population.check_use()
