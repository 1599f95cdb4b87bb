"""Conversions of a Kaggle model that comes as one archive only: unpacked to --scratch, with the bytes of one that is read file by file."""

import io
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import support
from started import Stub, started

HANDLE = "google/gemma/maxText/7b-it/2"
MODEL = support.GOLDEN / "maxtext/gemma-7b/kaggle"
KEY = "0123456789abcdefplanted"
WITHIN_S = 20
ARCHIVE = "^/kaggle-models-data/.*archive"
CREDENTIALS = ("--user", f"somebody:{KEY}", "--strict-redirect")


@pytest.fixture(scope="module")
def archive() -> Iterator[Stub]:
    """Kaggle, where the model's files cannot be listed."""
    with started("kaggle", "--model", f"{HANDLE}={MODEL}", "--archive-only", *CREDENTIALS) as stub:
        yield stub


@pytest.fixture(scope="module")
def by_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the same model gives where they can."""
    folder = tmp_path_factory.mktemp("by-files") / "out"
    with started("kaggle", "--model", f"{HANDLE}={MODEL}", *CREDENTIALS) as stub, pytest.MonkeyPatch.context() as patch:
        log_in(stub, patch)
        convert(folder)
    return folder


@pytest.fixture(autouse=True)
def logged_in(fresh: None, archive: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.clear_faults()
    archive.clear_requests()
    log_in(archive, monkeypatch)


def log_in(stub: Stub, patch: pytest.MonkeyPatch) -> None:
    for name, value in {"KAGGLE_API_ENDPOINT": stub.url, "KAGGLE_USERNAME": "somebody", "KAGGLE_KEY": KEY}.items():
        patch.setenv(name, value)


def words(folder: object, *flags: object) -> list[str]:
    return ["convert", f"kaggle://{HANDLE}", str(folder), "--to", "maxtext", "--outputs", "scanned,unscanned", "--quiet", *map(str, flags)]


def convert(folder: object, *flags: object, expect: int | None = 0) -> support.Run:
    return support.run(*words(folder, *flags), expect=expect)


def outputs(folder: Path) -> dict[str, str]:
    """Every file but the report and what else tells of the run."""
    return {name: digest for name, digest in support.contents(folder).items() if ".ckpt-state" not in name}


def is_empty(scratch: Path) -> bool:
    return list(scratch.iterdir()) == []


def until(is_so, process: subprocess.Popen) -> None:
    end = time.monotonic() + WITHIN_S
    while not is_so():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def archive_requests(stub: Stub) -> list[dict]:
    return [one for one in stub.requests() if "archive" in one["path"] and one["range"] != "bytes=0-0"]


def test_an_archive_gives_the_same_bytes_and_leaves_no_scratch(tmp_path: Path, by_files: Path, archive: Stub):
    ran = convert(tmp_path / "out", "--scratch", tmp_path / "scratch", "--memory", "128MiB")
    assert outputs(tmp_path / "out") == outputs(by_files) != {}
    assert is_empty(tmp_path / "scratch")
    assert "comes as one archive of" in ran.stderr and str(tmp_path / "scratch") in ran.stderr
    assert len(archive_requests(archive)) == 1
    assert ran.peak_rss_bytes < (128 + 64) * support.MIB
    again = support.run("verify", tmp_path / "out", "--source", f"kaggle://{HANDLE}", "--scratch", tmp_path / "scratch", expect=0)
    assert "byte for byte" in again.stdout
    support.run("inspect", f"kaggle://{HANDLE}", "--scratch", tmp_path / "scratch", expect=0)
    assert is_empty(tmp_path / "scratch")
    seen = ran.stderr + (tmp_path / "out/.ckpt-state/report.json").read_text()
    assert KEY not in seen and "X-Goog" not in seen


def test_without_scratch_the_bytes_and_the_volume_are_told(tmp_path: Path, archive: Stub):
    ran = convert(tmp_path / "out", expect=None)
    support.assert_refused(ran, 73, "bytes of disk", "--scratch DIR", "volumeClaimTemplate", "mountPath: /scratch", "- --scratch=/scratch")
    assert not (tmp_path / "out").exists() and archive_requests(archive) == []


def test_a_cut_connection_goes_on_where_it_was(tmp_path: Path, by_files: Path, archive: Stub):
    archive.faults([{"path": ARCHIVE, "range_matches": "bytes=[0-9]+-[1-9]", "times": 2, "cut_after": 90_000}])
    convert(tmp_path / "out", "--scratch", tmp_path / "scratch")
    assert archive.fault_rules()[0]["applied"] == 2
    ranges = [one["range"] for one in archive_requests(archive)]
    assert [text.split("-")[0] for text in ranges] == ["bytes=0", "bytes=90000", "bytes=180000"], ranges
    assert outputs(tmp_path / "out") == outputs(by_files)


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 143)], ids=["SIGKILL", "SIGTERM"])
def test_a_run_that_ends_while_it_unpacks_is_begun_again(number: int, code: int, tmp_path: Path, by_files: Path, archive: Stub):
    scratch = tmp_path / "scratch"
    archive.faults([{"path": ARCHIVE, "range_matches": "bytes=[0-9]+-[1-9]", "times": 1, "stall_after": 100_000, "seconds": 5}])
    process = subprocess.Popen([support.PROGRAM, *words(tmp_path / "out", "--scratch", scratch)], stderr=subprocess.PIPE, text=True)
    until(lambda: archive_requests(archive), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=WITHIN_S)
    assert process.returncode == code, errors
    assert is_empty(scratch) == (number == signal.SIGTERM)
    archive.clear_faults()
    convert(tmp_path / "out", "--scratch", scratch)
    assert outputs(tmp_path / "out") == outputs(by_files)
    assert is_empty(scratch)


def test_what_a_killed_run_unpacked_is_taken_and_removed(below: str, tmp_path: Path, archive: Stub, buckets: Stub, by_files: Path):
    scratch = tmp_path / "scratch"
    buckets.faults([{"method": "PUT|POST", "times": 100, "delay": 3}])
    process = subprocess.Popen([support.PROGRAM, *words(f"gs://bkt/{below}", "--scratch", scratch)], stderr=subprocess.PIPE, text=True)
    until(lambda: any(one["method"] in ("PUT", "POST") for one in buckets.requests()), process)
    process.kill()
    process.communicate()
    assert not is_empty(scratch)
    buckets.clear_faults()
    archive.clear_requests()
    ran = convert(f"gs://bkt/{below}", "--scratch", scratch)
    assert "is taken" in ran.stderr and archive_requests(archive) == []
    assert is_empty(scratch)
    for name, path in ((name, by_files / name) for name in outputs(by_files)):
        assert buckets.get(f"bkt/{below}/{name}") == path.read_bytes(), name


def test_two_shards_share_what_one_of_them_unpacked(tmp_path: Path, archive: Stub, by_files: Path):
    scratch = tmp_path / "scratch"
    archive.faults([{"path": ARCHIVE, "range_matches": "bytes=[0-9]+-[1-9]", "times": 1, "delay": 2}])
    shards = []
    for shard in range(2):
        flags = ("--scratch", scratch, "--shard", f"{shard}/2")
        shards.append(subprocess.Popen([support.PROGRAM, *words(tmp_path / "out", *flags)], stderr=subprocess.PIPE, text=True))
        until(lambda: archive_requests(archive), shards[0])  # it is at it when the second begins
    said = [shard.communicate(timeout=WITHIN_S)[1] for shard in shards]
    assert [shard.returncode for shard in shards] == [0, 0], said
    assert len(archive_requests(archive)) == 1 and "".join(said).count("lies unpacked in") == 1
    assert "".join(said).count("is taken") == 1, said
    assert outputs(tmp_path / "out") == outputs(by_files)
    assert is_empty(scratch)


def packed(tmp_path: Path, member: tarfile.TarInfo, data: bytes = b"") -> Path:
    """An archive of the model's own files, then that member."""
    with tarfile.open(tmp_path / "packed", "w:gz", compresslevel=1) as archive:
        archive.add(MODEL, arcname="7b-it")
        archive.addfile(member, io.BytesIO(data))
    return tmp_path / "packed"


def member(name: str, size: int = 0, **more: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    for key, value in more.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize("name, info, size, mentions", [
    ("traversal", member("../../evil"), 0, ("../../evil", "unsafe name")),
    ("link", member("7b-it/link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), 0, ("7b-it/link", "a symbolic link")),
    ("bomb", member("zeros", 30 << 20), 30 << 20, ("zeros", "--max-archive-bytes", "more than the 10485760 bytes")),
    ("truncated", member("good", 3), 3, ("cut off", "byte")),
])
def test_a_hostile_archive_is_refused_and_removed(name: str, info: tarfile.TarInfo, size: int, mentions: tuple, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch):
    file = packed(tmp_path, info, bytes(size))
    if name == "truncated":
        os.truncate(file, file.stat().st_size - 1000)
    with started("kaggle", "--model", f"{HANDLE}={MODEL}", "--archive-only", "--archive", f"{HANDLE}={file}", *CREDENTIALS) as stub:
        log_in(stub, monkeypatch)
        ran = convert(tmp_path / "out", "--scratch", tmp_path / "scratch", "--max-archive-bytes", "10MiB", expect=None)
    support.assert_refused(ran, 65, *mentions)
    assert "X-Goog" not in ran.stderr and KEY not in ran.stderr
    assert is_empty(tmp_path / "scratch") and not (tmp_path / "out").exists() and not (tmp_path / "evil").exists()
