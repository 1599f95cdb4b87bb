"""The judge of MaxText outputs is judged: its reference, its grid and its readers agree with what the original tools wrote."""

import numpy as np
import pytest

import bfloat16
import maxtext_reference
import real_orbax
import support
from grid_reference import grid
from llama import load_hf
from maxtext_grid import chunk_of

GOLDEN = support.GOLDEN / "maxtext"
# (folder, is rotary interleaved): the originals' own checkpoints
MODELS = {"llama2": False, "llama3.1": True}
QUANTIZED = [("llama2", "int8", "int8"), ("llama3.1", "int8", "int8"), ("llama3.1", "int8w", "intmp-int8_weight_only"),
             ("llama3.1", "int4w", "intmp-int4_weight_only")]
THROUGH_FLOAT16 = 3e-8  # the original's inputs went through float16, whose smallest step is 6e-8


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    """{(model, folder): ({path: Leaf}, empty nodes)} of the originals' checkpoints, by the newest Orbax."""
    folder = tmp_path_factory.mktemp("restored")
    wanted = [(model, path) for model in MODELS for path in support.MAXTEXT_PATHS.values()]
    wanted += [(model, path) for model, _, path in QUANTIZED]
    jobs = [real_orbax.job(GOLDEN / model / path, "whole", save=str(folder / f"{number}.npz"))
            for number, (model, path) in enumerate(wanted)]
    results = real_orbax.restore(real_orbax.NEWEST, jobs)
    assert [result["error"] for result in results if "error" in result] == []
    return {key: (maxtext_reference.read_leaves(job["save"]), result["empty"])
            for key, job, result in zip(wanted, jobs, results, strict=True)}


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    source = load_hf(GOLDEN / request.param / "hf")
    return request.param, source, MODELS[request.param]


def assert_equal_but_for_float16(ours, theirs):
    assert set(ours) == set(theirs)
    for path, leaf in ours.items():
        x, y = leaf.float32(), theirs[path].float32()
        if path.endswith("query/kernel"):
            np.testing.assert_allclose(x, y, rtol=2**-7, atol=THROUGH_FLOAT16, err_msg=path)
        else:
            np.testing.assert_allclose(x, y, rtol=0, atol=THROUGH_FLOAT16, err_msg=path)


def test_the_reference_reproduces_the_originals_scanned_tree(model, restored):
    name, source, interleaved = model
    assert_equal_but_for_float16(maxtext_reference.scanned(source, interleaved),
                                 restored[name, support.MAXTEXT_PATHS["scanned"]][0])


def test_the_reference_reproduces_the_originals_unscanned_tree(model, restored):
    name, source, interleaved = model
    leaves, empty = restored[name, support.MAXTEXT_PATHS["unscanned"]]
    ours = maxtext_reference.unscanned(source, interleaved)
    assert_equal_but_for_float16(ours, leaves)
    assert {path: leaf.dtype for path, leaf in ours.items()} == {path: leaf.dtype for path, leaf in leaves.items()}
    assert maxtext_reference.empty_nodes("unscanned", ours) == empty


@pytest.mark.parametrize("name, kind, folder", QUANTIZED)
def test_the_reference_reproduces_the_originals_quantized_tree_bit_for_bit(name, kind, folder, restored):
    leaves, empty = restored[name, folder]
    source = maxtext_reference.unscanned(load_hf(GOLDEN / name / "hf"), MODELS[name])
    ours = maxtext_reference.quantized(source, kind)
    assert set(ours) == set(leaves)
    for path, leaf in ours.items():
        if "/aqt/" in path:
            assert leaf.row() == leaves[path].row(), path
    assert_equal_but_for_float16(ours, leaves)
    assert maxtext_reference.empty_nodes(kind, ours) == empty


def test_the_other_rotary_order_is_noticed(restored):
    ours = maxtext_reference.unscanned(load_hf(GOLDEN / "llama2/hf"), interleaved=True)
    with pytest.raises(AssertionError, match="self_attention"):
        assert_equal_but_for_float16(ours, restored["llama2", support.MAXTEXT_PATHS["unscanned"]][0])


def test_e4m3_takes_the_nearest_value_and_the_even_one_of_two():
    values = bfloat16.to_float32(np.arange(1 << 16, dtype=np.uint32).astype(np.uint16))
    values = values[np.abs(values) <= 448]
    codes = maxtext_reference.to_e4m3(values)
    table = maxtext_reference.E4M3_VALUES[:127].astype(np.float64)
    distance = np.abs(np.abs(values).astype(np.float64)[:, None] - table)
    nearest = distance.min(axis=1)
    found = distance[np.arange(len(values)), codes & 127]
    np.testing.assert_array_equal(found, nearest)
    is_tie = (distance == nearest[:, None]).sum(axis=1) == 2
    assert is_tie.sum() > 100
    assert ((codes[is_tie] & 1) == 0).all()
    np.testing.assert_array_equal(codes >> 7, np.signbit(values))


def test_a_channel_of_zeros_or_subnormals_gets_the_scale_of_one():
    w = np.zeros((4, 3), np.float32)
    w[0, 1], w[2, 2] = 1e-40, -3.0
    q, scale = maxtext_reference.quantize(maxtext_reference.Leaf("bfloat16", bfloat16.from_float32(w)), (0,), "int8")
    assert q.array[:, :2].any() == 0
    assert q.array[2, 2] == -127
    assert scale.float32()[0, 0] == scale.float32()[0, 1] == bfloat16.round_float32(np.float32([1 / 127.5]))[0]


def test_the_grid_of_405b_is_the_one_that_was_published():
    layer = "params/params/decoder/layers/"
    assert chunk_of(layer + "mlp/wo/kernel", (53248, 126, 16384)) == [13312, 1, 128]
    assert chunk_of(layer + "mlp/wi_0/kernel", (16384, 126, 53248)) == [4096, 1, 512]
    assert chunk_of(layer + "self_attention/query/kernel", (16384, 126, 128, 128)) == [4096, 1, 4, 128]
    assert chunk_of("params/params/decoder/layers_3/mlp/wi_0/kernel", (16384, 53248)) == [4096, 512]


def test_a_slice_under_1_mib_is_one_chunk_whatever_the_mesh():
    assert grid({"e": 512, "l": 2, "f": 512}, "fe", {"e": 16}) == {"e": 512, "l": 1, "f": 512}
