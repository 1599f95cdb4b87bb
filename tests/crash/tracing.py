"""Runs under strace: which calls change what lies below a folder, and SIGKILL at a chosen one of them.

strace counts an injection's `when` for each thread and each call's name; a step is such a pair of name and count. A killed thread's
call is not carried out: the kernel finds the signal before it begins.
"""

import functools
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

# Calls that may change a file system. Reading ones are left out: a kill there leaves what a kill at the next of these leaves.
CHANGING = ("openat,openat2,open,creat,write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,ftruncate,truncate,fallocate,"
            "fsync,fdatasync,syncfs,sync_file_range,rename,renameat,renameat2,link,linkat,symlinkat,unlink,unlinkat,rmdir,mkdir,"
            "mkdirat,utimensat,fchmod,fchmodat")
STARTED = re.compile(r"(\d+) +(\w+)\((.*)")


@dataclass(frozen=True)
class Step:
    """The call number `count` of that name in its thread."""

    name: str
    count: int
    thread: str
    text: str  # how strace shows it

    def __str__(self) -> str:
        return f"{self.name} {self.count}: {self.text[:160]}"


@functools.cache
def why_not() -> str:
    """Why processes cannot be traced here; empty where they can."""
    try:
        done = subprocess.run(["strace", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=openat", "true"],
                              capture_output=True, text=True, check=False)
    except OSError as error:
        return f"strace cannot be started: {error}"
    return "" if done.returncode == 0 and not done.stderr else f"strace: {done.stderr.strip() or done.returncode}"


def tracing(log: Path) -> tuple[str, ...]:
    """Words before a command whose changing calls are to be written to a file."""
    return ("strace", "-f", "-qq", "--seccomp-bpf", "-y", "-s", "256", "-o", str(log), "-e", f"trace={CHANGING}", "--")


def killing(step: Step) -> tuple[str, ...]:
    """Words before a command that is to be killed when it begins a call."""
    # No --seccomp-bpf: with it strace 6.1 counts the first call of a thread only.
    return ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={step.name}", "-e", f"inject={step.name}:signal=SIGKILL:when={step.count}", "--")


def steps_of(log: Path, below: Path) -> list[Step]:
    """The calls that change something below a folder, in order."""
    counts: Counter = Counter()
    steps = []
    for line in log.read_text(errors="replace").splitlines():
        if not (match := STARTED.match(line)):
            continue
        thread, name, text = match.groups()
        counts[thread, name] += 1
        is_change = not name.startswith("open") or "O_CREAT" in text or "O_TRUNC" in text
        if is_change and (f"{below}/" in text or f"{below}>" in text or f'{below}"' in text):
            steps.append(Step(name, counts[thread, name], thread, text))
    return steps


def log_file() -> Path:
    with tempfile.NamedTemporaryFile(prefix="strace-", delete=False) as file:
        return Path(file.name)
