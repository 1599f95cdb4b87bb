"""What the judge and crash tests share: where things are, how ckpt is run and measured, how a test model is made."""

import contextlib
import ctypes
import fcntl
import functools
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from safetensors_file import SafetensorsFile, encode

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("CKPT", ROOT / "build/ckpt")).absolute()
GOLDEN = ROOT / "tests/golden"
DATA = ROOT / "build/test-data"  # models too large for a memory file system; reused while their recipe is the same
MIB = 1 << 20


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


make_model = load(ROOT / "tools/make_model.py")


@dataclass(frozen=True)
class Run:
    """A finished ckpt: what it said, and what it used."""

    arguments: tuple
    exit_code: int
    stdout: str
    stderr: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    written_blocks: int  # of file systems

    def error(self):
        """The lines on standard error that belong to the one error: 'ckpt: what', places, remedy."""
        return [line for line in self.stderr.splitlines() if line.strip()]


def run(*arguments, expect=None, timeout=300):
    """Runs ckpt; with `expect`, another exit code fails the test and shows what was said."""
    arguments = tuple(map(str, arguments))
    with tempfile.NamedTemporaryFile("r", suffix=".json") as result:
        command = [sys.executable, "-I", "-S", str(Path(__file__).with_name("measure.py")), result.name,
                   str(PROGRAM), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        figures = json.loads(result.read() or "{}")
    assert figures, f"{PROGRAM} could not be started: {done.stderr}"
    ran = Run(arguments, figures["exit_code"], done.stdout, done.stderr, figures["wall_s"], figures["cpu_s"],
              figures["peak_rss_bytes"], figures["written_blocks"])
    if expect is not None:
        shown = f"ckpt {' '.join(arguments)}: exit {ran.exit_code}, expected {expect}\n{ran.stdout}\n{ran.stderr}"
        assert ran.exit_code == expect, shown
    return ran


def convert(source, folder, *flags, kind=None, expect=0):
    """Converts into `folder`; kind None is bf16."""
    quantize = [] if kind in (None, "bf16") else ["--quantize", kind]
    return run("convert", source, folder, "--to", "jetstream-pytorch", *quantize, *flags, expect=expect)


MAXTEXT_PATHS = {"scanned": "bf16/scanned/0/items", "unscanned": "bf16/unscanned/checkpoints/0/items"}


def items(folder, name):
    """Where an output of `--to maxtext` lies: the folder that a server is told to load."""
    return Path(folder) / MAXTEXT_PATHS.get(name, name)


def convert_maxtext(source, folder, outputs, *flags, model=None, expect=0):
    """Converts to MaxText outputs, such as ("scanned", "int8"), below `folder`."""
    named = ["--model", model] if model else []
    return run("convert", source, folder, "--to", "maxtext", "--outputs", ",".join(outputs), *named, *flags, expect=expect)


def arrays_of(told):
    """{(output, array): its entry} of a MaxText report or plan."""
    return {(output["name"], name): array for output in told["outputs"] for name, array in output["arrays"].items()}


def outputs_of(folder):
    """{relative path: fingerprint} of every file of a conversion but its state, which tells when and how fast."""
    return {path: digest for path, digest in contents(folder).items() if not path.startswith(".ckpt-state/")}


def report(folder):
    """The report that a finished conversion leaves."""
    return json.loads((Path(folder) / ".ckpt-state/report.json").read_text(encoding="utf-8"))


_crc64 = ctypes.CDLL("libisal.so.2").crc64_ecma_refl
_crc64.restype, _crc64.argtypes = ctypes.c_uint64, (ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)


def fingerprint(path):
    """Size and CRC-64 of a file: equal for equal bytes, and for others by a chance of 1 in 2^64. SHA-256 takes five times as long."""
    block, crc, size = bytearray(1 << 20), 0, 0
    place = (ctypes.c_char * len(block)).from_buffer(block)
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(block):
            crc, size = _crc64(crc, place, count), size + count
    return f"{size} {crc:016x}"


def contents(folder):
    """{relative path: fingerprint} of every file below a folder; empty when it does not exist."""
    folder = Path(folder)
    return {str(path.relative_to(folder)): fingerprint(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def has_larger_file(folder, size):
    """Whether a file of more than `size` bytes lies below a folder in which a run makes, renames and removes files."""
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                if os.stat(os.path.join(place, name)).st_size > size:
                    return True
    return False


def loadable(folder):
    """Files that a loader would take for a checkpoint."""
    return [path for path in Path(folder).rglob("*") if path.suffix in (".safetensors", ".pth", ".ckpt", ".bin")]


@functools.cache
def lock_test_data():
    """Waits until no other test run or benchmark uses build/test-data, then holds it for the rest of this process.

    The workers of one test run (pytest -n) share it: the process that started them holds it.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        return None
    DATA.mkdir(parents=True, exist_ok=True)
    file = open(DATA / "lock", "w", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another run that uses {DATA}", file=sys.stderr, flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


@contextlib.contextmanager
def shared_folder(name):
    """The folder `name` of the test data, for one process at a time: the first to hold it makes what the others find."""
    DATA.mkdir(parents=True, exist_ok=True)
    with open(DATA / f"{name}.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield DATA / name


def preset(name, sparse=False):
    """The folder of a preset model, made when it is not there yet; the 405B one is always sparse."""
    shape, shards = make_model.PRESETS[name]
    sparse = sparse or name == "405b"
    with shared_folder(f"{name}-sparse" if sparse else name) as folder:
        make_model.make(folder, shape, shards, sparse=sparse, every=64 * MIB if name == "405b" else MIB)
    return folder


def small(folder, adversarial=True, seed=1, shards=1, **dims):
    """A small random Hugging Face model with these dimensions instead of the defaults; returns its Shape."""
    values = {"layers": 2, "dim": 256, "heads": 4, "kv_heads": 2, "mlp": 384, "vocab": 320, **dims}
    values.setdefault("head_dim", values["dim"] // values["heads"])
    shape = make_model.Shape(**values)
    make_model.make(folder, shape, shards, seed=seed, adversarial=adversarial)
    return shape


def read_tensors(path):
    """{name: (dtype, shape, bytes)} of a safetensors file, to change and write again with `write_tensors`."""
    file = SafetensorsFile(path)
    return {name: (entry.dtype, entry.shape, bytes(file.bytes_of(name))) for name, entry in file.entries.items()}


def write_tensors(path, tensors, metadata=None):
    Path(path).write_bytes(encode(tensors, metadata))


def assert_refused(ran, code, *mentions):
    """One clear error: the exit code, one 'ckpt:' line, one remedy, and every word of `mentions` somewhere in it."""
    said = f"ckpt {' '.join(ran.arguments)}: exit {ran.exit_code}\n{ran.stdout}\n{ran.stderr}"
    assert ran.exit_code == code, f"expected exit {code}: {said}"
    lines = [line for line in ran.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ckpt: ") and not line.startswith("ckpt: warning")]
    assert len(errors) == 1, f"{len(errors)} errors instead of one: {said}"
    remedies = [line for line in lines if line.strip().startswith("remedy ")]
    assert len(remedies) == 1, f"{len(remedies)} remedies instead of one: {said}"
    for word in mentions:
        assert word.lower() in ran.stderr.lower(), f"the error does not mention {word!r}: {said}"
