"""A backup that does not end before it is told to, and stores that are lost whatever the daemon is doing."""

import errno
import os
import shutil
import subprocess

from deployment import PATIENCE, binary, eventually


class HeldBackup:
    """While it is held nothing may be written anywhere. What a backup copies last are the files of the slots, long
    after it has begun to hold writes back; one of them is a pipe here, and who reads it waits for a writer."""

    def __init__(self, copies, file=None):
        self.slots = copies.deployment.state_dir / "slots" / "held"
        self.pipe = self.slots / "pipe"
        self.command = [binary(), "--socket", str(copies.deployment.socket), "backup", str(file or copies.file)]
        self.command += ["--key-file", str(copies.key)]
        self.running = None
        self.end = None

    def __enter__(self):
        self.slots.mkdir(mode=0o700)
        os.mkfifo(self.pipe, 0o600)
        self.running = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            eventually(self.reached)
        except BaseException:
            self.__exit__()
            raise
        return self

    def reached(self):
        assert self.running.poll() is None, self.running.communicate()
        try:
            self.end = os.open(self.pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as nobody_reads:
            assert nobody_reads.errno == errno.ENXIO, nobody_reads
            return False
        return True

    def goes_on(self):
        return self.running.poll() is None

    def release(self):
        """Lets it come to its end, which has to be a good one."""
        os.close(self.end)
        self.end = None
        told, _ = self.running.communicate(timeout=PATIENCE)
        assert self.running.returncode == 0, told

    def __exit__(self, *_):
        if self.end is not None:
            os.close(self.end)
        if self.running.poll() is None:
            self.running.kill()
            self.running.communicate()
        shutil.rmtree(self.slots, ignore_errors=True)


def lose_stores(copies):
    """The stores go from under the running daemon, and then the daemon. The root keys stay, as they would in escrow."""
    deployment = copies.deployment
    for entry in deployment.state_dir.iterdir():
        if entry.name != "keys":
            shutil.rmtree(entry, ignore_errors=True)
    deployment.kill()
    # What the daemon made again in its last moment.
    copies.lose_everything()
    assert [entry.name for entry in deployment.state_dir.iterdir()] == ["keys"]


def restore(copies, file=None):
    done = copies.restore(file=file)
    assert done.returncode == 0 and "Restored" in done.stdout, done.stdout + done.stderr
    # The pipe was copied as an empty file, which is nobody's slot.
    shutil.rmtree(copies.deployment.state_dir / "slots" / "held", ignore_errors=True)
