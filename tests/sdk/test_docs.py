"""The documentation names only what there is: files, commands, flags, keys of the configuration, and codes."""

import json
import pathlib
import re
import subprocess

import pytest
from deployment import binary

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
# Generated from the program and held to it there.
COMMANDS = re.compile(r"(?:^|`|\$ |&& |-- )keyferry((?: [^`\n|;#(]+)?)", re.M)


def named(page):
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def help_of(words):
    """The longest beginning of the words that is a command, and its help."""
    for length in range(len(words), -1, -1):
        done = subprocess.run([binary(), *words[:length], "--help"], capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return words[:length], done.stdout
    raise AssertionError(words)


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "reference"], ids=named)
def test_commands_and_flags_are_there(page):
    groups = {"config", "schedule", "job", "audit", "seal", "clock", "instance"}
    known = set()
    for said in COMMANDS.findall(page.read_text()):
        words = said.split()
        plain = []
        for word in words:
            if not re.fullmatch(r"[a-z]+", word):
                break
            plain.append(word)
        # "keyferry is", "keyferry and": prose.
        if not plain or (plain[0], tuple(words)) in known:
            continue
        known.add((plain[0], tuple(words)))
        command, text = help_of(plain)
        if not command:
            # In code it must be a command; in a sentence it is the program's name.
            assert f"`keyferry {plain[0]}" not in page.read_text(), f"keyferry {' '.join(plain)}"
            continue
        assert command[0] not in groups or len(command) > 1 or len(plain) == 1, f"keyferry {' '.join(plain)}"
        for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", said):
            assert flag in text or flag in ("--help", "--version"), f"keyferry {' '.join(command)}: {flag}"


@pytest.mark.parametrize("page", [page for page in PAGES if "```toml" in page.read_text()], ids=named)
def test_keys_of_the_configuration_are_there(page):
    schema = json.loads((ROOT / "config" / "keyferry.schema.json").read_text())
    for text in re.findall(r"```toml\n(.*?)```", page.read_text(), re.S):
        table = ""
        for line in text.splitlines():
            if header := re.match(r"\[+([\w.]+)\]+", line):
                table = header.group(1)
            elif key := re.match(r"(\w+) = ", line):
                properties = (schema["$defs"][table] if table else schema)["properties"]
                # A fragment may begin in the middle of a table.
                everywhere = {name for definition in schema["$defs"].values() for name in definition["properties"]}
                allowed = properties if table else {*properties, *everywhere}
                assert key.group(1) in allowed, f"[{table}] {key.group(1)}"


def test_the_reference_of_codes_is_all_that_explain_knows():
    text = (ROOT / "docs" / "reference" / "codes.md").read_text()
    done = subprocess.run([binary(), "--json", "explain"], capture_output=True, text=True, check=True)
    for page in json.loads(done.stdout)["pages"]:
        assert f"| `{page['code']}` |" in text, page["code"]
