"""A hardware instance over SoftHSM2, through the vendor's SDK: migration into the token, keys made in it, a token that
is away, and a wrong PIN."""

import base64
import pathlib
import subprocess
import tempfile

import pytest

from clients import Refused
from deployment import INSTANCE, Deployment, binary
from population import Population
from test_crypto import b64, first_version, import_material, public_key, verify

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
LABEL = "kst-hzz1"
PIN = "482916"


class Token:
    """A token of SoftHSM2 in a directory of its own."""

    module = MODULE

    def __init__(self, directory):
        self.directory = directory
        self.files = directory / "tokens"
        self.files.mkdir(parents=True)
        configuration = directory / "softhsm2.conf"
        configuration.write_text(f"directories.tokendir = {self.files}\nlog.level = ERROR\n")
        self.environment = {"SOFTHSM2_CONF": str(configuration)}
        self.pin_file = directory / "pin"
        self.set_pin(PIN)
        command = ["softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", "00000000"]
        subprocess.run(command, check=True, env=self.environment, capture_output=True)

    def set_pin(self, pin):
        self.pin_file.touch(mode=0o600)
        self.pin_file.write_text(f"{pin}\n")

    @property
    def setting(self):
        return f'{{ module = "{self.module}", token = "{LABEL}", pin_file = "{self.pin_file}" }}'

    def objects(self):
        """What another program sees: one text an object."""
        command = ["pkcs11-tool", "--module", MODULE, "--token-label", LABEL, "--login", "--pin", PIN, "-O"]
        shown = subprocess.run(command, check=True, env=self.environment, capture_output=True, text=True).stdout
        return shown.split(" Object;")[1:]


@pytest.fixture
def token(tmp_path):
    return Token(tmp_path / "token")


def deployed_over(token, directory):
    """A daemon, not started, whose instance is the token."""
    made = Deployment(directory)
    made.directory.mkdir()
    made.tokens[INSTANCE] = token.setting
    made.environment = token.environment
    return made


@pytest.fixture
def hardware(tmp_path, token):
    made = deployed_over(token, tmp_path / "daemon")
    yield made
    made.close()


def symmetric(sdk):
    """Keys that a hardware instance takes, with ciphertexts and a secret under one."""
    population = Population(sdk)
    for name in ("one", "two", "off"):
        population.key(name)
        population.encrypt(name)
    sdk.call("DisableKey", KeyId=population.keys["off"])
    population.own_material()
    population.generic("app/under-key", EncryptionKeyId=population.keys["one"])
    population.generic("app/system")
    return population


def still_opens(sdk, population, names):
    for name in names:
        for blob, context, plain in population.blobs[name]:
            opened = sdk.call("Decrypt", CiphertextBlob=blob, EncryptionContext=context)
            assert opened["Plaintext"] == plain, name


def test_a_migration_into_the_token(hardware, token):
    hardware.start()
    sdk = hardware.sdk()
    population = symmetric(sdk)
    rotating = sdk.call("CreateKey", EnableAutomaticRotation=True, RotationInterval="30d")["KeyMetadata"]["KeyId"]
    rsa = sdk.call("CreateKey", KeySpec="RSA_2048", KeyUsage="SIGN/VERIFY")["KeyMetadata"]["KeyId"]
    many = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    sdk.call("CreateKeyVersion", KeyId=many)
    code, job = hardware.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    left = {row["id"]: row["code"] for row in job["left_behind"]}
    assert left == {
        rotating: "RotationNotSupported",
        rsa: "UnsupportedKeySpec",
        many: "MultiVersionNotSupported",
    }
    for name, key in population.keys.items():
        described = sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]
        assert (described["DKMSInstanceId"], described["ProtectionLevel"]) == (INSTANCE, "HSM"), name
    objects = token.objects()
    assert len(objects) == len(population.keys)
    assert all("sensitive" in text and "never extractable" not in text for text in objects), objects
    still_opens(sdk, population, ["one", "two", "own"])
    for name, versions in population.secrets.items():
        for version, value in versions.items():
            assert sdk.call("GetSecretValue", SecretName=name, VersionId=version)["SecretData"] == value
    made = sdk.call("GenerateDataKey", KeyId=population.keys["two"], EncryptionContext={"a": "b"})
    opened = sdk.call("Decrypt", CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == made["Plaintext"]
    with pytest.raises(Refused) as caught:
        sdk.call("Decrypt", CiphertextBlob=made["CiphertextBlob"], EncryptionContext={"a": "c"})
    assert caught.value.code == "InvalidParameter"
    code, report = hardware.cli("job", "report", job["id"])
    assert code == 0 and any("CKA_ALWAYS_SENSITIVE" in note for note in report["evidence"]["notes"]), report
    code, examination = hardware.cli("doctor")
    assert code == 0 and examination["findings"] == [], examination
    # A restart: the token is logged into again, nothing is swept.
    hardware.stop()
    hardware.start()
    still_opens(hardware.sdk(), population, ["one", "two", "own"])
    assert len(token.objects()) == len(population.keys)


def test_keys_made_in_the_token(hardware, token):
    hardware.start()
    sdk = hardware.sdk()
    digest = b64(bytes(range(32)))
    for spec, algorithm in [("RSA_2048", "RSA_PSS_SHA_256"), ("EC_P256", "ECDSA_SHA_256"), ("EC_P256K", "ECDSA_SHA_256")]:
        made = sdk.call("CreateKey", KeySpec=spec, KeyUsage="SIGN/VERIFY", DKMSInstanceId=INSTANCE)["KeyMetadata"]
        assert made["ProtectionLevel"] == "HSM"
        version = first_version(sdk, made["KeyId"])
        call = {"KeyId": made["KeyId"], "KeyVersionId": version, "Algorithm": algorithm, "Digest": digest}
        signature = sdk.call("AsymmetricSign", **call)["Value"]
        assert sdk.call("AsymmetricVerify", Value=signature, **call)["Value"] is True
        # Another implementation says so, too.
        key = public_key(sdk, made["KeyId"], version)
        verify(key, algorithm, base64.b64decode(signature), bytes(range(32)))
    key = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    sealed = sdk.call("Encrypt", KeyId=key, Plaintext=b64(b"made in the token"))["CiphertextBlob"]
    assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"made in the token")
    assert len(token.objects()) == 4
    # An owner's own material comes in by unwrapping, and goes when it is deleted.
    own = sdk.call("CreateKey", Origin="EXTERNAL", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    import_material(sdk, own, bytes(range(32)))
    sealed = sdk.call("Encrypt", KeyId=own, Plaintext=b64(b"under my own"))["CiphertextBlob"]
    assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"under my own")
    assert len(token.objects()) == 5
    sdk.call("DeleteKeyMaterial", KeyId=own)
    assert len(token.objects()) == 4
    with pytest.raises(Refused) as caught:
        sdk.call("CreateKey", KeySpec="HMAC_SHA256", KeyUsage="GENERATE/VERIFY_MAC", DKMSInstanceId=INSTANCE)
    assert caught.value.status == 400, caught.value
    with pytest.raises(Refused) as caught:
        sdk.call("CreateKeyVersion", KeyId=key)
    assert caught.value.code == "UnsupportedOperation"
    assert len(token.objects()) == 4, "what was refused left nothing"


def test_a_wrong_pin_and_a_token_that_is_away(hardware, token):
    token.set_pin("999999")
    hardware.start()
    sdk = hardware.sdk()
    population = symmetric(sdk)
    code, refused = hardware.migrate("--all")
    assert code == 4 and "InstanceNotActive" in str(refused), refused
    assert "not tried again" in str(refused), refused
    # The shared keystore serves as ever.
    still_opens(sdk, population, ["one", "two", "own"])
    token.set_pin(PIN)
    hardware.reload()
    code, job = hardware.migrate("--all")
    assert (code, job["state"]) == (0, "complete"), job
    still_opens(sdk, population, ["one", "two", "own"])
    away = token.directory / "elsewhere"
    token.files.rename(away)
    hardware.kill()
    hardware.start()
    sdk = hardware.sdk()
    with pytest.raises(Refused) as caught:
        still_opens(sdk, population, ["one"])
    assert caught.value.status == 503, caught.value
    assert sdk.call("GetSecretValue", SecretName="app/system")["SecretData"] == population.secrets["app/system"]["v1"]
    away.rename(token.files)
    hardware.stop()
    hardware.start()
    still_opens(hardware.sdk(), population, ["one", "two", "own"])


def test_the_demo_into_hardware():
    # Short: the path of a socket has hardly more than a hundred bytes.
    with tempfile.TemporaryDirectory(prefix="kf") as directory:
        demo_into_hardware(pathlib.Path(directory))


def demo_into_hardware(tmp_path):
    done = subprocess.run(
        [binary(), "demo", "--hardware", "--keys", "14", "--secrets", "8"],
        capture_output=True, text=True, timeout=300, env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("Migration Complete"), done.stdout
    assert "FAILED" not in done.stdout
    assert not list(tmp_path.iterdir()), "the directory is removed"


def test_the_demo_says_what_it_needs(tmp_path):
    done = subprocess.run(
        [binary(), "demo", "--hardware", "--dir", str(tmp_path)],
        capture_output=True, text=True, timeout=60, env={"PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "install the package softhsm2" in done.stderr, done.stderr
