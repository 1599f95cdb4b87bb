"""What the benchmarks share: measured commands, the page cache's state, the machine in words, where results go."""

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/judge"))

from support import DATA, PROGRAM, lock_test_data, preset  # noqa: E402, F401

RESULTS = ROOT / "build/bench"
MEASURE = ROOT / "tests/judge/measure.py"
GB = 1e9


def measured(*command):
    """Runs a command to its end: wall_s, cpu_s, peak_rss_bytes. A command that fails ends the benchmark."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as result:
        done = subprocess.run([sys.executable, "-I", "-S", MEASURE, result.name, *map(str, command)],
                              capture_output=True, text=True, check=False)
        figures = json.loads(result.read() or "{}")
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed with {done.returncode}:\n{done.stderr}")
    return figures


def evict(paths):
    """Cold: the files' pages leave the cache (dirty ones are written first, as those cannot leave)."""
    for path in paths:
        with open(path, "rb") as file:
            os.fdatasync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def fill_cache(paths):
    """Cached: every byte has been read."""
    block = bytearray(4 << 20)
    for path in paths:
        with open(path, "rb", buffering=0) as file:
            while file.readinto(block):
                pass


def copy_source(shards, size, scratch):
    """One file of `size` bytes, cut from the model's shards."""
    path = scratch / "copy-source.bin"
    left = size
    with open(path, "wb") as out:
        for shard in shards:
            with open(shard, "rb") as file:
                while left and (block := file.read(min(left, 8 << 20))):
                    out.write(block)
                    left -= len(block)
    return path


class Contest:
    """ckpt against cp on one model and state of the page cache."""

    def __init__(self, model, cached, flags, scratch):
        self.shards = sorted(model.glob("*.safetensors"))
        self.model, self.cached, self.flags = model, cached, flags
        self.out, self.copy = scratch / "out", scratch / "copy.bin"

    def prepare(self, inputs):
        shutil.rmtree(self.out, ignore_errors=True)
        self.copy.unlink(missing_ok=True)
        subprocess.run(["sync"], check=True)  # nobody pays for what another left behind
        (fill_cache if self.cached else evict)(inputs)

    def converted(self, target, *wanted):
        self.prepare(self.shards)
        return measured(PROGRAM, "convert", self.model, self.out, "--to", target, "--quiet", *wanted, *self.flags)

    def cp(self, source):
        self.prepare([source])
        return measured("sh", "-c", 'cp "$1" "$2" && sync "$2"', "sh", source, self.copy)


def machine():
    """The machine, so that a figure can be judged later."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = int(Path("/proc/meminfo").read_text().split()[1]) * 1024
    return {"cpu": model, "cores": os.cpu_count(), "memory_bytes": memory, "kernel": platform.release(),
            "load_1min": os.getloadavg()[0]}


def version():
    return subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def save(name, result):
    """Writes a result below build/bench and says where."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), "ckpt": version(), **result}, indent=1) + "\n")
    print(f"written to {path.relative_to(ROOT)}")
