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


def test_what_the_file_takes_over_from_the_command_line_waits_for_nobody(deployment):
    made = deployment
    made.extra = "[migration]\napproval = true"
    made.reload()
    Population(made.sdk()).fill_small()
    where = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE, "--all", "--acknowledge"]
    assert made.cli("schedule", "add", "mine", *where, "--at", in_seconds(3600))[0] == 0
    assert made.cli("schedule", "cancel", "mine")[0] == 0
    made.schedules = [entry("mine", [RETAIL], 2)]
    made.reload()
    made.log.wait("migration.complete", schedule="mine")
