"""The real daemon on a throw-away state directory: start, reload, kill, its log as events, its command line."""

import datetime
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time

import clients
import markers

REGION = "cn-hangzhou"
INSTANCE = "kst-hzz0000000000000001"
SMALL_INSTANCE = "kst-hzz0000000000000002"
RETAIL = clients.Account("1000000000000001", "LTAIretail", "retail-secret-0123456789")
LOGISTICS = clients.Account("1000000000000002", "LTAIlogistics", "logistics-secret-0123456789")
STRANGER = clients.Account("1000000000000003", "LTAIstranger", "stranger-secret-0123456789")

# Generous: the machine may be busy. Nothing waits this long unless something is wrong.
PATIENCE = 60


def binary():
    path = os.environ.get("KEYFERRY_BIN")
    if path is None:
        path = pathlib.Path(__file__).resolve().parents[2] / "target" / "debug" / "keyferry"
    return str(path)


def in_seconds(seconds):
    """An instant for `at`: whole seconds, UTC."""
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return at.replace(microsecond=0).isoformat()


class Log:
    """What the daemon writes to standard error, line by line, as events that can be awaited."""

    def __init__(self):
        self.lines = []
        self.closed = False
        self.changed = threading.Condition()

    def follow(self, stream):
        for line in stream:
            markers.keep("daemon", line)
            with self.changed:
                self.lines.append(self.parse(line))
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    @staticmethod
    def parse(line):
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        return found if isinstance(found, dict) else {"message": line.rstrip()}

    def mark(self):
        """Where the log stands now: events before it are not looked at by `wait(..., since=mark)`."""
        with self.changed:
            return len(self.lines)

    def wait(self, event, since=0, timeout=PATIENCE, **fields):
        """The first such event, also one that has come already. Fails when it does not come or the daemon ends."""

        def matches(line):
            return line.get("event") == event and all(line.get(name) == value for name, value in fields.items())

        deadline = time.monotonic() + timeout
        seen = since
        with self.changed:
            while True:
                for line in self.lines[seen:]:
                    if matches(line):
                        return line
                seen = len(self.lines)
                left = deadline - time.monotonic()
                if left <= 0 or self.closed:
                    reason = "the daemon has ended" if self.closed else f"{timeout} s have passed"
                    tail = "\n".join(json.dumps(line) for line in self.lines[-25:])
                    raise AssertionError(f"no {event} {fields}: {reason}; the log ends:\n{tail}")
                self.changed.wait(left)

    def all(self, event, since=0, **fields):
        with self.changed:
            return [
                line
                for line in self.lines[since:]
                if line.get("event") == event and all(line.get(name) == value for name, value in fields.items())
            ]


class Deployment:
    """One daemon with its configuration."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.state_dir = self.directory / "state"
        self.socket = self.directory / "admin.sock"
        self.config = self.directory / "keyferry.toml"
        self.port = free_port()
        self.accounts = [RETAIL, LOGISTICS, STRANGER]
        self.instances = [INSTANCE, SMALL_INSTANCE]
        self.expires = {}
        self.schedules = []
        self.extra = ""
        self.of_account = {}
        # The value of `pkcs11` by instance: those are hardware instances.
        self.tokens = {}
        self.environment = {}
        self.process = None
        self.log = None

    def write_config(self):
        lines = [
            f'state_dir = "{self.state_dir}"',
            "[log]",
            'format = "json"',
            'level = "info"',
            "[admin]",
            f'socket = "{self.socket}"',
            "[api]",
            f'listen = "127.0.0.1:{self.port}"',
            "[[region]]",
            f'id = "{REGION}"',
            'service_keys = ["ecs"]',
        ]
        for account in self.accounts:
            lines += ["[[account]]", f'id = "{account.id}"']
            lines += ["[[account.access_key]]", f'id = "{account.access_key}"', f'secret = "{account.secret}"']
            lines.append(self.of_account.get(account.id, ""))
        for instance in self.instances:
            quota = 2 if instance == SMALL_INSTANCE else 1000
            lines += [
                "[[instance]]",
                f'id = "{instance}"',
                f'region = "{REGION}"',
                f'owner = "{RETAIL.id}"',
                'kind = "hardware"' if instance in self.tokens else 'kind = "software"',
                f"key_quota = {quota}",
                f"secret_quota = {quota}",
                f'shared_with = ["{LOGISTICS.id}"]',
            ]
            if instance in self.tokens:
                lines.append(f"pkcs11 = {self.tokens[instance]}")
            if instance in self.expires:
                lines.append(f"expires = {self.expires[instance]}")
        for schedule in self.schedules:
            lines += ["[[schedule]]", *(f"{name} = {value}" for name, value in schedule.items())]
        self.config.touch(mode=0o600)
        self.config.write_text("\n".join([*lines, self.extra]) + "\n")

    def start(self, prefix=(), pass_fds=()):
        """Starts it, under another program if there is a prefix."""
        self.write_config()
        command = [*prefix, binary(), "--config", str(self.config), "run"]
        environment = {**os.environ, **self.environment}
        pipes = {"stderr": subprocess.PIPE, "stdout": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, pass_fds=pass_fds, env=environment, **pipes)
        self.log = Log()
        threading.Thread(target=self.log.follow, args=[self.process.stderr], daemon=True).start()
        self.log.wait("daemon.started")
        return self

    def reload(self, expect="config.reloaded"):
        """Writes the configuration anew and sends SIGHUP; answers the event that tells what became of it."""
        self.write_config()
        mark = self.log.mark()
        self.process.send_signal(signal.SIGHUP)
        return self.log.wait(expect, since=mark)

    def stop(self):
        """SIGTERM: the daemon finishes its step and leaves."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self):
        """SIGKILL: nothing is finished."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def sdk(self, kind="v3", account=RETAIL):
        return clients.connect(kind, account, REGION, self.port)

    def schedule(self, name="move", account=RETAIL, instance=INSTANCE, seconds=3, resources='"all"', **more):
        """Puts a schedule into the configuration, a few seconds ahead, and reloads."""
        entry = {
            "name": f'"{name}"',
            "region": f'"{REGION}"',
            "account": f'"{account.id}"',
            "instance": f'"{instance}"',
            "at": in_seconds(seconds),
            "resources": resources,
            "acknowledge": "true",
        }
        entry.update(more)
        self.schedules.append(entry)
        if self.process is None:
            return
        mark = self.log.mark()
        self.reload()
        # An instant that is past when the daemon first reads it never runs, and this machine may be slow.
        while "at" not in more and self.is_past(name, mark):
            seconds += 1
            entry["at"] = in_seconds(seconds)
            mark = self.log.mark()
            self.reload()

    def audited(self):
        """Entries of the audit trail, once all are chained: one that is being chained may be seen as waiting and in its place."""
        verdicts = []

        def chained():
            verdicts.append(self.cli("audit", "verify")[1])
            return verdicts[-1]["pending"] == 0

        eventually(chained)
        return verdicts[-1]["entries"]

    def is_past(self, name, mark):
        """Has the daemon said since then that this schedule will not run? It says so before it tells of the reload."""
        registered = self.log.all("schedule.registered", since=mark, schedule=name)
        return any("its instant is past" in line["message"] for line in registered)

    def cli(self, *arguments, timeout=PATIENCE):
        """Exit code and JSON document of a client command."""
        command = [binary(), "--socket", str(self.socket), "--json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        markers.keep("command", f"{arguments}\n{done.stdout}{done.stderr}")
        text = done.stdout.strip() or done.stderr.strip()
        try:
            document = json.loads(text)
        except ValueError:
            document = text
        return done.returncode, document

    def migrate(self, *selection, account=RETAIL, instance=INSTANCE, wait=True, extra=()):
        options = ["--wait"] if wait else []
        scope = ["--region", REGION, "--account", account.id, "--instance", instance]
        return self.cli("migrate", *scope, *selection, "--yes", *options, *extra)

    def job(self):
        """The newest job."""
        code, document = self.cli("job", "list")
        assert code == 0, document
        return document["jobs"][-1]


def eventually(holds):
    """Asks until it holds: for what the daemon does by itself and tells nobody."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.1)


def free_port():
    """A port nobody listens on. Not from the range the kernel takes clients' ports from, and apart from other workers', so
    that it is still free when the daemon comes to it."""
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = itertools.cycle(range(20_000 + 1_000 * WORKER, 21_000 + 1_000 * WORKER))
