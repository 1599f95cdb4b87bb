"""On an emulator by others: what holds on our own stub alone might be a misunderstanding of both."""

import json
import re
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

import fake_gcs
import support
from repositories import LLAMA3
from test_to_buckets import KINDS, hold_by_tensorstore, hold_maxtext, objects, report

# Of the store's suite, what this server cannot do: of parts that are composed nobody can say that their upload is gone.
WITHOUT = "-*KeptObject*"


@pytest.fixture(scope="module")
def fake() -> Iterator[fake_gcs.FakeGcs]:
    with fake_gcs.running() as server:
        yield server


@pytest.fixture(autouse=True)
def _fake_is_gcs(fresh: None, fake: fake_gcs.FakeGcs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", fake.url)


def test_the_suite_of_every_store_holds(fake: fake_gcs.FakeGcs):
    fake.make_bucket("bucket")
    suite = Path(support.PROGRAM).resolve().parents[2] / "tests/store/store_suite_test"
    done = subprocess.run([suite, f"--gtest_filter=*/Gs:{WITHOUT}"], cwd=support.ROOT, env={"PATH": "/usr/bin:/bin", "CKPT_GS_SERVER": fake.url},
                          capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert int(re.search(r"PASSED\W+(\d+) test", done.stdout)[1]) >= 22
    # The suite was this server's: nothing of it stays, but pages were listed and objects made.
    assert not [name for name in fake.names("bucket") if "/.ckpt-tmp/" in name]


@pytest.mark.parametrize("kind", KINDS)
def test_pytorch_from_the_hub_is_the_golden(kind: str, below: str, fake: fake_gcs.FakeGcs):
    support.convert("org/llama3", f"gs://bkt/{below}", kind=kind)
    golden = support.GOLDEN / f"jetstream-pytorch/llama-3-hf/{kind}/model.safetensors"
    assert objects(fake, below)["model.safetensors"] == golden.read_bytes()
    assert report(fake, below)["network"]["retries"] == {}
    support.run("verify", f"gs://bkt/{below}", "--source", "org/llama3", expect=0)


@pytest.mark.parametrize("flags", [(), ("--compression", "zstd:1"), ("--orbax-layout", "pathways")], ids=" ".join)
def test_maxtext_from_the_hub_is_the_local_conversion(flags: tuple, below: str, fake: fake_gcs.FakeGcs, disk: Path):
    hold_maxtext(fake, below, disk, *flags)


def test_tensorstore_reads_the_output(below: str, fake: fake_gcs.FakeGcs, disk: Path):
    hold_by_tensorstore(fake, below, disk)


def test_shards_make_what_one_run_makes(below: str, fake: fake_gcs.FakeGcs, tmp_path: Path):
    """26 MB in bundles of 1 MiB, of which several share a part: its pieces wait as objects, and parts are composed, once."""
    support.small(tmp_path / "in", layers=4, dim=512, mlp=1024, vocab=4096)
    for shard in (2, 0, 1):
        done = support.run("convert", tmp_path / "in", f"gs://bkt/{below}", "--to", "jetstream-pytorch", "--bundle-size", "1MiB",
                           "--shard", f"{shard}/3", expect=0)
        assert ("has no multipart uploads" in done.stderr) == (shard == 2), "said where the upload begins"
    support.convert(tmp_path / "in", tmp_path / "out")
    made = objects(fake, below)
    assert made["model.safetensors"] == (tmp_path / "out/model.safetensors").read_bytes()
    assert not [name for name in made if ".ckpt-tmp" in name]


def test_a_bucket_is_a_source(below: str, fake: fake_gcs.FakeGcs, disk: Path):
    for path in LLAMA3.iterdir():
        if path.is_file():
            fake.put(f"bkt/{below}/in/{path.name}", path.read_bytes())
    support.convert(f"gs://bkt/{below}/in", disk / "out")
    golden = support.GOLDEN / "jetstream-pytorch/llama-3-hf/bf16/model.safetensors"
    assert (disk / "out/model.safetensors").read_bytes() == golden.read_bytes()
    told, local = (json.loads(support.run("inspect", place, "--json", expect=0).stdout) for place in (f"gs://bkt/{below}/in", LLAMA3))
    assert told == local


def test_what_lies_there_is_refused_and_survives(below: str, fake: fake_gcs.FakeGcs):
    fake.put(f"bkt/{below}/notes.txt", b"somebody's")
    flags = ("convert", LLAMA3, f"gs://bkt/{below}", "--to", "jetstream-pytorch")
    support.assert_refused(support.run(*flags, expect=73), 73, "--overwrite")
    assert objects(fake, below) == {"notes.txt": b"somebody's"}
    support.run("convert", LLAMA3, "gs://no-such-bucket/out", "--to", "jetstream-pytorch", expect=73)
    with pytest.raises(urllib.error.HTTPError):
        fake.names("no-such-bucket")
    support.run(*flags, "--overwrite", expect=0)
    assert "model.safetensors" in objects(fake, below)
