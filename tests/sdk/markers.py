"""What no output may contain: the values and the key material of the tests, all made from one marker, and where output is kept.

With `KEYFERRY_TEST_OUTPUT` the tests keep what daemons log and commands print in that directory; `search_output.py` then looks
through it. Answers of the API to its clients carry values by their nature and are not kept; instead, every value, plaintext
and data key that a client sends or gets is learned, and searched for as well.
"""

import hashlib
import json
import os
import pathlib
import threading

MARKER = "k7Vq2-do-not-find-me-"
# As many pieces of key material as the tests import at most.
PIECES = 64

# Learned values: shorter ones are words like any other, and a load makes more than anybody could search for.
SHORTEST = 12
MOST = 2000
SECRET_FIELDS = ("SecretData", "Plaintext", "RandomPassword", "AccessKeySecret", "Password", "AccountPassword")

_lock = threading.Lock()
_open = {}
_learned = set()


def material(number):
    """32 bytes of key material that the search knows."""
    assert 0 <= number < PIECES
    return hashlib.sha256(f"{MARKER}material {number}".encode()).digest()


def keep(source, text):
    """Keeps output; `source` says whose it is."""
    directory = os.environ.get("KEYFERRY_TEST_OUTPUT")
    if directory:
        path = pathlib.Path(directory) / f"{source}-{os.getpid()}.txt"
        append(path, text if text.endswith("\n") else text + "\n")


def append(path, text):
    """Opens a file once: a test may be another user for a moment, who may not open it."""
    with _lock:
        if path not in _open:
            _open[path] = path.open("a", encoding="utf-8", errors="surrogateescape")
        _open[path].write(text)
        _open[path].flush()


def learn(fields):
    """Remembers what is secret among parameters or in an answer; answers the same."""
    directory = os.environ.get("KEYFERRY_TEST_OUTPUT")
    if directory and isinstance(fields, dict):
        for name in SECRET_FIELDS:
            text = fields.get(name)
            if isinstance(text, str) and len(text) >= SHORTEST and text not in _learned and len(_learned) < MOST:
                _learned.add(text)
                append(pathlib.Path(f"{directory}.learned"), json.dumps(text) + "\n")
    return fields
