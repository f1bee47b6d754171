"""docs/tutorial.md, done from its beginning to its end in one shell: each command prints what the page says.

KEYFERRY_WRITE=1 puts the real output into the page; read the difference before it is committed."""

import os
import pathlib
import re
import signal
import subprocess
import sys

from deployment import PATIENCE, binary, free_port

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
END = "<end of command>"
FENCE = re.compile(r"```(\w+)\n(.*?)```\n", re.S)
# What differs from run to run, and what stands for it when outputs are compared.
DIFFERS = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r"job-[0-9a-f]{20}", "JOB"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"\b[0-9a-f]{64,128}\b", "DIGEST"),
    (r"\b\d+:DIGEST", "HEAD"),
    (r"\b(\d+m )?\d+(\.\d+)?s\b", "SECONDS"),
    (r"\b\d+ ms\b", "SECONDS"),
    (r"\b\d+ entries\b|Entries +\d+ \(and \d+|number \d+", "COUNT"),
    (r"[0-9A-Za-z+/]{40,}=*", "TEXT"),
]


class Shell:
    """One bash, in which the whole page is done."""

    def __init__(self, directory):
        path = [str(pathlib.Path(binary()).resolve().parent), str(pathlib.Path(sys.executable).parent), os.environ["PATH"]]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KEYFERRY_")}
        environment |= {"PATH": ":".join(path), "NO_COLOR": "1", "TERM": "dumb", "LC_ALL": "C.UTF-8"}
        self.process = subprocess.Popen(
            ["bash", "--norc"], cwd=directory, env=environment, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, command):
        # Nothing that a command starts reads the commands that follow.
        self.process.stdin.write(f"{{ {command} \n}} </dev/null; echo '{END}'\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.strip() == END:
                return "".join(lines)
            lines.append(line)
        raise AssertionError(f"the shell ended in {command}: {''.join(lines)}")

    def close(self):
        # Its own session: the shell, and the daemon if the page did not get as far as stopping it.
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)


def alike(text):
    for pattern, word in DIFFERS:
        text = re.sub(pattern, word, text)
    # Columns are as wide as what stands in them.
    return re.sub(r" +", " ", text)


def test_the_tutorial(tmp_path):
    port = str(free_port())
    page = PAGE.read_text()
    shell = Shell(tmp_path)
    written, done, last = [], 0, 0
    try:
        for fence in FENCE.finditer(page):
            written.append(page[last : fence.start(2)])
            last = fence.end(2)
            kind, text = fence.groups()
            if kind != "console":
                name = re.findall(r"Put this into `([\w.]+)`:\s*$", page[: fence.start()])[0]
                (tmp_path / name).write_text(text.replace("8780", port))
                written.append(text)
                continue
            for step in re.split(r"^\$ ", text, flags=re.M)[1:]:
                command, expected = step.split("\n", 1)
                # With time enough to look at the schedule before it is due, also where commands are slow.
                printed = shell.run(command.replace("'3 seconds'", "'15 seconds'"))
                printed = printed.replace(str(tmp_path), "/home/you/keyferry")
                # Only as a number of its own: digests have such digits, too.
                printed = re.sub(rf"\b{port}\b", "8780", printed)
                printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
                if "KEYFERRY_WRITE" not in os.environ:
                    assert alike(printed) == alike(expected), f"$ {command}"
                written.append(f"$ {command}\n{printed}")
                done += 1
    finally:
        shell.close()
    assert done > 15
    if "KEYFERRY_WRITE" in os.environ:
        PAGE.write_text("".join(written) + page[last:])
