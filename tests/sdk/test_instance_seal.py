"""The root key of an instance's own process, which nobody can ask for an exchange: its operator puts the next key beside the
present one and reloads, or starts it."""

import hashlib
import itertools
import signal
import stat

import pytest

from deployment import INSTANCE, PATIENCE, eventually
from markers import material
from population import Population
from test_crypto import b64
from test_elsewhere import TokenElsewhere, point_to
from test_hardware import Token
from test_instance_figures import reload
from test_remote import Elsewhere, own_command, status, stop

# Two root keys: the way back is an exchange like any other.
OLD, NEW = material(62), material(63)


def key_id(key):
    return hashlib.sha256(b"keyferry root key id v1" + key).hexdigest()[:16]


def put(path, content):
    """There as a whole or not at all, and for its owner alone."""
    part = path.with_name(f"{path.name}.put")
    part.touch(mode=0o600)
    part.write_bytes(content)
    part.rename(path)


class UnderKeyFile(Elsewhere):
    """The root key lies in a file of the operator's."""

    def __init__(self, directory):
        super().__init__(directory)
        self.key = self.directory / "root.key"
        self.next = self.directory / "root.key.next"
        self.made_of.append(f'root_key = {{ file = "{self.key}" }}')
        put(self.key, OLD)

    def retired(self):
        return sorted(self.directory.glob("root.key.retired-*"))


@pytest.fixture
def ends():
    """Ends with the test what is handed over and still runs."""
    made = []

    def end(instance):
        made.append(instance)
        return instance

    yield end
    for instance in made:
        if instance.process is not None and instance.process.poll() is None:
            instance.kill()


@pytest.fixture
def elsewhere(tmp_path, ends):
    return ends(UnderKeyFile(tmp_path / "elsewhere"))


@pytest.fixture
def gateway(unstarted, elsewhere):
    return led_to(unstarted, elsewhere)


def led_to(gateway, elsewhere, kind="software"):
    """Starts both; the gateway's only instance is elsewhere."""
    elsewhere.start()
    point_to(gateway, elsewhere, kind)
    gateway.start()
    eventually(lambda: status(gateway) == "Connected")
    return gateway


def filled(gateway):
    """What moved there, and what was made there."""
    population = Population(gateway.sdk()).fill_small()
    code, job = gateway.migrate("--all")
    assert code == 0, job
    # From now on the instance is the account's default.
    population.key("made")
    population.encrypt("made")
    population.generic("made/under-key", EncryptionKeyId=population.keys["made"])
    return population


def start(gateway, elsewhere):
    elsewhere.start()
    eventually(lambda: status(gateway) == "Connected")


def refused_start(elsewhere):
    """What a process says that does not start."""
    done = own_command(elsewhere, "run", "--role", "instance")
    assert done.returncode == 1, done.stderr
    return done.stderr


def said(elsewhere, text, since=0):
    """The first line since then with this text, which may be no event."""
    found = []

    def there():
        found.extend(line["message"] for line in elsewhere.log.lines[since:] if text in line.get("message", ""))
        return bool(found)

    eventually(there)
    return found[0]


def exchange_by_reload(elsewhere):
    """Answers the event that tells the end."""
    mark = elsewhere.log.mark()
    reload(elsewhere)
    return elsewhere.log.wait("seal.rotated", since=mark)


def test_the_next_key_that_lies_there_is_gone_to_at_a_reload(gateway, elsewhere):
    population = filled(gateway)
    # Without one nothing is exchanged.
    reload(elsewhere)
    put(elsewhere.next, NEW)
    told = exchange_by_reload(elsewhere)
    assert f"the root key of {INSTANCE} is {key_id(NEW)} now" in told["message"]
    assert len(elsewhere.log.all("seal.rotated")) == 1
    assert elsewhere.key.read_bytes() == NEW and not elsewhere.next.exists()
    [retired] = elsewhere.retired()
    assert retired.name == f"root.key.retired-{key_id(OLD)}" and retired.read_bytes() == OLD
    assert stat.S_IMODE(retired.stat().st_mode) == 0o600
    population.check_use()
    # It starts with the new key alone, and with the old one alone it does not.
    stop(elsewhere)
    retired.unlink()
    start(gateway, elsewhere)
    population.check_use()
    stop(elsewhere)
    put(elsewhere.key, OLD)
    text = refused_start(elsewhere)
    assert key_id(NEW) in text and key_id(OLD) in text and "nothing has been changed" in text, text
    put(elsewhere.key, NEW)
    start(gateway, elsewhere)
    population.check_use()


@pytest.mark.parametrize("fault", ["length", "mode"])
def test_a_next_key_that_is_none_is_refused_and_changes_nothing(gateway, elsewhere, fault):
    population = filled(gateway)
    words = {"length": "holds neither 32 bytes nor 64 hexadecimal digits", "mode": "has mode 0640"}[fault]

    def put_wrong(key):
        put(elsewhere.next, key[:31] if fault == "length" else key)
        if fault == "mode":
            elsewhere.next.chmod(0o640)

    put_wrong(NEW)
    mark = elsewhere.log.mark()
    reload(elsewhere)
    text = said(elsewhere, words, since=mark)
    assert str(elsewhere.next) in text and "put that right, then reload" in text, text
    assert elsewhere.key.read_bytes() == OLD and elsewhere.retired() == []
    assert not elsewhere.log.all("seal.rotated")
    population.check_use()
    put(elsewhere.next, NEW)
    exchange_by_reload(elsewhere)
    population.check_use()
    # Nor does it start with such a key; without it, it does.
    put_wrong(OLD)
    stop(elsewhere)
    text = refused_start(elsewhere)
    assert words in text and str(elsewhere.next) in text, text
    elsewhere.next.unlink()
    start(gateway, elsewhere)
    assert elsewhere.key.read_bytes() == NEW
    population.check_use()


def dies(elsewhere, failpoint):
    """Starts it; answers whether it died before it told the end of the exchange."""
    try:
        elsewhere.start(failpoint=failpoint)
        elsewhere.log.wait("seal.rotated")
    except AssertionError:
        assert elsewhere.process.wait(PATIENCE) == -signal.SIGABRT
        return True
    return False


@pytest.mark.parametrize("point", ["store.write.before", "store.write.after", "store.sync.after"])
def test_an_exchange_that_is_cut_at_any_write_is_carried_on_by_the_next_start(gateway, elsewhere, point):
    population = filled(gateway)
    elsewhere.kill()
    for nth in itertools.count(1):
        new = OLD if elsewhere.key.read_bytes() == NEW else NEW
        put(elsewhere.next, new)
        if not dies(elsewhere, f"{point}:{nth}=abort"):
            break
        elsewhere.start()
        elsewhere.log.wait("seal.rotated")
        assert elsewhere.key.read_bytes() == new and not elsewhere.next.exists()
        elsewhere.kill()
    # At least the beginning, what is sealed again, and the end.
    assert nth > 3, "it was not cut where it should be"
    elsewhere.kill()
    for retired in elsewhere.retired():
        retired.unlink()
    start(gateway, elsewhere)
    population.check_use()


def test_a_credential_is_exchanged_at_the_start_and_put_in_its_place_by_hand(unstarted, tmp_path, ends):
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    key, next_key = credentials / "instance-root", credentials / "instance-root.next"
    put(key, OLD)
    elsewhere = ends(Elsewhere(tmp_path / "elsewhere"))
    elsewhere.environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    elsewhere.made_of.append('root_key = { credential = "instance-root" }')
    gateway = led_to(unstarted, elsewhere)
    population = filled(gateway)
    stop(elsewhere)
    put(next_key, NEW)
    start(gateway, elsewhere)
    told = elsewhere.log.wait("seal.rotated")
    assert "instance-root.next waits to be put in the place of credential instance-root" in told["message"], told
    advice = "put instance-root.next in the place of credential instance-root"
    said(elsewhere, advice)
    population.check_use()
    # Until somebody has done that it starts with both, and says so again; what has ended is not told twice.
    stop(elsewhere)
    start(gateway, elsewhere)
    said(elsewhere, advice)
    assert not elsewhere.log.all("seal.rotated")
    assert (key.read_bytes(), next_key.read_bytes()) == (OLD, NEW)
    stop(elsewhere)
    next_key.rename(key)
    start(gateway, elsewhere)
    population.check_use()


def test_the_root_key_of_a_process_with_a_token_is_exchanged(unstarted, tmp_path, ends):
    token = Token(tmp_path / "token")
    elsewhere = ends(TokenElsewhere(tmp_path / "elsewhere", token))
    gateway = led_to(unstarted, elsewhere, kind="hardware")
    sdk = gateway.sdk()
    key = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    plain = b64(b"under a key of the token")
    sealed = sdk.call("Encrypt", KeyId=key, Plaintext=plain)["CiphertextBlob"]
    objects = token.objects()
    # This one was generated.
    place = elsewhere.state_dir / "keys" / f"{INSTANCE}.key"
    put(place.with_name(f"{place.name}.next"), NEW)
    exchange_by_reload(elsewhere)
    assert place.read_bytes() == NEW
    stop(elsewhere)
    start(gateway, elsewhere)
    assert sdk.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == plain
    assert token.objects() == objects
