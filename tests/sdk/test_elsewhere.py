"""An instance on another host that is a token, whose certificates have ended, or whose release is another one."""

import base64
import hashlib
import http.server
import json
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from clients import Refused
from deployment import INSTANCE, PATIENCE, REGION, RETAIL, eventually
from population import Population
from test_crypto import b64
from test_hardware import Token, still_opens, symmetric
from test_operator import refusal
from test_remote import Elsewhere, issue, status

WHERE = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE]


def point_to(gateway, elsewhere, kind="software"):
    """A gateway whose only instance is elsewhere."""
    gateway.instances = []
    gateway.extra = "\n".join(
        ["[[instance]]", f'id = "{INSTANCE}"', f'region = "{REGION}"', f'owner = "{RETAIL.id}"', f'kind = "{kind}"',
         elsewhere.remote()]
    )


@pytest.fixture
def elsewhere(tmp_path):
    made = Elsewhere(tmp_path / "elsewhere")
    yield made
    if made.process is not None and made.process.poll() is None:
        made.kill()


@pytest.fixture
def gateway(unstarted, elsewhere):
    elsewhere.start()
    point_to(unstarted, elsewhere)
    unstarted.start()
    eventually(lambda: status(unstarted) == "Connected")
    return unstarted


class TokenElsewhere(Elsewhere):
    """The instance's process on the host of a token."""

    def __init__(self, directory, token):
        super().__init__(directory)
        self.token = token
        self.made_of = ['kind = "hardware"', f"pkcs11 = {token.setting}"]
        self.environment = token.environment


@pytest.fixture
def token_elsewhere(tmp_path):
    made = TokenElsewhere(tmp_path / "elsewhere", Token(tmp_path / "token")).start()
    yield made
    if made.process.poll() is None:
        made.kill()


@pytest.mark.parametrize("fault", ["away", "another PIN"])
def test_a_token_that_cannot_be_used_makes_nobody_start_its_process_anew(tmp_path, fault):
    """Each start tries the PIN once; a watchdog that asked the token would try it until the token locks."""
    token = Token(tmp_path / "token")
    if fault == "away":
        token.files.rename(token.directory / "elsewhere")
    else:
        token.set_pin("000000")
    place = tmp_path / "notify"
    token.environment |= {"NOTIFY_SOCKET": str(place), "WATCHDOG_USEC": "1000000"}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(place))
        notify.settimeout(PATIENCE)
        made = TokenElsewhere(tmp_path / "elsewhere", token).start()
        try:
            beats = 0
            while beats < 4:
                beats += notify.recv(4096).split(b"\n").count(b"WATCHDOG=1")
        finally:
            made.kill()


def test_keys_move_into_a_token_on_another_host_and_work_there(unstarted, token_elsewhere):
    token = token_elsewhere.token
    point_to(unstarted, token_elsewhere, kind="hardware")
    unstarted.start()
    eventually(lambda: status(unstarted) == "Connected")
    sdk = unstarted.sdk()
    population = symmetric(sdk)
    rsa = sdk.call("CreateKey", KeySpec="RSA_2048", KeyUsage="SIGN/VERIFY")["KeyMetadata"]["KeyId"]
    assert token.objects() == []
    code, job = unstarted.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    assert {row["id"]: row["code"] for row in job["left_behind"]} == {rsa: "UnsupportedKeySpec"}
    # Every key is an object of the token, and nobody gets it out again.
    objects = token.objects()
    assert len(objects) == len(population.keys)
    assert all("sensitive" in text and "extractable" not in text.replace("never extractable", "") for text in objects)
    for name, key in population.keys.items():
        described = sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]
        assert (described["DKMSInstanceId"], described["ProtectionLevel"]) == (INSTANCE, "HSM"), name
    still_opens(sdk, population, ["one", "two", "own"])
    for name, versions in population.secrets.items():
        assert sdk.call("GetSecretValue", SecretName=name)["SecretData"] == versions["v1"]
    sealed = sdk.call("Encrypt", KeyId=population.keys["two"], Plaintext=b64(b"anew"))["CiphertextBlob"]
    assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"anew")
    # A key made there is made in the token, too.
    made = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]
    assert made["ProtectionLevel"] == "HSM" and len(token.objects()) == len(population.keys) + 1
    # The keys are in the token, not in the process: without it nothing opens, secrets under the system key apart.
    token_elsewhere.kill()
    away = token.directory / "elsewhere"
    token.files.rename(away)
    token_elsewhere.start()
    eventually(lambda: status(unstarted) == "Connected")
    with pytest.raises(Refused) as caught:
        sdk.call("Decrypt", CiphertextBlob=sealed)
    assert caught.value.status == 503, caught.value
    assert sdk.call("GetSecretValue", SecretName="app/system")["SecretData"] == population.secrets["app/system"]["v1"]
    token_elsewhere.kill()
    away.rename(token.files)
    token_elsewhere.start()
    eventually(lambda: status(unstarted) == "Connected")
    still_opens(sdk, population, ["one", "two", "own"])
    assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"anew")


def end(directory, name, issuer, left=-864_000):
    """Gives somebody a certificate that has so many seconds left, by default none; the authority stays."""
    pem = issue(directory, name, issuer)
    ca_key, ca = issuer
    begun = f"{left - 30 * 86_400:+}s"
    command = ["faketime", "-f", begun, "openssl", "x509", "-req", "-in", directory / f"{name}.csr", "-CA", ca]
    command += ["-CAkey", ca_key, "-days", "30", "-extfile", directory / "extensions", "-out", pem]
    subprocess.run(list(map(str, command)), check=True, capture_output=True)


def refused_before_the_lock(gateway, *words):
    """Plan and migrate are refused as InstanceNotActive with these words in message or remedy; nothing was locked."""
    for answer in (gateway.cli("plan", *WHERE, "--all"), gateway.migrate("--all")):
        code, document = answer
        assert code == 4, document
        problem = refusal(document, "InstanceNotActive")
        assert problem is not None, document
        text = f"{problem['message']} -> {problem['remedy']}"
        assert all(word in text for word in words), text
    assert not gateway.log.all("lock.acquired")
    eventually(lambda: status(gateway) == "Error")
    # Whoever reads neither plan nor log sees it as well.
    warnings = gateway.cli("status")[1]["warnings"]
    assert any(warning["code"] == "InstanceError" for warning in warnings), warnings


def test_an_ended_certificate_of_the_gateway_is_refused_before_the_lock(gateway, elsewhere):
    population = Population(gateway.sdk()).fill_small()
    end(elsewhere.directory, "gateway", elsewhere.gateways)
    gateway.reload()
    refused_before_the_lock(gateway, "our certificate", "renew the gateway's certificate", "reload")
    issue(elsewhere.directory, "gateway", elsewhere.gateways)
    gateway.reload()
    code, job = gateway.migrate("--all")
    assert code == 0, job
    population.check_use()


@pytest.mark.parametrize("how", ["restart", "reload"])
def test_an_ended_certificate_of_the_instance_is_refused_before_the_lock(gateway, elsewhere, how):
    population = Population(gateway.sdk()).fill_small()

    def take():
        """Lets the instance read its certificate again."""
        mark = elsewhere.log.mark()
        if how == "reload":
            elsewhere.process.send_signal(signal.SIGHUP)
            elsewhere.log.wait("config.reloaded", since=mark)
        else:
            elsewhere.kill()
            elsewhere.start()

    end(elsewhere.directory, "instance", elsewhere.issuer)
    take()
    listener = "renew the certificate of the instance's listener"
    refused_before_the_lock(gateway, "its certificate is not accepted", listener)
    issue(elsewhere.directory, "instance", elsewhere.issuer)
    take()
    eventually(lambda: status(gateway) == "Connected")
    code, job = gateway.migrate("--all")
    assert code == 0, job
    population.check_use()


@pytest.mark.parametrize("whose", ["instance", "gateway"])
def test_a_certificate_that_ends_while_both_are_connected_is_refused_before_the_lock(gateway, elsewhere, whose):
    population = Population(gateway.sdk()).fill_small()
    issuer = elsewhere.issuer if whose == "instance" else elsewhere.gateways
    words = ["its certificate is not accepted"] if whose == "instance" else ["our certificate", "gateway's certificate"]
    elsewhere.kill()
    eventually(lambda: status(gateway) == "Disconnected")
    end(elsewhere.directory, whose, issuer, left=25)
    pem = elsewhere.directory / f"{whose}.pem"
    # As it says itself: making it took a while.
    over = x509.load_pem_x509_certificate(pem.read_bytes()).not_valid_after_utc.timestamp()
    gateway.reload()
    elsewhere.start()
    eventually(lambda: status(gateway) == "Connected")
    assert time.time() < over, "this machine was too slow for the certificate"
    # Connections stay open, and are used every few seconds.
    eventually(lambda: time.time() > over + 2)
    refused_before_the_lock(gateway, *words, "renew")
    population.check_use()


class OtherRelease:
    """Answers the first call of a gateway as an instance of another release does: with an identity of its own and the
    certificate of the instance."""

    def __init__(self, elsewhere, protocols, version):
        identity = Ed25519PrivateKey.generate()
        public = identity.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        welcome = {
            "protocols": {"oldest": protocols[0], "newest": protocols[1]},
            "version": version,
            "instance": INSTANCE,
            "identity": base64.b64encode(public).decode(),
        }
        self.calls = calls = []

        # HTTP/1.0: each call has a connection of its own, so that none outlives this server.
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                asked = self.rfile.read(int(self.headers["content-length"]))
                calls.append(self.path)
                answer = json.dumps(welcome).encode()
                said = hashlib.sha256(asked).digest() + hashlib.sha256(answer).digest()
                signature = identity.sign(field(b"keyferry remote answer v1") + field(said))
                # In everything behind the first call it speaks another language.
                self.send_response(200 if self.path == "/keystore/hello" else 426)
                self.send_header("keyferry-signature", base64.b64encode(signature).decode())
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(elsewhere.directory / "instance.pem", elsewhere.directory / "instance.key")
        context.load_verify_locations(elsewhere.directory / "gateway-ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", elsewhere.port), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def field(content):
    """As it is signed: the length in four bytes in front."""
    return len(content).to_bytes(4, "big") + content


@pytest.mark.parametrize(
    ("protocols", "version", "shown", "older"),
    [
        ((0, 0), "0.0.9", "protocol 0", "upgrade the instance"),
        ((2, 5), "9.0.0", "protocol 2 to 5", "upgrade this gateway"),
    ],
    ids=["older", "newer"],
)
def test_a_release_without_a_common_protocol_is_named_before_the_lock(
    unstarted, elsewhere, protocols, version, shown, older
):
    other = OtherRelease(elsewhere, protocols, version)
    try:
        point_to(unstarted, elsewhere)
        unstarted.start()
        population = Population(unstarted.sdk()).fill_small()
        unstarted.log.wait("instance.unreachable")
        refused_before_the_lock(unstarted, f"keyferry {version}", shown, "speaks 1", older)
        assert set(other.calls) == {"/keystore/hello"}, "nothing was asked in a language that is not spoken"
        population.check_use()
    finally:
        other.close()
    # It was never taken for the instance: the upgraded one is pinned and used.
    elsewhere.start()
    eventually(lambda: status(unstarted) == "Connected")
    code, job = unstarted.migrate("--all")
    assert code == 0, job
    population.check_use()
