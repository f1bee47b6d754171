"""The vendor's managed-secrets client, which speaks TLS only, before, during and after a migration."""

import json
import os
import pathlib
import subprocess
import threading

import wire
from deployment import PATIENCE, REGION, RETAIL
from test_service import certificate

HERE = pathlib.Path(__file__).resolve().parent


def interpreter():
    """tests/run installs it; it cannot share an environment with the other clients."""
    found = os.environ.get("KEYFERRY_MANAGED_PYTHON") or HERE.parents[1] / "target" / "venv-managed" / "bin" / "python"
    assert pathlib.Path(found).exists(), "no managed-secrets client: run tests/run, or set KEYFERRY_MANAGED_PYTHON"
    return str(found)


class Client:
    def __init__(self, port):
        command = [interpreter(), str(HERE / "managed_client.py"), REGION, f"127.0.0.1:{port}"]
        self.process = subprocess.Popen(
            [*command, RETAIL.access_key, RETAIL.secret],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        # A client that hangs must not hang the test.
        self.guard = threading.Timer(3 * PATIENCE, self.process.kill)
        self.guard.start()
        assert self.answer() == "ready"

    def answer(self):
        line = self.process.stdout.readline()
        assert line, "the client has ended"
        return json.loads(line)

    def ask(self, order, name):
        self.process.stdin.write(f"{order} {name}\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.guard.cancel()
        self.process.kill()
        self.process.wait()


def test_values_over_tls_across_a_migration(unstarted):
    interpreter()
    deployment = unstarted
    certificate(deployment.directory, "127.0.0.1")
    pem, key = deployment.directory / "tls.pem", deployment.directory / "tls.key"
    deployment.extra = f'[api.tls]\ncertificate = "{pem}"\nprivate_key = "{key}"\n'
    deployment.start()

    def call(action, **parameters):
        answer = wire.ask(deployment.port, wire.v3(RETAIL, action, parameters), tls=True)
        assert answer.status == 200, answer.body
        return answer.json

    key = call("CreateKey")["KeyMetadata"]["KeyId"]
    call("CreateSecret", SecretName="db/password", SecretData="first", VersionId="v1", EncryptionKeyId=key)
    client = Client(deployment.port)
    try:
        assert client.ask("get", "db/password") == "first"
        call("PutSecretValue", SecretName="db/password", SecretData="second", VersionId="v2")
        assert client.ask("get", "db/password") == "first", "it keeps what it read"
        assert client.ask("refresh", "db/password") is True
        assert client.ask("get", "db/password") == "second"
        code, document = deployment.migrate("--all")
        assert code == 0, document
        assert client.ask("refresh", "db/password") is True
        assert client.ask("get", "db/password") == "second"
        call("PutSecretValue", SecretName="db/password", SecretData="third", VersionId="v3")
        assert client.ask("refresh", "db/password") is True
        assert client.ask("get", "db/password") == "third"
        assert "error" in client.ask("get", "no/such")
    finally:
        client.close()
