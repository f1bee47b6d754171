"""Figures and lines at the moment they are wanted: age of backups, next run, window, failing keystores; which request a
line of the store belongs to."""

import json
import time

import pytest

import wire
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, eventually, free_port, in_seconds
from population import Population
from test_backup import Copies
from test_crypto import b64
from test_elsewhere import point_to
from test_full_disk import fill, small_disk
from test_observed import get, series
from test_remote import Elsewhere, status

__all__ = ["small_disk"]

BACKUP_AGE = "keyferry_backup_age_seconds"
NEXT = "keyferry_schedule_next_seconds"
WINDOW = "keyferry_migration_window_remaining_seconds"


def listen(deployment):
    """Has the daemon serve its metrics; answers what reads them."""
    port = free_port()
    deployment.extra += f'\n[metrics]\nlisten = "127.0.0.1:{port}"\n'

    def scrape():
        code, text = get(port, "/metrics")
        assert code == 200, text
        return series(text)

    return scrape


def kept(shelf, age):
    """A backup of so many seconds ago, as far as its name says."""
    at = time.gmtime(time.time() - age)
    (shelf / time.strftime("keyferry-%Y%m%dT%H%M%SZ.backup", at)).write_text("not looked into")


def test_the_age_of_the_newest_backup(unstarted):
    copies = Copies(unstarted)
    shelf = unstarted.directory / "shelf"
    shelf.mkdir()
    scrape = listen(unstarted)
    unstarted.start()
    assert BACKUP_AGE not in scrape(), "there is no [backup]"
    assert copies.backup().returncode == 0
    assert BACKUP_AGE not in scrape(), "one that is taken by hand is not one of [backup]"
    unstarted.stop()

    def every(interval):
        kept_there = [f'directory = "{shelf}"', f'key_file = "{copies.key}"', "keep = 2"]
        return "\n".join(["[backup]", *kept_there, f'every = "{interval}"'])

    plain = unstarted.extra
    unstarted.extra = plain + every("24h")
    kept(shelf, 7200)
    kept(shelf, 50_000)
    unstarted.start()
    age = scrape()[BACKUP_AGE]
    assert 7200 <= age < 7200 + 60, age
    assert not unstarted.log.all("backup.done"), "none was due yet"
    unstarted.stop()
    unstarted.extra = plain + every("1h")
    unstarted.start()
    unstarted.log.wait("backup.done")
    age = scrape()[BACKUP_AGE]
    assert 0 <= age < 60, age
    # It grows by itself.
    eventually(lambda: scrape()[BACKUP_AGE] > age + 1)


def test_the_time_to_the_next_run(unstarted):
    scrape = listen(unstarted)
    unstarted.start()
    assert NEXT not in scrape()
    where = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE, "--all", "--acknowledge"]
    assert unstarted.cli("schedule", "add", "later", *where, "--at", in_seconds(7200))[0] == 0
    assert 7200 - 60 < scrape()[NEXT] <= 7200
    # The first of several counts.
    assert unstarted.cli("schedule", "add", "sooner", *where, "--at", in_seconds(3600))[0] == 0
    assert 3600 - 60 < scrape()[NEXT] <= 3600
    assert unstarted.cli("schedule", "pause", "sooner")[0] == 0
    assert 7200 - 60 < scrape()[NEXT] <= 7200, "what is paused does not run"
    assert unstarted.cli("schedule", "cancel", "later")[0] == 0
    assert NEXT not in scrape()
    assert unstarted.cli("schedule", "resume", "sooner")[0] == 0
    assert 3600 - 60 < scrape()[NEXT] <= 3600
    assert unstarted.cli("schedule", "cancel", "sooner")[0] == 0
    assert NEXT not in scrape()


def test_what_is_left_of_the_window_while_there_is_a_way_back(unstarted):
    scrape = listen(unstarted)
    unstarted.start()
    population = Population(unstarted.sdk()).fill_small()
    assert WINDOW not in scrape()
    unstarted.schedule(seconds=12, window='"10m"', soak='"60s"')
    waiting = scrape()
    assert WINDOW not in waiting and 0 < waiting[NEXT] <= 12, "what waits for its time is no job yet"
    job = unstarted.log.wait("migration.progress", phase="confirming")["job"]
    seen = scrape()
    assert 600 - 60 < seen[WINDOW] <= 600 and seen["keyferry_locks"] == 1, seen[WINDOW]
    assert NEXT not in seen, "it has come"
    eventually(lambda: scrape()[WINDOW] < seen[WINDOW] - 1)
    assert unstarted.cli("job", "cancel", job)[0] == 0
    unstarted.log.wait("migration.canceled", job=job)
    assert WINDOW not in scrape()
    assert unstarted.migrate("--all")[0] == 0
    seen = scrape()
    assert WINDOW not in seen and seen["keyferry_locks"] == 0
    population.check_use()


def test_calls_that_an_instance_elsewhere_could_not_serve_are_counted(unstarted, refused):
    elsewhere = Elsewhere(unstarted.directory / "elsewhere").start()
    try:
        point_to(unstarted, elsewhere)
        scrape = listen(unstarted)
        unstarted.start()
        eventually(lambda: status(unstarted) == "Connected")
        sdk = unstarted.sdk()
        key = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
        stays = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
        sealed = sdk.call("Encrypt", KeyId=key, Plaintext=b64(b"x"))["CiphertextBlob"]

        def errors():
            found = scrape()
            return {kind: found[f'keyferry_keystore_errors_total{{keystore="{kind}"}}'] for kind in none}

        none = dict.fromkeys(("shared", "software", "hardware", "remote"), 0)
        assert errors() == none
        elsewhere.kill()
        for _ in range(3):
            refused("ServiceUnavailableTemporary", sdk.call, "Decrypt", CiphertextBlob=sealed)
        # Calls are counted, not the looks of the daemon at the instance; and nobody else's.
        assert errors() == {**none, "remote": 3}
        sdk.call("Encrypt", KeyId=stays, Plaintext=b64(b"x"))
        elsewhere.start()
        eventually(lambda: status(unstarted) == "Connected")
        assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"x")
        assert errors() == {**none, "remote": 3}
    finally:
        if elsewhere.process.poll() is None:
            elsewhere.kill()


def test_a_line_of_the_store_has_the_id_of_the_request_behind_it(small_disk):
    small_disk.start()
    scope = {"SecretData": "x" * 1000, "VersionId": "v1"}

    def create(name):
        return wire.ask(small_disk.port, wire.v3(RETAIL, "CreateSecret", {"SecretName": name, **scope}))

    made = create("before")
    assert made.status == 200, made.body
    ballast = small_disk.state_dir / "ballast"
    fill(ballast)
    failed = None
    for number in range(2000):
        answer = create(f"full/{number}")
        if answer.status != 200:
            failed = answer
            break
    assert failed is not None and failed.status >= 500, "the disk never filled up"
    request = failed.json["RequestId"]
    assert failed.headers["x-acs-request-id"] == request

    def of_the_store(line):
        words = ("the store refused a commit", "it is not known whether a commit is durable")
        return any(text in line["message"] for text in words)

    small_disk.log.wait("store.degraded")
    eventually(lambda: any(of_the_store(line) and line.get("request_id") == request for line in lines(small_disk)))

    def of_the_api(line):
        return "a request failed inside" in line["message"] and line.get("request_id") == request

    # The line of the API about the same request has it as well; no other request is named for what this one met.
    eventually(lambda: any(of_the_api(line) for line in lines(small_disk)))
    good = made.json["RequestId"]
    assert not [line for line in lines(small_disk) if line.get("request_id") == good and line["level"] != "INFO"]
    # A second one that fails has its own.
    again = create("again")
    assert again.status >= 500 and again.json["RequestId"] != request
    second = again.json["RequestId"]
    eventually(lambda: any(of_the_store(line) and line.get("request_id") == second for line in lines(small_disk)))
    ballast.unlink()


def lines(deployment):
    with deployment.log.changed:
        return list(deployment.log.lines)


def own(account):
    """A value of the account's; its bare ID would be found in every log."""
    return f"the order book of {account.id}"


@pytest.mark.parametrize("migrated", [False, True], ids=["shared", "in one instance"])
def test_the_same_names_in_two_accounts_never_meet(deployment, refused, migrated):
    """Key IDs are made by the daemon and cannot be chosen, so that only names can be tried: aliases and secrets."""
    sdks = {account: deployment.sdk(account=account) for account in (RETAIL, LOGISTICS)}
    keys, sealed = {}, {}
    for account, sdk in sdks.items():
        keys[account] = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
        sdk.call("CreateAlias", KeyId=keys[account], AliasName="alias/orders")
        sdk.call("CreateSecret", SecretName="orders/db", SecretData=own(account), VersionId="v1")
        made = sdk.call("Encrypt", KeyId="alias/orders", Plaintext=b64(own(account).encode()))
        assert made["KeyId"] == keys[account]
        sealed[account] = made["CiphertextBlob"]
    assert keys[RETAIL] != keys[LOGISTICS]
    if migrated:
        for account in sdks:
            code, job = deployment.migrate("--all", account=account)
            assert code == 0 and job["left_behind"] == [], job
    for account, other in [(RETAIL, LOGISTICS), (LOGISTICS, RETAIL)]:
        sdk = sdks[account]
        assert sdk.call("DescribeKey", KeyId="alias/orders")["KeyMetadata"]["KeyId"] == keys[account]
        assert sdk.call("Decrypt", CiphertextBlob=sealed[account])["Plaintext"] == b64(own(account).encode())
        assert sdk.call("GetSecretValue", SecretName="orders/db")["SecretData"] == own(account)
        refused("InvalidParameter", sdk.call, "Decrypt", CiphertextBlob=sealed[other])
        refused("Forbidden.KeyNotFound", sdk.call, "CreateAlias", KeyId=keys[other], AliasName="alias/theirs")
        aliases = sdk.call("ListAliases", PageSize=100)["Aliases"]
        assert [row["KeyId"] for row in aliases["Alias"] if row["AliasName"] == "alias/orders"] == [keys[account]]
    # What one does to its own leaves the other's as it is.
    sdks[RETAIL].call("DeleteAlias", AliasName="alias/orders")
    sdks[RETAIL].call("DeleteSecret", SecretName="orders/db", ForceDeleteWithoutRecovery="true")
    other = sdks[LOGISTICS]
    assert other.call("DescribeKey", KeyId="alias/orders")["KeyMetadata"]["KeyId"] == keys[LOGISTICS]
    assert other.call("GetSecretValue", SecretName="orders/db")["SecretData"] == own(LOGISTICS)
    assert json.dumps(keys[RETAIL]) not in json.dumps(other.call("ListKeys", PageSize=100))
