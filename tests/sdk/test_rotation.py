"""Rotation that is real: the receiver of docs/rotators.md over HTTPS, a real PostgreSQL, crashes and migrations."""

import json
import threading

import pytest

import rotators
from deployment import INSTANCE, LOGISTICS, PATIENCE, RETAIL, eventually
from test_service import later


@pytest.fixture
def receiver(tmp_path):
    made = []

    def make(change=""):
        made.append(rotators.Receiver(tmp_path, change))
        return made[-1].start()

    yield make
    for one in made:
        one.stop()


def rds(sdk, name, accounts=(("app", "old"),), **more):
    value = {"Accounts": [{"AccountName": account, "AccountPassword": password} for account, password in accounts]}
    kind = "SingleUser" if len(accounts) == 1 else "DoubleUsers"
    config = {"SecretSubType": kind, "DBInstanceId": "rm-orders"}
    sdk.call(
        "CreateSecret",
        SecretName=name,
        SecretType="Rds",
        SecretData=json.dumps(value),
        VersionId="v1",
        ExtendedConfig=config,
        **more,
    )


def read(sdk, name, stage="ACSCurrent"):
    found = sdk.call("GetSecretValue", SecretName=name, VersionStage=stage)
    return json.loads(found["SecretData"])


def test_the_documented_receiver_rotates(unstarted, receiver):
    outside = receiver()
    unstarted.extra = outside.config()
    sdk = unstarted.start().sdk()
    rds(sdk, "db")
    answer = sdk.call("RotateSecret", SecretName="db", VersionId="v2")
    assert answer["VersionId"] == "v2"
    new = read(sdk, "db")
    assert new["AccountPassword"] == outside.password("app") != "old"
    assert read(sdk, "db", "ACSPrevious")["AccountPassword"] == "old"
    shown = sdk.call("DescribeSecret", SecretName="db")
    assert shown["LastRotationDate"] and "NextRotationDate" not in shown
    event = unstarted.log.wait("rotation.performed")
    assert event["resource"] == "db" and event["account"] == RETAIL.id
    # Again: no second rotation. With two accounts, they take turns.
    sdk.call("RotateSecret", SecretName="db", VersionId="v2")
    assert read(sdk, "db") == new
    rds(sdk, "twins", [("one", "a"), ("two", "b")])
    for version, account in (("r1", "two"), ("r2", "one"), ("r3", "two")):
        sdk.call("RotateSecret", SecretName="twins", VersionId=version)
        assert read(sdk, "twins")["AccountName"] == account
        assert read(sdk, "twins")["AccountPassword"] == outside.password(account)
    # No value reached the log.
    assert new["AccountPassword"] not in json.dumps(unstarted.log.lines)


def test_a_receiver_that_fails_is_asked_again_with_the_same_rotation(unstarted, receiver, refused):
    outside = receiver(
        "real = change\ndef change(order):\n"
        "    open('asked', 'a').write(order['rotation_id'] + ' ' + order['value']['AccountPassword'] + '\\n')\n"
        "    if not os.path.exists('healed'): raise RuntimeError\n"
        "    real(order)\n"
    )
    unstarted.extra = outside.config(attempts=2)
    sdk = unstarted.start().sdk()
    rds(sdk, "db", EnableAutomaticRotation=True, RotationInterval="7d")
    assert refused("ServiceUnavailableTemporary", sdk.call, "RotateSecret", SecretName="db", VersionId="v2").status == 503
    assert refused("Rejected.ResourceInUse", sdk.call, "RotateSecret", SecretName="db", VersionId="v3").status == 409
    unstarted.log.wait("rotation.stranded")
    shown = sdk.call("DescribeSecret", SecretName="db")
    assert shown["AutomaticRotation"] == "Invalid" and shown["NextRotationDate"]
    assert read(sdk, "db")["AccountPassword"] == "old"
    listed = sdk.call("ListSecretVersionIds", SecretName="db", IncludeDeprecated="true")["VersionIds"]["VersionId"]
    assert {row["VersionId"]: row["VersionStages"]["VersionStage"] for row in listed} == {"v1": ["ACSCurrent"], "v2": []}
    (outside.directory / "healed").touch()
    unstarted.log.wait("rotation.performed")
    assert read(sdk, "db")["AccountPassword"] == outside.password("app")
    asked = (outside.directory / "asked").read_text().splitlines()
    assert len(asked) >= 3 and len(set(asked)) == 1
    assert sdk.call("DescribeSecret", SecretName="db")["AutomaticRotation"] == "Enabled"


HALT = (
    "real = change\ndef change(order):\n"
    "    real(order)\n"
    "    open('asked', 'a').write(order['rotation_id'] + '\\n')\n"
    "    while not os.path.exists('go'): time.sleep(0.05)\n"
)


def rotate_in_background(deployment, name, version):
    """A request whose answer nobody waits for."""

    def ask():
        try:
            deployment.sdk().call("RotateSecret", SecretName=name, VersionId=version)
        except Exception:  # the daemon is killed meanwhile, or the migration came first
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    return thread


def test_a_daemon_killed_between_call_and_answer_goes_on_at_the_next_start(unstarted, receiver):
    outside = receiver(HALT)
    unstarted.extra = outside.config(timeout='"30s"')
    sdk = unstarted.start().sdk()
    rds(sdk, "db")
    rotate_in_background(unstarted, "db", "v2")
    eventually((outside.directory / "asked").exists)
    # The outside has the new password already, nobody here knows.
    unstarted.kill()
    (outside.directory / "go").touch()
    sdk = unstarted.start().sdk()
    unstarted.log.wait("rotation.performed")
    assert read(sdk, "db")["AccountPassword"] == outside.password("app") != "old"
    asked = (outside.directory / "asked").read_text().splitlines()
    assert len(asked) == 2 and len(set(asked)) == 1


def test_a_migration_waits_for_a_rotation_in_flight(unstarted, receiver):
    outside = receiver(HALT)
    unstarted.extra = outside.config(timeout='"30s"')
    sdk = unstarted.start().sdk()
    rds(sdk, "db")
    request = rotate_in_background(unstarted, "db", "v2")
    eventually((outside.directory / "asked").exists)
    code, document = unstarted.migrate("--all", wait=False)
    assert code == 0, document
    unstarted.log.wait("migration.progress", phase="closing")
    assert not unstarted.log.all("lock.acquired")
    (outside.directory / "go").touch()
    request.join()
    unstarted.log.wait("migration.complete")
    events = [line.get("event") for line in unstarted.log.lines]
    assert events.index("rotation.performed") < events.index("lock.acquired")
    assert sdk.call("DescribeSecret", SecretName="db")["DKMSInstanceId"] == INSTANCE
    assert read(sdk, "db")["AccountPassword"] == outside.password("app") != "old"
    assert read(sdk, "db", "ACSPrevious")["AccountPassword"] == "old"


def test_a_rotation_that_does_not_end_makes_the_migration_end(unstarted, receiver):
    outside = receiver(HALT)
    unstarted.extra = outside.config(timeout='"2s"', attempts=100)
    sdk = unstarted.start().sdk()
    rds(sdk, "db")
    rotate_in_background(unstarted, "db", "v2")
    unstarted.log.wait("rotation.failed")
    # It has the rotation's own minute, and ends.
    code, document = unstarted.migrate("--all", wait=False)
    assert code == 0, document
    failed = unstarted.log.wait("migration.failed", timeout=3 * PATIENCE)
    assert failed["code"] == "RotationInFlight", failed
    assert "DKMSInstanceId" not in sdk.call("DescribeSecret", SecretName="db")
    (outside.directory / "go").touch()
    # After so many failures the next try by itself may be an hour away.
    sdk.call("RotateSecret", SecretName="db", VersionId="v2")
    unstarted.log.wait("rotation.performed")
    assert read(sdk, "db")["AccountPassword"] == outside.password("app")


def test_a_new_value_that_is_not_current_yet_migrates(unstarted, receiver, refused):
    outside = receiver()
    outside.stop()
    unstarted.extra = outside.config(retry_after='"2s"')
    sdk = unstarted.start().sdk()
    rds(sdk, "db")
    refused("ServiceUnavailableTemporary", sdk.call, "RotateSecret", SecretName="db", VersionId="v2")
    # Nobody was reached: nothing holds the migration up.
    code, document = unstarted.migrate("--all")
    assert code == 0, document
    assert document["secrets_done"] == 1
    outside.start()
    unstarted.log.wait("rotation.performed")
    assert read(sdk, "db")["AccountPassword"] == outside.password("app") != "old"
    shown = sdk.call("DescribeSecret", SecretName="db")
    assert shown["DKMSInstanceId"] == INSTANCE
    listed = sdk.call("ListSecretVersionIds", SecretName="db")["VersionIds"]["VersionId"]
    assert {row["VersionId"]: row["VersionStages"]["VersionStage"] for row in listed} == {
        "v1": ["ACSPrevious"],
        "v2": ["ACSCurrent"],
    }


def test_what_fell_due_while_the_daemon_was_down_is_rotated(unstarted, receiver):
    outside = receiver()
    unstarted.extra = outside.config()
    sdk = unstarted.start().sdk()
    rds(sdk, "db", EnableAutomaticRotation=True, RotationInterval="6h")
    unstarted.stop()
    # The receiver knows the time: it refuses what comes from the future, as it should.
    unstarted.start(prefix=later("+7h"))
    unstarted.log.wait("rotation.failed", resource="db")
    outside.script.write_text(outside.script.read_text().replace("> 300", "> 30000"))
    outside.stop()
    outside.start()
    unstarted.log.wait("rotation.performed", resource="db")
    unstarted.stop()
    sdk = unstarted.start().sdk()
    assert read(sdk, "db")["AccountPassword"] == outside.password("app") != "old"
    shown = sdk.call("DescribeSecret", SecretName="db")
    assert shown["AutomaticRotation"] == "Enabled" and shown["NextRotationDate"] > shown["LastRotationDate"]


def test_rotators_change_with_a_reload(unstarted, receiver, refused):
    outside = receiver()
    sdk = unstarted.start().sdk()
    rds(sdk, "db")
    refused("UnsupportedOperation", sdk.call, "RotateSecret", SecretName="db", VersionId="v2")
    unstarted.extra = outside.config(accounts=f'["{LOGISTICS.id}"]')
    unstarted.reload()
    refused("UnsupportedOperation", sdk.call, "RotateSecret", SecretName="db", VersionId="v2")
    unstarted.extra = outside.config(accounts=f'["{RETAIL.id}"]', targets='["rm-orders"]')
    assert "rotators" in unstarted.reload()["message"]
    sdk.call("RotateSecret", SecretName="db", VersionId="v2")
    assert read(sdk, "db")["AccountPassword"] == outside.password("app")


def test_postgresql_accounts(unstarted):
    database = rotators.Postgresql()
    try:
        statement = (
            "CREATE ROLE rotator LOGIN CREATEROLE PASSWORD 'rotator-password';"
            "CREATE ROLE one LOGIN PASSWORD 'a'; CREATE ROLE two LOGIN PASSWORD 'b'"
        )
        assert database.ask("owner", "owner-password", statement) is not None
        unstarted.extra = (
            '[[rotator]]\nname = "pg"\nkind = "postgresql"\nhost = "127.0.0.1"\ndatabase = "postgres"\n'
            f'port = {database.port}\nuser = "rotator"\nsecret = "rotator-password"\nattempts = 2\nretry_after = "1s"\n'
        )
        sdk = unstarted.start().sdk()
        rds(sdk, "twins", [("one", "a"), ("two", "b")])
        for version, account in (("r1", "two"), ("r2", "one")):
            before = read(sdk, "twins")
            sdk.call("RotateSecret", SecretName="twins", VersionId=version)
            after = read(sdk, "twins")
            assert after["AccountName"] == account == database.ask(account, after["AccountPassword"])
            # What applications hold still works.
            assert database.ask(before["AccountName"], before["AccountPassword"]) == before["AccountName"]
        assert database.ask("two", "b") is None and database.ask("one", "a") is None
        # A tenant names an account that rules: refused, and the secret is Invalid.
        rds(sdk, "greedy", [("owner", "x")], EnableAutomaticRotation=True, RotationInterval="7d")
        with pytest.raises(Exception, match="could not be changed"):
            sdk.call("RotateSecret", SecretName="greedy", VersionId="r1")
        eventually(lambda: sdk.call("DescribeSecret", SecretName="greedy")["AutomaticRotation"] == "Invalid")
        assert database.ask("owner", "owner-password") == "owner"
        assert not unstarted.log.all("rotation.stranded")
    finally:
        database.stop()
