"""Users, roles and policies through the vendor's SDKs, the rights over the admin socket, and approval.

These tests ask over the admin socket as another user of the machine, so they need root, as tests/run does.
"""

import contextlib
import http.client
import json
import os
import pathlib
import socket
import tempfile

import pytest

import clients
from deployment import INSTANCE, LOGISTICS, REGION, RETAIL, STRANGER, Deployment, in_seconds
from test_crypto import b64

NOBODY = 65534
APP = clients.Account(RETAIL.id, "LTAIapp", "app-secret-0123456789")
READER = clients.Account(RETAIL.id, "LTAIreader", "reader-secret-0123456789")
TEAM = clients.Account(RETAIL.id, "LTAIteam", "team-secret-0123456789")
PARTNER = clients.Account(LOGISTICS.id, "LTAIpartner", "partner-secret-0123456789")
DENIED = "Forbidden.NoPermission"


def user(name, account, policies=(), document=None, disabled=False, secret=None):
    lines = ["[[account.user]]", f'name = "{name}"', f"policies = {json.dumps(list(policies))}"]
    if document is not None:
        lines += ["[[account.user.policy]]", 'name = "own"', f"document = '''{json.dumps(document)}'''"]
    lines += ["[[account.user.access_key]]", f'id = "{account.access_key}"', f'secret = "{secret or account.secret}"']
    lines.append(f"disabled = {str(disabled).lower()}")
    return "\n".join(lines)


def policy(*statements):
    return {"Version": "1", "Statement": list(statements)}


def allow(action, resource="*", **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


TAGGED = policy(
    allow("kms:*", f"acs:kms:*:{RETAIL.id}:key/*", Condition={"StringEquals": {"kms:tag/team": "pay"}}),
    allow(["kms:GetSecretValue", "kms:DescribeSecret"], f"acs:kms:*:{RETAIL.id}:secret/pay/*"),
    {"Sid": "never", "Effect": "Deny", "Action": "kms:ScheduleKeyDeletion", "Resource": "*"},
)
AUDITOR = '[[account.role]]\nname = "auditor"\npolicies = ["AliyunKMSReadOnlyAccess"]'


def identities(app_disabled=False, app_secret=None, auditor=AUDITOR):
    return {
        RETAIL.id: "\n".join(
            [
                user("app", APP, ["AliyunKMSCryptoUserAccess"], disabled=app_disabled, secret=app_secret),
                user("reader", READER, ["AliyunKMSReadOnlyAccess"]),
                user("team", TEAM, document=TAGGED),
                auditor,
            ]
        ),
        LOGISTICS.id: user("partner", PARTNER, ["AliyunKMSFullAccess"]),
    }


@pytest.fixture(scope="module")
def kms(tmp_path_factory):
    made = Deployment(tmp_path_factory.mktemp("access"))
    made.of_account = identities()
    made.start()
    yield made
    made.close()


@pytest.fixture(params=clients.KINDS)
def kind(request):
    return request.param


def arn(key, account=RETAIL):
    return f"acs:kms:{REGION}:{account.id}:key/{key}"


def code(call, *arguments, **parameters):
    try:
        call(*arguments, **parameters)
    except clients.Refused as error:
        return error.code
    return "ok"


def test_users_may_what_their_policies_say(kms, kind, refused):
    root = kms.sdk(kind)
    key = root.call("CreateKey")["KeyMetadata"]["KeyId"]
    app, reader = kms.sdk(kind, APP), kms.sdk(kind, READER)
    sealed = app.call("Encrypt", KeyId=key, Plaintext=b64(b"hi"))["CiphertextBlob"]
    assert app.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"hi")
    assert reader.call("DescribeKey", KeyId=key)["KeyMetadata"]["KeyId"] == key
    assert key in [row["KeyId"] for row in reader.call("ListKeys", PageSize=100)["Keys"]["Key"]]
    error = refused(DENIED, reader.call, "Encrypt", KeyId=key, Plaintext=b64(b"hi"))
    assert error.status == 403 and key not in error.message
    refused(DENIED, reader.call, "Decrypt", CiphertextBlob=sealed)
    refused(DENIED, app.call, "DisableKey", KeyId=key)
    refused(DENIED, app.call, "ListKeys")
    refused(DENIED, app.call, "CreateKey")
    # The root identity goes on as before.
    root.call("DisableKey", KeyId=key)
    refused("Rejected.Disabled", app.call, "Encrypt", KeyId=key, Plaintext=b64(b"hi"))


def test_a_denial_is_an_event_that_names_the_statement(unstarted, refused):
    # A daemon of its own: of many denials at once the log keeps only some.
    kms = unstarted
    kms.of_account = identities()
    kms.start()
    key = kms.sdk().call("CreateKey", Tags='[{"TagKey":"team","TagValue":"pay"}]')["KeyMetadata"]["KeyId"]
    role = kms.sdk("v3", temporary(kms))
    mark = kms.log.mark()
    refused(DENIED, role.call, "DisableKey", KeyId=key)
    assert "role/auditor/alice" in kms.log.wait("request.denied", since=mark, code=DENIED)["detail"]
    mark = kms.log.mark()
    refused(DENIED, kms.sdk("v3", TEAM).call, "ScheduleKeyDeletion", KeyId=key, PendingWindowInDays=7)
    event = kms.log.wait("request.denied", since=mark, code=DENIED)
    assert "user/team" in event["detail"] and "statement 2 (never) of the policy own" in event["detail"], event
    assert event["level"] == "WARN"
    code_, trail = kms.cli("audit", "verify")
    assert code_ == 0 and trail["intact"], trail


def test_conditions_on_tags_and_names(kms, kind, refused):
    root, team = kms.sdk(kind), kms.sdk(kind, TEAM)
    tags = '[{"TagKey":"team","TagValue":"pay"}]'
    mine, other = (root.call("CreateKey", Tags=t)["KeyMetadata"]["KeyId"] for t in (tags, "[]"))
    team.call("Encrypt", KeyId=mine, Plaintext=b64(b"x"))
    for key in (other, "11111111-2222-4333-8444-555555555555", "alias/none"):
        assert code(team.call, "Encrypt", KeyId=key, Plaintext=b64(b"x")) == DENIED
    root.call("UntagResource", KeyId=mine, TagKeys='["team"]')
    refused(DENIED, team.call, "Encrypt", KeyId=mine, Plaintext=b64(b"x"))
    for name in (f"pay/{kind}", f"hr/{kind}"):
        root.call("CreateSecret", SecretName=name, SecretData="s3cret", VersionId="v1")
    assert team.call("GetSecretValue", SecretName=f"pay/{kind}")["SecretData"] == "s3cret"
    for name in (f"hr/{kind}", "hr/missing"):
        refused(DENIED, team.call, "GetSecretValue", SecretName=name)
    refused("Forbidden.ResourceNotFound", team.call, "GetSecretValue", SecretName="pay/missing")


def test_another_account_by_arn_needs_both_sides(kms, kind, refused):
    root, partner, partners_root = kms.sdk(kind), kms.sdk(kind, PARTNER), kms.sdk(kind, LOGISTICS)
    key = root.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    missing = arn("11111111-2222-4333-8444-555555555555")
    for someone, told in [
        (partner, DENIED),
        # To a root identity what it may not use is what does not exist.
        (partners_root, "Forbidden.KeyNotFound"),
        (kms.sdk(kind, STRANGER), "Forbidden.KeyNotFound"),
    ]:
        for name in (arn(key), missing):
            refused(told, someone.call, "Encrypt", KeyId=name, Plaintext=b64(b"x"))
            refused(told, someone.call, "DescribeKey", KeyId=name)
    named = {"Principal": {"RAM": [f"acs:ram::{LOGISTICS.id}:user/partner"]}}
    root.call("SetKeyPolicy", KeyId=key, Policy=json.dumps(policy(allow("kms:*", **named))))
    sealed = partner.call("Encrypt", KeyId=arn(key), Plaintext=b64(b"x"))["CiphertextBlob"]
    assert partner.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"x")
    assert partner.call("DescribeKey", KeyId=arn(key))["KeyMetadata"]["Arn"] == arn(key)
    for operation, more in [
        ("DisableKey", {}),
        ("UpdateKeyDescription", {"Description": "mine"}),
        ("ScheduleKeyDeletion", {"PendingWindowInDays": 7}),
        ("SetKeyPolicy", {"Policy": json.dumps(policy())}),
        ("GetKeyPolicy", {}),
        ("CreateAlias", {"AliasName": f"alias/x-{kind}"}),
    ]:
        refused(DENIED, partner.call, operation, KeyId=arn(key), **more)
    refused("Forbidden.KeyNotFound", partners_root.call, "Encrypt", KeyId=arn(key), Plaintext=b64(b"x"))
    refused("Forbidden.KeyNotFound", partner.call, "Encrypt", KeyId=key, Plaintext=b64(b"x"))
    refused("InvalidParameter", partners_root.call, "Decrypt", CiphertextBlob=sealed)
    # It goes on after the owner has re-encrypted and taken the right back.
    root.call("SetKeyPolicy", KeyId=key, Policy=json.dumps(policy()))
    refused(DENIED, partner.call, "Encrypt", KeyId=arn(key), Plaintext=b64(b"x"))
    assert root.call("Decrypt", CiphertextBlob=sealed)["Plaintext"] == b64(b"x")


def test_a_policy_is_refused_with_the_place_of_its_fault(kms, refused):
    sdk = kms.sdk("old")
    key = sdk.call("CreateKey", DKMSInstanceId=INSTANCE)["KeyMetadata"]["KeyId"]
    bad = policy({"Effect": "Allow", "Action": ["kms:Encrypt", "ecs:*"], "Resource": "*"})
    refused("InvalidParameter", sdk.call, "SetKeyPolicy", KeyId=key, Policy=json.dumps(bad))
    code_, found = kms.cli("policy", "check", "/dev/null")
    assert code_ == 2 and "line 1, column 0" in json.dumps(found), found


def temporary(kms, *more):
    code_, made = kms.cli(
        "role", "credentials", "--account", RETAIL.id, "--role", "auditor", "--session", "alice", *more
    )
    assert code_ == 0, made
    return clients.Account(RETAIL.id, made["access_key_id"], made["access_key_secret"], made["security_token"])


def test_temporary_credentials_of_a_role(kms, kind, refused):
    role = temporary(kms)
    key = kms.sdk().call("CreateKey")["KeyMetadata"]["KeyId"]
    sdk = kms.sdk(kind, role)
    assert sdk.call("DescribeKey", KeyId=key)["KeyMetadata"]["KeyId"] == key
    refused(DENIED, sdk.call, "DisableKey", KeyId=key)
    half = len(role.token) // 2
    changed = role.token[:half] + ("A" if role.token[half] != "A" else "B") + role.token[half + 1 :]
    for account, expected in [
        (clients.Account(RETAIL.id, role.access_key, role.secret, changed), "InvalidSecurityToken.Malformed"),
        (clients.Account(RETAIL.id, role.access_key, "other", role.token), "SignatureDoesNotMatch"),
        (clients.Account(RETAIL.id, role.access_key, role.secret), "InvalidAccessKeyId.NotFound"),
        (clients.Account(RETAIL.id, RETAIL.access_key, RETAIL.secret, role.token), "InvalidSecurityToken.Malformed"),
    ]:
        refused(expected, kms.sdk(kind, account).call, "DescribeKey", KeyId=key)
    assert kms.cli("role", "credentials", "--account", RETAIL.id, "--role", "no", "--session", "a")[0] == 2
    assert kms.cli("role", "credentials", "--account", RETAIL.id, "--role", "auditor", "--session", "a b")[0] == 2


def test_access_keys_are_disabled_and_rotated_and_roles_removed_by_a_reload(unstarted, refused):
    unstarted.of_account = identities()
    unstarted.start()
    key = unstarted.sdk().call("CreateKey")["KeyMetadata"]["KeyId"]

    def use(account=APP, kind="v3"):
        return code(unstarted.sdk(kind, account).call, "Encrypt", KeyId=key, Plaintext=b64(b"x"))

    role = temporary(unstarted)
    assert use() == "ok"
    unstarted.of_account = identities(app_disabled=True)
    unstarted.reload()
    assert use() == "Forbidden.AccessKey"
    for kind in clients.KINDS:
        assert use(clients.Account(RETAIL.id, APP.access_key, "wrong"), kind) == "SignatureDoesNotMatch"
    unstarted.of_account = identities(app_secret="another-secret-0123456789")
    unstarted.reload()
    assert use() == "SignatureDoesNotMatch"
    assert use(clients.Account(RETAIL.id, APP.access_key, "another-secret-0123456789")) == "ok"
    assert code(unstarted.sdk("v3", role).call, "DescribeKey", KeyId=key) == "ok"
    # The token outlives the daemon, and not its role.
    unstarted.stop()
    unstarted.start()
    assert code(unstarted.sdk("v3", role).call, "DescribeKey", KeyId=key) == "ok"
    unstarted.of_account = identities(auditor="")
    unstarted.reload()
    assert code(unstarted.sdk("v3", role).call, "DescribeKey", KeyId=key) == "InvalidSecurityToken.Malformed"
    # A file with a fault changes nothing.
    unstarted.of_account = {RETAIL.id: user("app", APP, document={"Version": "1", "Statement": [{"Effect": "Alow"}]})}
    event = unstarted.reload("config.rejected")
    assert "$.Statement[0].Effect" in event["message"], event
    assert use() == "ok"
    # Secrets of access keys are in no file of the daemon's.
    secrets = [APP.secret, RETAIL.secret, role.secret, role.token]
    for path in unstarted.state_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path


def outcomes(kms, keys, secrets):
    """Who may what on what, by each of the clients."""
    seen = {}
    for who in (RETAIL, APP, READER, TEAM, PARTNER, LOGISTICS, STRANGER):
        for kind in clients.KINDS:
            sdk = kms.sdk(kind, who)
            for key in keys:
                for name in (key, arn(key)):
                    calls = [("Encrypt", {"Plaintext": b64(b"x")}), ("DescribeKey", {}), ("ListResourceTags", {})]
                    calls += [("GenerateDataKey", {}), ("ListKeyVersions", {})]
                    for operation, more in calls:
                        seen[who.access_key, kind, operation, name] = code(sdk.call, operation, KeyId=name, **more)
            for secret in secrets:
                for operation in ("GetSecretValue", "DescribeSecret"):
                    seen[who.access_key, kind, operation, secret] = code(sdk.call, operation, SecretName=secret)
            for operation in ("ListKeys", "ListSecrets", "ListAliases"):
                seen[who.access_key, kind, operation, ""] = code(sdk.call, operation)
    return seen


def test_policy_explain_says_what_a_value_needs_beside_its_own_right(unstarted):
    """The answer is the request's: a secret's value needs its key, too."""
    unstarted.of_account = identities()
    unstarted.start()
    root, team = unstarted.sdk(), unstarted.sdk(account=TEAM)
    for name, tags, may in [("pay/tagged", '[{"TagKey":"team","TagValue":"pay"}]', True), ("pay/other", "[]", False)]:
        key = root.call("CreateKey", Tags=tags)["KeyMetadata"]["KeyId"]
        root.call("CreateSecret", SecretName=name, SecretData="v", VersionId="v1", EncryptionKeyId=key)
        asked = ["--identity", f"acs:ram::{RETAIL.id}:user/team", "--action", "kms:GetSecretValue"]
        secret = f"acs:kms:{REGION}:{RETAIL.id}:secret/{name}"
        exit_code, told = unstarted.cli("policy", "explain", *asked, "--resource", secret)
        assert told["now"]["allowed"], told
        [also] = told["also"]
        assert (also["action"], also["resource"], also["now"]["allowed"]) == ("kms:Decrypt", arn(key), may), told
        assert exit_code == (0 if may else 1)
        assert code(team.call, "GetSecretValue", SecretName=name) == ("ok" if may else DENIED)


def test_a_migration_changes_no_decision_and_isolates_as_before(unstarted):
    unstarted.of_account = identities()
    unstarted.start()
    root = unstarted.sdk()
    tags = '[{"TagKey":"team","TagValue":"pay"}]'
    keys = [root.call("CreateKey", Tags=t)["KeyMetadata"]["KeyId"] for t in (tags, "[]")]
    root.call("CreateSecret", SecretName="pay/db", SecretData="v", VersionId="v1", EncryptionKeyId=keys[0])
    root.call("CreateSecret", SecretName="hr/db", SecretData="v", VersionId="v1", EncryptionKeyId=keys[1])
    secrets = ["pay/db", "hr/db", "no/such"]
    keys.append("11111111-2222-4333-8444-555555555555")

    def explained(identity, action, resource):
        _, document = unstarted.cli(
            "policy", "explain", "--identity", identity, "--action", action, "--resource", resource
        )
        return document

    alice = f"acs:ram::{RETAIL.id}:user/team"
    told = explained(alice, "kms:Encrypt", arn(keys[0]))
    assert told["now"]["allowed"] and told["after_migration"]["allowed"] and told["instance"] is None, told
    assert told["now"]["policy"] == "own" and told["now"]["statement"] == 0
    told = explained(alice, "kms:Encrypt", arn(keys[1]))
    assert not told["now"]["allowed"] and not told["after_migration"]["allowed"], told
    before = outcomes(unstarted, keys, secrets)
    assert {"ok", DENIED, "Forbidden.KeyNotFound"} <= set(before.values())
    # What a stranger and a user without a right see of what is there is what they see of what is not.
    for who in (STRANGER, PARTNER, LOGISTICS, TEAM):
        for kind in clients.KINDS:
            for operation in ("Encrypt", "DescribeKey", "ListKeyVersions"):
                there, missing = keys[1], keys[2]
                for name in (lambda key: key, arn):
                    own = before[who.access_key, kind, operation, name(there)]
                    assert own == before[who.access_key, kind, operation, name(missing)], (who.access_key, operation)
    code_, done = unstarted.migrate("--all")
    assert code_ == 0 and done["keys_done"] == 2, done
    after = outcomes(unstarted, keys, secrets)
    assert {at: (before[at], after[at]) for at in before if before[at] != after[at]} == {}
    told = explained(alice, "kms:Encrypt", arn(keys[0]))
    assert told["instance"] == INSTANCE and told["after_migration"] is None and told["now"]["allowed"], told
    # From now on the policies of the keys count.
    named = {"Principal": {"RAM": [f"acs:ram::{RETAIL.id}:user/reader"]}}
    root.call("SetKeyPolicy", KeyId=keys[0], Policy=json.dumps(policy(allow("kms:Encrypt", **named))))
    assert code(unstarted.sdk("v3", READER).call, "Encrypt", KeyId=keys[0], Plaintext=b64(b"x")) == "ok"
    told = explained(f"acs:ram::{RETAIL.id}:user/reader", "kms:Encrypt", arn(keys[0]))
    assert told["now"]["policy"] == "resource", told


@contextlib.contextmanager
def as_user(uid):
    """Connections that are opened here come from another user of the machine."""
    os.setegid(uid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class OverTheSocket(http.client.HTTPConnection):
    def __init__(self, path, uid):
        super().__init__("keyferry")
        self.path, self.uid = path, uid

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        with as_user(self.uid):
            self.sock.connect(str(self.path))

    def ask(self, method, path, body=None):
        headers = {"content-type": "application/json"}
        self.request(method, f"/v1{path}", None if body is None else json.dumps(body), headers)
        answer = self.getresponse()
        told = answer.status, json.loads(answer.read())
        self.close()
        return told


@pytest.fixture
def guarded(unstarted):
    """A daemon whose socket others can reach, who may migrate."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        unstarted.socket = pathlib.Path(place) / "admin.sock"
        unstarted.extra = "\n".join(
            [
                '[[admin.rights]]\nuser = "nobody"\nmay = "migrate"',
                "[migration]\napproval = true",
            ]
        )
        unstarted.start()
        os.chmod(unstarted.socket, 0o666)
        yield unstarted


def test_rights_over_the_socket_follow_the_peer(guarded):
    peer = OverTheSocket(guarded.socket, NOBODY)
    assert peer.ask("GET", "/status")[0] == 200
    status, refusal = peer.ask("POST", "/clock/confirm")
    assert status == 403 and refusal["error"]["code"] == "NoRight" and "administer" in refusal["error"]["message"]
    assert guarded.cli("clock", "confirm")[0] == 0
    guarded.extra = '[[admin.rights]]\ngroup = "nogroup"\nmay = "view"'
    guarded.reload()
    order = {"region": REGION, "accounts": [RETAIL.id], "instance": INSTANCE, "resources": "all"}
    assert peer.ask("POST", "/plan", order)[0] == 403
    assert peer.ask("GET", "/jobs")[0] == 200
    guarded.extra = '[[admin.rights]]\nuser = "daemon"\nmay = "view"'
    guarded.reload()
    assert peer.ask("GET", "/jobs")[0] == 403


def test_a_migration_waits_for_somebody_elses_approval(guarded):
    key = guarded.sdk().call("CreateKey")["KeyMetadata"]["KeyId"]
    code_, asked = guarded.migrate("--key", key, wait=False)
    assert code_ == 0, asked
    job = (asked["jobs"][0] if "jobs" in asked else asked)["id"]
    waiting = guarded.log.wait("migration.awaiting_approval", job=job)
    assert "uid 0" in waiting["message"]
    code_, refusal = guarded.cli("job", "approve", job)
    assert code_ == 1 and refusal["error"]["code"] == "OwnApproval", refusal
    # It holds nobody up, and does not start by itself: another one that is approved goes first.
    peer = OverTheSocket(guarded.socket, NOBODY)
    other = guarded.sdk("v3", LOGISTICS).call("CreateKey")["KeyMetadata"]["KeyId"]
    order = {"region": REGION, "accounts": [LOGISTICS.id], "instance": INSTANCE, "queue": True}
    status, second = peer.ask("POST", "/jobs", {**order, "resources": {"keys": [other], "secrets": []}})
    assert status == 200, second
    assert peer.ask("POST", f"/jobs/{second['jobs'][0]['id']}/approve")[0] == 403
    assert guarded.cli("job", "approve", second["jobs"][0]["id"])[0] == 0
    guarded.log.wait("migration.complete", job=second["jobs"][0]["id"])
    assert guarded.cli("job", "show", job)[1]["state"] == "queued"
    status, approved = peer.ask("POST", f"/jobs/{job}/approve")
    assert status == 200 and approved["approval"]["approved_by"] == f"operator, uid {NOBODY}", approved
    guarded.log.wait("migration.approved", job=job)
    guarded.log.wait("migration.complete", job=job)
    assert guarded.sdk().call("DescribeKey", KeyId=key)["KeyMetadata"]["DKMSInstanceId"] == INSTANCE


def test_a_schedule_of_the_command_line_needs_approval_and_one_of_the_file_does_not(guarded):
    guarded.sdk().call("CreateKey")
    guarded.sdk("v3", LOGISTICS).call("CreateKey")
    scope = ["--region", REGION, "--account", RETAIL.id, "--instance", INSTANCE, "--all", "--acknowledge"]
    code_, added = guarded.cli("schedule", "add", "typed", *scope, "--at", in_seconds(6))
    assert code_ == 0, added
    waiting = guarded.log.wait("migration.awaiting_approval", schedule="typed")
    guarded.schedule("written", account=LOGISTICS, seconds=2)
    guarded.log.wait("migration.complete", schedule="written")
    assert guarded.cli("job", "show", waiting["job"])[1]["state"] == "queued"
    peer = OverTheSocket(guarded.socket, NOBODY)
    assert peer.ask("POST", f"/jobs/{waiting['job']}/approve")[0] == 200
    guarded.log.wait("migration.complete", schedule="typed")
