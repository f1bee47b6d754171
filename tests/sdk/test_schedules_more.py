"""Schedules that come back, groups of which one is held, and how many accounts a group may have."""

import subprocess
import time

from clients import Account
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, binary, eventually, in_seconds
from population import Population


def entry(name, accounts, seconds, **more):
    named = ", ".join(f'"{account.id}"' for account in accounts)
    return {
        "name": f'"{name}"',
        "region": f'"{REGION}"',
        "accounts": f"[{named}]",
        "instance": f'"{INSTANCE}"',
        "at": in_seconds(seconds),
        "resources": '"all"',
        "acknowledge": "true",
        **more,
    }


def jobs(made):
    return made.cli("job", "list")[1]["jobs"]


def test_what_was_canceled_stays_so_when_its_entry_is_removed_and_put_back(deployment):
    made = deployment
    made.schedules = [entry("once", [RETAIL], 12)]
    made.reload()
    assert made.cli("schedule", "cancel", "once")[0] == 0
    mine, made.schedules = made.schedules, []
    made.reload()
    assert made.cli("schedule", "list")[1]["schedules"] == []
    made.stop()
    made.start()
    made.schedules = mine
    mark = made.log.mark()
    made.reload()
    assert "canceled" in made.log.wait("schedule.registered", since=mark)["message"]
    assert made.cli("schedule", "show", "once")[1]["state"] == "canceled"
    time.sleep(13)
    assert jobs(made) == []
    # Another text is another entry.
    made.schedules = [entry("once", [RETAIL], 6)]
    made.reload()
    made.log.wait("migration.complete", schedule="once")


def test_a_hold_on_one_account_keeps_no_other_of_its_group(deployment):
    made = deployment
    for account in (RETAIL, LOGISTICS):
        Population(made.sdk(account=account)).fill_small()
    assert made.cli("hold", "--account", RETAIL.id, "--reason", "freeze")[0] == 0
    made.schedules = [entry("group", [RETAIL, LOGISTICS], 5)]
    made.reload()
    made.log.wait("migration.complete", account=LOGISTICS.id)
    assert made.log.all("migration.complete", account=RETAIL.id) == []
    assert made.cli("release", "--account", RETAIL.id)[0] == 0
    made.log.wait("migration.complete", account=RETAIL.id)


def test_what_the_file_takes_over_from_the_command_line_waits_for_nobody(deployment):
    made = deployment
    made.extra = "[migration]\napproval = true"
    made.reload()
    Population(made.sdk()).fill_small()
    where = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE, "--all", "--acknowledge"]
    assert made.cli("schedule", "add", "mine", *where, "--at", in_seconds(3600))[0] == 0
    assert made.cli("schedule", "cancel", "mine")[0] == 0
    made.schedules = [entry("mine", [RETAIL], 5)]
    made.reload()
    made.log.wait("migration.complete", schedule="mine")


def test_a_group_has_as_many_accounts_as_one_transaction_makes_jobs(unstarted):
    made = unstarted
    many = [Account(f"2{number:015}", f"LTAImany{number}", "a-secret-0123456789") for number in range(65)]
    made.accounts += many
    made.start()
    named = [word for account in many for word in ("--account", account.id)]
    code, document = made.cli("migrate", "--region", REGION, "--instance", INSTANCE, "--all", "--yes", *named)
    assert code == 2 and "at most 64" in document["error"]["message"], document
    made.schedules = [entry("large", many, 5)]
    made.reload("config.rejected")
    checked = subprocess.run([binary(), "--config", str(made.config), "config", "check"], capture_output=True, text=True)
    assert checked.returncode == 2 and "at most 64 accounts in one schedule" in checked.stdout + checked.stderr
    made.schedules = [entry("large", many[1:], 5)]
    made.reload()
    eventually(lambda: len(jobs(made)) == 64)
