"""What the entrypoint tests share: the program is started as a container starts it, and what it said is taken apart."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pth_file
import support
from test_goldens import META_AXIS, concatenate

NAME = "checkpoint_entrypoint.sh"
GOLDEN = support.GOLDEN
STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: ")
# Beginnings of the lines that users wait for.
FINAL = ("Completed unscanning checkpoint to ", "Completed quantizing model ",
         "Completed uploading converted checkpoint from local path /pt-ckpt/ to GSBucket ")
NOWHERE = "/nowhere/at/all"
# Variables that name the stubs of all services, set by services.py: no test reaches a real one.
ENDPOINTS: dict[str, str] = {}
META_URL = ("https://llama3-1.llamameta.net/*?Policy=eyJTdGF0ZW1lbnQiOlt7InVuaXF1ZV9oYXNoIjoiZXhhbXBsZSJ9XX0_"
            "&Signature=aB3%7Ed-Ef9~GhIjKlMn-oPqRsTuVwXyZ__&Key-Pair-Id=KEXAMPLE0000"
            "&Download-Request-ID=1000000000000001")


@dataclass(frozen=True)
class Said:
    """A finished run."""

    arguments: tuple
    exit_code: int
    stdout: str
    stderr: str

    def lines(self) -> list[str]:
        """What stands behind the time in each line of standard output; each line must have one."""
        found = self.stdout.splitlines()
        for line in found:
            assert STAMP.match(line), f"no time before {line!r}\n{self}"
        return [line[STAMP.match(line).end():] for line in found]

    def finals(self) -> list[str]:
        """The lines that users wait for, in order."""
        return [line for line in self.lines() if line.startswith(FINAL)]

    def objects(self) -> list[dict]:
        """Standard output as JSON, one object a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]

    def warnings(self) -> str:
        """The warnings of a text log, as one text."""
        return "\n".join(line for line in self.lines() if line.startswith("warning: "))

    def __str__(self) -> str:
        words = " ".join(map(str, self.arguments))
        return f"{NAME} {words}\nexit {self.exit_code}\n{self.stdout}\n{self.stderr}"


def environment(**more: object) -> dict[str, str]:
    """The whole environment of a run: no secret is there, and buckets cannot be reached, unless `more` says so."""
    return {"KAGGLE_CONFIG_DIR": NOWHERE, "HUGGINGFACE_TOKEN_DIR": NOWHERE, **ENDPOINTS,
            **{name: str(value) for name, value in more.items()}}


def command(arguments: tuple, root: object = None, env: dict | None = None, name: str = NAME, **how: object) -> dict:
    """The keywords for subprocess that start the program under a name."""
    env = environment(**({"CKPT_GS_ROOT": root} if root else {}), **(env or {}))
    return {"args": [name, *(word if isinstance(word, bytes) else str(word) for word in arguments)],
            "executable": str(support.PROGRAM), "env": env, "stdin": subprocess.DEVNULL, **how}


def run(*arguments: object, root: object = None, env: dict | None = None, name: str = NAME, expect: int | None = None,
        **how: object) -> Said:
    """Runs the program under the container's name; with `expect`, another exit code fails the test and shows all."""
    done = subprocess.run(**command(arguments, root, env, name, **how), capture_output=True, timeout=120, check=False)
    said = Said(arguments, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    if expect is not None:
        assert said.exit_code == expect, f"expected {expect}: {said}"
    return said


@contextmanager
def started(*arguments: object, root: object = None, env: dict | None = None,
            **how: object) -> Iterator[subprocess.Popen]:
    """A run in the background; it is dead and its pipes are closed afterwards."""
    process = subprocess.Popen(**command(arguments, root, env, **how), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def explain(*arguments: object, **how: object) -> dict:
    """What the arguments mean."""
    return json.loads(run("--explain", *arguments, expect=0, **how).stdout)


def made_nothing(root: Path) -> bool:
    """Whether all that lies below a root of buckets is why a run failed, for whoever looks when its pod is gone."""
    names = set(support.contents(root))
    return bool(names) and {Path(name).parts[-2:] for name in names} == {(".ckpt-state", "report.json"), (".ckpt-state", "state.json")}


def many(lists: list[list], **how: object) -> list[Said]:
    """One run for each argument list, some side by side."""
    with ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        return list(pool.map(lambda words: run(*words, **how), lists))


def assert_refused(said: Said, code: int, *mentions: str) -> None:
    """One error on standard error, with a remedy and every word of `mentions`; no line that somebody waits for."""
    assert said.exit_code == code, f"expected {code}: {said}"
    assert len(re.findall(r"^(?:\S+ \S+: )?ckpt: ", said.stderr, re.MULTILINE)) == 1, f"not one error: {said}"
    assert re.search(r"^  remedy +\S", said.stderr, re.MULTILINE), f"no remedy: {said}"
    for word in mentions:
        assert word in said.stderr, f"the error does not mention {word!r}: {said}"
    assert not any(final in said.stdout for final in FINAL), said


def places(names: set[str]) -> set[str]:
    """What objects (BUCKET/NAME) are, as the contract's paths: checkpoint folders end in /; the state is left out."""
    folders = {name.removesuffix("_METADATA") for name in names if name.endswith("/_METADATA")}
    around = tuple(folders | {folder.removesuffix("items/") for folder in folders})
    files = {name for name in names if "/.ckpt-state/" not in name and not name.startswith(around)}
    return {f"gs://{name}" for name in folders | files}


def below(root: Path) -> set[str]:
    """The same of a root that stands for all buckets."""
    return places({str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()})


def local(root: Path, place: str) -> Path:
    """Where a path of the contract lies."""
    return root / place.removeprefix("gs://")


def md5(path: Path) -> str:
    """As checklist.chk has it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def state(folder: Path) -> dict[str, tuple]:
    """{relative path: (content, time of change)} of all that lies below a folder."""
    return {name: (digest, os.stat(folder / name).st_mtime_ns) for name, digest in support.contents(folder).items()}


def wait_for(condition, what: str, process: subprocess.Popen, seconds: float = 30) -> None:
    """Waits until `condition()` holds; the run must not end before."""
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended before {what}: {process.communicate()}"
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        time.sleep(0.002)


def has_bytes(folder: Path) -> bool:
    """Whether a run has written the first weights below a folder."""
    return support.has_larger_file(folder, support.MIB // 4)


class Sources:
    """Folders with small models: each a form in which the contract's sources come."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.llama2 = GOLDEN / "maxtext/llama2/hf"
        self.llama31 = GOLDEN / "maxtext/llama3.1/hf"
        self.llama3 = GOLDEN / "jetstream-pytorch/llama-3-hf/input"
        self.tokenizer = b"a tokenizer\n"
        self.hugging_face = self._hugging_face(folder / "hugging-face")
        self.meta = self._meta(folder / "meta")

    def _hugging_face(self, folder: Path) -> Path:
        shutil.copytree(self.llama3, folder)
        (folder / "tokenizer.model").write_bytes(self.tokenizer)
        return folder

    def _meta(self, folder: Path) -> Path:
        """The golden llama-2-meta, its shards merged into one safetensors file with Meta's names."""
        folder.mkdir()
        source = GOLDEN / "jetstream-pytorch/llama-2-meta/input"
        shards = [pth_file.read_pth(path) for path in sorted(source.glob("*.pth"))]
        merged = {}
        for name in shards[0]:
            stem = name.removesuffix(".weight").rsplit(".", 1)[-1]
            merged[name] = concatenate([shard[name] for shard in shards], META_AXIS[stem])
        support.write_tensors(folder / "model.safetensors", merged)
        shutil.copy(source / "params.json", folder)
        (folder / "tokenizer.model").write_bytes(self.tokenizer)
        return folder
