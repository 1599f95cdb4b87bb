"""Quantized Hugging Face outputs in a bucket: the bytes of the local conversion, by one run and by shards, and the check of them."""

from pathlib import Path

import pytest

import ct_reference
import ct_sources
import support
from started import Stub
from test_to_buckets import objects, report

SIZE = ct_sources.Size("llama", dim=2048, heads=4, kv_heads=2, head_dim=126, mlp=4999, layers=1, vocab=100)  # test_compressed_tensors_runs.py


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ct") / "in"
    ct_sources.write_tensors(folder, ct_sources.tensors_of(ct_sources.make(SIZE)), SIZE.config())
    return folder


@pytest.mark.parametrize("word", ["fp8-block", "w4a16-asym"])
def test_a_bucket_gets_the_local_bytes(word: str, source: Path, below: str, buckets: Stub, tmp_path: Path):
    ct_sources.convert(source, tmp_path / "out", word)
    local = {path: (tmp_path / "out" / path).read_bytes() for path in support.outputs_of(tmp_path / "out")}
    place = f"gs://bkt/{below}"
    ct_sources.convert(source, f"{place}/one", word, "--bundle-size", "1MiB", "--threads", "5")
    assert objects(buckets, f"{below}/one") == local
    assert report(buckets, f"{below}/one")["network"]["retries"] == {}
    for index in (1, 0, 2):
        ct_sources.convert(source, f"{place}/shards", word, "--shard", f"{index}/3", "--bundle-size", "1MiB")
    assert objects(buckets, f"{below}/shards") == local
    support.run("verify", f"{place}/shards", expect=0)
    support.run("verify", f"{place}/shards", "--source", source, expect=0)
    assert buckets.uploads() == {"resumable": [], "multipart": []}


@pytest.mark.parametrize("word", ["fp8-block", "w4a16-asym"])
def test_several_files_in_a_bucket_are_the_local_ones(word: str, source: Path, below: str, buckets: Stub, tmp_path: Path):
    flags = ("--max-shard-size", "4MB", "--bundle-size", "1MiB", "--memory", "256MiB")
    ct_sources.convert(source, tmp_path / "out", word, *flags)
    ran = ct_sources.convert(source, f"gs://bkt/{below}", word, *flags)
    assert objects(buckets, below) == {path: (tmp_path / "out" / path).read_bytes() for path in support.outputs_of(tmp_path / "out")}
    assert ran.peak_rss_bytes <= (256 + 64) * support.MIB
    tensors = {name: tensor for path in (tmp_path / "out").glob("*.safetensors") for name, tensor in support.read_tensors(path).items()}
    assert ct_sources.different({name: (dtype, tuple(shape), data) for name, (dtype, shape, data) in tensors.items()},
                                ct_reference.quantize_model(ct_sources.read(source), word)[0]) == []


def test_what_has_no_codes_leaves_nothing_to_load_in_a_bucket(below: str, buckets: Stub, tmp_path: Path):
    size = ct_sources.Size("llama", dim=256, heads=4, kv_heads=2, head_dim=64, mlp=384, vocab=32)
    weights = ct_sources.make(size)
    weights["model.layers.1.mlp.up_proj.weight"][383, 255] = 0x7FC0  # NaN
    ct_sources.write_tensors(tmp_path / "in", ct_sources.tensors_of(weights), size.config())
    ran = ct_sources.convert(tmp_path / "in", f"gs://bkt/{below}", "w4a16-asym", expect=65)
    support.assert_refused(ran, 65, "NaN at index [383, 255]")
    assert [name for name in objects(buckets, below) if not name.startswith(".ckpt-tmp/")] == []  # pieces that the next run goes on with
    support.run("clean", f"gs://bkt/{below}", "--force", expect=0)
    assert objects(buckets, below) == {}
    assert buckets.uploads() == {"resumable": [], "multipart": []}
