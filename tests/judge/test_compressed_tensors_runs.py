"""Quantized outputs do not depend on how they are made; files are the reference writer's; the check afterwards sees every part."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import safetensors

import ct_reference
import ct_sources
import support
from ct_sources import convert, different, read

WORDS = ("fp8-block", "w4a16-asym", "w8a16-channel")  # rows that wait for one another in groups, in words of zero points; neither
# Matrices of more than 16 MiB are cut between bundles. 4999 is prime: the cut is at row 4096, and the last rows are no whole group.
SIZE = ct_sources.Size("llama", dim=2048, heads=4, kv_heads=2, head_dim=126, mlp=4999, layers=1, vocab=100)
WHOLE = ct_sources.Size("llama", dim=640, heads=4, kv_heads=2, head_dim=64, mlp=1920, layers=3, vocab=200)  # as MaxText keeps exactly
LEAST_BUNDLES = {"fp8-block": 9, "w4a16-asym": 11, "w8a16-channel": 10}  # fewer if matrices stayed whole
ALLOWANCE = 64 * support.MIB  # what a process has outside the budget: test_budget.py
HF_RUNS = {
    "one thread": ["--threads", "1"],
    "five threads": ["--threads", "5"],
    "least memory": ["--memory", "128MiB", "--threads", "2"],
    "small bundles": ["--bundle-size", "1MiB", "--threads", "2"],
    "small bundles, five threads, direct": ["--bundle-size", "1MiB", "--threads", "5", "--io", "direct", "--memory", "128MiB"],
    "buffered": ["--bundle-size", "3MiB", "--io", "buffered"],
}
BOX_RUNS = {name: HF_RUNS[name] for name in ("one thread", "least memory", "small bundles, five threads, direct")}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """66 MB; returns (folder, tensors)."""
    folder = tmp_path_factory.mktemp("runs") / "in"
    return folder, ct_sources.write_tensors(folder, ct_sources.tensors_of(ct_sources.make(SIZE)), SIZE.config())


@pytest.fixture(scope="module", params=WORDS)
def whole(request, source, tmp_path_factory):
    """(word, the source, its tensors, the output of a run with nothing said)."""
    out = tmp_path_factory.mktemp(request.param) / "out"
    convert(source[0], out, request.param)
    return request.param, *source, out


def test_large_matrices_have_the_references_codes(whole):
    word, _, tensors, out = whole
    assert different(read(out), ct_reference.quantize_model(tensors, word)[0]) == []


def test_bytes_do_not_depend_on_threads_memory_bundles_or_io(whole, tmp_path):
    word, source, _, out = whole
    expected, bundles = support.outputs_of(out), set()
    for name, flags in HF_RUNS.items():
        convert(source, tmp_path / name, word, *flags)
        assert support.outputs_of(tmp_path / name) == expected, name
        bundles.add(support.report(tmp_path / name)["bundles"])
        shutil.rmtree(tmp_path / name)
    assert max(bundles) >= LEAST_BUNDLES[word], bundles


def test_shards_make_a_single_runs_bytes(whole, tmp_path):
    word, source, _, out = whole
    for place in ([0, 1, 2], [2, 0, 1]):
        folder = tmp_path / "-".join(map(str, place))
        for index in place:
            convert(source, folder, word, "--shard", f"{index}/3", "--bundle-size", "1MiB")
        assert support.outputs_of(folder) == support.outputs_of(out)


def test_what_is_made_together_is_not_cut_where_the_plan_would_cut(tmp_path):
    """Of 4100 rows half are a band: no whole blocks, nor whole words of zero points. By rows they may be cut there."""
    size = replace(SIZE, mlp=4100, head_dim=32)
    tensors = ct_sources.write_tensors(tmp_path / "in", ct_sources.tensors_of(ct_sources.make(size)), size.config())
    for word in WORDS:
        convert(tmp_path / "in", tmp_path / word, word, "--bundle-size", "1MiB")
        assert different(read(tmp_path / word), ct_reference.quantize_model(tensors, word)[0]) == [], word


@pytest.mark.parametrize("word", WORDS)
def test_matrices_that_lie_transposed_give_the_same_whatever_the_run(word, tmp_path):
    """MaxText's: rows are collected from boxes of many."""
    tensors = ct_sources.tensors_of(ct_sources.make(WHOLE, is_planted=False))
    ct_sources.write_tensors(tmp_path / "in", tensors, WHOLE.config())
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("scanned",))
    expected = ct_reference.quantize_model(tensors, word)[0]
    for name, flags in BOX_RUNS.items():
        convert(support.items(tmp_path / "maxtext", "scanned"), tmp_path / name, word, "--config", tmp_path / "in/config.json", *flags)
        assert different(read(tmp_path / name), expected) == [], name


# --- files

DTYPES = {"BF16": "bfloat16", "F8_E4M3": "float8_e4m3fn", "I8": "int8", "I32": "int32", "I64": "int64"}


def reference_bytes(tensors):
    """What the safetensors package writes of {name: (dtype, shape, bytes)}."""
    held = {name: np.frombuffer(data, np.uint8) for name, (_, _, data) in tensors.items()}  # as long as it is read
    specs = {name: safetensors.TensorSpec(dtype=DTYPES[dtype], shape=list(shape), data_ptr=held[name].ctypes.data,
                                          data_len=held[name].nbytes) for name, (dtype, shape, _) in tensors.items()}
    return bytes(safetensors.serialize(specs, metadata={"format": "pt"}))


@pytest.mark.parametrize("word", ct_reference.SCHEMES)
def test_a_file_is_the_reference_writers_to_the_last_byte(word, tmp_path):
    ct_sources.write(tmp_path / "in", "llama")
    convert(tmp_path / "in", tmp_path / "out", word)
    made = tmp_path / "out/model.safetensors"
    assert made.read_bytes() == reference_bytes(dict(sorted(support.read_tensors(made).items())))


def module_of(name):
    stem, _, part = name.rpartition(".")
    return stem if part.startswith("weight") else name


@pytest.mark.parametrize("word", WORDS)
def test_what_belongs_to_a_module_lies_in_one_file(word, source, tmp_path):
    limit = 3_000_000
    convert(source[0], tmp_path / "out", word, "--max-shard-size", str(limit))
    paths = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(paths) >= 6 and paths[0].name == f"model-00001-of-{len(paths):05}.safetensors"
    places, weight_map, total = {}, {}, 0
    for path in paths:
        tensors = support.read_tensors(path)
        assert path.read_bytes() == reference_bytes(tensors)
        assert path.stat().st_size <= limit or len({module_of(name) for name in tensors}) == 1
        for name, (_, _, data) in tensors.items():
            places.setdefault(module_of(name), set()).add(path.name)
            weight_map[name] = path.name
            total += len(data)
    assert {module: found for module, found in places.items() if len(found) > 1} == {}
    index = json.loads((tmp_path / "out/model.safetensors.index.json").read_text())
    assert index == {"metadata": {"total_size": total}, "weight_map": weight_map}
    convert(source[0], tmp_path / "one", word)
    assert different(read(tmp_path / "out"), read(tmp_path / "one")) == []
    assert (tmp_path / "out/config.json").read_bytes() == (tmp_path / "one/config.json").read_bytes()
    for index in range(3):
        convert(source[0], tmp_path / "shards", word, "--max-shard-size", str(limit), "--shard", f"{index}/3", "--bundle-size", "1MiB")
    assert support.outputs_of(tmp_path / "shards") == support.outputs_of(tmp_path / "out")


# --- afterwards

@pytest.mark.parametrize("flags", [(), ("--ct-arithmetic", "cpu", "--ignore", "re:.*layers.0.mlp", "--max-shard-size", "3MB")],
                         ids=["plain", "all settings"])
def test_verifying_takes_the_settings_from_the_report(flags, whole, tmp_path):
    word, source, _, _ = whole
    convert(source, tmp_path / "out", word, *flags)
    support.run("verify", tmp_path / "out", expect=0)
    support.run("verify", tmp_path / "out", "--source", source, expect=0)


@pytest.mark.parametrize("part", ["weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "model.norm.weight"])
def test_verifying_finds_a_flipped_bit_in_every_part(part, source, tmp_path):
    convert(source[0], tmp_path / "out", "w4a16-asym")
    path = tmp_path / "out/model.safetensors"
    file = support.SafetensorsFile(path)
    name = next(name for name in file.entries if name.endswith(part))
    at = file.data_start + file.entries[name].end - 1
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    for flags in ((), ("--source", source[0])):
        ran = support.run("verify", tmp_path / "out", *flags)
        assert ran.exit_code not in (0, 70) and name in ran.stdout + ran.stderr, (ran.exit_code, ran.stderr)


def test_verifying_finds_other_weights(source, tmp_path):
    convert(source[0], tmp_path / "out", "w4a16-asym")
    weights = ct_sources.make(SIZE)
    weights["model.layers.0.mlp.up_proj.weight"][4998, 1] += 0x0100  # a value four times as large, in the last row
    ct_sources.write_tensors(tmp_path / "other", ct_sources.tensors_of(weights), SIZE.config())
    ran = support.run("verify", tmp_path / "out", "--source", tmp_path / "other")
    assert ran.exit_code not in (0, 70)
    assert "model.layers.0.mlp.up_proj" in ran.stdout + ran.stderr


# --- memory

@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """330 MB, on the build folder's disk."""
    folder = support.DATA / "ct-large"
    shutil.rmtree(folder, ignore_errors=True)
    support.small(folder, adversarial=False, layers=3, dim=2048, heads=16, kv_heads=4, head_dim=128, mlp=6400, vocab=8000)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("memory", [128, 256])
@pytest.mark.parametrize("word", ["fp8-block", "w4a16-asym"])
def test_peak_rss_stays_within_the_budget_and_64_mib(word, memory, large):
    size = sum(path.stat().st_size for path in large.glob("*.safetensors"))
    assert size > 300_000_000
    ran = convert(large, "null:", word, "--memory", f"{memory}MiB", "--threads", "5")
    print(f"{word}: peak RSS {ran.peak_rss_bytes / support.MIB:.0f} MiB of {memory} MiB, {ran.wall_s:.2f} s, {ran.cpu_s:.2f} s CPU")
    assert ran.peak_rss_bytes <= memory * support.MIB + ALLOWANCE
