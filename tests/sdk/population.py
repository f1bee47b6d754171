"""Fills an account with every kind of key and secret, and reads everything back to compare before with after."""

import base64
import hashlib
import json
import time

from markers import MARKER, material
from test_crypto import b64, first_version, import_material, public_key, raw, verify

DIGEST = hashlib.sha256(b"signed before the migration").digest()


class Population:
    """What was made, and what was encrypted and signed with it before the migration."""

    def __init__(self, sdk):
        self.sdk = sdk
        self.keys = {}
        self.secrets = {}
        self.blobs = {}
        self.signatures = {}
        self.oaep = None
        self.left_behind = set()

    def fill(self):
        self.symmetric()
        self.asymmetric()
        self.own_material()
        self.make_secrets()
        self.unmigratable()
        return self

    def fill_small(self):
        """One key with a secret, and a secret under the system key: for tests that repeat many times."""
        self.key("plain")
        self.encrypt("plain")
        self.generic("small/under-key", EncryptionKeyId=self.keys["plain"])
        self.generic("small/system")
        return self

    # Keys

    def key(self, name, **parameters):
        made = self.sdk.call("CreateKey", **parameters)["KeyMetadata"]
        self.keys[name] = made["KeyId"]
        return made["KeyId"]

    def encrypt(self, name):
        context = {"made": "before"}
        plain = b64(f"{MARKER}{name}".encode())
        made = self.sdk.call("Encrypt", KeyId=self.keys[name], Plaintext=plain, EncryptionContext=context)
        self.blobs.setdefault(name, []).append((made["CiphertextBlob"], context, plain))

    def symmetric(self):
        tags = json.dumps([{"TagKey": "team", "TagValue": "payments"}])
        rotation = {"EnableAutomaticRotation": True, "RotationInterval": "30d"}
        key = self.key("rotating", Description="päyments", Tags=tags, **rotation)
        arn = self.sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]["Arn"]
        for alias in ("alias/payments", "alias/payments-old"):
            self.sdk.call("CreateAlias", KeyId=key, AliasName=alias)
        protection = {"EnableDeletionProtection": True, "DeletionProtectionDescription": "in use"}
        self.sdk.call("SetDeletionProtection", ProtectedResourceArn=arn, **protection)
        for _ in range(3):
            self.encrypt("rotating")
            self.sdk.call("CreateKeyVersion", KeyId=key)
        self.key("disabled")
        self.encrypt("disabled")
        self.sdk.call("DisableKey", KeyId=self.keys["disabled"])
        self.key("going")
        self.encrypt("going")
        self.sdk.call("ScheduleKeyDeletion", KeyId=self.keys["going"], PendingWindowInDays=30)

    def asymmetric(self):
        for name, spec, algorithm in [
            ("rsa", "RSA_2048", "RSA_PSS_SHA_256"),
            ("p256", "EC_P256", "ECDSA_SHA_256"),
            ("p256k", "EC_P256K", "ECDSA_SHA_256"),
        ]:
            key = self.key(name, KeySpec=spec, KeyUsage="SIGN/VERIFY")
            version = first_version(self.sdk, key)
            call = {"KeyId": key, "KeyVersionId": version, "Algorithm": algorithm, "Digest": b64(DIGEST)}
            signature = self.sdk.call("AsymmetricSign", **call)["Value"]
            self.signatures[name] = (call, signature, public_key(self.sdk, key, version))
        key = self.key("rsa-decrypt", KeySpec="RSA_2048", KeyUsage="ENCRYPT/DECRYPT")
        call = {"KeyId": key, "KeyVersionId": first_version(self.sdk, key), "Algorithm": "RSAES_OAEP_SHA_256"}
        made = self.sdk.call("AsymmetricEncrypt", Plaintext=b64(b"sealed before"), **call)
        self.oaep = (call, made["CiphertextBlob"])

    def own_material(self):
        key = self.key("own", Origin="EXTERNAL")
        import_material(self.sdk, key, material(0), expires=int(time.time()) + 86_400)
        self.encrypt("own")

    def unmigratable(self):
        """What stays in the shared KMS: specs the target does not take, a key without material, and what hangs on them."""
        self.left_behind = {
            self.key("rsa-3072", KeySpec="RSA_3072"),
            self.key("empty", Origin="EXTERNAL"),
            self.key("aes-128", KeySpec="Aliyun_AES_128"),
        }
        self.generic("left/under-aes-128", EncryptionKeyId=self.keys["aes-128"])
        self.left_behind.add("left/under-aes-128")
        self.encrypt("aes-128")

    # Secrets

    def generic(self, name, **parameters):
        value = f"{MARKER}{name}-1"
        self.sdk.call("CreateSecret", SecretName=name, SecretData=value, VersionId="v1", **parameters)
        self.secrets[name] = {"v1": value}

    def put(self, name, version, **parameters):
        value = f"{MARKER}{name}-{version}"
        self.sdk.call("PutSecretValue", SecretName=name, SecretData=value, VersionId=version, **parameters)
        self.secrets[name][version] = value

    def make_secrets(self):
        tags = json.dumps([{"TagKey": "stage", "TagValue": "prod"}])
        self.generic("app/system", Description="under the system key", Tags=tags)
        self.put("app/system", "v2")
        self.put("app/system", "v3", VersionStages=json.dumps(["canary"]))
        self.put("app/system", "v4", SecretDataType="binary")
        self.generic("app/under-key", EncryptionKeyId=self.keys["rotating"])
        for number in range(2, 5):
            self.put("app/under-key", f"v{number}")
        self.generic("app/large")
        large = MARKER + "x" * (30_720 - len(MARKER))
        self.sdk.call("PutSecretValue", SecretName="app/large", SecretData=large, VersionId="v2")
        self.secrets["app/large"]["v2"] = large
        self.generic("app/going")
        self.sdk.call("DeleteSecret", SecretName="app/going", RecoveryWindowInDays="30")

        rds = {"SecretSubType": "SingleUser", "DBInstanceId": "rm-1", "CustomData": {"a": "b"}}
        account = {"AccountName": "app", "AccountPassword": MARKER + "rds"}
        rotation = {"EnableAutomaticRotation": True, "RotationInterval": "7d"}
        self.managed("rds/orders", "Rds", {"Accounts": [account]}, rds, **rotation)
        pair = {"AccessKeyId": "id", "AccessKeySecret": MARKER + "ram"}
        user = {"SecretSubType": "RamUserAccessKey", "UserName": "alice"}
        self.managed("$Auto", "RAMCredentials", {"AccessKeys": [pair]}, user)
        login = {"UserName": "root", "Password": MARKER + "ecs"}
        machine = {"SecretSubType": "Password", "RegionId": "cn-hangzhou", "InstanceId": "i-1"}
        self.managed("acs/ecs/web", "ECS", login, machine)

    def managed(self, name, kind, value, config, **parameters):
        call = {"SecretType": kind, "SecretData": json.dumps(value), "ExtendedConfig": config}
        made = self.sdk.call("CreateSecret", SecretName=name, VersionId="v1", **call, **parameters)
        self.secrets[made["SecretName"]] = {}

    # Reading back

    def snapshot(self):
        """Everything the API tells about the account, except what a request is answered with."""
        return {
            "keys": {key: self.describe_key(key) for key in self.keys.values()},
            "secrets": {name: self.describe_secret(name) for name in self.secrets},
            "aliases": self.sdk.call("ListAliases", PageSize=100)["Aliases"],
            "key order": [key["KeyId"] for key in self.sdk.call("ListKeys", PageSize=100)["Keys"]["Key"]],
            "secret order": [s["SecretName"] for s in self.sdk.call("ListSecrets", PageSize=100)["SecretList"]["Secret"]],
        }

    def describe_key(self, key):
        return {
            "metadata": self.sdk.call("DescribeKey", KeyId=key)["KeyMetadata"],
            "versions": self.sdk.call("ListKeyVersions", KeyId=key, PageSize=100)["KeyVersions"],
            "aliases": self.sdk.call("ListAliasesByKeyId", KeyId=key, PageSize=100)["Aliases"],
            "tags": self.sdk.call("ListResourceTags", KeyId=key)["Tags"],
        }

    def describe_secret(self, name):
        metadata = self.sdk.call("DescribeSecret", SecretName=name, FetchTags="true")
        metadata.pop("RequestId")
        versions = self.sdk.call("ListSecretVersionIds", SecretName=name, IncludeDeprecated="true", PageSize=100)
        values = {}
        if not metadata.get("PlannedDeleteTime"):
            current = self.sdk.call("GetSecretValue", SecretName=name, FetchExtendedConfig=True)
            current.pop("RequestId")
            values["current"] = current
            for version in self.secrets[name]:
                read = self.sdk.call("GetSecretValue", SecretName=name, VersionId=version)
                values[version] = read["SecretData"]
        return {"metadata": metadata, "versions": versions["VersionIds"], "values": values}

    def check_use(self):
        """Old ciphertexts open, old signatures verify, secrets read back."""
        for name, made in self.blobs.items():
            state = self.sdk.call("DescribeKey", KeyId=self.keys[name])["KeyMetadata"]["KeyState"]
            if state == "Enabled":
                for blob, context, plain in made:
                    opened = self.sdk.call("Decrypt", CiphertextBlob=blob, EncryptionContext=context)
                    assert (opened["Plaintext"], opened["KeyId"]) == (plain, self.keys[name])
        for call, signature, public in self.signatures.values():
            assert self.sdk.call("AsymmetricVerify", Value=signature, **call)["Value"] is True
            anew = self.sdk.call("AsymmetricSign", **call)["Value"]
            verify(public, call["Algorithm"], raw(anew), base64.b64decode(call["Digest"]))
        if self.oaep is not None:
            call, blob = self.oaep
            opened = self.sdk.call("AsymmetricDecrypt", CiphertextBlob=blob, **call)
            assert raw(opened["Plaintext"]) == b"sealed before"
        for name, versions in self.secrets.items():
            if not self.sdk.call("DescribeSecret", SecretName=name).get("PlannedDeleteTime"):
                for version, value in versions.items():
                    read = self.sdk.call("GetSecretValue", SecretName=name, VersionId=version)
                    assert read["SecretData"] == value, f"{name} {version}"


def moved(snapshot, instance, left_behind=()):
    """A snapshot as it has to read after the migration: nothing but the instance is new."""
    after = json.loads(json.dumps(snapshot))
    for kind in ("keys", "secrets"):
        for name, entry in after[kind].items():
            if name not in left_behind:
                entry["metadata"]["DKMSInstanceId"] = instance
    return after


def found_in_the_clear(directory, text):
    """Files below a directory that hold a text as it is."""
    return [path for path in directory.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]
