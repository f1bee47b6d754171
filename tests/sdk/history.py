"""What applications saw, and what must hold of it: clients record every call, and the record is checked afterwards.

- A ciphertext once answered opens, whenever the daemon answers at all, to what was sealed.
- A secret's current value never goes back: a read that begins after number n was read or its write was acknowledged
  answers n or a later one.
- No management operation that begins after a scope was locked and ends before it was unlocked succeeds.
"""

import datetime
import random
import threading
import time

from clients import Refused
from population import MARKER
from test_crypto import b64

MANAGEMENT = ("PutSecretValue", "CreateKeyVersion", "CreateKey", "TagResource", "CreateAlias", "UpdateKeyDescription")


class Call:
    def __init__(self, operation, begun, ended, outcome, number=None, name=None):
        self.operation = operation
        self.begun = begun
        self.ended = ended
        # "done", the code of a refusal, or "lost": nobody answered, it may or may not have happened.
        self.outcome = outcome
        self.number = number
        self.name = name


class History:
    """Clients of one account and their record. Kills and failpoints of the daemon are part of the game."""

    def __init__(self, made, account, seed):
        self.made = made
        self.account = account
        self.seed = seed
        self.calls = []
        self.wrong = []
        self.sealed = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.keys = []
        self.secrets = []
        self.threads = []

    def fill(self):
        sdk = self.made.sdk(account=self.account)
        self.keys = [sdk.call("CreateKey")["KeyMetadata"]["KeyId"] for _ in range(3)]
        for number, under in [(0, None), (1, self.keys[0]), (2, self.keys[1])]:
            name = f"history/{number}"
            more = {"EncryptionKeyId": under} if under else {}
            sdk.call("CreateSecret", SecretName=name, SecretData=value(0), VersionId="n0", **more)
            self.secrets.append(name)
        return self

    def __enter__(self):
        work = [(self.seal_and_open, n) for n in range(2)] + [(self.read, n) for n in range(2)]
        work += [(self.write, n) for n in range(len(self.secrets))] + [(self.manage, 0)]
        self.threads = [threading.Thread(target=self.run, args=job, daemon=True) for job in work]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(90)
            assert not thread.is_alive(), "a call never ended"

    # The clients

    def run(self, work, number):
        chance = random.Random(f"{self.seed} {work.__name__} {number}")
        sdk = self.made.sdk("v1" if number % 2 else "v3", self.account)
        step = 0
        while not self.stopping.is_set():
            step += 1
            work(sdk, chance, number, step)
            # An application has other things to do, too.
            self.stopping.wait(chance.random() * 0.02)

    def ask(self, sdk, operation, number=None, name=None, **parameters):
        """The answer, or None when it was refused or nobody answered."""
        begun = time.time()
        answer = None
        try:
            answer = sdk.call(operation, **parameters)
            outcome = "done"
        except Refused as refused:
            outcome = refused.code if refused.status and refused.status < 500 else "lost"
        except Exception:  # noqa: BLE001: whatever the SDK makes of a daemon that dies
            outcome = "lost"
        with self.lock:
            self.calls.append(Call(operation, begun, time.time(), outcome, number, name))
        if outcome not in ("done", "lost", "Rejected.Migrating"):
            self.blame(f"{operation} {name or ''} was answered {outcome}")
        if outcome == "Rejected.Migrating" and operation not in MANAGEMENT:
            self.blame(f"{operation} was refused because of a migration")
        if outcome == "lost":
            self.stopping.wait(0.1)
        return answer

    def blame(self, what):
        with self.lock:
            self.wrong.append(what)

    def seal_and_open(self, sdk, chance, number, step):
        key = chance.choice(self.keys)
        plain = b64(f"{MARKER}{number}-{step}".encode())
        made = self.ask(sdk, "Encrypt", KeyId=key, Plaintext=plain)
        if made:
            with self.lock:
                self.sealed.append((made["CiphertextBlob"], plain))
        with self.lock:
            blob = chance.choice(self.sealed) if self.sealed else None
        if blob:
            opened = self.ask(sdk, "Decrypt", CiphertextBlob=blob[0])
            if opened and opened["Plaintext"] != blob[1]:
                self.blame("a ciphertext opened to something else")

    def read(self, sdk, chance, number, step):
        name = chance.choice(self.secrets)
        begun = time.time()
        found = self.ask(sdk, "GetSecretValue", SecretName=name)
        if found:
            with self.lock:
                self.calls.append(Call("read", begun, time.time(), "done", number_of(found["SecretData"]), name))

    def write(self, sdk, chance, number, step):
        # One writer a secret, so that its numbers rise.
        name = self.secrets[number]
        self.ask(sdk, "PutSecretValue", step, name, SecretName=name, SecretData=value(step), VersionId=f"n{step}")
        self.stopping.wait(chance.random() * 0.1)

    def manage(self, sdk, chance, number, step):
        key = chance.choice(self.keys)
        operation, parameters = chance.choice(
            [
                ("CreateKeyVersion", {"KeyId": key}),
                ("UpdateKeyDescription", {"KeyId": key, "Description": f"step {step}"}),
                ("CreateAlias", {"KeyId": key, "AliasName": f"alias/step-{step}"}),
                ("TagResource", {"KeyId": key, "Tags": f'[{{"TagKey":"step","TagValue":"{step}"}}]'}),
            ]
        )
        if operation == "CreateKeyVersion" and step > 120:
            # At most 50 versions a key.
            return
        self.ask(sdk, operation, step, **parameters)

    # What must hold

    def check(self, locks):
        """Everything against the record; `locks` are the intervals in which the scope was locked, as seconds."""
        assert self.wrong == [], f"seed {self.seed}: {self.wrong[:10]}"
        for name in self.secrets:
            self.check_secret(name)
        for begun, ended in locks:
            # A job names the instant at which it begins to take the lock; from the first refusal on it has it, soon in any case.
            refused = [call.ended for call in self.calls if call.outcome == "Rejected.Migrating" and begun <= call.ended <= ended]
            locked = min([*refused, begun + 1])
            inside = [call for call in self.calls if call.operation in MANAGEMENT and call.begun > locked and call.ended < ended]
            done = [call.operation for call in inside if call.outcome == "done"]
            assert done == [], f"seed {self.seed}: {done} committed in a locked scope"
        sdk = self.made.sdk(account=self.account)
        for blob, plain in self.sealed:
            assert sdk.call("Decrypt", CiphertextBlob=blob)["Plaintext"] == plain, f"seed {self.seed}"

    def check_secret(self, name):
        floor, changes = 0, []
        for call in self.calls:
            if call.name == name and call.outcome == "done" and call.operation in ("read", "PutSecretValue"):
                changes.append(call)
        reads = sorted((call for call in changes if call.operation == "read"), key=lambda call: call.begun)
        known = sorted(changes, key=lambda call: call.ended)
        at = 0
        for read in reads:
            while at < len(known) and known[at].ended < read.begun:
                floor = max(floor, known[at].number)
                at += 1
            assert read.number >= floor, f"seed {self.seed}: {name} went back from {floor} to {read.number}"
        sent = max((call.number for call in self.calls if call.operation == "PutSecretValue" and call.name == name), default=0)
        assert all(read.number <= sent for read in reads), f"seed {self.seed}: {name} was never {reads[-1].number}"

    def refused_inside(self, locks):
        """Management calls that a lock refused: without them the test would show nothing."""
        return sum(
            call.outcome == "Rejected.Migrating" and any(b <= call.ended and call.begun <= e for b, e in locks)
            for call in self.calls
        )


def value(number):
    return f"{MARKER}history-{number}"


def number_of(text):
    return int(text.rsplit("-", 1)[1])


def seconds(text):
    """An instant of a job as seconds since 1970."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
