"""A token that is there and yet cannot be used as it should: its session is lost, a mechanism is missing, it has no room.
SoftHSM2 behind a module that fails on demand (tests/hardware/shim.c)."""

import pathlib
import subprocess

import pytest

from deployment import INSTANCE, REGION, RETAIL, eventually
from population import Population
from test_crypto import b64
from test_elsewhere import TokenElsewhere, point_to
from test_hardware import MODULE, Token, deployed_over, still_opens
from test_operator import refusal
from test_remote import status

HERE = pathlib.Path(__file__).resolve().parent
SHIM = HERE.parent / "hardware" / "shim.c"
WHERE = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE]
# How a session is lost, really or by what the module answers: CKR_SESSION_CLOSED, CKR_SESSION_HANDLE_INVALID,
# CKR_USER_NOT_LOGGED_IN.
LOSSES = ["closed", "out", "0xb0", "0xb3", "0x101"]
# C_UnwrapKey in CK_FUNCTION_LIST.
UNWRAP = 61


class FaultyToken(Token):
    """A token behind the module that fails on demand."""

    def __init__(self, directory):
        super().__init__(directory)
        self.control = directory / "control"
        self.module = directory / "shim.so"
        names = [f'-DCONTROL="{self.control}"', f'-DSOFTHSM="{MODULE}"']
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", self.module, *names, SHIM, "-ldl"]
        subprocess.run(command, check=True, capture_output=True)

    def order(self, what):
        """Tells the module what to do; it never finds half an order."""
        written = self.control.with_suffix(".new")
        written.write_text(what)
        written.rename(self.control)

    def noted(self, what):
        """What the module has noted, line by line."""
        path = self.control.with_suffix(f".{what}")
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def token(tmp_path):
    return FaultyToken(tmp_path / "token")


@pytest.fixture
def hardware(tmp_path, token):
    made = deployed_over(token, tmp_path / "daemon")
    made.instances = [INSTANCE]
    yield made
    made.close()


def keys_with_a_secret(sdk):
    population = Population(sdk)
    for name in ("one", "two", "three"):
        population.key(name)
        population.encrypt(name)
    population.generic("app/under-key", EncryptionKeyId=population.keys["one"])
    return population


def test_a_lost_session_is_opened_and_logged_in_again(hardware, token):
    hardware.start()
    sdk = hardware.sdk()
    made = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    plain = b64(b"before the loss")
    sealed = sdk.call("Encrypt", KeyId=made, Plaintext=plain)["CiphertextBlob"]
    signing = {"KeySpec": "EC_P256", "KeyUsage": "SIGN/VERIFY", "DKMSInstanceId": INSTANCE}
    keys = 1
    for loss in LOSSES:
        # Each of these is the first call after a loss, and nobody notices: what is used, and what is made.
        for call in (
            lambda: sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == plain,
            lambda: sdk.call("GenerateDataKey", KeyId=made)["CiphertextBlob"],
            lambda: sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"],
            lambda: sdk.call("CreateKey", **signing)["KeyMetadata"]["KeyId"],
        ):
            before = len(token.noted("logins"))
            token.order(f"lose {loss}")
            assert call(), loss
            assert not token.control.exists(), f"{loss}: nothing was lost"
            assert len(token.noted("logins")) == before + 1, f"{loss}: it logs in once"
        keys += 2
        assert len(token.objects()) == keys, f"{loss}: each key is there once"
    code, examination = hardware.cli("doctor")
    assert code == 0 and examination["findings"] == [], examination


def test_a_session_lost_while_keys_come_in_rolls_back_and_the_next_migration_is_whole(hardware, token):
    hardware.start()
    sdk = hardware.sdk()
    population = keys_with_a_secret(sdk)
    # The key that the keys of the job come in under goes with the session.
    token.order(f"lose closed at {UNWRAP}")
    code, job = hardware.migrate("--all")
    assert not token.control.exists(), "nothing was lost"
    assert code != 0 and job["state"] == "failed", job
    assert job["failure"]["code"] == "InstanceUnreachable" and "session" in job["failure"]["message"], job
    still_opens(sdk, population, ["one", "two", "three"])
    eventually(lambda: token.objects() == [])
    code, job = hardware.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    assert len(token.objects()) == len(population.keys)
    still_opens(sdk, population, ["one", "two", "three"])
    value = population.secrets["app/under-key"]["v1"]
    assert sdk.call("GetSecretValue", SecretName="app/under-key")["SecretData"] == value


@pytest.mark.parametrize("taken", ["0x270", "0x250"])
def test_keys_come_in_under_the_strongest_hash_that_the_token_takes(hardware, token, taken):
    # Hash and MGF1, as CKM_SHA512, CKM_SHA384 and CKM_SHA256: tried from the strongest down, once a session.
    tries = ["0x270 4", "0x260 3", "0x250 2"]
    tried = tries[: [one.split()[0] for one in tries].index(taken) + 1]
    token.order(f"oaep {taken}")
    hardware.start()
    assert token.noted("oaep") == tried
    sdk = hardware.sdk()
    population = keys_with_a_secret(sdk)
    code, job = hardware.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    # What the source wrapped came in under that hash, and by nothing else.
    noted = token.noted("oaep")[len(tried) :]
    assert noted and set(noted) == {tried[-1]}, noted
    assert len(token.objects()) == len(population.keys)
    still_opens(sdk, population, ["one", "two", "three"])


def refused_before_the_lock(hardware, problem, *words):
    """Plan and migrate are refused for this, with these words in message or remedy; nothing was locked."""
    for code, document in (hardware.cli("plan", *WHERE, "--all"), hardware.migrate("--all")):
        assert code == 4, document
        found = refusal(document, problem)
        assert found is not None, document
        text = f"{found['message']} -> {found['remedy']}"
        assert all(word in text for word in words), text
    assert not hardware.log.all("lock.acquired")


MISSING = {
    "CKM_AES_GCM": 0x1087,
    "CKM_RSA_PKCS_KEY_PAIR_GEN": 0x0,
    "CKM_RSA_PKCS_OAEP": 0x9,
    "CKM_AES_KEY_WRAP_PAD": 0x210A,
}


def test_a_token_without_a_mechanism_is_refused_before_the_lock(hardware, token):
    token.order(f"hide {MISSING['CKM_AES_GCM']:#x}")
    hardware.start()
    sdk = hardware.sdk()
    population = keys_with_a_secret(sdk)
    for name, number in MISSING.items():
        token.order(f"hide {number:#x}")
        refused_before_the_lock(hardware, "InstanceNotActive", f"does not offer {name}", "docs/hardware.md")
    still_opens(sdk, population, ["one", "two", "three"])
    assert token.objects() == []
    token.control.unlink()
    code, job = hardware.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    still_opens(sdk, population, ["one", "two", "three"])


def test_the_mechanism_that_a_token_on_another_host_lacks_is_named_here(unstarted, tmp_path, token):
    token.order(f"hide {MISSING['CKM_AES_KEY_WRAP_PAD']:#x}")
    elsewhere = TokenElsewhere(tmp_path / "elsewhere", token).start()
    try:
        point_to(unstarted, elsewhere, kind="hardware")
        unstarted.start()
        eventually(lambda: status(unstarted) == "Connected")
        keys_with_a_secret(unstarted.sdk())
        wrap_pad = "does not offer CKM_AES_KEY_WRAP_PAD"
        refused_before_the_lock(unstarted, "InstanceNotActive", wrap_pad, "docs/hardware.md")
    finally:
        elsewhere.kill()


def test_a_token_that_tells_it_has_no_room_is_refused_before_the_lock(hardware, token):
    hardware.start()
    sdk = hardware.sdk()
    population = keys_with_a_secret(sdk)
    token.order("memory 3000")
    room = "has 3000 bytes free and may need 3072"
    refused_before_the_lock(hardware, "InsufficientSpace", room, "make room in the token")
    assert token.objects() == []
    # Two of them would fit.
    picked = [part for name in ("two", "three") for part in ("--key", population.keys[name])]
    code, plan = hardware.cli("plan", *WHERE, *picked)
    assert code == 0, plan
    token.order("memory 3072")
    code, job = hardware.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    still_opens(sdk, population, ["one", "two", "three"])


def test_a_token_that_is_full_is_refused_before_the_lock(hardware, token):
    # It does not tell how much room it has: the key that preflight brings in finds out.
    token.order("full 0")
    hardware.start()
    population = keys_with_a_secret(hardware.sdk())
    refused_before_the_lock(hardware, "InsufficientSpace", "the token is full", "make room in the token")
    token.control.unlink()
    code, job = hardware.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    still_opens(hardware.sdk(), population, ["one", "two", "three"])
