"""Whole conversions over services that fail: the bytes are those of the golden, the retries are counted in the report.

Every fault is scripted at a stub, which tells how often it was applied: a fault that nothing met would prove nothing.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import support
from repositories import LLAMA3, TOKEN
from started import Stub, started

GOLDEN = support.GOLDEN / "jetstream-pytorch/llama-3-hf/bf16/model.safetensors"
WITHIN_S = 10


def convert(below: str, *flags: str, expect: int | None = 0, source: str = "org/llama3") -> support.Run:
    return support.run("convert", source, f"gs://bkt/{below}", "--to", "jetstream-pytorch", *flags, expect=expect)


def whole(buckets: Stub, below: str) -> dict:
    """The output is the golden; returns the report's retries."""
    assert buckets.get(f"bkt/{below}/model.safetensors") == GOLDEN.read_bytes()
    return json.loads(buckets.get(f"bkt/{below}/.ckpt-state/report.json"))["network"]["retries"]


def applied(*stubs: Stub) -> int:
    return sum(rule["applied"] for stub in stubs for rule in stub.fault_rules())


def left(buckets: Stub, below: str) -> list[str]:
    """Objects below the folder, and uploads that were begun and neither finished nor given up."""
    uploads = json.loads(buckets.control("GET", "uploads"))
    return [name for name in buckets.names("bkt") if name.startswith(below)] + [
        f"unfinished {name}" for names in uploads.values() for name in names if name.startswith(below)]


READS = {
    "503 twice": {"method": "GET", "path": "/resolve/|/lfs/|/cdn", "times": 2, "status": 503},
    "429": {"method": "GET", "path": "safetensors", "times": 1, "status": 429, "headers": {"Retry-After": "1"}},
    "cut": {"method": "GET", "range_matches": "bytes=", "cut_after": 40_000},  # each try gets that far
    "short": {"method": "GET", "path": "safetensors", "times": 1, "short_by": 100},
}


@pytest.mark.parametrize("fault", READS)
def test_reads_that_fail_are_repeated(fault: str, below: str, hub: Stub, buckets: Stub):
    hub.faults([READS[fault]])
    convert(below)
    count = applied(hub)
    retries = whole(buckets, below)
    print(f"{fault}: {count} times, {retries}")
    assert count > 0 and sum(retries.values()) >= min(count, 2)


WRITES = {
    "503 of every kind once": [{"method": method, "times": 1, "status": 503, "headers": {"Retry-After": "0"}}
                               for method in ("POST", "PUT", "GET", "DELETE")],
    "cut uploads": [{"method": "PUT|POST", "body_over": 1000, "times": 3, "cut_upload_after": 500}],
    "lost answers": [{"method": "PUT|POST", "body_over": 0, "times": 3, "cut_after": 0, "carried_out": True, "status": 503}],
    "storm": [{"method": "PUT|POST|GET", "times": 3, "status": 429, "headers": {"Retry-After": "0"}}],
}


@pytest.mark.parametrize("fault", WRITES)
def test_writes_that_fail_are_repeated_or_looked_up(fault: str, below: str, buckets: Stub):
    buckets.faults(WRITES[fault])
    convert(below)
    count = applied(buckets)
    buckets.clear_faults()
    print(f"{fault}: {count} times, {whole(buckets, below)}")
    assert count > 0


def test_a_source_that_changes_during_the_run_is_refused(below: str, buckets: Stub):
    for file in LLAMA3.iterdir():
        buckets.put(f"bkt/{below}-in/{file.name}", file.read_bytes())
    shard = next(file.name for file in LLAMA3.glob("*.safetensors"))
    buckets.faults([{"method": "GET", "path": "safetensors", "query": "alt=media", "skip": 2, "times": 1,
                     "change_object": f"bkt/{below}-in/{shard}"}])
    ran = convert(below, expect=None, source=f"gs://bkt/{below}-in")
    assert applied(buckets) == 1
    support.assert_refused(ran, 65, "changed", shard)
    assert left(buckets, f"{below}/") == []


TARGETS = {"jetstream-pytorch": (), "maxtext": ("--outputs", "scanned", "--model", "llama3-8b"),
           "hf": ("--max-shard-size", "200KB", "--bundle-size", "1MiB")}  # several files: all but the last are committed first
MARKERS = (".safetensors", "_CHECKPOINT_METADATA", "manifest.ocdbt", "commit_success.txt")


def put_source(buckets: Stub, below: str) -> int:
    """LLAMA3 in the bucket; how many of its files hold weights."""
    for file in LLAMA3.iterdir():
        buckets.put(f"bkt/{below}-in/{file.name}", file.read_bytes())
    return len(list(LLAMA3.glob("*.safetensors")))


@pytest.mark.parametrize("target", TARGETS)
def test_objects_are_held_to_the_checksums_of_the_bucket(target: str, below: str, buckets: Stub):
    files = put_source(buckets, below)
    support.run("convert", f"gs://bkt/{below}-in", f"gs://bkt/{below}", "--to", target, *TARGETS[target], expect=0)
    report = json.loads(buckets.get(f"bkt/{below}/.ckpt-state/report.json"))
    assert report["source"]["checksums"] == {"held": files, "not_read_whole": 0}


@pytest.mark.parametrize("target", TARGETS)
def test_a_byte_that_came_as_another_is_found_before_the_commit(target: str, below: str, buckets: Stub):
    """The weights themselves look as good as before: only the object's checksum tells. The same command then reads it again."""
    put_source(buckets, below)

    def words(name: str) -> tuple[str, ...]:
        return ("convert", f"gs://bkt/{below}-in", f"gs://bkt/{name}", "--to", target, *TARGETS[target])

    def made(name: str) -> dict[str, bytes]:
        found = {path.removeprefix(f"{name}/"): buckets.get(f"bkt/{path}") for path in buckets.names("bkt") if path.startswith(f"{name}/")}
        return {path: content for path, content in found.items() if not path.startswith(".ckpt-state/")}

    buckets.faults([{"method": "GET", "path": "safetensors", "query": "alt=media", "skip": 5, "times": 1, "flip": 100}])
    ran = support.run(*words(below), expect=None)
    assert applied(buckets) == 1
    support.assert_refused(ran, 65, "CRC-32C", "safetensors", "run again")
    assert not [name for name in made(below) if name.endswith(MARKERS)]
    support.run(*words(below), expect=0)
    support.run(*words(f"{below}-right"), expect=0)
    assert made(below) == made(f"{below}-right")


def test_a_missing_bucket_and_a_service_that_is_down():
    ran = support.run("convert", "org/llama3", "gs://nosuchbucket/x", "--to", "jetstream-pytorch")
    support.assert_refused(ran, 73, "nosuchbucket", "gcloud storage buckets create")
    env = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    done = subprocess.Popen([support.PROGRAM, "inspect", "org/llama3"], env=env, stderr=subprocess.PIPE, text=True)
    time.sleep(1)  # it is trying again; a stop does not wait for the end of that
    done.send_signal(signal.SIGTERM)
    _, errors = done.communicate(timeout=WITHIN_S)
    assert done.returncode == 143 and "stopped by SIGTERM" in errors, errors


@pytest.mark.parametrize("token", ["", "hf_another"], ids=["none", "wrong"])
def test_a_gated_repository_says_what_to_do(token: str, below: str, buckets: Stub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", token)
    ran = convert(below, expect=None, source="org/gated")
    support.assert_refused(ran, 77 if token else 78, "gated" if not token else "token")
    assert left(buckets, below) == []


def test_a_token_opens_it_and_is_seen_nowhere(below: str, hub: Stub, buckets: Stub, monkeypatch: pytest.MonkeyPatch):
    """Not in a report or a line; not at the CDN, nor at the bucket."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    ran = convert(below, source="org/gated")
    whole(buckets, below)
    assert not any(request.get("authorization") for request in buckets.requests())
    assert TOKEN not in ran.stdout + ran.stderr
    for name in buckets.names("bkt"):
        if name.startswith(below):
            assert TOKEN.encode() not in buckets.get(f"bkt/{name}"), name
    hub_requests = hub.requests()
    assert any(request["authorization"] for request in hub_requests if "/resolve/" in request["path"])


@pytest.mark.parametrize("number, code", [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["SIGTERM", "SIGINT"])
def test_a_stopped_run_ends_in_seconds_and_the_same_command_goes_on(number: int, code: int, below: str, buckets: Stub,
                                                                    bench_model: Path, monkeypatch):
    """The stop comes in the middle of reads and uploads: no object that a loader would take, and the upload waits."""
    with started("hf", "--repo", f"org/bench={bench_model}") as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        process = subprocess.Popen([support.PROGRAM, "convert", "org/bench", f"gs://bkt/{below}", "--to",
                                    "jetstream-pytorch", "--memory", "256MiB", "--quiet"], stderr=subprocess.PIPE, text=True)
        until = time.monotonic() + 60
        while not any(request["method"] == "PUT" and "partNumber" in request["query"] for request in buckets.requests()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.02)
        process.send_signal(number)
        told = time.monotonic()
        _, errors = process.communicate(timeout=WITHIN_S)
        print(f"exit {process.returncode} after {time.monotonic() - told:.2f} s")
        assert process.returncode == code, errors
        assert "run the same command again" in errors
        assert not [name for name in left(buckets, below) if not name.startswith((f"{below}/.ckpt-state/", "unfinished"))]
        support.run("convert", "org/bench", f"gs://bkt/{below}", "--to", "jetstream-pytorch", "--memory", "256MiB", expect=0)
    assert sorted(left(buckets, below)) == [f"{below}/.ckpt-state/report.json", f"{below}/.ckpt-state/state.json",
                                            f"{below}/model.safetensors"]


def test_a_destination_that_holds_something_is_refused(below: str, buckets: Stub):
    buckets.put(f"bkt/{below}/model.safetensors", b"somebody's")
    ran = convert(below, expect=None)
    support.assert_refused(ran, 73, "model.safetensors", "--overwrite")
    assert buckets.get(f"bkt/{below}/model.safetensors") == b"somebody's"
    convert(below, "--overwrite")
    whole(buckets, below)
