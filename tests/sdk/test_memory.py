"""What was opened is gone from the memory of the daemon a minute after its last use, and never in swap."""

import base64
import os
import subprocess
import time
from pathlib import Path

import markers
import pytest
from deployment import eventually
from markers import MARKER
from population import import_material

# Opened material may be kept for 60 s; what is older is swept every 10 s.
KEPT = 75


def test_material_and_values_leave_the_memory(deployment, tmp_path):
    sdk = deployment.sdk()
    # Known to the search of all output.
    material = markers.material(4)
    value = MARKER + base64.b32encode(os.urandom(40)).decode().rstrip("=")
    plaintext = os.urandom(48)
    key = sdk.call("CreateKey", Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    import_material(sdk, key, material)
    sdk.call("CreateSecret", SecretName="kept/one", VersionId="v1", SecretData=value, EncryptionKeyId=key)
    sealed = sdk.call("Encrypt", KeyId=key, Plaintext=base64.b64encode(plaintext).decode())["CiphertextBlob"]
    sdk.call("Decrypt", CiphertextBlob=sealed)
    assert sdk.call("GetSecretValue", SecretName="kept/one")["SecretData"] == value

    needles = {
        "key material": material,
        "key material in base64": base64.b64encode(material),
        "the value": value.encode(),
        "the plaintext": plaintext,
        "the plaintext in base64": base64.b64encode(plaintext),
    }
    # The search itself works: in use, the material is in memory.
    assert "key material" in found(deployment, tmp_path / "in-use", needles)
    time.sleep(KEPT)
    left = []

    def gone():
        # What a thread had on its stack lies there until that thread works again, or another one is given its stack.
        other_work(sdk, len(left))
        left.append(found(deployment, tmp_path / "later", needles))
        return not left[-1]

    try:
        # The sweep that comes after that time is late where the machine is busy.
        eventually(gone)
    except AssertionError:
        pytest.fail(f"in memory after all that time: {left}")


HEADING = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


@pytest.mark.parametrize("swap", ["", "/swapfile                              file\t\t1048572\t\t0\t\t-2\n"])
def test_where_the_machine_swaps_all_memory_is_locked(unstarted, tmp_path, swap):
    # What the machine itself has is not to be changed by a test: the daemon sees a file of ours in its place.
    swaps = tmp_path / "swaps"
    swaps.write_text(HEADING + swap)
    seen = 'mount --bind "$0" /proc/swaps && exec "$@"'
    unstarted.start(prefix=["unshare", "--mount", "sh", "-c", seen, str(swaps)])
    status = Path(f"/proc/{unstarted.process.pid}/status").read_text()
    figures = dict(line.split(":", 1) for line in status.splitlines())
    locked = int(figures["VmLck"].split()[0])
    assert (locked > 0) == bool(swap), figures
    # It works as ever.
    key = unstarted.sdk().call("CreateKey")["KeyMetadata"]["KeyId"]
    assert unstarted.sdk().call("DescribeKey", KeyId=key)["KeyMetadata"]["KeyId"] == key


def test_memory_that_cannot_be_locked_is_warned_of(unstarted, tmp_path):
    swaps = tmp_path / "swaps"
    swaps.write_text(HEADING + "/swapfile                              file\t\t1048572\t\t0\t\t-2\n")
    seen = 'mount --bind "$0" /proc/swaps && exec setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock "$@"'
    unstarted.start(prefix=["unshare", "--mount", "sh", "-c", seen, str(swaps)])
    assert any("LimitMEMLOCK=infinity" in str(line) for line in unstarted.log.lines), unstarted.log.lines


def other_work(sdk, number):
    """The same operations with another key and other values."""
    key = sdk.call("CreateKey", Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    import_material(sdk, key, os.urandom(32))
    name = f"kept/other{number}"
    sdk.call("CreateSecret", SecretName=name, VersionId="v1", SecretData="x" * 67, EncryptionKeyId=key)
    for _ in range(8):
        sealed = sdk.call("Encrypt", KeyId=key, Plaintext=base64.b64encode(os.urandom(48)).decode())["CiphertextBlob"]
        sdk.call("Decrypt", CiphertextBlob=sealed)
        sdk.call("GetSecretValue", SecretName=name)


def found(deployment, prefix, needles):
    """Which of the needles a core of the running daemon contains."""
    command = ["gcore", "-o", str(prefix), str(deployment.process.pid)]
    # What a core of the kernel would leave out is wanted here.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    core = Path(f"{prefix}.{deployment.process.pid}")
    assert core.exists(), done.stdout + done.stderr
    try:
        memory = core.read_bytes()
        return {name for name, needle in needles.items() if needle in memory}
    finally:
        core.unlink()
