"""A backup that is opened, changed and sealed again: the way into the stores of a daemon, which nobody else can write to.

Whatever a store can hold after a fault, or after something that keyferry itself never does, can be planted so, record by
record, and comes back through `keyferry restore`. The format is that of `src/backup/format.rs`.
"""

import hashlib
import json
import os
import struct

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from held_backup import restore

MAGIC = b"keyferry backup\n"
SEALED_KEY = 12 + 32 + 16
HEAD = len(MAGIC) + 1 + 8 + SEALED_KEY
CHUNK = 256 * 1024
MANIFEST, BEGIN, RECORD, FILE, END = range(1, 6)
# In front of the JSON text of a record: a mark, its schema, and how many further chunks it has.
RECORD_HEAD = struct.Struct(">cHH")


class Part:
    """A store: its records with their revisions by key. Or a directory: its files by name."""

    def __init__(self, about):
        self.about = about
        self.content = {}

    def keys(self, prefix=""):
        return sorted(key.decode() for key in self.content if key.startswith(prefix.encode()))

    def read(self, key):
        """A record's document."""
        _, value = self.content[key.encode()]
        mark, schema, chunks = RECORD_HEAD.unpack_from(value)
        assert (mark, schema, chunks) == (b"K", 1, 0), key
        return json.loads(value[RECORD_HEAD.size :])

    def write(self, key, document):
        value = RECORD_HEAD.pack(b"K", 1, 0) + json.dumps(document).encode()
        self.content[key.encode()] = (self.about["revision"], value)

    def remove(self, key):
        del self.content[key.encode()]


class EditedBackup:
    """`with EditedBackup(copies) as edited:` changes the backup of `copies`, which lies beside it afterwards as `edited.file`;
    `edited.control` is the control store, `edited.parts` everything by its place below the state directory."""

    def __init__(self, copies):
        self.copies = copies
        self.file = copies.file.with_name(f"{copies.file.name}-edited")
        key = copies.key.read_bytes().strip()
        self.key = AESGCM(key if len(key) == 32 else bytes.fromhex(key.decode()))
        whole = copies.file.read_bytes()
        assert whole.startswith(MAGIC) and whole[len(MAGIC)] == 1
        self.begin = whole[: HEAD - SEALED_KEY]
        self.manifest, self.parts = self.parse(self.open(whole[HEAD - SEALED_KEY : HEAD], whole[HEAD:]))

    @property
    def control(self):
        return self.parts["control"]

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.file.unlink(missing_ok=True)
            self.file.write_bytes(self.begin + self.seal(self.text()))

    def bring_back(self):
        """In place of the state of the deployment, which is stopped."""
        self.copies.lose_everything()
        restore(self.copies, self.file)

    def open(self, sealed_key, rest):
        stream = Stream(self.key.decrypt(sealed_key[:12], sealed_key[12:], MAGIC), sealed_key)
        text, number, last = b"", 0, False
        while not last:
            last, length = struct.unpack_from(">?I", rest)
            text += stream.open(number, last, rest[5 : 5 + length])
            rest = rest[5 + length :]
            number += 1
        assert rest == b""
        return text

    @staticmethod
    def parse(text):
        manifest, parts, part = None, {}, None
        while text:
            tag, length = struct.unpack_from(">BI", text)
            content, text = text[5 : 5 + length], text[5 + length :]
            if tag == MANIFEST:
                manifest = content
            elif tag == BEGIN:
                part = Part(json.loads(content))
                parts[part.about["place"]] = part
            elif tag == RECORD:
                key, rest = field(content)
                value, rest = field(rest[8:])
                assert rest == b""
                part.content[key] = (int.from_bytes(content[4 + len(key) : 12 + len(key)], "big"), value)
            elif tag == FILE:
                name, rest = field(content)
                part.content[name] = field(rest)[0]
        return manifest, parts

    def text(self):
        text = frame(MANIFEST, self.manifest)
        for part in self.parts.values():
            frames = [frame(BEGIN, json.dumps(part.about).encode())]
            for key, held in sorted(part.content.items()):
                if part.about["kind"] == "store":
                    revision, value = held
                    frames.append(frame(RECORD, fielded(key) + struct.pack(">Q", revision) + fielded(value)))
                else:
                    frames.append(frame(FILE, fielded(key) + fielded(held)))
            whole = b"".join(frames)
            end = {"entries": len(part.content), "sha256": hashlib.sha256(whole).hexdigest()}
            text += whole + frame(END, json.dumps(end).encode())
        return text

    def seal(self, text):
        """Under a new key of its own, as every backup."""
        key, iv = os.urandom(32), os.urandom(12)
        sealed_key = iv + self.key.encrypt(iv, key, MAGIC)
        stream = Stream(key, sealed_key)
        chunks = [text[at : at + CHUNK] for at in range(0, len(text), CHUNK)]
        out = [sealed_key]
        for number, chunk in enumerate(chunks):
            last = number == len(chunks) - 1
            sealed = stream.seal(number, last, chunk)
            out.append(struct.pack(">?I", last, len(sealed)) + sealed)
        return b"".join(out)


class Stream:
    """STREAM: each chunk is bound to the head, its number and whether it is the last."""

    def __init__(self, key, sealed_key):
        self.gcm = AESGCM(key)
        self.head = hashlib.sha256(fielded(MAGIC) + fielded(sealed_key)).digest()

    def bound(self, number, last):
        return fielded(b"keyferry chunk v1") + fielded(self.head) + struct.pack(">QB", number, last)

    def open(self, number, last, sealed):
        return self.gcm.decrypt(sealed[:12], sealed[12:], self.bound(number, last))

    def seal(self, number, last, text):
        iv = os.urandom(12)
        return iv + self.gcm.encrypt(iv, text, self.bound(number, last))


def fielded(content):
    return struct.pack(">I", len(content)) + content


def field(content):
    (length,) = struct.unpack_from(">I", content)
    return content[4 : 4 + length], content[4 + length :]


def frame(tag, content):
    return struct.pack(">BI", tag, len(content)) + content
