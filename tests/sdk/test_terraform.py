"""`keyferry terraform` on real migrations, its results read by an independent parser of HCL (python-hcl2)."""

import base64
import copy
import datetime
import ipaddress
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import time

import hcl2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deployment import INSTANCE, REGION, RETAIL, Deployment, binary, eventually

CORPUS = pathlib.Path(__file__).parent / "terraform"
KEY_LIST = ["dkms_instance_id", "automatic_rotation", "rotation_interval", "protection_level"]
SECRET_LIST = ["dkms_instance_id", "enable_automatic_rotation", "rotation_interval"]


def run(*arguments, socket=None, env=None, cwd=None):
    """Exit code, standard output and standard error of `keyferry terraform`."""
    command = [binary(), *(["--socket", str(socket)] if socket else []), "terraform", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env, cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def check(*arguments, **how):
    code, out, err = run("check", *arguments, "--json", **how)
    return code, json.loads(out or err)


def resources(directory):
    """What the independent parser finds: resources by type and name, without comments."""
    found = {}

    def bare(value):
        if isinstance(value, dict):
            return {name: bare(inner) for name, inner in value.items() if not re.fullmatch("__.*__", name)}
        return [bare(inner) for inner in value] if isinstance(value, list) else value

    for path in sorted(directory.rglob("*.tf")):
        for block in hcl2.loads(path.read_bytes().decode()).get("resource", []):
            for kind, named in bare(block).items():
                for name, body in named.items():
                    found[kind.strip('"'), name.strip('"')] = body
    return found


def ignored(body):
    lists = [lifecycle["ignore_changes"] for lifecycle in body.get("lifecycle", []) if "ignore_changes" in lifecycle]
    return lists[0] if lists else []


def without_list(body):
    """A resource but for what it ignores; a lifecycle that holds nothing else counts as none."""
    body = copy.deepcopy(body)
    lifecycles = [{k: v for k, v in lifecycle.items() if k != "ignore_changes"} for lifecycle in body.pop("lifecycle", [])]
    return body, [lifecycle for lifecycle in lifecycles if lifecycle]


MOVED = {
    "instance": INSTANCE,
    "keys": [
        {"id": f"id-{name}", "alias": [alias]}
        for name, alias in {
            "plain": "alias/prod/plain",
            "rotating": "alias/prod/rotating",
            "one_line": "alias/one-line",
            "external": "alias/external",
        }.items()
    ],
    "secrets": ["corpus/generic", "corpus/numbered-0", "corpus/numbered-1", "corpus/a", "corpus/b"],
}


@pytest.fixture(params=["\n", "\r\n"], ids=["LF", "CRLF"])
def corpus(request, tmp_path):
    """The corpus in both line ends, and what moved of it."""
    directory = tmp_path / "infra"
    directory.mkdir()
    for path in CORPUS.glob("*.tf"):
        directory.joinpath(path.name).write_bytes(path.read_text().replace("\n", request.param).encode())
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(MOVED))
    return directory, moved


def test_an_independent_parser_sees_only_what_is_meant(corpus):
    directory, moved = corpus
    before = resources(directory)
    code, found = check(directory, "--resources", moved)
    assert code == 1
    addresses = {finding["address"] for finding in found["findings"]}
    assert addresses == {
        "alicloud_kms_key.plain",
        "alicloud_kms_key.rotating",
        "alicloud_kms_key.one_line",
        "alicloud_kms_secret.generic",
        "alicloud_kms_secret.numbered",
        "alicloud_kms_secret.named",
    }
    code, out, err = run("rewrite", directory, "--resources", moved, "--write")
    assert code == 0, err
    after = resources(directory)
    assert set(after) == set(before)
    for (kind, name), body in after.items():
        old = before[kind, name]
        assert without_list(body) == without_list(old), (kind, name)
        expected = ignored(old)
        if f"{kind}.{name}" in addresses:
            wanted = KEY_LIST if kind == "alicloud_kms_key" else SECRET_LIST
            expected = expected + [attribute for attribute in wanted if attribute not in expected]
        assert ignored(body) == expected, (kind, name)
    assert check(directory, "--resources", moved)[0] == 0
    code, out, err = run("rewrite", directory, "--resources", moved)
    assert (code, out) == (0, ""), "nothing is printed where nothing is to change"


def test_the_diff_makes_the_same_files_as_writing(corpus):
    directory, moved = corpus
    by_patch = directory.with_name("patched")
    shutil.copytree(directory, by_patch)
    command = [binary(), "terraform", "rewrite", ".", "--resources", str(moved)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False, cwd=directory)
    assert done.returncode == 0, done.stderr
    patched = subprocess.run(["git", "apply", "-p1", "-"], input=done.stdout, cwd=by_patch, capture_output=True, check=False)
    assert patched.returncode == 0, patched.stderr
    assert run("rewrite", directory, "--resources", moved, "--write")[0] == 0
    for path in directory.iterdir():
        assert by_patch.joinpath(path.name).read_bytes() == path.read_bytes(), path
    assert b"value of corpus/generic" not in done.stdout


def test_stating_the_instance_is_seen_by_an_independent_parser(corpus):
    directory, moved = corpus
    before = resources(directory)
    code, out, err = run("rewrite", directory, "--resources", moved, "--strategy", "instance-id", "--write")
    assert code == 0, err
    for (kind, name), body in resources(directory).items():
        stated = body.pop("dkms_instance_id", None)
        assert body == before[kind, name], (kind, name)
        moved_here = kind in ("alicloud_kms_key", "alicloud_kms_secret") and name not in ("external", "stays")
        assert stated == (f'"{INSTANCE}"' if moved_here else None), (kind, name)
    assert check(directory, "--resources", moved)[0] == 0


def generated(chance, number):
    """A configuration of random layout."""
    texts, names = [], {"keys": [], "secrets": []}
    for index in range(number):
        is_key = chance.random() < 0.5
        kind = "key" if is_key else "secret"
        lines = [] if is_key else [f'secret_name = "s{index}"', 'secret_data = "x"']
        lines += chance.sample(
            [
                'description = "a } b { c"',
                "tags = {\n    a = 1 # one\n    b = [1, 2,]\n  }",
                "policy = <<-E\n    } # {\n    ${1}\n  E",
                "pending_window_in_days = 7 // seven",
                'status     = "Enabled"',
            ],
            chance.randint(0, 3),
        )
        some = chance.sample(["tags", "status", *KEY_LIST], chance.randint(0, 3))
        listed = chance.choice(
            [
                f"[{', '.join(some)}]",
                "[\n" + "".join(f"      {name}, # {name}\n" for name in some) + "    ]",
                "[\n      " + ",\n      ".join(some) + "\n    ]" if some else "[]",
            ]
        )
        lines.append(
            chance.choice(
                [
                    "",
                    f"lifecycle {{\n    ignore_changes = {listed}\n  }}",
                    f"lifecycle {{\n    create_before_destroy = true\n    ignore_changes = {listed} # l\n  }}",
                    "lifecycle {\n    prevent_destroy = true\n  }",
                ]
            )
        )
        body = "".join(f"  {line}\n" for line in lines if line)
        texts.append(f'resource "alicloud_kms_{kind}" "r{index}" {{\n{body}}}\n')
        if is_key:
            texts.append(
                f'resource "alicloud_kms_alias" "r{index}" {{\n  alias_name = "alias/r{index}"\n'
                f"  key_id = alicloud_kms_key.r{index}.id\n}}\n"
            )
        if chance.random() < 0.7:
            if is_key:
                names["keys"].append({"id": f"k{index}", "alias": [f"alias/r{index}"]})
            else:
                names["secrets"].append(f"s{index}")
    end = chance.choice(["\n", "\r\n"])
    return "\n".join(texts).replace("\n", end), names


@pytest.mark.parametrize("seed", range(40))
def test_generated_configurations(tmp_path, seed):
    text, names = generated(random.Random(seed), 12)
    directory = tmp_path / "infra"
    directory.mkdir()
    directory.joinpath("main.tf").write_bytes(text.encode())
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps({"instance": INSTANCE, **names}))
    before = resources(directory)
    found = {finding["address"] for finding in check(directory, "--resources", moved)[1]["findings"]}
    assert run("rewrite", directory, "--resources", moved, "--write")[0] == 0
    for (kind, name), body in resources(directory).items():
        old = before[kind, name]
        assert without_list(body) == without_list(old), (kind, name)
        expected = ignored(old)
        if f"{kind}.{name}" in found:
            wanted = KEY_LIST if kind == "alicloud_kms_key" else SECRET_LIST
            expected = expected + [attribute for attribute in wanted if attribute not in expected]
        assert ignored(body) == expected, (kind, name)
    assert check(directory, "--resources", moved)[0] == 0


def configuration(directory, names):
    """Describes a key, known by its alias, another, known by its description, and two secrets."""
    directory.mkdir()
    directory.joinpath("main.tf").write_text(
        f"""
resource "alicloud_kms_key" "named" {{
  automatic_rotation = "Enabled"
  rotation_interval  = "{names["interval"]}"
}}

resource "alicloud_kms_alias" "named" {{
  alias_name = "{names["alias"]}"
  key_id     = alicloud_kms_key.named.id
}}

resource "alicloud_kms_key" "described" {{
  description = "{names["description"]}"
}}

resource "alicloud_kms_secret" "of_key" {{
  secret_name       = "{names["secret"]}"
  secret_data       = "x"
  version_id        = "v1"
  encryption_key_id = alicloud_kms_key.named.id
}}

resource "alicloud_kms_secret" "never_made" {{
  secret_name = "tf/never-made"
  secret_data = "x"
  version_id  = "v1"
}}
"""
    )
    return directory


EXPECTED = {
    ("alicloud_kms_key.named", "certain"),
    ("alicloud_kms_key.described", "likely"),
    ("alicloud_kms_secret.of_key", "certain"),
}


def population(sdk):
    names = {"alias": "alias/tf/named", "description": "the only one of its kind", "secret": "tf/of-key", "interval": "604800s"}
    named = sdk.call("CreateKey", EnableAutomaticRotation=True, RotationInterval=names["interval"])["KeyMetadata"]["KeyId"]
    sdk.call("CreateAlias", KeyId=named, AliasName=names["alias"])
    sdk.call("CreateKey", Description=names["description"])
    sdk.call("CreateSecret", SecretName=names["secret"], SecretData="x", VersionId="v1", EncryptionKeyId=named)
    return names


def found_in(document):
    return {(finding["address"], finding["certainty"]) for finding in document["findings"]}


SELECTION = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE]


def test_from_the_plan_over_the_migration_to_a_clean_check(deployment, tmp_path):
    directory = configuration(tmp_path / "infra", population(deployment.sdk()))
    how = {"socket": deployment.socket}
    command = [binary(), "--socket", str(deployment.socket), "plan", *SELECTION, "--all"]
    planned = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "Migration Instructions" in planned.stderr and "terraform check DIR --plan" in planned.stderr
    code, document = check(directory, "--plan", *SELECTION, "--all", **how)
    assert code == 1 and found_in(document) == EXPECTED, document
    [other] = [item for item in document["resources"] if item["address"] == "alicloud_kms_secret.never_made"]
    assert other["verdict"] == "not_moved"
    code, out, err = run("rewrite", directory, "--plan", *SELECTION, "--all", **how)
    assert code == 0 and "+    ignore_changes = [dkms_instance_id, automatic_rotation" in out, err

    command = [binary(), "--socket", str(deployment.socket), "migrate", *SELECTION, "--all", "--yes", "--wait"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    [job] = re.findall(r"keyferry terraform check DIR --job (job-\S+)`", done.stderr)
    report = subprocess.run(
        [binary(), "--socket", str(deployment.socket), "job", "report", job], capture_output=True, text=True, timeout=60, check=False
    )
    assert f"keyferry terraform check DIR --job {job}" in report.stdout
    code, document = check(directory, "--job", job, **how)
    assert code == 1 and found_in(document) == EXPECTED, document
    assert {finding["instance"] for finding in document["findings"]} == {INSTANCE}
    assert run("rewrite", directory, "--job", job, "--write", **how)[0] == 0
    code, document = check(directory, "--job", job, **how)
    assert code == 0 and document["clean"], document
    # Rotation is what it was: the attributes stay, and nothing in the KMS was touched.
    assert 'automatic_rotation = "Enabled"' in directory.joinpath("main.tf").read_text()
    assert deployment.sdk().call("DescribeKey", KeyId="alias/tf/named")["KeyMetadata"]["AutomaticRotation"] == "Enabled"
    code, document = check(directory, "--job", "job-nobody", **how)
    assert code == 2 and "job-nobody" in document["error"]["message"]


def access(account, **more):
    keys = {"ALIBABA_CLOUD_ACCESS_KEY_ID": account.access_key, "ALIBABA_CLOUD_ACCESS_KEY_SECRET": account.secret}
    return {**os.environ, **keys, **more}


def test_any_endpoint_is_asked_without_changing_anything(deployment, tmp_path):
    sdk = deployment.sdk()
    directory = configuration(tmp_path / "infra", population(sdk))
    url = f"http://127.0.0.1:{deployment.port}"
    code, document = check(directory, "--endpoint", url, env=access(RETAIL))
    assert code == 0 and document["clean"], "nothing is in an instance yet"
    assert deployment.migrate("--all")[0] == 0
    # The trail's last entry about a job is that its report was filed, a moment after its end.
    job = deployment.job()["id"]
    eventually(lambda: deployment.cli("job", "report", job)[1]["signature"])

    def at_rest():
        """That somebody asks is noted, too, at the first time, and no answer waits for it."""
        found = deployment.audited()
        time.sleep(1)
        return deployment.audited() == found

    eventually(at_rest)
    before = deployment.audited()
    code, document = check(directory, "--endpoint", url, env=access(RETAIL))
    assert code == 1 and found_in(document) == EXPECTED, document
    assert deployment.audited() == before, "only read"
    assert run("rewrite", directory, "--endpoint", url, "--strategy", "instance-id", "--write", env=access(RETAIL))[0] == 0
    assert f'dkms_instance_id   = "{INSTANCE}"' in directory.joinpath("main.tf").read_text()
    code, document = check(directory, "--endpoint", url, env=access(RETAIL))
    assert code == 0, document


def test_an_endpoint_that_refuses_or_is_not_there(deployment, tmp_path):
    names = {"alias": "alias/refused-x", "description": "refused y", "secret": "refused/z", "interval": "7d"}
    directory = configuration(tmp_path / "infra", names)
    url = f"http://127.0.0.1:{deployment.port}"
    code, document = check(directory, "--endpoint", url, env=access(RETAIL, ALIBABA_CLOUD_ACCESS_KEY_SECRET="wrong-secret"))
    assert code == 2 and "SignatureDoesNotMatch" in document["error"]["message"], document
    assert "wrong-secret" not in str(document)
    secret = tmp_path / "secret"
    secret.write_text(RETAIL.secret + "\n")
    env = access(RETAIL, ALIBABA_CLOUD_ACCESS_KEY_SECRET="")
    assert check(directory, "--endpoint", url, env=env)[0] == 2
    assert check(directory, "--endpoint", url, "--access-key-secret-file", secret, env=env)[0] == 0
    code, document = check(directory, "--endpoint", "http://127.0.0.1:1", env=access(RETAIL))
    assert code == 3 and "127.0.0.1:1" in document["error"]["message"], document
    code, document = check(directory, "--endpoint", "ftp://x", env=access(RETAIL))
    assert code == 2, document


class TlsDeployment(Deployment):
    """The API over TLS, with a certificate of its own making."""

    def write_config(self):
        super().write_config()
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kms of a test")])
        now = datetime.datetime.now(datetime.timezone.utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        self.certificate = self.directory / "tls.pem"
        self.certificate.write_bytes(certificate.public_bytes(pem))
        private = self.directory / "tls.key"
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        listen = f'listen = "127.0.0.1:{self.port}"'
        tls = f'tls = {{ certificate = "{self.certificate}", private_key = "{private}" }}'
        self.config.write_text(self.config.read_text().replace(listen, f"{listen}\n{tls}"))


def test_an_endpoint_is_reached_over_tls_and_its_certificate_is_checked(tmp_path):
    made = TlsDeployment(tmp_path)
    try:
        made.start()
        names = {"alias": "alias/x", "description": "y", "secret": "z", "interval": "7d"}
        directory = configuration(tmp_path / "infra", names)
        url = f"https://127.0.0.1:{made.port}"
        code, document = check(directory, "--endpoint", url, env=access(RETAIL))
        assert code == 3, document
        code, document = check(directory, "--endpoint", url, "--ca", made.certificate, env=access(RETAIL))
        assert code == 0, document
    finally:
        made.close()


def test_a_state_file_alone(tmp_path):
    directory = tmp_path / "infra"
    directory.mkdir()
    directory.joinpath("main.tf").write_text('resource "alicloud_kms_key" "k" {}\n')
    state = tmp_path / "terraform.tfstate"

    def write(instance):
        attributes = {"id": "k1", "dkms_instance_id": instance, "protection_level": "HSM"}
        entry = {"mode": "managed", "type": "alicloud_kms_key", "name": "k", "instances": [{"attributes": attributes}]}
        state.write_text(json.dumps({"version": 4, "serial": 1, "lineage": "x", "resources": [entry]}))

    write(INSTANCE)
    code, document = check(directory, "--state", state, "--provider", "1.250.0")
    assert code == 1 and document["findings"][0]["attributes"] == ["protection_level"], document
    write("")
    code, out, err = run("check", directory, "--state", state)
    assert code == 1 and "older than the migration" in err, err


def test_sarif_for_code_review(corpus):
    directory, moved = corpus
    directory.joinpath("broken.tf").write_text('locals {\n  x = "not to be told" y\n}\n')
    code, out, err = run("check", ".", "--resources", moved, "--sarif", cwd=directory)
    log = json.loads(out)
    assert code == 1 and log["version"] == "2.1.0"
    [only] = log["runs"]
    rules = [rule["id"] for rule in only["tool"]["driver"]["rules"]]
    assert len(only["results"]) == 6
    for result in only["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"] == "WouldBeReplaced" and result["level"] == "error"
        [location] = result["locations"]
        place = location["physicalLocation"]
        lines = directory.joinpath(place["artifactLocation"]["uri"]).read_text().splitlines()
        assert lines[place["region"]["startLine"] - 1].startswith("resource "), result
    [notification] = only["invocations"][0]["toolExecutionNotifications"]
    assert notification["locations"][0]["physicalLocation"]["region"]["startLine"] == 2
    assert "not to be told" not in out + err
    assert only["invocations"][0]["executionSuccessful"] is False


def test_a_terraform_client_of_the_api_finds_what_the_model_says(deployment):
    """What the provider reads after a migration is what the model takes it to read."""
    sdk = deployment.sdk()
    names = population(sdk)
    before = sdk.call("DescribeKey", KeyId=names["alias"])["KeyMetadata"]
    assert not before.get("DKMSInstanceId") and before["ProtectionLevel"] == "SOFTWARE"
    assert deployment.migrate("--all")[0] == 0
    after = sdk.call("DescribeKey", KeyId=names["alias"])["KeyMetadata"]
    assert (after["DKMSInstanceId"], after["ProtectionLevel"]) == (INSTANCE, "SOFTWARE")
    assert (after["AutomaticRotation"], after["RotationInterval"]) == (before["AutomaticRotation"], before["RotationInterval"])
    assert sdk.call("DescribeSecret", SecretName=names["secret"])["DKMSInstanceId"] == INSTANCE
    assert sdk.call("Encrypt", KeyId=names["alias"], Plaintext=base64.b64encode(b"x").decode())["CiphertextBlob"]
