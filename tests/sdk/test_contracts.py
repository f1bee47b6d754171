"""What becomes of an instance whose contract ends, and of its management while a job holds it."""

import datetime

import pytest

from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, SMALL_INSTANCE, STRANGER, eventually
from population import Population
from test_crypto import b64
from test_operator import check_refusal

DAYS = {
    # Instance: days that are left, and how it is told.
    "kst-hzz0000000000000011": (40, None),
    "kst-hzz0000000000000012": (29, "ends at"),
    "kst-hzz0000000000000013": (6, "ends at"),
    "kst-hzz0000000000000014": (0.5, "ends at"),
    "kst-hzz0000000000000015": (-1, "has ended at"),
}


def in_days(days):
    """An instant so many days from now, as a value of the file."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    return at.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def expiring(deployment):
    """What `status` warns of contracts: message by instance."""
    code, status = deployment.cli("status")
    assert code == 0, status
    found = [warning for warning in status["warnings"] if warning["code"] == "InstanceExpiring"]
    assert all(warning["remedy"] for warning in found), found
    return {warning["message"].split()[0]: warning["message"] for warning in found}


def inside(sdk):
    """A key with a ciphertext and a secret under it, in the instance; answers what uses them."""
    key = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    sdk.call("CreateSecret", SecretName="in/side", SecretData="v", VersionId="v1", EncryptionKeyId=key,
             DKMSInstanceId=INSTANCE)  # fmt: skip
    sealed = sdk.call("Encrypt", KeyId=key, Plaintext=b64(b"from before"))["CiphertextBlob"]

    def use():
        assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"from before")
        anew = sdk.call("Encrypt", KeyId=key, Plaintext=b64(b"anew"))["CiphertextBlob"]
        assert sdk.call("Decrypt", CiphertextBlob=anew)["Plaintext"] == b64(b"anew")
        made = sdk.call("GenerateDataKey", KeyId=key)
        assert sdk.call("Decrypt", CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
        assert sdk.call("GetSecretValue", SecretName="in/side")["SecretData"] == "v"

    return use


def test_an_instance_whose_contract_has_ended_goes_on_serving_and_takes_no_migration(deployment):
    sdk = deployment.sdk()
    use = inside(sdk)
    population = Population(sdk).fill_small()
    assert expiring(deployment) == {}
    deployment.expires[INSTANCE] = in_days(-2)
    deployment.reload()
    assert set(expiring(deployment)) == {INSTANCE}
    use()
    where = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE]
    check_refusal(deployment.cli("plan", *where, "--all"), "InstanceExpiring")
    check_refusal(deployment.migrate("--all"), "InstanceExpiring")
    # A schedule comes to the same end, and nothing of it is locked.
    deployment.schedule("late", seconds=2)
    refused = deployment.log.wait("migration.refused", schedule="late")
    assert "InstanceExpiring" in f"{refused.get('code')} {refused['message']}", refused
    assert not deployment.log.all("lock.acquired")
    use()
    population.check_use()
    # Also after a restart, which tells it at once; a running daemon looks once a minute.
    deployment.schedules.clear()
    deployment.stop()
    deployment.start()
    told = deployment.log.wait("instance.expiring", instance=INSTANCE)
    assert told["level"] == "WARN" and "has ended at" in told["message"], told
    use()
    # Renewed, it takes them again.
    deployment.expires[INSTANCE] = in_days(400)
    deployment.reload()
    assert expiring(deployment) == {}
    assert deployment.migrate("--all")[0] == 0
    use()
    population.check_use()


def test_somebody_who_renews_is_only_warned(unstarted):
    unstarted.expires[INSTANCE] = f"{in_days(-2)}\nauto_renew = true"
    unstarted.start()
    population = Population(unstarted.sdk()).fill_small()
    assert "renewed automatically" in expiring(unstarted)[INSTANCE]
    code, job = unstarted.migrate("--all")
    assert code == 0 and job["state"] == "complete", job
    population.check_use()


def test_the_end_of_a_contract_is_told_thirty_days_seven_days_and_a_day_ahead(unstarted):
    unstarted.instances = list(DAYS)
    unstarted.expires = {instance: in_days(days) for instance, (days, _) in DAYS.items()}
    unstarted.start()
    for instance, (_, words) in DAYS.items():
        if words:
            told = unstarted.log.wait("instance.expiring", instance=instance)
            assert words in told["message"] and instance in told["message"], told
    soon = {instance for instance, (_, words) in DAYS.items() if words}
    assert {line["instance"] for line in unstarted.log.all("instance.expiring")} == soon
    shown = expiring(unstarted)
    assert set(shown) == soon
    for instance in soon:
        assert unstarted.expires[instance] in shown[instance], shown[instance]


def test_a_contract_that_is_over_is_not_said_to_end_in_future(unstarted):
    unstarted.expires[INSTANCE] = in_days(-1)
    unstarted.start()
    shown = expiring(unstarted)[INSTANCE]
    # The words of the event about the same thing.
    assert "has ended at" in unstarted.log.wait("instance.expiring", instance=INSTANCE)["message"]
    assert "expires at" not in shown and ("has ended" in shown or "has expired" in shown), shown


@pytest.mark.parametrize(
    ("days", "code"), [(40, 0), (29, 0), (0.5, 0), (0.05, 4)], ids=["far", "thirty", "a day", "in the window"]
)
def test_a_migration_is_refused_when_the_contract_ends_in_its_window_only(unstarted, days, code):
    unstarted.expires[INSTANCE] = in_days(days)
    unstarted.start()
    Population(unstarted.sdk()).fill_small()
    found, plan = unstarted.cli("plan", "--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE, "--all")
    assert found == code, plan
    warned = [warning["code"] for warning in plan["warnings"]]
    assert ("InstanceExpiring" in warned) == (code == 0 and days < 30), plan
    assert unstarted.migrate("--all")[0] == code


def connect(sdk, instance=INSTANCE):
    more = {"KMProvider": "Aliyun", "VpcId": "v", "VSwitchIds": "s", "ZoneIds": "z"}
    return sdk.call("ConnectKmsInstance", KmsInstanceId=instance, **more)


def share(deployment, how, account, instance=INSTANCE):
    return deployment.cli("instance", how, instance, "--with", account.id)


def held(deployment, refused, cargo, moving):
    """Management of the instance is refused while a job holds it, whoever asks; nothing of it has changed."""
    sdk = deployment.sdk()
    error = refused("Rejected.Migrating", connect, sdk)
    assert error.status == 409, error
    for how, account in [("share", cargo), ("unshare", STRANGER)]:
        check_refusal(share(deployment, how, account), "ScopeLocked", 5)
    # Another instance goes on being managed, unless its owner is the account that moves.
    if moving is RETAIL:
        refused("Rejected.Migrating", connect, sdk, SMALL_INSTANCE)
    else:
        connect(sdk, SMALL_INSTANCE)
    assert share(deployment, "share", STRANGER, SMALL_INSTANCE)[0] == 0
    assert share(deployment, "unshare", STRANGER, SMALL_INSTANCE)[0] == 0
    code, shown = deployment.cli("instance", "show", INSTANCE)
    shares = str(shown["shared_with"])
    assert code == 0 and STRANGER.id in shares and cargo.id not in shares, shown
    assert deployment.sdk(account=STRANGER).call("ListKmsInstances")["TotalCount"] == 1


def test_an_instance_is_not_managed_while_a_job_holds_it(unstarted, refused):
    deployment = unstarted
    cargo = type(RETAIL)("1000000000000004", "LTAIcargo", "cargo-secret-0123456789")
    deployment.accounts.append(cargo)
    deployment.start()
    sdk = deployment.sdk()
    population = Population(sdk).fill_small()
    other = Population(deployment.sdk(account=LOGISTICS)).fill_small()
    connect(sdk)
    assert share(deployment, "share", STRANGER)[0] == 0
    for account, filled in [(RETAIL, population), (LOGISTICS, other)]:
        name = f"of-{account.id}"
        deployment.schedule(name, account=account, seconds=2, soak='"60s"')
        job = deployment.log.wait("lock.acquired", account=account.id)["job"]
        # Whoever's job it is: the instance belongs to the first account.
        held(deployment, refused, cargo, account)
        filled.check_use()
        code, document = deployment.cli("job", "cancel", job)
        assert code == 0, document
        deployment.log.wait("migration.canceled", job=job)
        eventually(lambda: deployment.job()["unlocked_at"] is not None)
        connect(sdk)
        assert share(deployment, "share", cargo)[0] == 0
        assert share(deployment, "unshare", cargo)[0] == 0
        assert share(deployment, "unshare", STRANGER)[0] == 0
        assert deployment.sdk(account=STRANGER).call("ListKmsInstances")["TotalCount"] == 0
        assert share(deployment, "share", STRANGER)[0] == 0
    # The end of a job that completes is an end, too.
    assert deployment.migrate("--all")[0] == 0
    connect(sdk)
    assert share(deployment, "unshare", STRANGER)[0] == 0
    population.check_use()
