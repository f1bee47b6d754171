"""An instance as a process of its own, on its own state directory, behind mutual TLS: the real binary at both ends."""

import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import threading

import pytest

from deployment import INSTANCE, PATIENCE, REGION, RETAIL, Log, binary, eventually, free_port
from population import Population


def authority(directory, name):
    """A certificate authority's key and certificate."""
    key, pem = directory / f"{name}-ca.key", directory / f"{name}-ca.pem"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
            "-subj", f"/CN={name}", "-keyout", key, "-out", pem)
    return key, pem


def issue(directory, name, issuer, days=30):
    """A certificate for localhost of an authority: NAME.pem and NAME.key."""
    key, request, pem = (directory / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
            "-keyout", key, "-out", request)
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
    ca_key, ca = issuer
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-days", str(days), "-extfile", extensions,
            "-out", pem)
    return pem


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Elsewhere:
    """The instance's process."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        self.port = free_port()
        self.state_dir = self.directory / "state"
        self.issuer = authority(self.directory, "instance")
        self.gateways = authority(self.directory, "gateway")
        issue(self.directory, "instance", self.issuer)
        issue(self.directory, "gateway", self.gateways)
        # What the instance is made of, and what else its file and its environment hold.
        self.made_of = ['kind = "software"']
        self.extra = ""
        self.environment = {}
        self.process = None
        self.log = None

    def write_config(self):
        path = self.directory
        made_of = "\n".join(self.made_of)
        (path / "keyferry.toml").write_text(
            f"""state_dir = "{self.state_dir}"
instance_server = {{ listen = "127.0.0.1:{self.port}", certificate = "{path}/instance.pem", private_key = "{path}/instance.key", client_ca = "{path}/gateway-ca.pem" }}
[[region]]
id = "{REGION}"
[[account]]
id = "{RETAIL.id}"
[[instance]]
id = "{INSTANCE}"
region = "{REGION}"
owner = "{RETAIL.id}"
{made_of}
{self.extra}
"""
        )

    def start(self, failpoint=None):
        self.write_config()
        command = [binary(), "--config", str(self.directory / "keyferry.toml"), "run", "--role", "instance"]
        environment = {**os.environ, **self.environment}
        if failpoint:
            environment["KEYFERRY_FAILPOINT"] = failpoint
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
        )
        self.log = Log()
        threading.Thread(target=self.log.follow, args=[self.process.stderr], daemon=True).start()
        self.log.wait("daemon.started")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def remote(self):
        path = self.directory
        return (
            f'remote = {{ endpoint = "https://localhost:{self.port}", ca = "{path}/instance-ca.pem", '
            f'certificate = "{path}/gateway.pem", private_key = "{path}/gateway.key" }}'
        )


@pytest.fixture
def elsewhere(tmp_path):
    made = Elsewhere(tmp_path / "elsewhere").start()
    yield made
    if made.process.poll() is None:
        made.kill()


@pytest.fixture
def gateway(unstarted, elsewhere):
    """A gateway whose only instance is elsewhere."""
    unstarted.instances = []
    unstarted.extra = "\n".join(
        ["[[instance]]", f'id = "{INSTANCE}"', f'region = "{REGION}"', f'owner = "{RETAIL.id}"', 'kind = "software"',
         elsewhere.remote()]
    )
    unstarted.start()
    unstarted.log.wait("instance.connected")
    eventually(lambda: status(unstarted) == "Connected")
    return unstarted


def status(gateway):
    code, shown = gateway.cli("instance", "show", INSTANCE)
    assert code == 0, shown
    return shown["status"]


def open_files(process):
    return {str(path.resolve()) for path in pathlib.Path(f"/proc/{process.pid}/fd").iterdir() if path.exists()}


def test_everything_moves_into_another_process_and_is_used_there(gateway, elsewhere, refused):
    sdk = gateway.sdk()
    population = Population(sdk).fill_small()
    stays = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    code, job = gateway.migrate("--all")
    assert code == 0, job
    population.check_use()
    assert sdk.call("GetKmsInstance", KmsInstanceId=INSTANCE)["KmsInstance"]["Status"] == "Connected"
    # From now on the instance is the account's default.
    assert sdk.call("GetDefaultKmsInstance")["DefaultKmsInstanceId"] == INSTANCE
    made = sdk.call("CreateKey")["KeyMetadata"]
    assert made["DKMSInstanceId"] == INSTANCE
    sdk.call("CreateSecret", SecretName="new/here", SecretData="v", VersionId="v1")
    assert sdk.call("DescribeSecret", SecretName="new/here")["DKMSInstanceId"] == INSTANCE
    # Each process has only its own.
    assert not (gateway.state_dir / "instances" / INSTANCE).exists()
    assert not (gateway.state_dir / "keys" / f"{INSTANCE}.key").exists()
    assert not (elsewhere.state_dir / "control").exists()
    assert not any(str(elsewhere.state_dir) in name for name in open_files(gateway.process))
    assert not any(str(gateway.directory / "state") in name for name in open_files(elsewhere.process))
    # Without it nothing of it opens: the gateway kept no copy.
    sealed = sdk.call("Encrypt", KeyId=stays, Plaintext="cGxhaW4=")["CiphertextBlob"]
    elsewhere.kill()
    gateway.log.wait("instance.unreachable")
    refused("ServiceUnavailableTemporary", sdk.call, "Decrypt", CiphertextBlob=sealed)
    assert status(gateway) == "Disconnected"
    assert any(warning["code"] == "InstanceUnreachable" for warning in gateway.cli("status")[1]["warnings"])
    mark = gateway.log.mark()
    elsewhere.start()
    gateway.log.wait("instance.connected", since=mark)
    assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == "cGxhaW4="
    population.check_use()


@pytest.mark.parametrize("step", ["offer", "stage", "close", "activate", "confirm", "settle"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_instance_that_dies_at_a_step_of_its_own_comes_back_and_the_job_ends(gateway, elsewhere, step, when):
    population = Population(gateway.sdk()).fill_small()
    elsewhere.kill()
    gateway.log.wait("instance.unreachable")
    mark = gateway.log.mark()
    elsewhere.start(failpoint=f"target.{step}.{when}=abort")
    gateway.log.wait("instance.connected", since=mark)
    code, job = gateway.migrate("--all", wait=False)
    assert code == 0, job
    elsewhere.process.wait(PATIENCE)
    if step != "settle":
        # Until the first purge the source answers for it; from then on only the instance has it.
        population.check_use()
    elsewhere.start()
    eventually(lambda: gateway.job()["state"] in ("complete", "failed"))
    ended = gateway.job()
    assert ended["unlocked_at"] or not ended["locked_at"], ended
    if step == "settle":
        assert ended["state"] == "complete", ended
    population.check_use()
    if ended["state"] == "failed":
        code, job = gateway.migrate("--all")
        assert code == 0, job
        population.check_use()


def test_a_rogue_with_the_certificates_of_the_instance_is_refused(gateway, elsewhere):
    population = Population(gateway.sdk()).fill_small()
    elsewhere.kill()
    gateway.log.wait("instance.unreachable")
    # The same certificate, the same port, another store: another identity.
    elsewhere.state_dir = elsewhere.directory / "rogue"
    elsewhere.start()
    eventually(lambda: status(gateway) == "Error")
    code, refusal = gateway.migrate("--all")
    assert code == 4 and "IdentityMismatch" in json.dumps(refusal), refusal
    assert not gateway.log.all("lock.acquired")
    population.check_use()


def test_certificates_that_do_not_do_are_refused_before_the_lock(gateway, elsewhere):
    population = Population(gateway.sdk()).fill_small()
    right = issue(elsewhere.directory, "gateway", elsewhere.gateways).read_text()
    issue(elsewhere.directory, "gateway", authority(elsewhere.directory, "stranger"))
    gateway.reload()
    code, refusal = gateway.migrate("--all")
    text = json.dumps(refusal)
    assert code == 4 and "InstanceNotActive" in text and "client_ca" in text, refusal
    assert not gateway.log.all("lock.acquired")
    # One that ends soon is told of; with it everything works.
    issue(elsewhere.directory, "gateway", elsewhere.gateways, days=5)
    gateway.reload()
    assert right
    code, job = gateway.migrate("--all")
    assert code == 0, job
    population.check_use()


def test_what_ends_soon_is_told(unstarted, elsewhere):
    issue(elsewhere.directory, "gateway", elsewhere.gateways, days=5)
    unstarted.instances = []
    unstarted.extra = "\n".join(
        ["[[instance]]", f'id = "{INSTANCE}"', f'region = "{REGION}"', f'owner = "{RETAIL.id}"', 'kind = "software"',
         elsewhere.remote()]
    )
    unstarted.start()
    told = unstarted.log.wait("certificate.expiring")
    assert "gateway" in told["message"] and told["instance"] == INSTANCE
    eventually(lambda: any(w["code"] == "CertificateExpiring" for w in unstarted.cli("status")[1]["warnings"]))


def test_a_file_that_is_not_one_of_an_instance_is_refused_in_words(tmp_path, gateway):
    done = subprocess.run(
        [binary(), "--config", str(gateway.config), "run", "--role", "instance"], capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )
    assert done.returncode == 2 and "remote" in done.stderr, done.stderr


def test_an_instance_is_used_once_its_owner_has_enabled_it(unstarted, refused):
    unstarted.instances = []
    unstarted.extra = "\n".join(
        ["[[instance]]", f'id = "{INSTANCE}"', f'region = "{REGION}"', f'owner = "{RETAIL.id}"', 'kind = "software"',
         "enabled = false"]
    )
    unstarted.start()
    sdk = unstarted.sdk()
    sdk.call("CreateKey")
    assert sdk.call("GetKmsInstance", KmsInstanceId=INSTANCE)["KmsInstance"]["Status"] == "Uninitialized"
    refused("Rejected.Uninitialized", sdk.call, "CreateKey", DKMSInstanceId=INSTANCE)
    code, refusal = unstarted.migrate("--all")
    assert code == 4 and "InstanceNotActive" in json.dumps(refusal), refusal
    sdk.call("ConnectKmsInstance", KmsInstanceId=INSTANCE, KMProvider="Aliyun", VpcId="v", VSwitchIds="s", ZoneIds="z")
    assert sdk.call("GetKmsInstance", KmsInstanceId=INSTANCE)["KmsInstance"]["Status"] == "Connected"
    assert sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["DKMSInstanceId"] == INSTANCE
    code, job = unstarted.migrate("--all")
    assert code == 0, job
    unstarted.process.send_signal(signal.SIGTERM)


def own_command(elsewhere, *arguments):
    """A command on the instance's own host."""
    command = [binary(), "--config", str(elsewhere.directory / "keyferry.toml"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def stop(elsewhere):
    elsewhere.process.send_signal(signal.SIGTERM)
    assert elsewhere.process.wait(PATIENCE) == 0


def test_an_instance_is_kept_and_brought_back_on_its_own_host(gateway, elsewhere):
    population = Population(gateway.sdk()).fill_small()
    code, job = gateway.migrate("--all")
    assert code == 0, job
    # Its root key is escrowed there, and is no key of the gateway.
    escrow = elsewhere.directory / "escrow"
    done = own_command(elsewhere, "seal", "export", "--to", escrow)
    assert done.returncode == 0, done.stderr
    key = elsewhere.state_dir / "keys" / f"{INSTANCE}.key"
    [line] = [line.split(" ") for line in escrow.read_text().splitlines()]
    assert (line[0], line[2]) == (INSTANCE, key.read_text().strip())
    assert stat.S_IMODE(escrow.stat().st_mode) == 0o600 and line[2] not in done.stdout + done.stderr
    _, status_here = gateway.cli("seal", "status")
    assert line[1] not in [known["id"] for known in status_here["root_keys"]], status_here
    # The state without a running process, the root key apart from it.
    stop(elsewhere)
    saved = elsewhere.directory / "saved"
    shutil.copytree(elsewhere.state_dir, saved, ignore=shutil.ignore_patterns("keys"))
    elsewhere.start()
    eventually(lambda: status(gateway) == "Connected")
    Population(gateway.sdk()).generic("made/since")
    stop(elsewhere)
    shutil.rmtree(elsewhere.state_dir)
    shutil.copytree(saved, elsewhere.state_dir)
    # Without its root key it does not start, and names it.
    done = own_command(elsewhere, "run", "--role", "instance")
    assert done.returncode != 0 and f"{key} was generated for a store that is not empty" in done.stderr, done.stderr
    key.parent.mkdir(mode=0o700, exist_ok=True)
    key.touch(mode=0o600)
    key.write_text(line[2] + "\n")
    elsewhere.start()
    eventually(lambda: status(gateway) == "Connected")
    population.check_use()


def test_the_root_key_of_an_instance_elsewhere_is_not_exchanged_from_here(gateway, elsewhere):
    code, document = gateway.cli("seal", "rotate", INSTANCE)
    assert code == 2 and document["error"]["code"] == "RootKeyNotFound", document
    assert "there are: shared" in document["error"]["remedy"], document
    # Everything here is exchanged without it.
    before = (elsewhere.state_dir / "keys" / f"{INSTANCE}.key").read_text()
    code, document = gateway.cli("seal", "rotate", "--wait")
    assert code == 0 and [key["names"] for key in document["root_keys"]] == [["shared"]], document
    assert (elsewhere.state_dir / "keys" / f"{INSTANCE}.key").read_text() == before
    # Its own process has no admin socket to be asked over.
    for command in (["seal", "rotate"], ["backup", elsewhere.directory / "backup", "--key-file", elsewhere.directory / "k"]):
        done = own_command(elsewhere, *command)
        assert done.returncode == 3, (done.returncode, done.stderr)
    assert not (elsewhere.directory / "backup").exists()
