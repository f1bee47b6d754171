"""The Debian package in a Debian of its own: installed, configured, started, upgraded in the middle of a migration, removed,
purged. No service manager runs there, so this test does what the unit says: user, directories, NOTIFY_SOCKET."""

import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading

import pytest
from clients import Account, connect
from deployment import PATIENCE, Log, binary, free_port, in_seconds
from population import Population

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGION, INSTANCE = "cn-hangzhou", "kst-hzz0000000000000001"
RETAIL = Account("1000000000000001", "LTAIretail", "change-me")
UNITS = ["keyferry.service", "keyferry.socket"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="changes the root directory, which only root may")


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """The package as an older and as the present version, around the binary that is tested."""
    own = tmp_path_factory.mktemp("packages")
    made = []
    # One place to build in, and maybe several processes that run tests.
    with (ROOT / "target" / "package.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(ROOT / "target" / "package", ignore_errors=True)
        for version in ("0.0.9-1", "0.1.0-1"):
            command = [str(ROOT / "packaging" / "build"), "--binary", binary(), "--fast", "--version", version]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            made.append(pathlib.Path(shutil.move(ROOT / done.stdout.split()[-1], own)))
    return made


class Debian:
    """A directory with a Debian in it."""

    def __init__(self, path):
        self.path = path
        self.daemon = None
        self.log = None

    def run(self, *command, check=True, user=None):
        enter = ["chroot", *([f"--userspec={user}:{user}"] if user else []), str(self.path)]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        done = subprocess.run([*enter, *command], capture_output=True, text=True, check=False, env=environment)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done

    def install(self, package):
        shutil.copy(package, self.path / "keyferry.deb")
        return self.run("dpkg", "--install", "/keyferry.deb")

    def file(self, path):
        return self.path / path.lstrip("/")

    def user(self):
        [line] = [line for line in self.file("/etc/passwd").read_text().splitlines() if line.startswith("keyferry:")]
        return line.split(":")

    def start(self):
        """As the unit: Type=notify, its user, its directories."""
        unit = self.file("/usr/lib/systemd/system/keyferry.service").read_text()
        command = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1).split()
        name, _, uid, gid, *_ = self.user()
        assert re.search(r"^User=(.*)$", unit, re.M).group(1) == name
        runtime = self.file("/run/" + re.search(r"^RuntimeDirectory=(.*)$", unit, re.M).group(1))
        runtime.mkdir(exist_ok=True, mode=0o750)
        os.chown(runtime, int(uid), int(gid))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            place = self.file("/run/notify")
            place.unlink(missing_ok=True)
            notify.bind(str(place))
            os.chown(place, int(uid), int(gid))
            notify.settimeout(PATIENCE)
            environment = {"NOTIFY_SOCKET": "/run/notify", "PATH": os.environ["PATH"]}
            enter = ["chroot", f"--userspec={uid}:{gid}", str(self.path)]
            self.daemon = subprocess.Popen([*enter, *command], stderr=subprocess.PIPE, text=True, env=environment)
            self.log = Log()
            threading.Thread(target=self.log.follow, args=[self.daemon.stderr], daemon=True).start()
            self.log.wait("daemon.started")
            while b"READY=1" not in notify.recv(4096).split(b"\n"):
                pass

    def stop(self):
        self.daemon.send_signal(signal.SIGTERM)
        assert self.daemon.wait(PATIENCE) == 0

    def close(self):
        if self.daemon is not None and self.daemon.poll() is None:
            self.daemon.kill()
            self.daemon.wait(PATIENCE)


@pytest.fixture
def debian(tmp_path):
    kept = ROOT / "target" / "bookworm"
    with (ROOT / "target" / "bookworm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (kept / "var" / "lib" / "dpkg" / "info" / "procps.list").exists():
            shutil.rmtree(kept, ignore_errors=True)
            command = ["debootstrap", "--variant=minbase", "--include=systemd,procps", "bookworm", str(kept)]
            subprocess.run(command, check=True, capture_output=True)
    tree = tmp_path / "debian"
    subprocess.run(["cp", "--archive", "--reflink=auto", str(kept), str(tree)], check=True)
    # What systemd-tmpfiles looks at itself through.
    subprocess.run(["mount", "-t", "proc", "proc", str(tree / "proc")], check=True)
    made = Debian(tree)
    yield made
    made.close()
    subprocess.run(["umount", str(tree / "proc")], check=True)


def configure(debian, schedule=""):
    """What an operator does with the file that the package brings: takes the examples, and changes what is his own."""
    path = debian.file("/etc/keyferry/keyferry.toml")
    text = path.read_text()
    # Whatever begins with a # and no blank after it is an example.
    lines, table = [], ""
    for line in text.splitlines():
        bare = line[1:] if re.match(r"#[^ ]", line) else line
        if header := re.match(r"\[+([\w.]+)\]+$", bare):
            table = header.group(1)
        lines.append(bare if table in ("region", "account", "account.access_key", "instance") else line)
    text = "\n".join(lines) + "\n"
    port = free_port()
    text = text.replace("127.0.0.1:8780", f"127.0.0.1:{port}").replace("127.0.0.1:8781", "127.0.0.1:0")
    mode = path.stat()
    path.write_text(text + schedule)
    os.chmod(path, mode.st_mode & 0o7777)
    return port


def test_it_is_installed_ready_to_be_configured_and_not_started(debian, packages):
    debian.install(packages[1])
    assert re.fullmatch(r"keyferry 0\.\d+\.\d+\n", debian.run("keyferry", "--version").stdout)
    name, _, uid, gid, _, home, shell = debian.user()
    assert (home, shell) == ("/var/lib/keyferry", "/usr/sbin/nologin")
    for path, mode, owner in [
        ("/etc/keyferry", 0o750, (0, int(gid))),
        ("/etc/keyferry/keyferry.toml", 0o640, (0, int(gid))),
        ("/var/lib/keyferry", 0o700, (int(uid), int(gid))),
        ("/var/backups/keyferry", 0o700, (int(uid), int(gid))),
    ]:
        found = debian.file(path).stat()
        assert (found.st_mode & 0o7777, (found.st_uid, found.st_gid)) == (mode, owner), path
    # Nothing starts by itself, and nothing would start with the examples of the documentation.
    assert not list(debian.file("/etc/systemd/system").rglob("keyferry*"))
    checked = debian.run("keyferry", "config", "check", check=False, user=name)
    assert checked.returncode == 2 and "without [[region]]" in checked.stderr, checked.stderr
    assert checked.stderr.count("found ") == 1, checked.stderr
    assert "keyferry.toml" in debian.run("dpkg-query", "--show", "--showformat=${Conffiles}", "keyferry").stdout

    files = debian.run("dpkg", "--listfiles", "keyferry").stdout.split("\n")
    doc = "/usr/share/doc/keyferry"
    for path in ["LICENSE-MIT", "LICENSE-APACHE", "copyright", "README.md", "docs/design.md", "examples/keyferry.toml"]:
        assert f"{doc}/{path}" in files, path
    for path in ["bash-completion/completions/keyferry", "zsh/vendor-completions/_keyferry"]:
        assert f"/usr/share/{path}" in files
    assert "/usr/share/fish/vendor_completions.d/keyferry.fish" in files
    for page in ["keyferry", "keyferry-migrate", "keyferry-job-watch"]:
        assert f"/usr/share/man/man1/{page}.1.gz" in files
    completion = "source /usr/share/bash-completion/completions/keyferry; complete -p keyferry"
    assert "_keyferry" in debian.run("bash", "-c", completion).stdout


def test_its_units_are_valid_and_hardened(debian, packages):
    debian.install(packages[1])
    units = sorted(path.name for path in debian.file("/usr/lib/systemd/system").glob("keyferry*"))
    assert set(UNITS) <= set(units)
    verified = debian.run("systemd-analyze", "verify", "--man=no", *units)
    assert "keyferry" not in verified.stdout + verified.stderr, verified.stderr
    services = [unit for unit in units if unit.endswith(".service")]
    debian.run("systemd-analyze", "security", "--offline=yes", "--threshold=15", *services)
    for service in services:
        text = debian.file(f"/usr/lib/systemd/system/{service}").read_text()
        for line in ["Type=notify", "MemorySwapMax=0", "LimitCORE=0"]:
            assert f"\n{line}\n" in text, f"{service}: {line}"
        user = re.search(r"^User=(.*)$", text, re.M).group(1)
        assert f"\n{user}:" in debian.file("/etc/passwd").read_text(), f"{service}: nobody is {user}"
        assert debian.file(f"/var/lib/{user}").stat().st_mode & 0o7777 == 0o700
    # The examples of drop-ins, in force.
    for dropin in ["credentials.conf", "pkcs11.conf"]:
        place = debian.file("/etc/systemd/system/keyferry.service.d")
        place.mkdir(exist_ok=True)
        text = debian.file(f"/usr/share/doc/keyferry/examples/systemd/{dropin}").read_text()
        # With every line that is switched off as well.
        (place / dropin).write_text(re.sub(r"^#(?=[A-Z])", "", text, flags=re.M))
    verified = debian.run("systemd-analyze", "verify", "--man=no", "keyferry.service")
    assert "keyferry" not in verified.stdout + verified.stderr, verified.stderr


def test_an_upgrade_takes_up_a_migration_and_removal_keeps_what_purging_destroys(debian, packages):
    debian.install(packages[0])
    entry = {"name": "move", "region": REGION, "account": RETAIL.id, "instance": INSTANCE, "resources": "all"}
    lines = [f'{key} = "{value}"' for key, value in entry.items()]
    schedule = "\n".join(["[[schedule]]", *lines, f"at = {in_seconds(20)}", 'soak = "15s"', "acknowledge = true", ""])
    port = configure(debian, schedule)
    checked = debian.run("keyferry", "config", "check", user="keyferry")
    assert "valid" in checked.stdout and not checked.stderr, checked.stderr
    debian.start()
    population = Population(connect("v3", RETAIL, REGION, port)).fill_small()
    debian.log.wait("migration.progress", phase="confirming")
    debian.stop()

    path = debian.file("/etc/keyferry/keyferry.toml")
    path.write_text(path.read_text() + "# a change of the operator's\n")
    debian.install(packages[1])
    assert "0.1.0-1" in debian.run("dpkg-query", "--show", "keyferry").stdout
    assert path.read_text().endswith("# a change of the operator's\n")
    # The job is where it was, and goes on to its end by itself.
    debian.start()
    job = debian.log.wait("migration.resumed")["job"]
    population.check_use()
    debian.log.wait("migration.complete", job=job)
    population.check_use()
    assert "Migration Complete" in debian.run("keyferry", "job", "show", job).stdout
    debian.stop()

    own = debian.file("/etc/keyferry/root.key")
    own.write_text("kept")
    debian.run("dpkg", "--remove", "keyferry")
    assert not debian.file("/usr/bin/keyferry").exists()
    assert path.exists() and any(debian.file("/var/lib/keyferry").iterdir())
    debian.install(packages[1])
    debian.start()
    population.check_use()
    debian.stop()
    debian.run("dpkg", "--purge", "keyferry")
    assert not debian.file("/var/lib/keyferry").exists() and not path.exists()
    assert own.read_text() == "kept", "what the package did not bring is not the package's"
