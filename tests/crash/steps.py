"""The calls of a run that change its destination, and SIGKILL at a chosen one of them: by the library of hook/call_hook.cc.

A call that is killed before it is carried out leaves what one that is killed behind the call before it does.
"""

import functools
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

import support

LIBRARY = support.PROGRAM.resolve().parents[2] / "tests/crash/hook/libcall_hook.so"
LOG_PREFIX = "call-log-"
RECORDING = "rename* -> */journal/[0-9]*"
# What strace is to write down: all that can change a file, so that a call that the library does not know is seen.
CHANGING = ("openat,openat2,open,creat,write,pwrite64,writev,pwritev,pwritev2,copy_file_range,sendfile,ftruncate,truncate,fallocate,"
            "fsync,fdatasync,syncfs,sync_file_range,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir,"
            "mkdir,mkdirat,utimensat,chmod,fchmod,fchmodat")
STRACE_LINE = re.compile(r"\d+ +(\w+)\((.*)")


def _env(folder: Path, **more: str) -> dict[str, str]:
    assert LIBRARY.is_file(), f"{LIBRARY} is not there: ./dev build"
    return {"LD_PRELOAD": str(LIBRARY), "CALL_HOOK_FOLDER": str(folder), **{f"CALL_HOOK_{name}": value for name, value in more.items()}}


def killing(folder: Path, number: int) -> dict[str, str]:
    """Environment of a run that is to be killed when it begins the call with that number, from 1, that changes `folder`."""
    return _env(folder, KILL=str(number))


def killing_behind_record(folder: Path, number: int) -> dict[str, str]:
    """Environment of a run that is to be killed as soon as it has recorded that many bundles."""
    return _env(folder, ONLY=RECORDING, KILL=str(number), AFTER="1")


class Log:
    """The calls of a run that is given `env`."""

    def __init__(self, folder: Path):
        with tempfile.NamedTemporaryFile(prefix=LOG_PREFIX, delete=False) as file:
            self._file = Path(file.name)
        self.env = _env(folder, LOG=str(self._file))

    def end(self) -> list[str]:
        calls = self._file.read_text(errors="replace").splitlines()
        self._file.unlink()
        return calls


@functools.cache
def why_no_strace() -> str:
    """Why processes cannot be traced here; empty where they can."""
    try:
        done = subprocess.run(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=openat", "true"],
                              capture_output=True, text=True, check=False)
    except OSError as error:
        return f"strace cannot be started: {error}"
    return "" if done.returncode == 0 and not done.stderr else f"strace: {done.stderr.strip() or done.returncode}"


def strace(log: Path) -> tuple[str, ...]:
    """Words before a command whose changing calls are to be written to a file."""
    return ("strace", "-f", "-qq", "--seccomp-bpf", "-y", "-s", "4096", "-o", str(log), "-e", f"trace={CHANGING}", "--")


def seen_by_strace(log: Path, folder: Path) -> Counter:
    """{name: calls} of those that change something below a folder; what a Log writes is not meant."""
    counts: Counter = Counter()
    for line in log.read_text(errors="replace").splitlines():
        if not (match := STRACE_LINE.match(line)):
            continue
        name, text = match.groups()
        if "write" in name:  # what is written may name the folder, too
            text = text.partition(">")[0] + ">"
        is_change = not name.startswith("open") or "O_CREAT" in text or "O_TRUNC" in text
        if is_change and LOG_PREFIX not in text and (f"{folder}/" in text or f"{folder}>" in text or f'{folder}"' in text):
            counts[name.removesuffix("64")] += 1
    return counts
