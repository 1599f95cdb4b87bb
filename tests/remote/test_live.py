"""`./dev test live` against the stand-ins: it passes, says what it touches, and leaves nothing behind, however it ends."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import support
from started import Stub, started

CHECKS = 19


@pytest.fixture
def place(below: str, buckets: Stub, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder for live runs, with an object of somebody else in it and one beside it."""
    buckets.put(f"bkt/{below}/model/config.json", b"{}")
    buckets.put(f"bkt/{below}-ckpt-live-not-ours", b"{}")
    monkeypatch.setenv("CKPT_LIVE_BUCKET", f"gs://bkt/{below}/")
    monkeypatch.setenv("CKPT_LIVE_REPOSITORY", "org/llama3")
    return below


def start(*flags: str) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, str(support.ROOT / "tests/live/live.py"), "--program", str(support.PROGRAM), *flags],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def live(*flags: str) -> tuple[int, str]:
    with start(*flags) as process:
        said, _ = process.communicate(timeout=300)
        return process.returncode, said


def left(buckets: Stub, place: str) -> list[str]:
    """What lies below the place beside the object of somebody else; the object beside must be there too."""
    names = buckets.names("bkt")
    assert f"{place}/model/config.json" in names and f"{place}-ckpt-live-not-ours" in names
    return [name for name in names if name.startswith(f"{place}/") and name != f"{place}/model/config.json"]


def unfinished(buckets: Stub, place: str) -> list[str]:
    return [name for names in json.loads(buckets.control("GET", "uploads")).values() for name in names if name.startswith(place)]


def await_an_object(buckets: Stub, place: str) -> None:
    ends = time.monotonic() + 60
    while not left(buckets, place):
        assert time.monotonic() < ends, "nothing was written"
        time.sleep(0.02)


def test_every_check_passes_and_nothing_is_left(place: str, buckets: Stub, hub: Stub):
    status, said = live("--yes")
    assert status == 0, said
    assert said.splitlines()[-1] == f"{CHECKS} passed, 0 failed", said
    assert f"gs://bkt/{place}/ckpt-live-" in said.splitlines()[0] and "org/llama3" in said.splitlines()[1]
    assert left(buckets, place) == unfinished(buckets, place) == []
    assert any(request["path"].startswith("/org/llama3/") for request in hub.requests())
    touched = [request for request in buckets.requests() if request["method"] in ("PUT", "DELETE")]
    assert touched and all("ckpt-live-" in request["path"] + request["query"] or "upload_id" in request["query"]
                           for request in touched)


def test_a_check_that_fails_is_counted_and_nothing_is_left(place: str, buckets: Stub):
    buckets.faults([{"method": "GET", "path": "api%2Fsmall$", "query": "alt=media", "times": 1, "status": 200, "body": "wrong"}])
    status, said = live("--yes")
    assert status == 1 and said.splitlines()[-1] == f"{CHECKS - 1} passed, 1 failed", said
    assert "FAILED" in said and "other bytes come back" in said
    assert left(buckets, place) == unfinished(buckets, place) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_leaves_nothing(number: signal.Signals, place: str, buckets: Stub):
    buckets.faults([{"method": "PUT", "query": "upload_id", "times": 1, "delay": 1}])
    with start("--yes") as process:
        await_an_object(buckets, place)
        process.send_signal(number)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert "everything made here is removed: passed" in said
    assert left(buckets, place) == []


def test_what_a_killed_run_left_can_be_removed(place: str, buckets: Stub):
    buckets.faults([{"method": "PUT", "query": "upload_id", "times": 1, "delay": 1}])
    with start("--yes") as process:
        await_an_object(buckets, place)
        process.kill()
        assert "./dev test live --remove" in process.communicate(timeout=60)[0]
    folder = re.match(f"{place}/ckpt-live-[^/]+/", left(buckets, place)[0])[0]
    begin = urllib.request.Request(f"{buckets.url}/bkt/{folder}part?uploads", data=b"", method="POST")
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(begin, timeout=60).close()
    assert f"{folder}part" in unfinished(buckets, place)

    status, said = live("--remove")
    assert status == 64 and folder.split("/")[1] in said, said
    assert left(buckets, place)
    status, said = live("--remove", "--yes")
    assert status == 0, said
    assert left(buckets, place) == []
    assert f"{folder}part" not in unfinished(buckets, place)


def test_nothing_is_touched_without_a_place_or_consent(place: str, buckets: Stub, monkeypatch: pytest.MonkeyPatch):
    buckets.clear_requests()
    status, said = live()
    assert status == 64 and "--yes" in said and f"gs://bkt/{place}/" in said
    for text in ("", "bkt/folder", "gs://"):
        monkeypatch.setenv("CKPT_LIVE_BUCKET", text)
        status, said = live("--yes")
        assert status == 64 and "CKPT_LIVE_BUCKET" in said
    assert buckets.requests() == []


def test_an_emulator_never_sees_the_token(monkeypatch: pytest.MonkeyPatch, place: str, buckets: Stub):
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", "ya29.planted")
    assert live("--remove", "--yes")[0] == 0
    assert buckets.requests() and not any(request["authorization"] for request in buckets.requests())


def test_a_token_that_ran_out_is_asked_for_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """gcloud gives one that the service refuses, then a good one."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(f'#!/bin/sh\n[ "$1" = auth ] || exit 1\nif [ -e {tmp_path}/asked ]; then echo good; else echo old; fi\n'
                      f': >{tmp_path}/asked\n')
    gcloud.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    with started("gcs", "--bucket", "bkt", "--tokens", "good") as stub:
        bucket = support.load(support.ROOT / "tests/live/bucket.py").Bucket("bkt")
        assert bucket.endpoint == "https://storage.googleapis.com"
        bucket.endpoint = stub.url
        assert bucket.objects("") == {}
        assert [request["status"] for request in stub.requests()] == [401, 200]
