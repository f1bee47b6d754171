"""Every field that the SDK's own models declare of an answer is answered, or documented as absent.

The models are walked, nothing is listed by hand: a scenario calls each operation that docs/api-coverage.md offers, in as
many conditions as it takes for each field to show, and what the models declare is compared with what came over the wire.
"""

import inspect
import json
import pathlib
import re
import types
import xml.etree.ElementTree as ElementTree

from alibabacloud_kms20160120 import models
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import wire
from clients import Refused
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL
from test_crypto import b64, import_material

COVERAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "api-coverage.md"
OPERATIONS = [name.removesuffix("ResponseBody") for name in dir(models) if name.endswith("ResponseBody")]
# Answers an error always; docs/api-coverage.md says so.
ALWAYS_REFUSED = {"OpenKmsService"}
POLICY = json.dumps({"Version": "1", "Statement": [{"Effect": "Allow", "Action": ["kms:*"], "Resource": ["*"]}]})


def section(title):
    text = COVERAGE.read_text()
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def offered():
    names = set(re.findall(r"`(\w+)`", section("Offered")))
    return names & set(OPERATIONS)


def documented_as_absent():
    """(operation, field) pairs of the table."""
    rows = re.findall(r"^\| (`[^|]+) \| `([^`]+)` \|", section("Fields that are never answered"), re.MULTILINE)
    return {(operation, field) for names, field in rows for operation in re.findall(r"`(\w+)`", names)}


def kind_of(annotation):
    """The model class within an annotation, and whether it is a list of it; else the plain type."""
    listed = re.fullmatch(r"List\[(.+)\]", annotation)
    inner = listed.group(1) if listed else annotation
    if inner.startswith("main_models."):
        return getattr(models, inner.removeprefix("main_models.")), bool(listed)
    return inner, bool(listed)


def declared(model, prefix=""):
    """Each leaf field of a model by its name on the wire, with its type."""
    fields = {}
    for attribute, parameter in inspect.signature(model.__init__).parameters.items():
        if attribute == "self":
            continue
        kind, listed = kind_of(parameter.annotation)
        nested = isinstance(kind, type)
        value = kind() if nested else "x"
        filled = model()
        setattr(filled, attribute, [value] if listed else value)
        (wire,) = [name for name in filled.to_map() if matches(name, attribute)]
        if nested:
            fields.update(declared(kind, f"{prefix}{wire}."))
        else:
            fields[prefix + wire] = (kind, listed)
    return fields


def matches(wire, attribute):
    return wire.lower() == attribute.replace("_", "")


def seen(value, prefix=""):
    """Each leaf of an answer with its value."""
    if isinstance(value, list):
        leaves = [leaf for entry in value if isinstance(entry, (dict, list)) for leaf in seen(entry, prefix)]
        return leaves or [(prefix.removesuffix("."), value)]
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in seen(inner, f"{prefix}{name}.")]
    return [(prefix.removesuffix("."), value)]


def fits(value, kind, listed):
    if listed:
        return isinstance(value, list)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, bool) if kind == "bool" else isinstance(value, str)


class Recorder:
    """The SDK's client with what came over the wire kept beside."""

    def __init__(self, sdk):
        self.sdk = sdk
        self.answers = {}
        original = sdk.client.call_api

        def call_api(_client, params, request, runtime):
            answer = original(params, request, runtime)
            self.answers.setdefault(params.action, []).append(answer["body"])
            return answer

        sdk.client.call_api = types.MethodType(call_api, sdk.client)

    def call(self, action, **parameters):
        return self.sdk.call(action, **parameters)


class FormSdk:
    """All parameters in a form body, as Terraform's provider sends them, and the answer as XML."""

    def __init__(self, account, port):
        self.account = account
        self.port = port
        self.leaves = {}

    def call(self, action, **parameters):
        request = wire.v1(self.account, action, list(flattened(parameters)), in_body=True, Format="XML")
        answer = wire.ask(self.port, request)
        root = ElementTree.fromstring(answer.body)
        if answer.status != 200:
            raise Refused(root.findtext("Code"), answer.status, root.findtext("Message"))
        assert root.tag == f"{action}Response", root.tag
        self.leaves.setdefault(action, set()).update(leaves_of(root))
        return from_xml(root, getattr(models, f"{action}ResponseBody"))


def flattened(parameters):
    """Lists of resources and tags one by one, every other structure as JSON, as the documents say."""
    for name, value in parameters.items():
        if isinstance(value, list) and name != "SecretsList":
            for number, entry in enumerate(value, 1):
                if isinstance(entry, dict):
                    yield from ((f"{name}.{number}.{part}", text) for part, text in entry.items())
                else:
                    yield f"{name}.{number}", entry
        elif isinstance(value, bool):
            yield name, str(value).lower()
        else:
            yield name, json.dumps(value) if isinstance(value, (list, dict)) else str(value)


def from_xml(element, model):
    """The answer as the model would have it."""
    made = {}
    for attribute, parameter in inspect.signature(model.__init__).parameters.items():
        if attribute == "self":
            continue
        kind, listed = kind_of(parameter.annotation)
        children = [child for child in element if matches(child.tag, attribute)]
        values = [from_xml(child, kind) if isinstance(kind, type) else child.text or "" for child in children]
        for child in children:
            made[child.tag] = values if listed else values[0]
    return made


def leaves_of(element, prefix=""):
    for child in element:
        if len(child):
            yield from leaves_of(child, f"{prefix}{child.tag}.")
        else:
            yield prefix + child.tag


def test_the_models_are_walked():
    found = declared(models.DescribeKeyResponseBody)
    assert found["KeyMetadata.KeyId"] == ("str", False) and "RequestId" in found
    assert declared(models.ListKeysResponseBody)["Keys.Key.KeyArn"] == ("str", False)
    assert declared(models.ListKeysResponseBody)["TotalCount"] == ("int", False)
    assert declared(models.AsymmetricVerifyResponseBody)["Value"] == ("bool", False)
    assert declared(models.GetSecretValueResponseBody)["VersionStages.VersionStage"] == ("str", True)
    assert len(OPERATIONS) == 91


# Fields that the vendor's models do not have: additions of ours, told in docs/api-coverage.md.
ADDED = {
    ("GetKmsInstanceQuotaInfos", "KmsInstanceQuotaInfos.AccountUsages.AccountId"),
    ("GetKmsInstanceQuotaInfos", "KmsInstanceQuotaInfos.AccountUsages.UsedQuantity"),
}


def test_every_declared_field_is_answered_or_documented(unstarted):
    unstarted.expires[INSTANCE] = "2099-01-01T00:00:00Z"
    recorder = Recorder(unstarted.start().sdk())
    scenario(recorder)
    enabling(recorder)
    wrong = []
    absent = set()
    for operation in sorted(offered() - ALWAYS_REFUSED):
        fields = declared(getattr(models, f"{operation}ResponseBody"))
        answers = recorder.answers.get(operation, [])
        assert answers, f"the scenario does not call {operation}"
        leaves = [leaf for answer in answers for leaf in seen(answer)]
        absent |= {(operation, field) for field in fields if field not in {name for name, _ in leaves}}
        for name, value in leaves:
            if (operation, name) in ADDED:
                assert name.split(".")[-2] in COVERAGE.read_text(), name
            elif name not in fields:
                # An empty list in the place of its entries is no field of its own.
                if value != [] or not any(field.startswith(f"{name}.") for field in fields):
                    wrong.append(f"{operation} answers {name}, which the model does not have")
            elif not fits(value, *fields[name]):
                wrong.append(f"{operation}: {name} is {value!r}, declared {fields[name]}")
    assert not wrong, "\n".join(sorted(set(wrong)))
    # The same as XML, asked for by forms: every field that has something in it, of every operation.
    form = FormSdk(LOGISTICS, unstarted.port)
    scenario(form)
    owner = FormSdk(RETAIL, unstarted.port)
    owner.leaves = form.leaves
    enabling(owner)
    for operation in sorted(offered() - ALWAYS_REFUSED):
        filled = {name for answer in recorder.answers[operation] for name, value in seen(answer) if value != []}
        # Only the owner of an instance gets them; the form comes from somebody else.
        filled -= {name for of, name in ADDED if of == operation}
        assert filled - form.leaves[operation] == set(), f"{operation} as XML"
    documented = documented_as_absent()
    listed = lambda pairs: "\n".join(f"{operation} {field}" for operation, field in sorted(pairs))
    assert not absent - documented, f"neither answered nor documented as absent:\n{listed(absent - documented)}"
    assert not documented - absent, f"documented as absent, but answered:\n{listed(documented - absent)}"


def scenario(sdk):
    key, version = keys(sdk)
    names(sdk, key)
    cryptography(sdk, key, version)
    own_material(sdk)
    secrets(sdk)
    instances(sdk)
    for operation in ("DescribeRegions", "DescribeAccountKmsStatus", "GetRandomPassword"):
        sdk.call(operation)
    try:
        sdk.call("OpenKmsService")
        raise AssertionError("OpenKmsService is documented as always refused")
    except Refused as refusal:
        assert refusal.code == "Forbidden.Opened"


def keys(sdk):
    rotating = {"EnableAutomaticRotation": True, "RotationInterval": "30d"}
    sdk.call("CreateKey", DKMSInstanceId=INSTANCE, **rotating)
    key = sdk.call("CreateKey", Description="d", **rotating)["KeyMetadata"]["KeyId"]
    there = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    sdk.call("DescribeKey", KeyId=there)
    sdk.call("SetKeyPolicy", KeyId=there, Policy=POLICY)
    sdk.call("GetKeyPolicy", KeyId=there)
    sdk.call("SetDeletionProtection", KeyId=there, EnableDeletionProtection=True, DeletionProtectionDescription="d")
    sdk.call("DescribeKey", KeyId=there)
    sdk.call("UpdateKeyDescription", KeyId=key, Description="e")
    sdk.call("ListKeys", PageSize=100)
    sdk.call("DisableKey", KeyId=key)
    sdk.call("EnableKey", KeyId=key)
    sdk.call("ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    sdk.call("DescribeKey", KeyId=key)
    sdk.call("CancelKeyDeletion", KeyId=key)
    sdk.call("UpdateRotationPolicy", KeyId=key, EnableAutomaticRotation=True, RotationInterval="31d")
    signer = sdk.call("CreateKey", KeySpec="EC_P256")["KeyMetadata"]["KeyId"]
    made = sdk.call("CreateKeyVersion", KeyId=signer)["KeyVersion"]
    sdk.call("DescribeKeyVersion", KeyId=signer, KeyVersionId=made["KeyVersionId"])
    sdk.call("ListKeyVersions", KeyId=signer)
    call = {"KeyId": signer, "KeyVersionId": made["KeyVersionId"], "Algorithm": "ECDSA_SHA_256", "Digest": b64(bytes(32))}
    value = sdk.call("AsymmetricSign", **call)["Value"]
    sdk.call("AsymmetricVerify", Value=value, **call)
    sdk.call("GetPublicKey", KeyId=signer, KeyVersionId=made["KeyVersionId"])
    mac = sdk.call("CreateKey", KeySpec="HMAC_SHA_256", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    call = {"KeyId": mac, "Algorithm": "HMAC_SHA_256", "Message": b64(b"m")}
    sdk.call("VerifyMac", Mac=sdk.call("GenerateMac", **call)["Mac"], **call)
    rsa_key = sdk.call("CreateKey", KeySpec="RSA_2048", KeyUsage="ENCRYPT/DECRYPT")["KeyMetadata"]["KeyId"]
    return key, (rsa_key, sdk.call("ListKeyVersions", KeyId=rsa_key)["KeyVersions"]["KeyVersion"][0]["KeyVersionId"])


def names(sdk, key):
    sdk.call("CreateAlias", KeyId=key, AliasName="alias/conformance")
    sdk.call("UpdateAlias", KeyId=key, AliasName="alias/conformance")
    sdk.call("ListAliases")
    sdk.call("ListAliasesByKeyId", KeyId=key)
    sdk.call("DeleteAlias", AliasName="alias/conformance")
    sdk.call("TagResource", KeyId=key, Tags=json.dumps([{"TagKey": "a", "TagValue": "1"}]))
    sdk.call("ListResourceTags", KeyId=key)
    sdk.call("UntagResource", KeyId=key, TagKeys=json.dumps(["a"]))
    many = {"RegionId": REGION, "ResourceType": "key", "ResourceId": [key]}
    sdk.call("TagResources", Tag=[{"Key": "b", "Value": "2"}], **many)
    sdk.call("ListTagResources", **many)
    sdk.call("UntagResources", TagKey=["b"], **many)


def cryptography(sdk, key, rsa_version):
    plain = {"KeyId": key, "Plaintext": b64(b"text")}
    blob = sdk.call("Encrypt", **plain)["CiphertextBlob"]
    sdk.call("Decrypt", CiphertextBlob=blob)
    sdk.call("GenerateDataKey", KeyId=key)
    sdk.call("GenerateDataKeyWithoutPlaintext", KeyId=key)
    sdk.call("ReEncrypt", CiphertextBlob=blob, DestinationKeyId=key)
    public = rsa.generate_private_key(65537, 2048).public_key()
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    wrapping = {"PublicKeyBlob": b64(der), "WrappingKeySpec": "RSA_2048", "WrappingAlgorithm": "RSAES_OAEP_SHA_256"}
    sdk.call("ExportDataKey", CiphertextBlob=blob, **wrapping)
    sdk.call("GenerateAndExportDataKey", KeyId=key, **wrapping)
    call = {"KeyId": rsa_version[0], "KeyVersionId": rsa_version[1], "Algorithm": "RSAES_OAEP_SHA_256"}
    ciphertext = sdk.call("AsymmetricEncrypt", Plaintext=b64(b"text"), **call)["CiphertextBlob"]
    sdk.call("AsymmetricDecrypt", CiphertextBlob=ciphertext, **call)


def own_material(sdk):
    key = sdk.call("CreateKey", Origin="EXTERNAL")["KeyMetadata"]["KeyId"]
    import_material(sdk, key, bytes(range(32)), expires=4_102_444_800)
    sdk.call("DescribeKey", KeyId=key)
    sdk.call("DeleteKeyMaterial", KeyId=key)


def secrets(sdk):
    generic = {"SecretName": "conformance/generic"}
    tags = json.dumps([{"TagKey": "a", "TagValue": "1"}])
    key = sdk.call("CreateKey")["KeyMetadata"]["KeyId"]
    sdk.call("CreateSecret", SecretData="v", VersionId="v1", Tags=tags, EncryptionKeyId=key, **generic)
    sdk.call("PutSecretValue", SecretData="w", VersionId="v2", **generic)
    sdk.call("ListSecretVersionIds", **generic)
    sdk.call("UpdateSecretVersionStage", VersionStage="ACSCurrent", MoveToVersion="v1", RemoveFromVersion="v2", **generic)
    sdk.call("UpdateSecret", Description="d", **generic)
    sdk.call("DescribeSecret", FetchTags="true", **generic)
    there = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    managed = {"SecretName": "conformance/managed"}
    sdk.call(
        "CreateSecret",
        SecretType="Rds",
        SecretData=json.dumps({"Accounts": [{"AccountName": "u", "AccountPassword": "p"}]}),
        VersionId="v1",
        ExtendedConfig={"SecretSubType": "SingleUser", "DBInstanceId": "rm-1"},
        EnableAutomaticRotation=True,
        RotationInterval="7d",
        DKMSInstanceId=INSTANCE,
        EncryptionKeyId=there,
        **managed,
    )
    sdk.call("UpdateSecretRotationPolicy", EnableAutomaticRotation=True, RotationInterval="8d", **managed)
    sdk.call("RotateSecret", VersionId="v1", **managed)
    sdk.call("SetSecretPolicy", Policy=POLICY, **managed)
    sdk.call("GetSecretPolicy", **managed)
    sdk.call("DescribeSecret", **managed)
    sdk.call("GetSecretValue", FetchExtendedConfig=True, **managed)
    wishes = [{**managed, "FetchExtendedConfig": True}, {"SecretName": "conformance/missing"}]
    sdk.call("BatchGetSecretValue", SecretsList=wishes)
    sdk.call("DeleteSecret", RecoveryWindowInDays="7", **generic)
    sdk.call("DescribeSecret", **generic)
    sdk.call("ListSecrets", FetchTags="true", PageSize=100)
    sdk.call("RestoreSecret", **generic)


def instances(sdk):
    sdk.call("ListKmsInstances")
    sdk.call("GetKmsInstance", KmsInstanceId=INSTANCE)
    sdk.call("GetKmsInstanceQuotaInfos", KmsInstanceId=INSTANCE)
    sdk.call("GetDefaultKmsInstance")


def enabling(sdk):
    """By the owner of the instance, whoever plays the rest."""
    sdk.call("ConnectKmsInstance", KmsInstanceId=INSTANCE, KMProvider="Aliyun", VpcId="v", VSwitchIds="s", ZoneIds="z")


