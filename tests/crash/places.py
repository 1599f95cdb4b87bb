"""The two kinds of destination that the crash tests kill runs in: a local folder, and a bucket of the strict stub.

Both are looked at as files: the stub keeps its objects below a folder. Both can be kept as they are and returned to.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import support
from started import Stub, started

STATE = ".ckpt-state"
MEMORY = Path("/dev/shm")  # file systems in memory: a SIGKILL loses nothing that a write gave to the kernel, and syncing is free
NEEDED_MEMORY_BYTES = 6 << 30


PREFIX = "ckpt-crash-"


def working_folder(name: str) -> Path:
    """An empty folder: in memory where there is room, else on the build folder's disk."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > NEEDED_MEMORY_BYTES
    parent = MEMORY if roomy else support.DATA
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f"{PREFIX}*"):  # of a test run that was killed itself
        if not Path("/proc", left.name.removeprefix(PREFIX).partition("-")[0]).exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = parent / f"{PREFIX}{os.getpid()}-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


_digests: dict[tuple, str] = {}


def digest(path: Path) -> str:
    """A file's fingerprint: what a kill leaves torn, short or misplaced has another. A file that has not changed since, links to it
    included, is not read again."""
    stat = path.stat()
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in _digests:
        _digests[key] = support.fingerprint(path)
    return _digests[key]


def files_below(folder: Path) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        for name in names:
            yield os.path.relpath(os.path.join(place, name), folder)


def digests_below(folder: Path) -> dict[str, str]:
    """{relative path: digest} of every file; of a folder in which nobody is at work."""
    return {name: digest(folder / name) for name in sorted(files_below(folder))}


class Place:
    """Where one destination after the other is made, each by its name."""

    kind = ""
    env: dict[str, str] = {}

    def __init__(self, root: Path):
        self.root = root

    def uri(self, name: str) -> str:
        raise NotImplementedError

    def folder(self, name: str) -> Path:
        """Where the destination's files lie."""
        raise NotImplementedError

    def settle(self) -> None:
        """Waits until nothing of a process that is gone is still under way."""

    def unfinished(self, name: str) -> list[str]:
        """Names of uploads below the destination that were neither finished nor given up."""
        return []

    def times_made(self, name: str) -> dict[str, int]:
        """{file below the destination: how often it came to be}, where the place tells."""
        return {}

    def remove(self, name: str) -> None:
        raise NotImplementedError

    def keep(self, name: str) -> None:
        """Keeps a destination as it is now."""
        raise NotImplementedError

    def return_to_kept(self, name: str) -> None:
        raise NotImplementedError

    def outputs(self, name: str) -> dict[str, str]:
        """{path: SHA-256} of all but the state, which tells when and how fast."""
        return {path: value for path, value in digests_below(self.folder(name)).items() if not path.startswith(STATE + "/")}

    def state(self, name: str) -> set[str]:
        """Names of the files of the state folder."""
        return set(files_below(self.folder(name) / STATE))

    def recorded(self, name: str) -> int:
        """Bundles in the journal."""
        journal = self.folder(name) / STATE / "journal"
        return len([path for path in os.listdir(journal) if path.isdecimal()]) if journal.is_dir() else 0


class LocalFolders(Place):
    """Local folders."""

    kind = "file"

    def uri(self, name: str) -> str:
        return str(self.root / name)

    def folder(self, name: str) -> Path:
        return self.root / name

    def remove(self, name: str) -> None:
        shutil.rmtree(self.folder(name), ignore_errors=True)

    def keep(self, name: str) -> None:
        shutil.rmtree(self.root / f".kept-{name}", ignore_errors=True)
        shutil.copytree(self.folder(name), self.root / f".kept-{name}")

    def return_to_kept(self, name: str) -> None:
        """By links, but for the one kind of file that is written where it lies: any other that is would spoil what is kept, and
        with it all that comes."""
        self.remove(name)
        shutil.copytree(self.root / f".kept-{name}", self.folder(name), copy_function=_linked_or_copied)


def _linked_or_copied(source: str, copied: str) -> None:
    if source.endswith(".part"):
        shutil.copy2(source, copied)
    else:
        os.link(source, copied)


class Bucket(Place):
    """Folders of a bucket of the strict stub."""

    kind = "gs"

    def __init__(self, root: Path, stub: Stub):
        super().__init__(root)
        self.stub = stub
        self.env = {"STORAGE_EMULATOR_HOST": stub.url}

    def uri(self, name: str) -> str:
        return f"gs://bkt/{name}"

    def folder(self, name: str) -> Path:
        return self.root / "bkt" / name

    def settle(self) -> None:
        self.stub.settle()

    def unfinished(self, name: str) -> list[str]:
        """Of the multipart uploads: those of killed processes that are resumable sessions are out of anybody's reach, and the
        service drops them after a week."""
        return [one for one in self.stub.uploads()["multipart"] if one.startswith(f"{name}/")]

    def times_made(self, name: str) -> dict[str, int]:
        return {path.removeprefix(f"bkt/{name}/"): times for path, times in self.stub.made(f"bkt/{name}/").items()}

    def remove(self, name: str) -> None:
        self.settle()
        self.stub.control("DELETE", f"below/bkt/{name}/")

    def keep(self, name: str) -> None:
        self.stub.keep()

    def return_to_kept(self, name: str) -> None:
        self.stub.return_to_kept()


@contextlib.contextmanager
def opened(kind: str, held: dict[str, Path]) -> Iterator[Place]:
    """A place of that kind, and its end. A bucket holds some folders' files from its beginning."""
    root = working_folder(kind)
    try:
        if kind == "file":
            yield LocalFolders(root)
        else:
            (root / "bkt").mkdir()
            for name, folder in held.items():
                (root / "bkt" / name).symlink_to(folder)
            with started("gcs", "--folder", str(root), "--sums", str(support.DATA / "crc32c.json"), "--no-md5") as stub:
                yield Bucket(root, stub)
    finally:
        shutil.rmtree(root, ignore_errors=True)
