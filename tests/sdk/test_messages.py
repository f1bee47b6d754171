"""What a real daemon's operators read when they are refused, word by word: each names the thing, the cause and the remedy.

What commands say without a daemon is in tests/cli. These tests ask as another user of the machine too, so they need root."""

import os
import pathlib
import re
import tempfile
import time

from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, SMALL_INSTANCE, STRANGER, eventually, free_port
from message_pages import PAGES, Page
from population import Population
from test_access import NOBODY, identities
from test_accounts import CARGO, directory
from test_remote import authority, issue
from test_service import later

ROOT = pathlib.Path(__file__).resolve().parents[2]
NO_JOB = "job-00000000000000000000"
NO_KEY = "11111111-2222-4333-8444-555555555555"
LATER, PAST = "2126-12-01T02:00:00+08:00", "2020-01-01T02:00:00Z"
SCOPE = ["--region", REGION, "--account", RETAIL.id]
WHERE = [*SCOPE, "--instance", INSTANCE]
MOVE = ["migrate", *WHERE, "--yes"]


def scope_of(account, instance=INSTANCE, region=REGION):
    return ["--region", region, "--account", account.id, "--instance", instance]


def test_what_is_said_of_what_is_not_there(unstarted, tmp_path):
    unstarted.of_account = identities()
    unstarted.start()
    page = Page("not-there", tmp_path, unstarted)
    refused = page.refused
    for command in ("show", "watch", "report", "cancel", "approve"):
        refused("A job that is not there.", "JobNotFound", "job", command, NO_JOB)
    refused("What is no ID of a job is the ID of no job.", "JobNotFound", "job", "show", "nightly")
    for command in ("show", "next", "pause", "resume", "cancel"):
        refused("A schedule that is not there.", "ScheduleNotFound", "schedule", command, "nightly")
    refused("An instance that is not there.", "InstanceNotFound", "instance", "show", "kst-none")
    refused("The same as a target.", "InstanceNotFound", "migrate", *scope_of(RETAIL, "kst-none"), "--all", "--yes")
    refused("What has not the form of an ID.", "InvalidValue", "instance", "show", "INSTANCE")
    refused("A region that is not configured.", "RegionNotFound", "check", "--region", "cn-nowhere")
    refused("An account that is not configured.", "AccountNotFound", "check", "--account", "1000000000000009")
    refused("What has not the form of an account's ID.", "InvalidValue", "check", "--account", "42")
    refused("An account that is named twice.", "InvalidValue", *MOVE, "--account", RETAIL.id, "--all")
    refused("No key has such an ID.", "InvalidValue", *MOVE, "--key", "alias/payments")
    refused("A hold that nobody put.", "HoldNotFound", "release", *SCOPE)
    refused("A hold without a reason.", "InvalidValue", "hold", "--reason", " ")
    refused("A root key that is not there.", "RootKeyNotFound", "seal", "rotate", "kst-none")
    refused("What is no head of the audit trail.", "InvalidValue", "audit", "verify", "--head", "7")

    arn = f"acs:kms:{REGION}:{RETAIL.id}:key/{NO_KEY}"

    def explain(identity, action, resource, *more):
        return ["policy", "explain", "--identity", identity, "--action", action, "--resource", resource, *more]

    app = f"acs:ram::{RETAIL.id}:user/app"
    refused("An identity that is not there.", "IdentityNotFound", *explain("app", "kms:Encrypt", arn))
    refused("What is no operation.", "InvalidValue", *explain(app, "kms:*", arn))
    refused("What is no resource.", "InvalidValue", *explain(app, "kms:Encrypt", "key/1"))
    refused("What is no instant.", "InvalidValue", *explain(app, "kms:Encrypt", arn, "--at", "tomorrow"))
    role = ["role", "credentials", "--account", RETAIL.id, "--session", "alice", "--role"]
    refused("A role that is not there.", "RoleNotFound", *role, "operator")
    refused("Credentials that would last too long.", "InvalidValue", *role, "auditor", "--duration", "24h")
    refused("What is no duration.", "InvalidValue", *role, "auditor", "--duration", "long")
    page.check()


def test_what_is_said_of_schedules(unstarted, tmp_path):
    unstarted.schedule("nightly", at=LATER)
    unstarted.start()
    page = Page("schedules", tmp_path, unstarted)
    page.kept = [LATER, PAST]
    refused = page.refused

    def add(name, *when, **more):
        options = [word for option, value in more.items() for word in (f"--{option.replace('_', '-')}", value)]
        return ["schedule", "add", name, *WHERE, "--all", *when, *options]

    refused("A name that the configuration uses.", "NameTaken", *add("nightly", "--at", LATER))
    assert page.run(add("once", "--at", LATER))[0] == 0
    refused("A name that is in use.", "NameTaken", *add("once", "--at", LATER))
    refused("An instant that is past.", "InvalidValue", *add("late", "--at", PAST))
    refused("What is no instant.", "InvalidValue", *add("late", "--at", "2026-12-01 02:00"))
    refused("What is no pattern.", "InvalidValue", *add("weekly", cron="0 2 * *", time_zone="Asia/Shanghai"))
    refused("What is no time zone.", "InvalidValue", *add("weekly", cron="0 2 * * Sun", time_zone="Asia/Shangai"))
    refused("What is no duration.", "InvalidValue", *add("late", "--at", LATER, window="2"))
    refused("A soak that fills the window.", "InvalidValue", *add("late", "--at", LATER, window="1h", soak="1h"))
    many = [word for number in range(51) for word in ("--secret", f"app/{number}")]
    refused("More than can be picked by hand.", "TooManySelected", "schedule", "add", "many", *WHERE, *many, "--at", LATER)
    refused("One that is not paused is not resumed.", "WrongState", "schedule", "resume", "once")
    assert page.run(["schedule", "cancel", "once"])[0] == 0
    for command in ("pause", "resume"):
        refused(f"A canceled one: {command}.", "WrongState", "schedule", command, "once")
    page.check()


def test_what_is_said_of_shares(unstarted, tmp_path):
    made = unstarted
    freight = type(CARGO)("1000000000000005", "LTAIfreight", "freight-secret-0123456789")
    lone = type(CARGO)("1000000000000006", "LTAIlone", "lone-secret-0123456789")
    made.accounts += [CARGO, freight, lone]
    made.start()
    page = Page("shares", tmp_path, made)

    def refused(why, code, how, account, instance=INSTANCE):
        page.refused(why, code, "instance", how, instance, "--with", account.id)

    refused("With its owner.", "OwnInstance", "share", RETAIL)
    refused("A share of the configuration.", "SharedByConfig", "unshare", LOGISTICS)
    refused("A share that is none.", "NotShared", "unshare", STRANGER)
    assert page.run(["instance", "share", INSTANCE, "--with", STRANGER.id])[0] == 0
    made.sdk(account=STRANGER).call("CreateKey", DKMSInstanceId=INSTANCE)
    refused("A share of an account that has something there.", "InstanceInUse", "unshare", STRANGER)
    # One enterprise with two entities, another one that nobody has verified.
    made.extra = "\n".join(
        [
            "[[instance]]", 'id = "kst-cargo"', f'region = "{REGION}"', f'owner = "{CARGO.id}"', 'kind = "software"',
            directory(("Group Ltd.", True, [RETAIL, LOGISTICS, STRANGER]), ("Other Ltd.", True, [freight])),
            directory(("Cargo Ltd.", False, [CARGO]), name="rd-cargo"),
        ]
    )  # fmt: skip
    made.reload()
    refused("With another entity.", "OtherEntity", "share", freight)
    refused("With another directory.", "OtherDirectory", "share", CARGO)
    refused("With an account of no directory.", "NotInDirectory", "share", lone)
    made.extra = made.extra.replace(f'accounts = ["{CARGO.id}"]', f'accounts = ["{CARGO.id}", "{lone.id}"]')
    made.reload()
    refused("With an entity that is not verified.", "EntityNotVerified", "share", lone, "kst-cargo")
    page.check()


def test_what_preflight_says(unstarted, tmp_path):
    made = unstarted
    made.expires[SMALL_INSTANCE] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    made.start()
    sdk = made.sdk()
    population = Population(sdk)
    plain, rotating = population.key("plain"), population.key("with-secret")
    population.generic("app/db", EncryptionKeyId=rotating)
    for number in range(51):
        population.generic(f"many/{number}")
    large, empty = population.key("rsa-3072", KeySpec="RSA_3072"), population.key("empty", Origin="EXTERNAL")
    there = population.key("there", DKMSInstanceId=INSTANCE)
    versions = population.key("versions", KeySpec="RSA_2048", KeyUsage="SIGN/VERIFY")
    sdk.call("CreateKeyVersion", KeyId=versions)
    service = sdk.call("DescribeKey", KeyId="alias/acs/ecs")["KeyMetadata"]["KeyId"]
    # Only now: with two regions a client would have to name one.
    made.extra = "\n".join(
        [
            "[[region]]", 'id = "cn-beijing"',
            "[[instance]]", 'id = "kst-beijing"', 'region = "cn-beijing"', f'owner = "{RETAIL.id}"', 'kind = "software"',
            "[[instance]]", 'id = "kst-off"', f'region = "{REGION}"', f'owner = "{RETAIL.id}"', 'kind = "software"',
            "enabled = false",
        ]
    )  # fmt: skip
    made.reload()
    page = Page("preflight", tmp_path, made)
    page.name(PLAIN=plain, WITH_SECRET=rotating, RSA_3072=large, EMPTY=empty, THERE=there, VERSIONS=versions, SERVICE=service)

    def refused(why, *selection, where=WHERE):
        page.refused(why, "Refused", "migrate", *where, *selection, "--yes")

    refused("A spec that the instance does not take.", "--key", large)
    refused("A key with nothing to move.", "--key", empty)
    refused("More versions than the instance takes.", "--key", versions)
    refused("A key without its secret.", "--key", rotating)
    refused("A secret without its key.", "--secret", "app/db")
    refused("A key that is not there, and a secret.", "--key", NO_KEY, "--secret", "no/such")
    refused("A service key.", "--key", service)
    refused("A key that has moved.", "--key", there)
    refused("More than can be picked by hand.", *(word for n in range(51) for word in ("--secret", f"many/{n}")))
    refused("An instance of another account.", "--all", where=scope_of(STRANGER))
    refused("An instance of another region.", "--key", plain, where=scope_of(RETAIL, "kst-beijing"))
    refused("An instance that nobody has enabled.", "--key", plain, where=scope_of(RETAIL, "kst-off"))
    refused("An instance that is too small and ends.", "--all", where=scope_of(RETAIL, SMALL_INSTANCE))
    assert page.run(["hold", *SCOPE, "--reason", "the release freeze"])[0] == 0
    refused("A hold.", "--key", plain)
    assert page.run(["release", *SCOPE])[0] == 0
    page.refused("Nobody can be asked.", "ConfirmationNeeded", "migrate", *WHERE, "--all")
    page.check()


def test_what_is_said_while_a_job_runs_and_after_it(unstarted, tmp_path):
    made = unstarted
    # The first purge has been entered and does not go on: there is no way back, and no way forward either.
    made.environment = {"KEYFERRY_FAILPOINT": "source.purge.before=stall"}
    made.start()
    Population(made.sdk()).fill_small()
    page = Page("running", tmp_path, made)
    refused = page.refused
    job = made.migrate("--all", wait=False)[1]["id"]
    made.log.wait("migration.progress", job=job, phase="purging")
    refused("A job that destroys source copies.", "PastReturn", "job", "cancel", job)
    refused("Another one for the same account.", "ScopeLocked", *MOVE, "--all")
    refused("Another one into the same instance.", "ScopeLocked", "migrate", *scope_of(LOGISTICS), "--all", "--yes")
    share = ["instance", "share", INSTANCE, "--with", STRANGER.id]
    refused("The shares of an instance that a job holds.", "ScopeLocked", *share)
    refused("A job that waits for nobody.", "NotAwaited", "job", "approve", job)
    # The window ends, and it is still there.
    made.kill()
    made.start(prefix=later("+3h"))
    made.log.wait("lock.overdue")
    page.warned("A job beyond the end of its window.", "LockOverdue")
    made.environment = {}
    made.kill()
    made.start(prefix=later("+3h"))
    made.log.wait("migration.complete", job=job)
    refused("A job that has ended.", "Ended", "job", "cancel", job)
    refused("A job that has ended waits for nobody.", "NotAwaited", "job", "approve", job)
    made.stop()
    made.start(prefix=later("+40d"))
    made.log.wait("clock.stepped")
    page.warned("A clock that was set forward meanwhile.", "ClockStepped")
    page.check()


def test_what_is_said_of_rights_and_approval(unstarted, tmp_path):
    made = unstarted
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        made.socket = pathlib.Path(place) / "admin.sock"
        made.extra = '[[admin.rights]]\nuser = "nobody"\nmay = "plan"\n[migration]\napproval = true'
        made.start()
        os.chmod(made.socket, 0o666)
        Population(made.sdk()).fill_small()
        page = Page("rights", pathlib.Path("/"), made)
        page.names = {}
        job = made.migrate("--all", wait=False)[1]["id"]
        page.refused("Whoever asked cannot approve.", "OwnApproval", "job", "approve", job)
        page.refused("A right that is missing.", "NoRight", "job", "approve", job, user=NOBODY)
        made.extra = made.extra.replace('"nobody"', '"daemon"')
        made.reload()
        page.refused("No right at all.", "NoRight", "status", user=NOBODY)
        page.check()


def test_what_is_said_of_jobs_that_failed(unstarted, tmp_path):
    made = unstarted
    made.extra = "[migration]\nmax_rate = 1\n"
    made.start()
    Population(made.sdk()).fill_small()
    page = Page("failed", tmp_path, made)
    made.schedule("short", seconds=2, window='"15s"', soak='"14s"')
    failed = made.log.wait("migration.failed")["job"]
    page.said("Its window was too short.", "job", "show", failed)
    page.said("Who waits for it hears the same.", "job", "watch", failed, exit_code=1)
    made.extra = ""
    made.schedule("soaking", seconds=1, soak='"60s"')
    soaking = made.log.wait("migration.progress", schedule="soaking", phase="confirming")["job"]
    assert page.run(["job", "cancel", soaking])[0] == 0
    made.log.wait("migration.canceled", job=soaking)
    page.said("Somebody canceled it.", "job", "show", soaking)
    for why, failpoint in [
        ("The instance stopped answering.", "target.stage.before:*=error"),
        ("What has no remedy of its own.", "proof.labels.before:*=refuse"),
    ]:
        made.kill()
        made.environment = {"KEYFERRY_FAILPOINT": failpoint}
        made.start()
        code, job = made.migrate("--all")
        assert code == 1, job
        page.said(why, "job", "show", job["id"])
    page.check()


def test_what_status_warns_of(unstarted, tmp_path):
    made = unstarted
    made.schedule("nightly", at=LATER, acknowledge="false")
    made.expires[INSTANCE] = "2020-01-01T00:00:00Z"
    issue(tmp_path, "gateway", authority(tmp_path, "gateway"), days=5)
    (tmp_path / "instance-ca.pem").write_text("no certificate")
    elsewhere = f"""[[instance]]
id = "kst-elsewhere"
region = "{REGION}"
owner = "{RETAIL.id}"
kind = "software"
[instance.remote]
endpoint = "https://localhost:{free_port()}"
ca = "{tmp_path}/instance-ca.pem"
certificate = "{tmp_path}/gateway.pem"
private_key = "{tmp_path}/gateway.key"
"""
    # Everybody may read the secrets in it.
    made.config.touch()
    made.config.chmod(0o644)
    made.extra = f"[migration]\napproval = true\n{elsewhere}"
    made.start()
    Population(made.sdk()).fill_small()
    made.migrate("--all", wait=False, instance=SMALL_INSTANCE)
    made.extra = f"[migraton]\napproval = true\n{elsewhere}"
    made.reload("config.rejected")

    def warned():
        return {warning["code"] for warning in made.cli("status")[1]["warnings"]}

    # What the daemon looks at by itself, from time to time.
    looked_at = {"CertificateExpiring", "CertificateUnreadable", "InstanceError"}
    eventually(lambda: looked_at | {"ConfigRejected"} <= warned())
    page = Page("warnings", tmp_path, made)
    assert page.run(["hold", "--region", REGION, "--reason", "the release freeze"])[0] == 0
    _, text = page.run(["status"])
    # Above them is what is; here it is about what somebody should do.
    page.add("What somebody should look at.", ["status"], "0", text[re.search(r"^(Held|Warning)", text, re.M).start() :])
    page.check()


def test_what_is_said_beside_the_daemon(unstarted, tmp_path):
    made = unstarted
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "root").write_bytes(bytes(range(32)))
    made.environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    made.extra = '[seal]\nroot_key = { credential = "root" }'
    made.start()
    made.sdk().call("CreateKey")
    page = Page("beside", tmp_path, made)
    page.name(PORT=made.port)
    refused = page.refused
    (tmp_path / "taken").write_text("x")
    (tmp_path / "short").write_text("x")
    (tmp_path / "short").chmod(0o600)
    refused("A backup over a file.", "Backup", "backup", "taken", "--key-file", "key")
    refused("A key of a backup that is none.", "BackupKey", "backup", "new", "--key-file", "short")
    assert page.run(["backup", "whole", "--key-file", "key"])[0] == 0
    refused("A restoration where something is.", "Restore", "restore", "whole", "--key-file", "key")
    refused("A restoration under a key that is not there.", "BackupKey", "restore", "whole", "--key-file", "none")
    refused("What is no backup.", "Backup", "restore", "taken", "--key-file", "key", "--check")
    refused("A root key for which no next one is there.", "NoNextRootKey", "seal", "rotate", "shared")
    (credentials / "root.next").write_bytes(bytes(range(1, 33)))
    assert page.run(["seal", "rotate", "shared", "--wait"])[0] == 0
    refused("One whose exchange waits for somebody.", "RootKeyToBeMoved", "seal", "rotate", "shared")
    export = ["seal", "export", "--to"]
    refused("Root keys over a file.", "Export", *export, "taken", environment=made.environment)
    refused("A credential outside of the unit.", "RootKey", *export, "new")
    refused("The store of a daemon that runs.", "Offline", "audit", "verify", "--offline")
    alone = {"KEYFERRY_SOCKET": ""}
    refused("A socket that nothing names.", "ConfigUnreadable", "--config", "none", "status", environment=alone)
    refused("A code that is none.", "UnknownCode", "explain", "ScopeLokced")
    refused("A directory that is none.", "Generate", "generate", "schema", "taken")
    refused("Two wishes at once.", "UnsupportedRole", "run", "--dev", "--role", "instance")
    refused("A second daemon.", "Daemon", "run", remedy="; stop it, or use another state_dir")
    refused("A policy that is not there.", "Unreadable", "policy", "check", "none")
    (tmp_path / "policy").write_text('{"Version": "1", "Statement": [{"Effect": "Allow"}]}')
    refused("A policy with a fault.", "InvalidPolicy", "policy", "check", "policy")
    refused("Terraform where there is none.", "NoConfiguration", "terraform", "check", "--job", NO_JOB)
    (tmp_path / "main.tf").write_text('resource "alicloud_kms_key" "a" {\n  description = "a"\n}\n')
    refused("A job that moved nothing that is there.", "JobNotFound", "terraform", "check", "--job", NO_JOB)
    refused("A state that is not there.", "FileUnreadable", "terraform", "check", "--state", "none")
    asks = ["terraform", "check", "--endpoint", f"http://127.0.0.1:{made.port}", "--region", REGION]
    refused("A KMS that cannot be asked.", "NoAccessKey", *asks)
    nobody = {"ALIBABA_CLOUD_ACCESS_KEY_ID": "LTAInobody", "ALIBABA_CLOUD_ACCESS_KEY_SECRET": "nobody-secret-0123456789"}
    refused("A KMS that refuses.", "EndpointRefused", *asks, environment=nobody)
    page.check()


def documented():
    """Codes that commands say: refusals, problems and failures."""
    pages = [(ROOT / f"docs/codes/{name}.md").read_text() for name in ("commands", "problems", "failures")]
    return {code for page in pages for code in re.findall(r"^## (\S+)$", page, re.M)}


def pinned():
    """Codes whose words a page or a test of tests/cli holds."""
    codes = set()
    for page in PAGES.glob("*.txt"):
        codes |= set(re.findall(r"^(?:\? \d+ |Failure +|Warning |  )([A-Z]\w+)(?::|$)", page.read_text(), re.M))
    for page in (ROOT / "tests/cli").glob("*.trycmd"):
        codes |= set(re.findall(r'"code": "(\w+)"', page.read_text()))
    return codes


# Codes whose words no page holds, and why.
MOMENT = "lasts for moments, or is of a store that fails"
HARDWARE = "of a token: test_hardware.py, tests/hardware"
ELSEWHERE = {
    "BackupFailed": MOMENT,
    "Busy": MOMENT,
    "ClockNotConfirmed": MOMENT,
    "NoIdentities": MOMENT,
    "NoRootKeys": MOMENT,
    "RootKeyInExchange": MOMENT,
    "Starting": MOMENT,
    "Stopping": MOMENT,
    "InsufficientSpace": HARDWARE,
    "RotationNotSupported": HARDWARE,
    "GroupNotFound": "of a group that is there only the jobs are asked for",
    "NoTokens": "every configuration has a region",
    "UnsupportedProtectionLevel": "the shared KMS makes no such keys",
    "Canceled": "a status of jobs, not a failure",
    "Declined": "a question on a terminal, answered with no",
    "IdentityMismatch": "another process in the instance's place: test_remote.py",
    "InstanceIsNewer": "an instance on another host: test_restore_beside_remote.py",
    "NameConflict": "an instance that is ahead of the catalogue: test_restore_beside_remote.py",
    "NoSuchPath": "a daemon of another release",
    "UnexpectedAnswer": "a daemon of another release",
    "OutsideAllowedHours": "an event, which no command says: test_service.py",
    "RotationInFlight": "a rotator that hangs: test_rotation.py",
    "VerificationFailed": "a keystore that lies: tests/migration",
    "WriteFailed": "root can write everywhere",
}


def test_every_code_is_on_a_page():
    assert documented() - pinned() == set(ELSEWHERE)
