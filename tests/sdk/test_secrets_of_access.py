"""Secrets that the daemon is handed: access keys exchanged without a restart, a PIN as a systemd credential."""

import subprocess

import pytest

import clients
from deployment import INSTANCE, PATIENCE, RETAIL, Deployment, binary
from test_access import APP, code, user
from test_crypto import b64
from test_hardware import PIN, Token, still_opens, symmetric

NEW = clients.Account(RETAIL.id, "LTAInewer", "newer-secret-0123456789")
CREDENTIAL = "kst-hzz1-pin"


def key_table(owner, account, disabled=False):
    """One access key, of an account or a user."""
    lines = [f"[[{owner}.access_key]]", f'id = "{account.access_key}"', f'secret = "{account.secret}"']
    return "\n".join([*lines, f"disabled = {str(disabled).lower()}"])


def of_user(*keys):
    """A user with these access keys besides its first; the first may be disabled."""
    first, *more = keys
    made = user("app", first[0], ["AliyunKMSCryptoUserAccess"], disabled=first[1])
    return "\n".join([made, *(key_table("account.user", account, disabled) for account, disabled in more)])


def of_root(*keys):
    """The same of the root identity, whose first key the file has above this: its table is still open here."""
    first, *more = keys
    lines = [f"disabled = {str(first[1]).lower()}"]
    return "\n".join([*lines, *(key_table("account", account, disabled) for account, disabled in more)])


@pytest.mark.parametrize(("first", "tables"), [(APP, of_user), (RETAIL, of_root)], ids=["user", "root"])
def test_an_access_key_is_exchanged_without_a_restart_and_without_a_refused_request(unstarted, first, tables):
    unstarted.of_account = {RETAIL.id: tables((first, False))}
    unstarted.start()
    key = unstarted.sdk().call("CreateKey")["KeyMetadata"]["KeyId"]
    process = unstarted.process.pid

    def use(account, kind):
        return code(unstarted.sdk(kind, account).call, "Encrypt", KeyId=key, Plaintext=b64(b"x"))

    for kind in clients.KINDS:
        assert (use(first, kind), use(NEW, kind)) == ("ok", "InvalidAccessKeyId.NotFound")
    # Beside the old one: both work, so that clients can be changed one after the other.
    unstarted.of_account = {RETAIL.id: tables((first, False), (NEW, False))}
    unstarted.reload()
    for kind in clients.KINDS:
        assert (use(first, kind), use(NEW, kind)) == ("ok", "ok")
    # Switched off: a client that was forgotten is told so, and shows in the log.
    unstarted.of_account = {RETAIL.id: tables((first, True), (NEW, False))}
    mark = unstarted.log.mark()
    unstarted.reload()
    for kind in clients.KINDS:
        assert (use(first, kind), use(NEW, kind)) == ("Forbidden.AccessKey", "ok")
    denied = unstarted.log.wait("request.denied", since=mark, code="Forbidden.AccessKey")
    assert denied["source"] == "127.0.0.1", denied
    # Switched on again: nothing was lost by it.
    unstarted.of_account = {RETAIL.id: tables((first, False), (NEW, False))}
    unstarted.reload()
    assert use(first, "v3") == use(NEW, "v3") == "ok"
    assert unstarted.process.pid == process and unstarted.process.poll() is None


def test_one_id_for_two_access_keys_is_a_mistake_that_changes_nothing(unstarted):
    unstarted.of_account = {RETAIL.id: of_user((APP, False))}
    unstarted.start()
    twice = clients.Account(RETAIL.id, APP.access_key, "another-secret-0123456789")
    unstarted.of_account = {RETAIL.id: of_user((APP, False), (twice, False))}
    rejected = unstarted.reload("config.rejected")
    assert APP.access_key in rejected["message"], rejected
    key = unstarted.sdk().call("CreateKey")["KeyMetadata"]["KeyId"]
    assert code(unstarted.sdk("v3", APP).call, "Encrypt", KeyId=key, Plaintext=b64(b"x")) == "ok"
    assert code(unstarted.sdk("v3", twice).call, "Encrypt", KeyId=key, Plaintext=b64(b"x")) == "SignatureDoesNotMatch"


class Handed(Token):
    """A token whose PIN systemd hands to the service."""

    def __init__(self, directory):
        self.credentials = directory / "credentials"
        super().__init__(directory)
        self.credentials.mkdir(mode=0o700)
        self.pin_file.rename(self.credentials / CREDENTIAL)
        self.pin_file = self.credentials / CREDENTIAL
        self.environment["CREDENTIALS_DIRECTORY"] = str(self.credentials)

    @property
    def setting(self):
        return super().setting.replace(f'pin_file = "{self.pin_file}"', f'pin_credential = "{CREDENTIAL}"')


@pytest.fixture
def handed(tmp_path):
    token = Handed(tmp_path / "token")
    made = Deployment(tmp_path / "daemon")
    made.directory.mkdir()
    made.tokens[INSTANCE] = token.setting
    made.environment = token.environment
    yield made, token
    made.close()


def test_a_pin_that_is_a_systemd_credential_opens_the_token(handed):
    deployment, token = handed
    assert "pin_file" not in token.setting and f'pin_credential = "{CREDENTIAL}"' in token.setting
    deployment.start()
    sdk = deployment.sdk()
    population = symmetric(sdk)
    code_, job = deployment.migrate("--all")
    assert (code_, job["state"]) == (0, "complete"), job
    still_opens(sdk, population, ["one", "two", "own"])
    assert len(token.objects()) == len(population.keys)
    # It is asked for at each start, and is in no file of the daemon's and no line of its log.
    deployment.stop()
    deployment.start()
    still_opens(deployment.sdk(), population, ["one", "two", "own"])
    for path in deployment.state_dir.rglob("*"):
        assert not path.is_file() or PIN.encode() not in path.read_bytes(), path
    shown = run(deployment, "config", "show")
    assert shown.returncode == 0 and CREDENTIAL in shown.stdout and PIN not in shown.stdout, shown.stdout


def test_a_wrong_pin_in_a_credential_is_exchanged_by_a_reload(handed):
    deployment, token = handed
    token.set_pin("999999")
    deployment.start()
    sdk = deployment.sdk()
    population = symmetric(sdk)
    code_, refused = deployment.migrate("--all")
    assert code_ == 4 and "InstanceNotActive" in str(refused), refused
    token.set_pin(PIN)
    deployment.reload()
    code_, job = deployment.migrate("--all")
    assert (code_, job["state"]) == (0, "complete"), job
    still_opens(sdk, population, ["one", "two", "own"])


def run(deployment, *arguments, **environment):
    command = [binary(), "--config", str(deployment.config), *arguments]
    names = {"PATH": "/usr/bin:/bin", **deployment.environment, **environment}
    names = {name: value for name, value in names.items() if value is not None}
    return subprocess.run(command, capture_output=True, text=True, env=names, timeout=PATIENCE, check=False)


def test_a_pin_credential_that_is_not_there_is_a_mistake_of_the_file(handed):
    deployment, token = handed
    deployment.write_config()
    assert run(deployment, "config", "check").returncode == 0
    for environment, words in [
        ({"CREDENTIALS_DIRECTORY": None}, "there is no $CREDENTIALS_DIRECTORY"),
        ({"CREDENTIALS_DIRECTORY": str(deployment.directory)}, str(deployment.directory / CREDENTIAL)),
    ]:
        for arguments in (["config", "check"], ["run"]):
            said = run(deployment, *arguments, **environment)
            assert said.returncode == 2 and words in said.stderr, said.stderr
    # The PIN itself in the place of its name is not repeated to whoever reads the message.
    deployment.tokens[INSTANCE] = token.setting.replace(CREDENTIAL, f"{PIN}/{PIN}")
    deployment.write_config()
    said = run(deployment, "config", "check")
    assert said.returncode == 2 and PIN not in said.stdout + said.stderr, said.stderr
    # Both at once is one too many.
    both = token.setting.replace("pin_credential", f'pin_file = "{token.pin_file}", pin_credential')
    deployment.tokens[INSTANCE] = both
    deployment.write_config()
    said = run(deployment, "config", "check")
    assert said.returncode == 2 and "a PIN in more than one place" in said.stderr, said.stderr
