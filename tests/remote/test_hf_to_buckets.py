"""Hugging Face outputs of several files, into a folder and into a bucket: the same bytes however they are made, held to their report
and their source, within the budget."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import hf_checkpoint
import support
from started import Stub, started

SHAPE = {"layers": 3, "dim": 512, "heads": 4, "kv_heads": 2, "head_dim": 128, "mlp": 1408, "vocab": 2048}  # 20 MB
LIMIT, LIMIT_BYTES = "6MB", 6_000_000
LARGE = support.make_model.Shape(3, 2048, 16, 4, 5632, 16000, 128)  # 400 MB
BUDGET = 128 * support.MIB
ALLOWANCE = 64 * support.MIB  # what a process has outside the budget
WAYS = {
    "one thread": ["--threads", "1"],
    "two threads": ["--threads", "2"],
    "five threads": ["--threads", "5"],
    "least budget": ["--memory", "128MiB", "--threads", "5"],
    "small bundles": ["--bundle-size", "1MiB", "--threads", "2"],
    "small bundles, five threads, least budget": ["--bundle-size", "1MiB", "--threads", "5", "--memory", "128MiB"],
    "three shards": ["--shard"],
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model with its tokenizer."""
    folder = tmp_path_factory.mktemp("hf") / "in"
    support.small(folder, adversarial=False, **SHAPE)
    (folder / "tokenizer.json").write_text('{"a": 1}')
    return folder


@pytest.fixture(scope="module")
def expected(model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """By limit, {file: SHA-256} of an undisturbed local run, whose files are the reference's."""
    made = {}
    for limit in ("", LIMIT):
        folder = tmp_path_factory.mktemp("expected") / "out"
        hf_checkpoint.convert(model, folder, *flags_of(limit))
        files = hf_checkpoint.assert_well_made(folder, LIMIT_BYTES if limit else hf_checkpoint.MOST_BYTES)
        assert files >= 4 if limit else files == 1
        assert hf_checkpoint.different(hf_checkpoint.read(folder), hf_checkpoint.read(model)) == []
        made[limit] = support.outputs_of(folder)
    return made


@pytest.fixture
def outputs(buckets: Stub, below: str, tmp_path: Path) -> dict[str, tuple[str, Callable[[], dict[str, str]]]]:
    """By place: where an output goes, and what then lies there, by {file: SHA-256}."""
    def of_bucket() -> dict[str, str]:
        found = {}
        for name in buckets.names("bkt"):
            if name.startswith(below + "/") and "/.ckpt-state/" not in name:
                (tmp_path / "object").write_bytes(buckets.get(f"bkt/{name}"))
                found[name.removeprefix(below + "/")] = support.fingerprint(tmp_path / "object")
        return found
    return {"file": (str(tmp_path / "out"), lambda: support.outputs_of(tmp_path / "out")), "gs": (f"gs://bkt/{below}", of_bucket)}


def flags_of(limit: str) -> list[str]:
    return ["--max-shard-size", limit] if limit else []


@pytest.mark.parametrize("place", ["file", "gs"])
@pytest.mark.parametrize("limit", ["", LIMIT], ids=["one file", "several"])
@pytest.mark.parametrize("way", WAYS)
def test_bytes_depend_on_the_source_and_the_limit_alone(way: str, limit: str, place: str, model: Path, outputs: dict,
                                                       expected: dict, buckets: Stub):
    uri, made = outputs[place]
    if WAYS[way] == ["--shard"]:
        for index in (2, 0, 1):
            assert "config.json" not in made()
            hf_checkpoint.convert(model, uri, "--bundle-size", "1MiB", "--threads", "1", "--shard", f"{index}/3", *flags_of(limit))
    else:
        hf_checkpoint.convert(model, uri, *WAYS[way], *flags_of(limit))
    assert made() == expected[limit]
    assert buckets.uploads() == {"resumable": [], "multipart": []}


@pytest.mark.parametrize("place", ["file", "gs"])
def test_a_finished_output_is_verified_and_done(place: str, model: Path, outputs: dict, expected: dict):
    uri, made = outputs[place]
    hf_checkpoint.convert(model, uri, *flags_of(LIMIT))
    assert support.run("verify", uri, "--quiet", expect=0).stdout.startswith("ok: 30 arrays")
    assert support.run("verify", uri, "--source", model, "--quiet", expect=0).stdout.startswith("ok: 30 arrays")
    again = hf_checkpoint.convert(model, uri, *flags_of(LIMIT))
    assert again.stdout.startswith("converted already, nothing to do")
    assert made() == expected[LIMIT]
    assert "committed" in support.run("status", uri, expect=0).stdout
    support.assert_refused(hf_checkpoint.convert(model, uri, expect=73), 73, "--overwrite")  # one file is another output
    assert made() == expected[LIMIT]


def flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


@pytest.mark.parametrize("place", ["file", "gs"])
def test_one_flipped_byte_of_the_second_file_is_found(place: str, model: Path, outputs: dict, buckets: Stub, below: str):
    uri, _ = outputs[place]
    hf_checkpoint.convert(model, uri, *flags_of(LIMIT))
    name = next(name for name in outputs[place][1]() if name.startswith("model-00002-"))

    def read() -> bytes:
        return buckets.get(f"bkt/{below}/{name}") if place == "gs" else Path(uri, name).read_bytes()

    def write(data: bytes) -> None:
        if place == "gs":
            buckets.put(f"bkt/{below}/{name}", data)
        else:
            Path(uri, name).write_bytes(data)
    whole = read()
    for at in (len(whole) // 2, len(whole) - 1):
        write(flip(whole, at))
        tensor = tensor_at(whole, at)
        support.assert_refused(support.run("verify", uri, "--quiet"), 65, tensor, "CRC-32C")
        support.assert_refused(support.run("verify", uri, "--source", model, "--quiet"), 65, tensor, name)
    write(whole)
    support.run("verify", uri, "--quiet", expect=0)


def tensor_at(data: bytes, at: int) -> str:
    """The tensor that a byte of a safetensors file belongs to."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__")
    return next(name for name, entry in header.items() if entry["data_offsets"][0] <= at - 8 - length < entry["data_offsets"][1])


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", hf_checkpoint.INDEX])
def test_a_changed_file_beside_is_found(name: str, model: Path, tmp_path: Path):
    hf_checkpoint.convert(model, tmp_path / "out", *flags_of(LIMIT))
    path = tmp_path / "out" / name
    path.write_text(path.read_text() + " ")
    support.assert_refused(support.run("verify", tmp_path / "out", "--quiet"), 65, name, "changed")


# --- some hundred MB

@pytest.fixture(scope="module")
def large() -> Path:
    with support.shared_folder("hf-400mb") as folder:
        support.make_model.make(folder, LARGE, 2)
    return folder


def test_several_files_pass_within_the_budget(large: Path, disk: Path, below: str, monkeypatch: pytest.MonkeyPatch):
    """Into a folder, into a sink, and into a bucket with 16 connections, from where no block is written here."""
    flags = ("--memory", "128MiB", "--max-shard-size", "100MB")
    (disk / "buckets/bkt").mkdir(parents=True)
    with started("gcs", "--folder", str(disk / "buckets")) as buckets:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", buckets.url)
        for place in (disk / "out", "null:", f"gs://bkt/{below}"):
            ran = hf_checkpoint.convert(large, place, *flags)
            held = f"{place}: peak RSS {ran.peak_rss_bytes / support.MIB:.0f} MiB, {ran.wall_s:.1f} s, {ran.cpu_s:.1f} s CPU"
            print(held)
            assert ran.peak_rss_bytes <= BUDGET + ALLOWANCE, held
        assert ran.written_blocks == 0
    made = support.outputs_of(disk / "out")
    assert len(made) >= 4 + 2
    assert {name: digest for name, digest in support.contents(disk / "buckets/bkt" / below).items()
            if not name.startswith(".ckpt-state/")} == made
    assert hf_checkpoint.different(hf_checkpoint.read(disk / "out"), hf_checkpoint.read(large)) == []
    memory = support.report(disk / "out")["memory"]
    assert memory["granted_peak_bytes"] <= memory["planned_peak_bytes"] <= BUDGET
