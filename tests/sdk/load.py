"""Clients that keep encrypting, decrypting, signing and reading while a migration runs."""

import threading

import deployment as world
from test_crypto import b64


class Load:
    """Connections that use the account's resources until they are stopped. Every failed call is kept."""

    def __init__(self, made, population, connections=8, account=world.RETAIL):
        self.made = made
        self.account = account
        self.population = population
        self.calls = 0
        self.failures = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=[n]) for n in range(connections)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(world.PATIENCE)

    def work(self, number):
        sdk = self.made.sdk("v1" if number % 2 else "v3", self.account)
        while not self.stopping.is_set():
            for name, operation in self.operations(sdk):
                if self.stopping.is_set():
                    return
                try:
                    operation()
                except Exception as error:  # noqa: BLE001: whatever it is, the application has seen it
                    with self.lock:
                        self.failures.append(f"{name}: {error!r}")
                with self.lock:
                    self.calls += 1

    def operations(self, sdk):
        population = self.population
        for name, made in population.blobs.items():
            if name in ("disabled", "going"):
                continue
            blob, context, plain = made[0]
            yield f"Decrypt {name}", lambda: check(
                sdk.call("Decrypt", CiphertextBlob=blob, EncryptionContext=context)["Plaintext"], plain
            )
            key = population.keys[name]
            yield f"Encrypt {name}", lambda: round_trip(sdk, key)
        for name, (call, signature, _) in population.signatures.items():
            yield f"AsymmetricVerify {name}", lambda: check(
                sdk.call("AsymmetricVerify", Value=signature, **call)["Value"], True
            )
            yield f"AsymmetricSign {name}", lambda: sdk.call("AsymmetricSign", **call)
            where = {"KeyId": call["KeyId"], "KeyVersionId": call["KeyVersionId"]}
            yield f"GetPublicKey {name}", lambda: sdk.call("GetPublicKey", **where)
        for name, versions in population.secrets.items():
            if name == "app/going":
                continue
            yield f"GetSecretValue {name}", lambda: sdk.call("GetSecretValue", SecretName=name)
            for version, value in versions.items():
                read = {"SecretName": name, "VersionId": version}
                yield f"GetSecretValue {name} {version}", lambda: check(
                    sdk.call("GetSecretValue", **read)["SecretData"], value
                )


def round_trip(sdk, key):
    made = sdk.call("GenerateDataKey", KeyId=key)
    check(sdk.call("Decrypt", CiphertextBlob=made["CiphertextBlob"])["Plaintext"], made["Plaintext"])
    blob = sdk.call("Encrypt", KeyId=key, Plaintext=b64(b"again"))["CiphertextBlob"]
    check(sdk.call("Decrypt", CiphertextBlob=blob)["Plaintext"], b64(b"again"))


def check(found, expected):
    if found != expected:
        raise AssertionError(f"{found!r} is not {expected!r}")
