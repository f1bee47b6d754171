"""Pages of what commands say: each command with its exit code, its code and its words, held to tests/sdk/messages/NAME.txt.

KEYFERRY_WRITE=1 writes what is said now into the pages; read the difference before it is committed."""

import difflib
import json
import os
import pathlib
import re
import shlex
import subprocess

import markers
from deployment import PATIENCE, binary

PAGES = pathlib.Path(__file__).parent / "messages"
JOB = re.compile(r"job-[0-9a-f]{20}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# Those of examples stay as they are.
EXAMPLE = "2026-12-01T02:00:00+08:00"
INSTRUCTIONS = re.compile(r"Migration Instructions\n.*?lost for good\.\n", re.S)


class Page:
    """What commands say that talk to one daemon."""

    def __init__(self, name, directory, made):
        self.path = PAGES / f"{name}.txt"
        self.directory = directory
        self.made = made
        self.parts = []
        self.names = {str(directory): "DIR"}
        self.jobs = {}
        # Instants that tests name.
        self.kept = []

    def name(self, **names):
        """What differs from run to run, and what stands for it."""
        self.names.update({str(value): word for word, value in names.items()})

    def run(self, arguments, json=False, user=None, environment=None):
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("KEYFERRY_", "ALI"))}
        variables |= {"NO_COLOR": "1", "COLUMNS": "100", "LC_ALL": "C.UTF-8"}
        variables |= {"KEYFERRY_SOCKET": str(self.made.socket), "KEYFERRY_CONFIG": str(self.made.config)}
        variables |= environment or {}
        # Opened here, so that another user need not be able to reach the place where it lies.
        program = os.open(binary(), os.O_RDONLY)
        try:
            done = subprocess.run(
                ["keyferry", *(["--json"] if json else []), *arguments], executable=f"/proc/self/fd/{program}",
                pass_fds=[program], cwd=self.directory, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=PATIENCE, check=False, user=user, group=user,
                extra_groups=[] if user else None,
            )  # fmt: skip
        finally:
            os.close(program)
        markers.keep("command", f"{arguments}\n{done.stdout}")
        return done.returncode, done.stdout

    def refused(self, why, code, *arguments, remedy=r"(?m)^ +-> \S|: .* -> \S", **how):
        """A command that is refused, with the code that scripts see; it has to say what to do."""
        exit_code, text = self.run(arguments, **how)
        same, document = self.run(arguments, json=True, **how)
        assert exit_code == same != 0, (arguments, exit_code, same, document)
        # Standard error may have talk in front of it.
        answer = json.loads(document[document.index("{\n") :])
        assert answer["error"]["code"] == code, answer
        assert re.search(remedy, text), f"it does not say what to do: {text}"
        self.add(why, arguments, f"{exit_code} {code}", text)

    def said(self, why, *arguments, exit_code=0, **how):
        """A command that says something of what went wrong elsewhere."""
        found, text = self.run(arguments, **how)
        assert found == exit_code, (arguments, found, text)
        self.add(why, arguments, f"{found}", text)

    def warned(self, why, code):
        """What `status` warns of."""
        _, text = self.run(["status"])
        found = re.search(rf"(?m)^Warning {code}: .*\n  -> .*\n?", text)
        assert found, text
        self.add(why, ["status"], "0", found[0])

    def add(self, why, arguments, exit_code, text):
        command, text = (self.alike(part) for part in (shlex.join(["keyferry", *arguments]), text))
        self.parts.append(f"# {why}\n$ {command}? {exit_code}\n{text}")

    def alike(self, text):
        """The same text in each run: what differs goes by its name, and paragraphs are not broken where names are longer."""
        text = INSTRUCTIONS.sub("(the Migration Instructions)\n", text)
        for first, further in ((r"  \S", 4), (r"Failure ", 11)):
            paragraph = rf"(?m)^{first}.*(?:\n {{{further}}}\S.*)+"
            text = re.sub(paragraph, lambda found, width=further: re.sub(rf"\n {{{width}}}", " ", found[0]), text)
        for value, word in sorted(self.names.items(), key=lambda item: -len(item[0])):
            text = text.replace(value, word)
        text = JOB.sub(lambda found: self.jobs.setdefault(found[0], f"JOB-{len(self.jobs) + 1}"), text)
        text = TIME.sub(lambda found: found[0] if found[0] in (EXAMPLE, *self.kept) else "TIME", text)
        text = re.sub(r"(?m)^(Blocked +)\S.* \(TIME", r"\1SECONDS (TIME", text)
        text = re.sub(r"(\w\.toml):\d+:\d+:", r"\1:LINE:COLUMN:", text)
        # How far a job came that was stopped is chance.
        text = re.sub(r"(?m)\b\d+(?= of \d+$|/\d+ (?:keys|secrets)\b)", "N", text)
        text = re.sub(r"( --secret \S+){10,}", " --secret …", text)
        return "".join(f"{line.rstrip()}\n" for line in text.rstrip().splitlines())

    def check(self):
        """Compares the page with what is kept, or writes it."""
        page = "\n".join(self.parts)
        if "KEYFERRY_WRITE" in os.environ:
            self.path.write_text(page)
        kept = self.path.read_text() if self.path.exists() else ""
        differs = difflib.unified_diff(kept.splitlines(), page.splitlines(), "kept", "said", n=2, lineterm="")
        assert kept == page, "\n".join([f"{self.path.name} (KEYFERRY_WRITE=1 writes it anew):", *differs])
