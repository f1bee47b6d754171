"""Searches the output of the whole test suite for values and key material: `search_output.py DIRECTORY`.

Looks for each as it is, in hexadecimal and in Base64 at each of its three alignments, upper and lower case where that makes a
difference. First it finds what it has planted itself; exit 1 when anything else is found, or nothing was planted right.
"""

import base64
import json
import pathlib
import sys
import tempfile
from urllib.parse import quote

from deployment import LOGISTICS, RETAIL, STRANGER
from markers import MARKER, PIECES, SHORTEST, material

# Rust's tests of the daemon hold values with the marker too (tests/crash/population.rs).
KNOWN = {
    "a value": MARKER.encode(),
    **{f"the secret of access key {a.access_key}": a.secret.encode() for a in (RETAIL, LOGISTICS, STRANGER)},
    **{f"key material {n}": material(n) for n in range(PIECES)},
}


NEWLINE = b"\n"


def forms(known):
    """The ways in which bytes show in a text."""
    yield known
    yield known.hex().encode()
    yield known.hex().upper().encode()
    for shift in range(3):
        # Of Base64 only the characters that depend on nothing around it.
        text = base64.b64encode(bytes(shift) + known)
        yield text[4 if shift else 0 : (len(known) + shift) // 3 * 4]
        yield text[4 if shift else 0 : (len(known) + shift) // 3 * 4].translate(bytes.maketrans(b"+/", b"-_"))
    yield quote(known).encode()
    yield ", ".join(str(byte) for byte in known).encode()  # as Rust's Debug prints bytes


def needles():
    return {form: what for what, known in KNOWN.items() for form in forms(known) if len(form) >= 16}


def learned(directory):
    """What clients sent and got while the tests ran, as it was and as the bytes that Base64 stood for."""
    path = pathlib.Path(f"{directory}.learned")
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        text = json.loads(line)
        yield text.encode()
        try:
            decoded = base64.b64decode(text, validate=True)
        except ValueError:
            continue
        if len(decoded) >= SHORTEST:
            yield decoded
            yield decoded.hex().encode()


def search(directory):
    """Where something of it is: file, line and what."""
    found, wanted = [], needles()
    wanted.update({needle: "a value that a client sent or got" for needle in learned(directory)})
    for path in sorted(path for path in pathlib.Path(directory).rglob("*") if path.is_file()):
        whole = path.read_bytes()
        for needle, what in wanted.items():
            at = whole.find(needle)
            while at >= 0:
                found.append(f"{path.name}:{whole.count(NEWLINE, 0, at) + 1}: {what}")
                at = whole.find(needle, at + 1)
    return sorted(set(found))


def check_the_search():
    """A search that finds nothing must be able to find."""
    for what, known in KNOWN.items():
        for form in forms(known):
            with tempfile.TemporaryDirectory() as directory:
                pathlib.Path(directory, "log").write_bytes(b'{"message":"' + form + b'"}\n')
                if len(form) >= 16 and not search_one(directory, what):
                    sys.exit(f"the search does not find {what} as {form!r}")


def search_one(directory, what):
    return any(line.endswith(what) for line in search(directory))


def main():
    directory = sys.argv[1]
    check_the_search()
    files = [path for path in pathlib.Path(directory).rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if size == 0:
        sys.exit(f"{directory} holds no output")
    found = search(directory)
    for line in found:
        print(line)
    print(f"{len(files)} files, {size // 1024} KiB of output: {len(found)} lines with a value or key material")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
