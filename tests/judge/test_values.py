"""Other dimensions, block types and edge values, held against numpy: what the goldens and the real model do not have."""

import numpy as np
import pytest

import bfloat16
import forward
import gguf_model
import quantize_reference
import support
from llama import load_hf, load_jetstream, meta_name_of_gguf, meta_name_of_hf
from safetensors_file import SafetensorsFile
from sparse_check import Checker, source_row

SHAPES = {
    "head_width_64": {},
    "one_kv_head": {"heads": 8, "kv_heads": 1, "dim": 512},
    "head_width_not_dim_by_heads": {"heads": 4, "kv_heads": 4, "head_dim": 32, "dim": 384},
    "odd_mlp_and_vocab": {"mlp": 259, "vocab": 321},
    "tied": {"tied": True},
}


def expected_bf16(folder, shape):
    """{Meta's name: uint16 patterns} of a Hugging Face model."""
    out = {}
    for path in sorted(folder.glob("*.safetensors")):
        file = SafetensorsFile(path)
        for name, entry in file.entries.items():
            rows = np.frombuffer(file.bytes_of(name), np.uint16).reshape(entry.shape)
            if rows.ndim == 2:
                rows = rows[[source_row(name, row, shape.head_dim) for row in range(len(rows))]]
            out[meta_name_of_hf(name)] = rows
    out.setdefault("output.weight", out["tok_embeddings.weight"])
    return out


@pytest.mark.parametrize("kind", ["bf16", *quantize_reference.TYPES])
@pytest.mark.parametrize("dims", SHAPES)
def test_hugging_face_values_equal_numpy(dims, kind, tmp_path):
    shape = support.small(tmp_path / "in", shards=2, **SHAPES[dims])
    if kind.endswith("blockwise") and shape.mlp % 128:
        ran = support.convert(tmp_path / "in", tmp_path / "out", kind=kind, expect=64)
        support.assert_refused(ran, 64, "feed_forward.w2", "259", "128")
        return
    support.convert(tmp_path / "in", tmp_path / "out", kind=kind)
    file = SafetensorsFile(tmp_path / "out/model.safetensors")
    left = set(file.entries)
    for name, bits in expected_bf16(tmp_path / "in", shape).items():
        made = ({name: ("BF16", bits.shape, bits.tobytes())} if kind == "bf16"
                else quantize_reference.quantize_tensor(name, bits, kind))
        for array, (dtype, extents, data) in made.items():
            assert (file.entries[array].dtype, file.entries[array].shape) == (dtype, tuple(extents)), array
            assert file.bytes_of(array) == data, array
            left.remove(array)
    assert left == set()


def test_a_forward_pass_cannot_tell_the_output_from_its_source(tmp_path):
    support.small(tmp_path / "in", adversarial=False)
    support.convert(tmp_path / "in", tmp_path / "out")
    row = forward.compare(tmp_path / "in", [tmp_path / "out"], token_ids=range(7, 40), tokens=3)["outputs"][0]
    assert row["kl_max"] <= 1e-9
    source = load_hf(tmp_path / "in")
    assert load_jetstream(tmp_path / "out", source.config).weights.keys() == source.weights.keys()


@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_other_floats_become_bf16_rounded_to_nearest_even(dtype, tmp_path):
    shape = support.small(tmp_path / "in")
    path = tmp_path / "in/model.safetensors"
    width = {"F32": np.float32, "F16": np.float16}[dtype]
    noise = np.random.default_rng(5)
    tensors = {name: (dtype, extents, noise.normal(0, 0.05, extents).astype(width).tobytes())
               for name, (_, extents, _) in support.read_tensors(path).items()}
    support.write_tensors(path, tensors)
    support.convert(tmp_path / "in", tmp_path / "out")
    file = SafetensorsFile(tmp_path / "out/model.safetensors")
    for name, (_, extents, data) in tensors.items():
        values = np.frombuffer(data, width).astype(np.float32).reshape(extents)
        if len(extents) == 2:
            values = values[[source_row(name, row, shape.head_dim) for row in range(len(values))]]
        made = file.bytes_of(meta_name_of_hf(name))
        assert made == bfloat16.from_float32(values).tobytes(), name


@pytest.mark.parametrize("kind", quantize_reference.TYPES)
def test_quantizing_a_gguf_starts_from_its_bf16_values(kind, tmp_path):
    types = gguf_model.types("Q4_0", "Q6_K", "Q8_0", "F16", "Q4_1", "Q4_K", "Q5_0")
    values = gguf_model.write(tmp_path / "model.gguf", types)
    support.convert(tmp_path / "model.gguf", tmp_path / "out", kind=kind)
    file = SafetensorsFile(tmp_path / "out/model.safetensors")
    for tensor, wide in values.items():
        bits = bfloat16.from_float32(wide)
        for array, (_, extents, data) in quantize_reference.quantize_tensor(
                meta_name_of_gguf(tensor), bits, kind).items():
            assert file.entries[array].shape == tuple(extents), array
            assert file.bytes_of(array) == data, array


def test_tokenizer_files_come_along_byte_for_byte(tmp_path):
    support.small(tmp_path / "in")
    texts = {"tokenizer.json": b'{"a": "\xc3\xbc"}\n', "tokenizer_config.json": b"{}", "tokenizer.model": b"\0\1\2",
             "generation_config.json": b'{"eos": 2}'}
    for name, data in texts.items():
        (tmp_path / "in" / name).write_bytes(data)
    support.convert(tmp_path / "in", tmp_path / "out")
    assert {name: (tmp_path / "out" / name).read_bytes() for name in texts} == texts


@pytest.mark.parametrize("kind", ["bf16", "int8_per_channel"])
def test_the_sparse_checker_accepts_the_output_and_refuses_the_wrong_rotary_order(kind, tmp_path):
    every = 16384
    shape = support.make_model.Shape(1, 256, 4, 2, 384, 320, 64)
    support.make_model.make(tmp_path / "in", shape, 1, sparse=True, every=every)
    support.convert(tmp_path / "in", tmp_path / "out", kind=kind)
    path = tmp_path / "out/model.safetensors"
    assert Checker(shape, every, path, samples=8).check(kind) > 10000
    tensors = support.read_tensors(path)
    name = "layers.0.attention.wq.weight"
    dtype, extents, data = tensors[name]
    rows = np.frombuffer(data, np.uint8).reshape(extents[0], -1)
    halves = rows.reshape(4, 32, 2, -1).swapaxes(1, 2).reshape(rows.shape)  # back to Hugging Face's order
    tensors[name] = (dtype, extents, halves.tobytes())
    support.write_tensors(tmp_path / "wrong.safetensors", tensors)
    with pytest.raises(AssertionError, match="attention.wq"):
        Checker(shape, every, tmp_path / "wrong.safetensors", samples=8).check(kind)
