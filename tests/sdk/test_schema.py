"""The schema of the configuration for editors: it takes what the daemon takes, and what it refuses the daemon refuses."""

import copy
import datetime
import json
import pathlib
import subprocess
import tomllib

import jsonschema
import pytest
from deployment import binary

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "config" / "keyferry.schema.json").read_text())
SAMPLE = tomllib.loads((ROOT / "config" / "keyferry.toml").read_text())


def as_editors_see(value):
    """Date-times of TOML as strings, as the schema's users have them."""
    if isinstance(value, dict):
        return {key: as_editors_see(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [as_editors_see(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime.datetime) else value


VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def test_it_is_a_schema_and_takes_the_sample():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    errors = [error.message for error in VALIDATOR.iter_errors(as_editors_see(SAMPLE))]
    assert not errors


def test_it_takes_what_the_program_shows_of_its_configuration(tmp_path):
    file = tmp_path / "keyferry.toml"
    file.touch(mode=0o600)
    file.write_text((ROOT / "config" / "keyferry.toml").read_text())
    shown = subprocess.run([binary(), "--config", str(file), "config", "show"], capture_output=True, text=True, check=True)
    errors = [error.message for error in VALIDATOR.iter_errors(as_editors_see(tomllib.loads(shown.stdout)))]
    assert not errors


def put(path, value):
    def change(document):
        *way, last = path
        for step in way:
            document = document[step]
        if value is None:
            del document[last]
        else:
            document[last] = value

    return change


MISTAKES = [
    put(["stat_dir"], "/x"),
    put(["region"], None),
    put(["log", "format"], "xml"),
    put(["log", "levle"], "info"),
    put(["api", "listen"], "localhost"),
    put(["api", "tls"], {"certificate": "/x"}),
    put(["seal", "root_key"], {"credential": "a", "file": "/b"}),
    put(["seal", "root_key"], {"credential": "../a"}),
    put(["seal", "root_key"], {}),
    put(["migration", "workers"], 0),
    put(["migration", "workers"], "4"),
    put(["migration", "allowed_hours"], ["22:00-06:00"]),
    put(["backup", "every"], "2 hours"),
    put(["backup", "key_file"], None),
    put(["region", 0, "id"], "CN"),
    put(["account", 0, "id"], "1"),
    put(["account", 0, "access_key", 0, "secret_file"], "/second"),
    put(["account", 0, "access_key", 0, "secret"], None),
    put(["instance", 0, "kind"], "softwar"),
    put(["instance", 0, "owner"], None),
    put(["instance", 0, "auto_renew"], "yes"),
    put(["schedule", 0, "cron"], "0 2 * * *"),
    put(["schedule", 0, "time_zone"], "UTC"),
    put(["schedule", 0, "account"], "1000000000000001"),
    put(["schedule", 0, "resources"], "al"),
    put(["schedule", 0, "resources"], {"key": ["x"]}),
    put(["schedule", 0, "name"], "a b"),
    put(["schedule", 0, "if_missed"], "ran"),
    put(["schedule", 1, "time_zone"], None),
]


@pytest.mark.parametrize("number", range(len(MISTAKES)))
def test_it_finds_mistakes_that_the_daemon_refuses(number, tmp_path):
    document = copy.deepcopy(SAMPLE)
    MISTAKES[number](document)
    assert not VALIDATOR.is_valid(as_editors_see(document))
    file = tmp_path / "keyferry.toml"
    file.touch(mode=0o600)
    file.write_text("\n".join(f"{key} = {inline(value)}" for key, value in document.items()))
    done = subprocess.run([binary(), "--config", str(file), "config", "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "allowed: " in done.stderr, done.stderr


def inline(value):
    """A value as TOML on one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {inline(inner)}" for key, inner in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(inline(inner) for inner in value) + "]"
    return value.isoformat() if isinstance(value, datetime.datetime) else json.dumps(value)
