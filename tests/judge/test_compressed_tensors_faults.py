"""Weights that have no codes end the run with the tensor and the index, in every scheme, and leave nothing that a loader takes."""

import numpy as np
import pytest

import bfloat16
import ct_reference
import ct_sources
import support
from ct_reference import SCHEMES
from ct_sources import convert, different, read

SIZE = ct_sources.Size("llama", dim=256, heads=4, kv_heads=2, head_dim=64, mlp=384, vocab=32)
MODULE = "model.layers.1.mlp.up_proj"
VALUES = {"NaN": np.nan, "infinity": np.inf}


def spoiled(folder, places, name=MODULE + ".weight"):
    """A model with these values at these (row, column) of one tensor; returns its tensors."""
    weights = ct_sources.make(SIZE)
    for (row, column), value in places.items():
        weights[name][row, column] = bfloat16.from_float32(np.float32([value]))[0]
    return ct_sources.write_tensors(folder, ct_sources.tensors_of(weights), SIZE.config())


def assert_nothing_to_load(folder):
    """What is finished waits under a name of no format, as the next run may go on with it."""
    assert {path.name for path in folder.glob("*")} <= {".ckpt-state", "model.safetensors.part"}
    assert support.loadable(folder) == []


def assert_refused_and_nothing_left(ran, folder, *words):
    support.assert_refused(ran, 65, *words)
    assert_nothing_to_load(folder)


@pytest.mark.parametrize("what", VALUES)
@pytest.mark.parametrize("word", SCHEMES)
def test_the_first_bad_value_is_named(word, what, tmp_path):
    """Beside a good one in its group, in the last and partial block, and a further one behind it."""
    spoiled(tmp_path / "in", {(300, 250): VALUES[what], (383, 255): -np.inf})
    ran = convert(tmp_path / "in", tmp_path / "out", word, expect=65)
    assert_refused_and_nothing_left(ran, tmp_path / "out", f"{what} at index [300, 250] cannot be quantized", MODULE + ".weight",
                                    "model.safetensors")


@pytest.mark.parametrize("word", SCHEMES)
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_the_first_and_the_last_value_of_a_tensor_are_looked_at(word, value, tmp_path):
    for place in ((0, 0), (383, 255)):
        spoiled(tmp_path / "in", {place: value})
        ran = convert(tmp_path / "in", tmp_path / f"out-{place[0]}", word, "--ct-arithmetic", "cpu", expect=65)
        assert_refused_and_nothing_left(ran, tmp_path / f"out-{place[0]}", f"index [{place[0]}, {place[1]}]", MODULE)


def test_an_expert_is_named_by_its_own_tensor(tmp_path):
    size = ct_sources.SIZES["mixtral"]
    weights, name = ct_sources.make(size), "model.layers.1.block_sparse_moe.experts.2.w2.weight"
    weights[name][5, 380] = 0x7FC0
    ct_sources.write_tensors(tmp_path / "in", ct_sources.tensors_of(weights), size.config())
    ran = convert(tmp_path / "in", tmp_path / "out", "w4a16", expect=65)
    assert_refused_and_nothing_left(ran, tmp_path / "out", "NaN at index [5, 380]", name)


def test_the_index_is_the_sources_own(tmp_path):
    """MaxText has the matrix transposed and layers stacked: [input, layer, output]."""
    spoiled(tmp_path / "in", {(300, 250): np.nan})
    support.convert_maxtext(tmp_path / "in", tmp_path / "maxtext", ("scanned",))
    for word in ("fp8-block", "w4a16-asym"):
        ran = convert(support.items(tmp_path / "maxtext", "scanned"), tmp_path / word, word, "--config", tmp_path / "in/config.json",
                      expect=65)
        assert_refused_and_nothing_left(ran, tmp_path / word, "NaN at index [250, 1, 300]", "mlp/wi_1/kernel")


@pytest.mark.parametrize("arithmetic", ["gpu", "cpu"])
def test_a_span_that_no_bf16_holds_needs_a_symmetric_scheme(arithmetic, tmp_path):
    """3e38 and -3e38 in a group, at places of no order; apart, in neighbouring groups, they are no fault."""
    tensors = spoiled(tmp_path / "in", {(77, 130): 3e38, (77, 255): -3e38})
    ran = convert(tmp_path / "in", tmp_path / "out", "w4a16-asym", "--ct-arithmetic", arithmetic, expect=65)
    assert_refused_and_nothing_left(ran, tmp_path / "out", "index [77, 128]", MODULE, "zero point", "symmetric")
    for word in SCHEMES.keys() - {"w4a16-asym"}:
        convert(tmp_path / "in", tmp_path / word, word, "--ct-arithmetic", arithmetic)
        assert different(read(tmp_path / word), ct_reference.quantize_model(tensors, word, arithmetic)[0]) == []
    tensors = spoiled(tmp_path / "apart", {(77, 127): 3e38, (77, 128): -3e38})
    convert(tmp_path / "apart", tmp_path / "good", "w4a16-asym", "--ct-arithmetic", arithmetic)
    assert different(read(tmp_path / "good"), ct_reference.quantize_model(tensors, "w4a16-asym", arithmetic)[0]) == []


def test_what_is_not_quantized_may_hold_anything(tmp_path):
    """The embedding, a module that the user ignores: bytes are copied."""
    for name, flags in (("model.embed_tokens.weight", ()), ("lm_head.weight", ()),
                        (MODULE + ".weight", ("--ignore", "re:.*layers.1.mlp.(gate|up)"))):
        tensors = spoiled(tmp_path / "in", {(9, 3): np.nan, (2, 200): np.inf}, name)
        convert(tmp_path / "in", tmp_path / name, "w4a16-asym", *flags)
        assert read(tmp_path / name)[name] == tensors[name]


@pytest.mark.parametrize("word", ["fp8-block", "w4a16-asym"])
def test_a_checkpoint_that_is_replaced_is_gone_before_the_new_one_fails(word, tmp_path):
    """Its tensors and the configuration of another scheme would be half of each."""
    spoiled(tmp_path / "bad", {(383, 255): np.nan})
    ct_sources.write_tensors(tmp_path / "good", ct_sources.tensors_of(ct_sources.make(SIZE)), SIZE.config())
    convert(tmp_path / "good", tmp_path / "out", "w8a8", "--max-shard-size", "300KB")
    assert len(support.loadable(tmp_path / "out")) > 2
    ran = convert(tmp_path / "bad", tmp_path / "out", word, "--overwrite", expect=65)
    assert_refused_and_nothing_left(ran, tmp_path / "out", "index [383, 255]")
