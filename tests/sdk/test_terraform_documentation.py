"""`keyferry terraform` on what the provider documents: every resource and data source of the KMS, all taken as moved.

The corpus beside this file is our own and uses the arguments that the provider documents. The provider's own examples
are not kept here: where KEYFERRY_PROVIDER_DOCS names the directory `website/docs` of a checkout of
https://github.com/aliyun/terraform-provider-alicloud (MPL-2.0), they are read from its pages and go through the same.
"""

import json
import os
import pathlib
import re
import tomllib

import pytest

from deployment import INSTANCE
from test_terraform import CORPUS, KEY_LIST, SECRET_LIST, check, ignored, resources, run, without_list

FACTS = tomllib.loads((CORPUS / "schema-facts.toml").read_text())
MOVES = {"alicloud_kms_key": "keys", "alicloud_kms_secret": "secrets"}


def of_ours():
    return [pytest.param(path.read_text(), id=path.stem) for path in sorted((CORPUS / "documented").glob("*.tf"))]


def of_the_provider():
    """The examples of the provider's pages on the KMS, each a configuration of its own."""
    pages = os.environ.get("KEYFERRY_PROVIDER_DOCS")
    if pages is None:
        return []
    found = []
    for page in sorted(pathlib.Path(pages).glob("[rd]/kms_*.html.markdown")):
        blocks = re.findall(r"^```[a-z]*\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        examples = [block for block in blocks if re.search(r'^(resource|data) "', block, flags=re.MULTILINE)]
        name = page.name.removesuffix(".html.markdown")
        found += [pytest.param(text, id=f"{page.parent.name}-{name}-{n}") for n, text in enumerate(examples)]
    assert len(found) >= 10, f"{pages} holds no pages on the KMS"
    return found


def everything_moved(directory):
    """Options of `check` and `rewrite`: a state that says which resource is which, and a list by which all moved."""
    entries, moved = [], {"instance": INSTANCE, "keys": [], "secrets": []}
    for number, (kind, name) in enumerate(sorted(resources(directory))):
        known = f"documented-{number}"
        # The state is from before the migration: it knows no instance.
        attributes = {"id": known, "dkms_instance_id": ""}
        if kind == "alicloud_kms_secret":
            attributes["secret_name"] = known
        entries.append({"mode": "managed", "type": kind, "name": name, "instances": [{"attributes": attributes}]})
        if kind in MOVES:
            moved[MOVES[kind]].append({"id": known} if kind == "alicloud_kms_key" else known)
    state, list_of_moved = directory.with_name("before.tfstate"), directory.with_name("moved.json")
    state.write_text(json.dumps({"version": 4, "serial": 1, "lineage": "x", "resources": entries}))
    list_of_moved.write_text(json.dumps(moved))
    return ["--state", state, "--resources", list_of_moved]


def put_down(tmp_path, text):
    directory = tmp_path / "infra"
    directory.mkdir()
    directory.joinpath("main.tf").write_text(text)
    return directory


def files(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.mark.parametrize("text", [*of_ours(), *of_the_provider()])
def test_what_is_documented_is_found_changed_as_meant_and_then_clean(tmp_path, text):
    directory = put_down(tmp_path, text)
    before, options = resources(directory), everything_moved(directory)
    moved = {f"{kind}.{name}" for kind, name in before if kind in MOVES}
    code, found = check(directory, *options)
    assert {finding["address"] for finding in found["findings"]} == moved, found
    assert {finding["certainty"] for finding in found["findings"]} <= {"certain"}, found
    assert code == (1 if moved else 0), found
    untouched = files(directory)
    code, diff, err = run("rewrite", directory, *options)
    assert code == 0 and files(directory) == untouched, err
    assert bool(diff) == bool(moved), diff
    code, out, err = run("rewrite", directory, *options, "--write")
    assert code == 0, err
    after = resources(directory)
    assert set(after) == set(before)
    for (kind, name), body in after.items():
        old = before[kind, name]
        assert without_list(body) == without_list(old), (kind, name)
        wanted = {"alicloud_kms_key": KEY_LIST, "alicloud_kms_secret": SECRET_LIST}.get(kind, [])
        expected = ignored(old) + [attribute for attribute in wanted if attribute not in ignored(old)]
        assert ignored(body) == expected, (kind, name)
    # What is no resource is not touched either: the lines that were there are there, in their order.
    rest = iter(directory.joinpath("main.tf").read_text().splitlines())
    lost = [line for line in text.splitlines() if not re.fullmatch(r"resource .*\{\s*\}", line) and line not in rest]
    assert lost == []
    code, found = check(directory, *options)
    assert code == 0 and found["clean"], found
    written = files(directory)
    assert run("rewrite", directory, *options)[:2] == (0, "")
    assert run("rewrite", directory, *options, "--write")[0] == 0 and files(directory) == written


def test_without_a_state_what_has_a_name_is_found_by_it(tmp_path):
    directory = put_down(tmp_path, "\n".join(path.read_text() for path in sorted((CORPUS / "documented").glob("*.tf"))))
    moved = tmp_path / "moved.json"
    keys = [{"id": "id-used", "alias": ["alias/documented-used"]}]
    names = ["documented-generic", "documented-rds", "documented-under-a-key"]
    moved.write_text(json.dumps({"instance": INSTANCE, "keys": keys, "secrets": names}))
    code, found = check(directory, "--resources", moved)
    assert code == 1
    certain = {finding["address"] for finding in found["findings"] if finding["certainty"] == "certain"}
    secrets = {f"alicloud_kms_secret.{name}" for name in ("by_variable", "of_a_database", "under_a_key")}
    assert certain == secrets | {"alicloud_kms_key.used"}, found


def list_for(tmp_path, kind, version):
    """What `rewrite` makes the resource ignore for a version of the provider."""
    text = {
        "alicloud_kms_key": 'resource "alicloud_kms_key" "it" {}\n',
        "alicloud_kms_secret": 'resource "alicloud_kms_secret" "it" {\n  secret_name = "it"\n  secret_data = "x"\n}\n',
    }[kind]
    directory = put_down(tmp_path, text)
    options = everything_moved(directory)
    if version:
        options += ["--provider", version]
    # The protection level has changed, so that the list is wanted whatever the version makes of the instance.
    moved = json.loads(options[3].read_text())
    for key in moved["keys"]:
        key["protection_level"] = "HSM"
    options[3].write_text(json.dumps(moved))
    code, out, err = run("rewrite", directory, *options, "--write")
    assert code == 0, err
    return ignored(resources(directory)[kind, "it"])


def numbers(version):
    return tuple(map(int, version.split(".")))


@pytest.mark.parametrize("version", [None, "1.183.0", "1.210.0", "1.235.0", "1.235.1", "1.236.0", "1.260.0"])
def test_what_is_put_in_is_what_the_schema_facts_say(tmp_path, version):
    remedy = FACTS["ignore_changes"]
    of_keys = remedy["alicloud_kms_key"]
    wanted = of_keys["list"]
    if version and numbers(version) > numbers(of_keys["until"]):
        wanted = [attribute for attribute in wanted if attribute not in of_keys["not_needed_after"]]
    for place in ("key", "secret"):
        (tmp_path / place).mkdir()
    assert list_for(tmp_path / "key", "alicloud_kms_key", version) == wanted
    of_secret = list_for(tmp_path / "secret", "alicloud_kms_secret", version)
    assert set(remedy["alicloud_kms_secret"]["at_least"]) <= set(of_secret)
    assert "protection_level" not in of_secret and "automatic_rotation" not in of_secret, "a secret has neither"
