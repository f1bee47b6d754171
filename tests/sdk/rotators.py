"""The receiver of docs/rotators.md, and a PostgreSQL of the test's own."""

import os
import pathlib
import pwd
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading

from deployment import PATIENCE, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef0123456789abcdef"


def certificate(directory):
    pem, key = directory / "rotator.pem", directory / "rotator.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=rotator", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    return pem, key


class Receiver:
    """The documented receiver, run as it stands in the document, with a `change` of the test's own if there is one."""

    def __init__(self, directory, change=""):
        self.directory = pathlib.Path(directory)
        page = (ROOT / "docs" / "rotators.md").read_text()
        (source,) = re.findall(r"```python\n(.*?)```", page, re.S)
        server = "server = http.server"
        assert server in source
        script = self.directory / "receiver.py"
        script.write_text(source.replace(server, change + "\n\n" + server, 1))
        self.port = free_port()
        self.pem, self.key = certificate(self.directory)
        self.process = None
        self.script = script

    def config(self, **more):
        entry = {
            "name": '"receiver"',
            "kind": '"webhook"',
            "url": f'"https://127.0.0.1:{self.port}/rotate"',
            "ca": f'"{self.pem}"',
            "secret": f'"{KEY}"',
            "retry_after": '"1s"',
            **more,
        }
        return "\n".join(["[[rotator]]", *(f"{name} = {value}" for name, value in entry.items())]) + "\n"

    def start(self):
        command = [sys.executable, "-u", str(self.script), str(self.port), str(self.pem), str(self.key)]
        environment = {**os.environ, "ROTATOR_KEY": KEY}
        self.process = subprocess.Popen(command, cwd=self.directory, env=environment, stderr=subprocess.DEVNULL)
        context = ssl.create_default_context(cafile=str(self.pem))
        listening = threading.Event()
        while not listening.wait(0.05):
            assert self.process.poll() is None, "the receiver has ended"
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as plain:
                    context.wrap_socket(plain, server_hostname="127.0.0.1").close()
                listening.set()
            except ConnectionRefusedError:
                pass
        return self

    def password(self, account):
        return (self.directory / f"{account}.password").read_text()

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Postgresql:
    """A server in a directory of its own; PostgreSQL does not run as root."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="keyferry-pg-"))
        self.user = pwd.getpwnam("postgres") if os.getuid() == 0 else None
        self.programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1].parent
        self.port = free_port()
        self.own(self.directory)
        password = self.directory / "owner"
        password.write_text("owner-password")
        self.own(password)
        self.data = str(self.directory / "data")
        self.run("initdb", "-D", self.data, "-U", "owner", "-A", "scram-sha-256", f"--pwfile={password}", "--no-sync")
        options = f"-c listen_addresses=127.0.0.1 -c port={self.port} -c unix_socket_directories={self.directory} -c fsync=off"
        self.run("pg_ctl", "-D", self.data, "-l", str(self.directory / "log"), "-w", "-o", options, "start")

    def own(self, path):
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def run(self, program, *arguments):
        as_user = {} if self.user is None else {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        command = [str(self.programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, **as_user)

    def ask(self, user, password, statement="SELECT current_user"):
        """What psql prints; None: the server does not let this user in."""
        command = [str(self.programs / "psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", user, "-d", "postgres"]
        command += ["-w", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement]
        done = subprocess.run(command, env={**os.environ, "PGPASSWORD": password}, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.directory)
