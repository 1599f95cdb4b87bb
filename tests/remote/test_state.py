"""What a killed run leaves in a bucket is told by `ckpt status`, and goes by `ckpt clean`."""

import json
import subprocess
import time
from pathlib import Path

import pytest

import support
from started import Stub

TARGETS = {"jetstream-pytorch": ("--quantize", "int8_per_channel"), "maxtext": ("--outputs", "scanned,unscanned,int8")}
FOREIGN = b"somebody's"


def left(buckets: Stub, below: str) -> list[str]:
    """Objects below the folder, and uploads that were begun and neither finished nor given up."""
    uploads = json.loads(buckets.control("GET", "uploads"))
    return sorted(name for name in buckets.names("bkt") if name.startswith(below)) + [
        f"unfinished {name}" for name in uploads["multipart"] if name.startswith(below)]


def told(below: str) -> dict:
    (run,) = json.loads(support.run("status", f"gs://bkt/{below}", "--json", expect=0).stdout)["runs"]
    return run


def kill(below: str, target: str, buckets: Stub, source: Path) -> None:
    """Kills a run once some of its bundles are recorded."""
    process = subprocess.Popen([support.PROGRAM, "convert", source, f"gs://bkt/{below}", "--to", target, *TARGETS[target],
                                "--bundle-size", "1MiB", "--threads", "1", "--quiet"], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 120
    while sum(name.startswith(f"{below}/.ckpt-state/journal/") for name in buckets.names("bkt")) < 3:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("has_neighbour", [False, True], ids=["alone", "beside foreign objects"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_killed_run_leaves_nothing_once_it_is_cleaned(target: str, has_neighbour: bool, below: str, buckets: Stub,
                                                        tmp_path: Path):
    support.small(tmp_path, layers=8, dim=512, mlp=2048, vocab=2048)
    kill(below, target, buckets, tmp_path)
    if has_neighbour:
        buckets.put(f"bkt/{below}/notes.txt", FOREIGN)
    run = told(below)
    assert run["state"] == "running" and 3 <= run["bundles_done"] < run["bundles"]
    (shard,) = run["shards"]
    assert shard["state"] == "running" and shard["age_seconds"] < 60
    before = left(buckets, below)
    for flags in ((), ("--dry-run",)):
        support.assert_refused(support.run("clean", f"gs://bkt/{below}", *flags, expect=75), 75, "--force")
        assert left(buckets, below) == before
    cleaned = json.loads(support.run("clean", f"gs://bkt/{below}", "--force", "--json", expect=0).stdout)
    print(cleaned)
    assert cleaned["runs"][0]["objects"] > 4
    assert cleaned["runs"][0]["uploads"] >= (target == "jetstream-pytorch")
    assert left(buckets, below) == ([f"{below}/notes.txt"] if has_neighbour else [])
    support.assert_refused(support.run("clean", f"gs://bkt/{below}", expect=66), 66, "nothing of ckpt")
    support.assert_refused(support.run("status", f"gs://bkt/{below}", expect=66), 66, "no conversion")


@pytest.mark.parametrize("target", TARGETS)
def test_a_committed_checkpoint_stays(target: str, below: str, buckets: Stub):
    support.run("convert", "org/llama31" if target == "maxtext" else "org/llama3", f"gs://bkt/{below}", "--to", target, *TARGETS[target],
                expect=0)
    whole = {name: buckets.get(f"bkt/{name}") for name in left(buckets, below)}
    buckets.put(f"bkt/{below}/.ckpt-state/journal/000003", b"of a late process")
    assert told(below)["state"] == "committed"
    for flags in ((), ("--force",)):
        support.run("clean", f"gs://bkt/{below}", *flags, expect=0)
        assert {name: buckets.get(f"bkt/{name}") for name in left(buckets, below)} == whole
    support.run("verify", f"gs://bkt/{below}", expect=0)
