"""What meets a job while it starts, waits or leaves: applications that create, orders that come at once, rotations, holds,
SIGTERM, an instance that does not answer."""

import datetime
import json
import subprocess
import threading

import rotators
from deployment import INSTANCE, LOGISTICS, PATIENCE, REGION, RETAIL, binary, eventually
from population import Population

SCOPE = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE]


def test_a_full_migration_takes_what_is_made_until_the_gate_closes(deployment):
    sdk = deployment.sdk()
    Population(sdk).fill_small()
    made, fired, stop = [], threading.Event(), threading.Event()

    def application():
        own = deployment.sdk()
        for n in range(10_000):
            if stop.is_set():
                return
            try:
                own.call("CreateSecret", SecretName=f"app/{n}", VersionId="v1", SecretData=f"value {n}")
            except Exception as refused:  # noqa: BLE001
                assert "Rejected.Migrating" in str(refused), refused
                return
            made.append(f"app/{n}")
            # At leisure until the job is there: the instance has room for a thousand.
            fired.wait(0.05)

    thread = threading.Thread(target=application)
    thread.start()
    deployment.schedule(seconds=2)
    deployment.log.wait("schedule.fired")
    fired.set()
    eventually(lambda: deployment.job()["finished_at"])
    stop.set()
    thread.join()
    job = deployment.job()
    assert job["state"] == "complete", job["failure"]
    assert made
    for name in made:
        assert sdk.call("DescribeSecret", SecretName=name)["DKMSInstanceId"] == INSTANCE, name


def test_of_orders_that_come_at_once_and_do_not_queue_one_is_taken(unstarted):
    deployment = unstarted
    # The job that is taken does not end before the last order comes.
    deployment.environment = {"KEYFERRY_FAILPOINT": "target.stage.before=stall"}
    deployment.start()
    Population(deployment.sdk()).fill_small()
    command = [binary(), "--socket", str(deployment.socket), "--json", "migrate", *SCOPE, "--all", "--yes"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    orders = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
    answers = [(order.communicate(timeout=PATIENCE), order.returncode) for order in orders]
    assert sorted(code for _, code in answers) == [0, 5, 5, 5], answers
    code, document = deployment.cli("job", "list")
    assert code == 0 and len(document["jobs"]) == 1, document


def test_a_job_that_a_hold_keeps_waiting_locks_nobody_out(deployment):
    for account in (RETAIL, LOGISTICS):
        Population(deployment.sdk(account=account)).fill_small()
    deployment.schedule("first", account=LOGISTICS, seconds=2, soak='"12s"')
    deployment.log.wait("migration.progress", phase="confirming")
    deployment.schedule("second", account=LOGISTICS, seconds=2, window='"1h"')
    deployment.log.wait("migration.queued", schedule="second")
    assert deployment.cli("hold", "--account", LOGISTICS.id, "--reason", "x")[0] == 0
    deployment.log.wait("migration.complete", schedule="first")
    code, document = deployment.migrate("--all", wait=False)
    assert code == 0, document
    deployment.log.wait("migration.complete", job=document["id"])
    waiting = [job for job in deployment.cli("job", "list")[1]["jobs"] if job["schedule"] == "second"]
    assert [job["state"] for job in waiting] == ["queued"]


def test_a_scheduled_job_that_queued_starts_in_the_allowed_hours_only(deployment):
    """Two schedules meet in one instance; while the first one soaks, the hours end."""
    for account in (RETAIL, LOGISTICS):
        Population(deployment.sdk(account=account)).fill_small()
    deployment.schedule("first", seconds=2, soak='"15s"')
    deployment.schedule("second", account=LOGISTICS, seconds=3, window='"1h"')
    deployment.log.wait("migration.queued", schedule="second")
    # Of the day only an hour that is not now.
    hour = (datetime.datetime.now(datetime.timezone.utc).hour + 12) % 24
    deployment.extra = f'[migration]\nallowed_hours = ["{hour:02}:00-{hour:02}:30 UTC"]\n'
    deployment.reload()
    first = deployment.log.wait("migration.complete", schedule="first")
    code, document = deployment.migrate("--all", account=LOGISTICS, wait=False, extra=["--rehearse"])
    assert code == 0, (first, document)
    deployment.log.wait("migration.rehearsed", job=document["id"])
    assert deployment.log.all("migration.started", schedule="second") == []
    deployment.extra = ""
    deployment.reload()
    deployment.log.wait("migration.complete", schedule="second")


def test_a_job_tells_how_it_stands_while_a_step_is_tried_again_and_again(unstarted):
    unstarted.environment = {"KEYFERRY_FAILPOINT": "target.settle.before:*=error"}
    unstarted.start()
    Population(unstarted.sdk()).fill_small()
    unstarted.schedule(seconds=2, window='"20s"')
    unstarted.log.wait("instance.unreachable")
    mark = unstarted.log.mark()
    for _ in range(2):
        unstarted.log.wait("migration.progress", since=mark, phase="purging")
        mark = unstarted.log.mark()
    unstarted.log.wait("lock.overdue")


def test_the_window_ends_also_while_a_rotation_is_waited_for(unstarted, tmp_path):
    slow = "import time\nreal = change\ndef change(order):\n    time.sleep(20)\n    real(order)\n"
    receiver = rotators.Receiver(tmp_path, slow).start()
    try:
        unstarted.extra = receiver.config(timeout='"30s"')
        unstarted.start()
        sdk = unstarted.sdk()
        Population(sdk).fill_small()
        value = json.dumps({"Accounts": [{"AccountName": "app", "AccountPassword": "old"}]})
        config = {"SecretSubType": "SingleUser", "DBInstanceId": "rm-orders"}
        fields = {"SecretName": "db", "SecretType": "Rds", "SecretData": value, "ExtendedConfig": config}
        sdk.call("CreateSecret", VersionId="v1", **fields)
        unstarted.schedule(seconds=3, window='"5s"')
        rotating = threading.Thread(target=sdk.call, args=["RotateSecret"], kwargs={"SecretName": "db", "VersionId": "v2"})
        rotating.start()
        unstarted.log.wait("migration.progress", phase="closing")
        failed = unstarted.log.wait("migration.failed")
        assert failed["code"] == "WindowEnded", failed
        assert unstarted.log.all("lock.acquired") == []
        # Management goes on before the rotation has ended.
        unstarted.sdk().call("CreateKey")
        assert rotating.is_alive()
        rotating.join(PATIENCE)
    finally:
        receiver.stop()


def test_the_daemon_leaves_a_slow_job_between_two_batches(unstarted):
    unstarted.extra = "[migration]\nmax_rate = 1\n"
    unstarted.start()
    sdk = unstarted.sdk()
    keys = [sdk.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(130)]
    code, job = unstarted.migrate("--all", wait=False)
    assert code == 0, job
    unstarted.log.wait("migration.progress", phase="copying")
    # Two minutes were left of the phase; the unit gives 90 seconds, and PATIENCE is less.
    assert unstarted.stop() == 0
    unstarted.extra = ""
    unstarted.start()
    unstarted.log.wait("migration.complete", job=job["id"])
    assert sdk.call("DescribeKey", KeyId=keys[-1])["KeyMetadata"]["DKMSInstanceId"] == INSTANCE


def test_the_daemon_leaves_although_the_instance_does_not_answer(unstarted):
    unstarted.environment = {"KEYFERRY_FAILPOINT": "target.stage.before=stall"}
    unstarted.start()
    population = Population(unstarted.sdk()).fill_small()
    code, job = unstarted.migrate("--all", wait=False)
    assert code == 0, job
    unstarted.log.wait("migration.progress", phase="copying")
    assert unstarted.stop() == 0
    unstarted.environment = {}
    unstarted.start()
    unstarted.log.wait("migration.complete", job=job["id"])
    population.sdk = unstarted.sdk()
    population.check_use()


def test_an_instance_that_does_not_forget_holds_up_no_start(unstarted):
    unstarted.environment = {"KEYFERRY_FAILPOINT": "target.forget.before:*=stall"}
    unstarted.start()
    population = Population(unstarted.sdk()).fill_small()
    unstarted.schedule(seconds=2, soak='"1h"', window='"2h"')
    unstarted.log.wait("migration.progress", phase="confirming")
    assert unstarted.cli("job", "cancel", unstarted.job()["id"])[0] == 0
    unstarted.log.wait("migration.canceled")
    unstarted.kill()
    unstarted.start()
    population.sdk = unstarted.sdk()
    population.check_use()
