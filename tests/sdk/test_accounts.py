"""Several accounts, one instance: shares and directories, quota, schedules that meet, groups, and who sees what."""

import json
import subprocess

import pytest

from clients import Account, Refused
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, SMALL_INSTANCE, STRANGER, binary, eventually, in_seconds
from load import Load
from population import MARKER, Population, found_in_the_clear

CARGO = Account("1000000000000004", "LTAIcargo", "cargo-secret-0123456789")


def directory(*entities, name="rd-group"):
    lines = ["[[directory]]", f'id = "{name}"']
    for entity, verified, accounts in entities:
        members = ", ".join(f'"{account.id}"' for account in accounts)
        lines += ["[[directory.entity]]", f'name = "{entity}"', f"verified = {str(verified).lower()}"]
        lines.append(f"accounts = [{members}]")
    return "\n".join(lines)


def share(made, account, instance=INSTANCE, how="share"):
    return made.cli("instance", how, instance, "--with", account.id)


def usages(sdk, instance=INSTANCE):
    """What GetKmsInstanceQuotaInfos tells: used keys and secrets, and how many of them by account."""
    rows = {row["ResourceType"]: row for row in quota(sdk, instance)}
    by_account = {kind: {u["AccountId"]: u["UsedQuantity"] for u in row.get("AccountUsages", [])} for kind, row in rows.items()}
    return {kind: row["UsedQuantity"] for kind, row in rows.items()}, by_account


def quota(sdk, instance):
    # Read as sent: the vendor's model does not know our extension.
    import wire

    made, account = sdk
    answer = wire.ask(made.port, wire.v3(account, "GetKmsInstanceQuotaInfos", {"KmsInstanceId": instance}))
    assert answer.status == 200, answer.body
    return answer.json["KmsInstanceQuotaInfos"]


def report_as(made, job, *options):
    command = [binary(), "--socket", str(made.socket), "job", "report", job, *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_shares_need_one_verified_entity_in_one_directory(unstarted):
    made = unstarted
    made.accounts.append(CARGO)
    group = ("Group Ltd.", True, [RETAIL, LOGISTICS])
    made.extra = "\n".join(
        [directory(group, ("Other Ltd.", True, [STRANGER])), directory(("Cargo", True, [CARGO]), name="rd-cargo")]
    )
    made.start()
    for account, code, words in [
        (STRANGER, "OtherEntity", 'belongs to the entity "Group Ltd.", account 1000000000000003 to "Other Ltd."'),
        (CARGO, "OtherDirectory", 'of the resource directory "rd-group", account 1000000000000004 of "rd-cargo"'),
    ]:
        exit_code, refused = share(made, account)
        assert (exit_code, refused["error"]["code"]) == (1, code), refused
        assert words in refused["error"]["message"] and refused["error"]["remedy"]
        with pytest.raises(Refused) as caught:
            made.sdk(account=account).call("CreateKey", DKMSInstanceId=INSTANCE)
        assert caught.value.code == "Forbidden.DKMSInstanceNotFound"
        exit_code, plan = made.cli(
            "plan", "--region", REGION, "--account", account.id, "--instance", INSTANCE, "--all"
        )
        assert (exit_code, plan["problems"][0]["code"]) == (4, "InstanceNotShared"), plan
        assert words in plan["problems"][0]["message"]

    # An entity that loses its verification while an account has resources there: the file is rejected as a whole.
    inside = Population(made.sdk(account=LOGISTICS))
    key = inside.key("inside", DKMSInstanceId=INSTANCE)
    good = made.extra
    made.extra = good.replace('"Group Ltd."\nverified = true', '"Group Ltd."\nverified = false')
    rejected = made.reload("config.rejected")
    assert "has not passed real-name verification" in rejected["message"], rejected
    code, checked = made.cli("--config", str(made.config), "config", "check")
    assert code == 2 and "in shared_with, but the entity" in str(checked), checked
    made.extra = good
    made.reload()
    made.stop()

    # Without any directory a share is held to nothing: configurations of before keep their meaning.
    made.extra = ""
    made.start()
    assert share(made, STRANGER)[0] == 0
    assert made.sdk(account=STRANGER).call("ListKmsInstances")["TotalCount"] == 1
    # A share by hand that a new directory does not allow is at rest: it gives nothing, and the data plane goes on.
    made.extra = directory(group)
    made.reload()
    code, shown = made.cli("instance", "show", INSTANCE)
    assert [(s["account"], s["code"]) for s in shown["shares_at_rest"]] == [(STRANGER.id, "NotInDirectory")], shown
    assert made.sdk(account=STRANGER).call("ListKmsInstances")["TotalCount"] == 0
    assert made.sdk(account=LOGISTICS).call("DescribeKey", KeyId=key)["KeyMetadata"]["DKMSInstanceId"] == INSTANCE


def test_a_share_stays_while_something_is_there(deployment):
    made = deployment
    assert share(made, STRANGER)[0] == 0
    sdk = made.sdk(account=STRANGER)
    sdk.call("CreateSecret", SecretName="s", SecretData=MARKER, VersionId="v1", DKMSInstanceId=INSTANCE)
    code, refused = share(made, STRANGER, how="unshare")
    assert (code, refused["error"]["code"]) == (1, "InstanceInUse"), refused
    assert "0 keys and 1 secret in" in refused["error"]["message"]
    code, refused = share(made, LOGISTICS, how="unshare")
    assert (code, refused["error"]["code"]) == (1, "SharedByConfig"), refused
    sdk.call("DeleteSecret", SecretName="s", ForceDeleteWithoutRecovery="true")
    assert share(made, STRANGER, how="unshare")[0] == 0
    assert sdk.call("ListKmsInstances")["TotalCount"] == 0

    # The same for shared_with: a reload, and a start, without it is refused while the account has something there.
    made.sdk(account=LOGISTICS).call("CreateKey", DKMSInstanceId=INSTANCE)
    config = made.write_config

    def without():
        config()
        made.config.write_text(made.config.read_text().replace(f'shared_with = ["{LOGISTICS.id}"]\n', ""))

    made.write_config = without
    assert "which has resources there, is gone" in made.reload("config.rejected")["message"]
    made.stop()
    failed = subprocess.run([binary(), "--config", str(made.config), "run"], capture_output=True, text=True, timeout=60)
    assert failed.returncode == 2 and "which has resources there, is gone" in failed.stderr, failed.stderr
    made.write_config = config
    made.start()

    # All of it is in the log and in the audit trail, refusals too.
    assert [line for line in made.log.all("admin.command")] == []
    share(made, STRANGER)
    assert "instance share" in made.log.wait("admin.command")["message"]
    assert made.cli("audit", "verify")[0] == 0


def test_schedules_that_meet_queue_and_both_end(deployment):
    made = deployment
    populations = {account: Population(made.sdk(account=account)).fill_small() for account in (RETAIL, LOGISTICS)}
    # The same name of a secret in both.
    for account, population in populations.items():
        population.generic("same/name")
        population.secrets["same/name"]["v1"] = f"{MARKER}same/name-1"
        population.put("same/name", f"of-{account.id}")
    at = in_seconds(6)
    for account in populations:
        made.schedules.append(
            {
                "name": f'"of-{account.access_key}"',
                "region": f'"{REGION}"',
                "account": f'"{account.id}"',
                "instance": f'"{INSTANCE}"',
                "at": at,
                "resources": '"all"',
                # What is tried below while the first one holds its lock takes a while on a busy machine.
                "soak": '"12s"',
                "acknowledge": "true",
            }
        )
    made.reload()
    with Load(made, populations[RETAIL], 3) as one, Load(made, populations[LOGISTICS], 3, LOGISTICS) as other:
        first = made.log.wait("lock.acquired")
        locked = RETAIL if first["account"] == RETAIL.id else LOGISTICS
        free = LOGISTICS if locked is RETAIL else RETAIL
        manage_everywhere(made.sdk(account=free))
        with pytest.raises(Refused) as caught:
            made.sdk(account=locked).call("CreateKey")
        assert caught.value.code == "Rejected.Migrating"
        code, refused = share(made, STRANGER)
        assert (code, refused["error"]["code"]) == (5, "ScopeLocked"), "the shares are the instance's own management"
        made.log.wait("lock.acquired", account=free.id)
        manage_everywhere(made.sdk(account=locked))
        made.log.wait("lock.released", account=free.id)
        made.log.wait("migration.complete", account=free.id)
    assert one.failures == [] and other.failures == [], (one.failures[:3], other.failures[:3])
    code, document = made.cli("job", "list")
    assert [job["state"] for job in document["jobs"]] == ["complete", "complete"], document
    one, two = sorted(document["jobs"], key=lambda job: job["started_at"])
    assert one["unlocked_at"] <= two["locked_at"], "one after the other"
    for population in populations.values():
        population.check_use()
    assert found_in_the_clear(made.state_dir, MARKER) == []


def manage_everywhere(sdk):
    """Management of an account's own keys and secrets, in the shared KMS and in the instance."""
    for where in ({}, {"DKMSInstanceId": INSTANCE}):
        key = sdk.call("CreateKey", **where)["KeyMetadata"]["KeyId"]
        sdk.call("DisableKey", KeyId=key)
        sdk.call("EnableKey", KeyId=key)
        sdk.call("UpdateKeyDescription", KeyId=key, Description="meanwhile")
        sdk.call("CreateSecret", SecretName=f"of/{key}", SecretData=MARKER, VersionId="v1", **where)
        sdk.call("PutSecretValue", SecretName=f"of/{key}", SecretData=MARKER, VersionId="v2")
        sdk.call("DeleteSecret", SecretName=f"of/{key}", ForceDeleteWithoutRecovery="true")
        sdk.call("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)


def test_a_group_goes_on_past_a_refusal_and_tells_it(deployment):
    made = deployment
    accounts = [RETAIL, STRANGER, LOGISTICS]  # the one in the middle may not use the instance
    populations = {account: Population(made.sdk(account=account)).fill_small() for account in accounts}
    names = [word for account in accounts for word in ("--account", account.id)]
    where = ["--region", REGION, "--instance", INSTANCE]
    code, document = made.cli("plan", *where, *names, "--all")
    assert code == 4 and [plan["refused"] for plan in document["plans"]] == [False, True, False], document
    code, document = made.cli("migrate", *where, *names, "--all", "--yes", "--wait")
    assert code == 4, "what did not complete was refused by preflight"
    group = document["group"]
    assert [(job["account"], job["state"]) for job in document["jobs"]] == [
        (RETAIL.id, "complete"),
        (STRANGER.id, "failed"),
        (LOGISTICS.id, "complete"),
    ], document
    assert document["jobs"][1]["failure"]["code"] == "InstanceNotShared"
    assert document["jobs"][1]["locked_at"] is None, "a refusal locks nothing"
    ends = [job["finished_at"] for job in document["jobs"]]
    assert ends == sorted(ends), "one after the other"
    for population in populations.values():
        population.check_use()

    # One report: JSON, text, a page.
    code, report = made.cli("job", "report", group)
    assert (code, report["group"], len(report["jobs"])) == (0, group, 3), report
    assert (report["jobs_done"], report["jobs_refused"], report["jobs_failed"], report["jobs_left"]) == (2, 1, 0, 0)
    assert (report["keys_moved"], report["secrets_moved"]) == (2, 4), report
    for job in report["jobs"]:
        assert job["signature"] is None or job["signature"]["intact"] is True
    text = report_as(made, group)
    page = report_as(made, group, "--html")
    for account in accounts:
        assert account.id in text and f"Account {account.id}" in page
    assert "2 done, 1 refused by preflight" in text and "InstanceNotShared" in page
    assert MARKER not in text + page + json.dumps(report), "no value is in a report"
    alone = made.cli("job", "report", group, "--alone")[1]
    assert (alone["id"], alone["account"]) == (group, RETAIL.id)

    # One watch: a line for each job, and the exit code of the group.
    command = [binary(), "--socket", str(made.socket), "--json", "job", "watch", group]
    watched = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = [json.loads(line) for line in watched.stdout.splitlines()]
    assert watched.returncode == 4 and {line["account"] for line in lines} == {account.id for account in accounts}

    # Shared at last, the rest can follow; then every one of the group is done.
    assert share(made, STRANGER)[0] == 0
    code, document = made.cli("migrate", *where, *names, "--all", "--yes", "--wait")
    assert code == 0 and [job["keys_total"] for job in document["jobs"]] == [0, 1, 0], document


def test_a_plan_of_a_group_sees_what_the_accounts_before_it_bring(deployment):
    made = deployment
    for account in (RETAIL, LOGISTICS):
        Population(made.sdk(account=account)).fill_small()  # one key and two secrets each; the small one takes two
    names = ["--account", RETAIL.id, "--account", LOGISTICS.id]
    where = ["--region", REGION, "--instance", SMALL_INSTANCE]
    code, document = made.cli("plan", *where, *names, "--all")
    assert code == 4 and [plan["refused"] for plan in document["plans"]] == [False, True], document
    assert document["plans"][1]["problems"][0]["code"] == "QuotaExceeded"
    assert "holds or has promised 2, and 2 more would come" in document["plans"][1]["problems"][0]["message"]
    code, document = made.cli("migrate", *where, *names, "--all", "--yes", "--wait")
    assert (code, [job["state"] for job in document["jobs"]]) == (4, ["complete", "failed"]), document
    assert document["jobs"][1]["failure"]["code"] == "QuotaExceeded"


def test_the_owner_sees_counts_and_nothing_else(deployment):
    made = deployment
    populations = {account: Population(made.sdk(account=account)).fill_small() for account in (RETAIL, LOGISTICS)}
    names = ["--account", RETAIL.id, "--account", LOGISTICS.id]
    assert made.cli("migrate", "--region", REGION, "--instance", INSTANCE, *names, "--all", "--yes", "--wait")[0] == 0
    owner, other = made.sdk(account=RETAIL), populations[LOGISTICS]
    used, by_account = usages((made, RETAIL))
    assert used == {"key": 2, "secret": 4}
    assert by_account["key"] == {RETAIL.id: 1, LOGISTICS.id: 1} and by_account["secret"] == {RETAIL.id: 2, LOGISTICS.id: 2}
    used, by_account = usages((made, LOGISTICS))
    assert (used, by_account) == ({"key": 1, "secret": 2}, {"key": {}, "secret": {}}), "its own, and nobody else's"
    code, shown = made.cli("instance", "show", INSTANCE)
    assert [(row["account"], row["keys"], row["secrets"]) for row in shown["accounts"]] == [
        (RETAIL.id, 1, 2),
        (LOGISTICS.id, 1, 2),
    ], shown
    text = json.dumps(shown)
    for name in [*other.keys.values(), *other.secrets]:
        assert name not in text
    # Neither lists nor use.
    assert {key["KeyId"] for key in owner.call("ListKeys", PageSize=100)["Keys"]["Key"]}.isdisjoint(other.keys.values())
    theirs = other.keys["plain"]
    for name in (theirs, f"acs:kms:{REGION}:{LOGISTICS.id}:key/{theirs}"):
        for action, more in [
            ("Encrypt", {"Plaintext": "aGk="}),
            ("GenerateDataKey", {}),
            ("DescribeKey", {}),
            ("GetKeyPolicy", {}),
            ("DisableKey", {}),
        ]:
            with pytest.raises(Refused) as caught:
                owner.call(action, KeyId=name, **more)
            assert caught.value.code == "Forbidden.KeyNotFound", f"{action} {name}: {caught.value}"
    with pytest.raises(Refused) as caught:
        owner.call("Decrypt", CiphertextBlob=other.blobs["plain"][0][0], EncryptionContext={"made": "before"})
    assert caught.value.status == 400


def jobs_of(made, group):
    return [job for job in made.cli("job", "list")[1]["jobs"] if job["group"] == group["group"]]


def test_a_hold_on_one_account_does_not_stop_its_group(deployment):
    made = deployment
    populations = {account: Population(made.sdk(account=account)).fill_small() for account in (RETAIL, LOGISTICS)}
    assert made.cli("hold", "--account", RETAIL.id, "--reason", "audit")[0] == 0
    names = ["--account", RETAIL.id, "--account", LOGISTICS.id]
    order = ["migrate", "--region", REGION, "--instance", INSTANCE, *names, "--all", "--yes"]
    code, group = made.cli(*order)
    assert code == 0, group
    made.log.wait("migration.complete", account=LOGISTICS.id)
    held = made.cli("job", "show", group["group"])[1]
    assert (held["account"], held["state"]) == (RETAIL.id, "queued")
    # It locks nothing: another order is taken, too, and its job for the held account waits as well.
    code, again = made.cli(*order)
    assert code == 0, again
    assert made.cli("release", "--account", RETAIL.id)[0] == 0
    for order in (group, again):
        eventually(lambda: all(job["state"] == "complete" for job in jobs_of(made, order)))  # noqa: B023
    for population in populations.values():
        population.check_use()


def test_a_reload_is_in_the_audit_trail_and_so_is_each_share_that_comes_or_goes_with_it(unstarted):
    def shared_with(*accounts):
        names = ", ".join(f'"{account.id}"' for account in accounts)
        fields = [f'region = "{REGION}"', f'owner = "{RETAIL.id}"', 'kind = "software"', f"shared_with = [{names}]"]
        unstarted.extra = "\n".join(["[[instance]]", 'id = "kst-third"', *fields])

    shared_with()
    unstarted.start()
    # That somebody verifies is noted as well, at the first time; the answer does not wait for it.
    begun = int(unstarted.log.wait("audit.head")["head"].split(":")[0])
    eventually(lambda: unstarted.audited() > begun)
    for accounts, more in [((), 1), ((LOGISTICS, STRANGER), 3), ((STRANGER,), 2), ((), 2)]:
        before = unstarted.audited()
        shared_with(*accounts)
        unstarted.reload()
        assert unstarted.audited() == before + more, accounts
