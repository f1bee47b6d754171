"""Every code that the program can say has a page in docs/codes, and every page a code that the program can say."""

import json
import pathlib
import re
import subprocess

from deployment import binary

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXIT, API, PROBLEMS = "Exit codes", "Errors of the KMS API", "Problems of a migration"
CODE = r'"([A-Z][A-Za-z]+(?:\.[A-Za-z]+)*)"'
# Where the source names a code, outside of the tables that the Rust tests hold to the pages.
PLACES = [
    rf"AdminError::(?:usage|unknown|state|forbidden)\(\s*{CODE}",
    rf"Self::(?:usage|unknown|state|forbidden)\(\s*{CODE}",
    rf"Self::new\(\s*StatusCode::[A-Z_]+,\s*{CODE}",
    rf"Failure::new\(\s*[\w:&().]+,\s*{CODE}",
    rf"\(\s*Exit::\w+,\s*{CODE}",
    rf"\bcode: {CODE}\.(?:to_owned|into)\(\)",
    rf"ApiError::new\(\s*\d+,\s*{CODE}",
]


def source():
    """The program's text without its tests and its demo (which speaks as a client)."""
    for path in sorted((ROOT / "src").rglob("*.rs")):
        if "tests" in path.parts or "demo" in path.parts or path.stem.endswith("tests") or path.stem == "testing":
            continue
        yield path, re.split(r"#\[cfg\(test\)\]\n(?:#\[[^\n]*\n)*mod \w+ \{", path.read_text())[0]


def pages():
    done = subprocess.run([binary(), "--json", "explain"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["pages"]


def test_every_code_in_the_source_has_a_page_and_the_other_way_round():
    known = {page["code"] for page in pages()}
    said = {}
    for path, text in source():
        for place in PLACES:
            for code in re.findall(place, text):
                said.setdefault(code, path.relative_to(ROOT))
    missing = {code: str(path) for code, path in said.items() if code not in known}
    assert not missing, f"no page in docs/codes: {missing}"
    assert len(said) > 40, "the patterns no longer fit the source"
    # Problem codes, API codes and exit codes are held to their pages by the tests of src/cli/explain.rs.
    everything = "".join(text for _, text in source())
    unsaid = [
        page["code"]
        for page in pages()
        if page["family"] not in (EXIT, API, PROBLEMS) and f'"{page["code"]}"' not in everything
        and not re.search(rf"\b{page['code']}\b", everything)
    ]  # fmt: skip
    assert not unsaid, f"pages of codes that nothing says: {unsaid}"


def test_pages_name_only_commands_and_operations_that_there_are():
    for page in pages():
        for command in re.findall(r"`keyferry ([a-z ]+?)[ `]?(?:[A-Z-][^`]*)?`", page["text"]):
            words = command.split()
            done = subprocess.run([binary(), *words, "--help"], capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{page['code']}: keyferry {command}: {done.stderr}"
        for path in re.findall(r"\bdocs/[\w./-]+\w", page["text"]):
            assert (ROOT / path).exists(), f"{page['code']}: {path}"
