"""What the tests of the image and of Jobs share: where things are, and how the scripts of tools/ are called."""

import contextlib
import fcntl
import functools
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/golden/jetstream-pytorch/llama-3-hf"
MAXTEXT_GOLDEN = ROOT / "tests/golden/maxtext/llama3.1/hf"
STORE = ROOT / "build/containers"
SCRATCH = ROOT / "build/image"
TAG = "localhost/inference-checkpoint:latest"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ckpt-test"


@functools.cache
def lock():
    """Waits until no other run of these tests uses this clone's folders, then holds them for the rest of this process."""
    (ROOT / "build").mkdir(exist_ok=True)
    file = (ROOT / "build/containers.lock").open("w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another run of the tests of image or cluster", file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def call(*command, expect=0, timeout=300, **options):
    """Runs a command; returns it finished, with its text. A status other than `expect` fails the test; None: any."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, capture_output=True, text=True, timeout=timeout,
                          check=False, **options)
    if expect is not None:
        shown = f"{' '.join(map(str, command))}: exit {done.returncode}, expected {expect}"
        assert done.returncode == expect, f"{shown}\n{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done


def image(command, *words, **options):
    """tools/image.sh COMMAND STORE WORDS..."""
    return call(ROOT / "tools/image.sh", command, STORE, *words, **options)


def build(*words, tag=TAG):
    """Builds the image of this working tree: some minutes when nothing is compiled yet."""
    image("build", tag, *words, timeout=3000)


def run(*words, options=(), tag=TAG, **more):
    """Runs the image with these arguments; `options` are podman's."""
    return image("run", tag, *options, "--", *words, **more)


def sha256(path):
    """The SHA-256 of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def free_port():
    """A port of 127.0.0.1 on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.contextmanager
def registry(folder, address=None):
    """A registry on this machine while the block runs; gives its address."""
    address = address or f"127.0.0.1:{free_port()}"
    script = ROOT / "tools/image.sh"
    log = Path(folder).parent / "registry-start.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:  # a file: the server would keep a pipe open
        subprocess.run([script, "registry", folder, "start", address], cwd=ROOT, stdin=subprocess.DEVNULL,
                       stdout=output, stderr=subprocess.STDOUT, timeout=60, check=True)
    try:
        yield address
    finally:
        call(script, "registry", folder, "stop")


@contextlib.contextmanager
def scratch(name):
    """An empty folder below build/image while the block runs."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=name + ".", dir=SCRATCH))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def without_state(folder):
    """{relative path: SHA-256} of a conversion's files, but for the state folder, which tells when and how fast."""
    folder = Path(folder)
    return {str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*"))
            if path.is_file() and ".ckpt-state" not in path.parts}


def context_names():
    """Patterns of .dockerignore that let names through."""
    return re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
