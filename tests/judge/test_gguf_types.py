"""Every tensor type of GGUF: what becomes of its blocks is what the gguf package says, in digests and in converted models."""

import hashlib
import json

import gguf
import numpy as np
import pytest

import bfloat16
import gguf_model
import support
from llama import meta_name_of_gguf
from safetensors_file import SafetensorsFile

MIXED = ("Q4_K", "Q5_0", "Q6_K", "Q8_0", "Q5_K", "Q3_K", "IQ4_XS", "Q5_1", "Q2_K")  # one for each matrix of a layer and its ends
INTEGERS = {"I8": np.int8, "I16": np.int16, "I32": np.int32, "I64": np.int64}
EVERY_TYPE = "sources/ok/gguf_every_type.gguf"


def digests(path):
    return json.loads(support.run("inspect", path, "--digests", "--json", expect=0).stdout)["tensors"]


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def assert_converted(folder, values):
    file = SafetensorsFile(folder / "model.safetensors")
    assert len(file.entries) == len(values)
    for tensor, expected in values.items():
        assert file.bytes_of(meta_name_of_gguf(tensor)) == bfloat16.from_float32(expected).tobytes(), tensor


def test_the_golden_of_every_type():
    expected = json.loads((support.GOLDEN / "sources/expected.json").read_text())["files"]["ok/gguf_every_type.gguf"]["tensors"]
    made = digests(support.GOLDEN / EVERY_TYPE)
    assert made.keys() == expected.keys()
    for name, golden in expected.items():
        assert made[name]["sha256"] == golden["sha256"], name
        if golden["dequantized_f32_sha256"] is not None:
            assert made[name]["dequantized_f32_sha256"] == golden["dequantized_f32_sha256"], name
    assert sum(golden["dequantized_f32_sha256"] is not None for golden in expected.values()) == 15


@pytest.mark.parametrize("name", [name for name in gguf_model.TYPES if name[0] != "F" and name != "BF16"])
def test_random_blocks_dequantize_as_the_package_says(name, tmp_path):
    """Any bytes, and scales of every finite fp16 magnitude; over 2^18 values, so that ckpt needs several steps."""
    kind = gguf_model.types(name)[0]
    block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
    noise = np.random.default_rng(11)
    raw = noise.integers(0, 256, (77, 4096 // block * block_bytes), dtype=np.uint8)
    blocks = raw.reshape(-1, block_bytes)
    for at in gguf_model.SCALES_AT.get(name, (0, 2) if name in ("Q4_1", "Q5_1") else (0,)):
        blocks[:, at + 1] &= 0xBB  # finite: which NaN comes out is no promise
    writer = gguf.GGUFWriter(tmp_path / "blocks.gguf", "llama")
    writer.add_tensor("blocks", raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    made = digests(tmp_path / "blocks.gguf")["blocks"]
    assert (made["dtype"], made["shape"], made["sha256"]) == (name, [77, 4096], sha256(raw))
    assert made["dequantized_f32_sha256"] == sha256(gguf.dequantize(raw, kind).astype(np.float32))


@pytest.mark.parametrize("name", gguf_model.TYPES)
def test_each_type_converts_to_the_packages_values_rounded_to_bf16(name, tmp_path):
    values = gguf_model.write(tmp_path / "model.gguf", gguf_model.types(name))
    support.convert(tmp_path / "model.gguf", tmp_path / "out")
    assert_converted(tmp_path / "out", values)


def test_a_mixed_model_converts_to_the_packages_values_rounded_to_bf16(tmp_path):
    values = gguf_model.write(tmp_path / "model.gguf", gguf_model.types(*MIXED), dim=512, mlp=768, vocab=321)
    made = digests(tmp_path / "model.gguf")
    assert {entry["dtype"] for entry in made.values()} == {*MIXED, "F32"}
    for tensor, expected in values.items():
        assert made[tensor]["dequantized_f32_sha256"] == sha256(expected), tensor
    support.convert(tmp_path / "model.gguf", tmp_path / "out")
    assert_converted(tmp_path / "out", values)


def test_integers_have_a_digest_and_no_values(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "integers.gguf", "llama")
    tensors = {name: np.arange(-60, 60, dtype=kind).reshape(8, 15) for name, kind in INTEGERS.items()}
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for name, made in digests(tmp_path / "integers.gguf").items():
        assert (made["dtype"], made["sha256"]) == (name, sha256(tensors[name]))
        assert "dequantized_f32_sha256" not in made or made["dequantized_f32_sha256"] is None


def model_of_integers(path):
    """A Llama whose matrices are int8, without scales: no server's values."""
    values = gguf_model.write(path.with_name("floats.gguf"), gguf_model.types("F32"))
    reader = gguf.GGUFReader(path.with_name("floats.gguf"))
    writer = gguf.GGUFWriter(path, "llama")
    for field in reader.fields.values():
        if field.name.startswith("llama.") or field.name.startswith("tokenizer."):
            writer.add_key_value(field.name, field.contents(), field.types[0],
                                 field.types[-1] if len(field.types) > 1 else None)
    for name, wide in values.items():
        writer.add_tensor(name, wide if wide.ndim == 1 else (1000 * wide).astype(np.int8))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def to_pytorch(source, out):
    return support.convert(source, out, expect=None)


def to_maxtext(source, out):
    return support.convert_maxtext(source, out, ("unscanned",), expect=None)


@pytest.mark.parametrize("target", [to_pytorch, to_maxtext])
def test_integers_as_weights_are_refused_by_name(target, tmp_path):
    model_of_integers(tmp_path / "model.gguf")
    support.assert_refused(target(tmp_path / "model.gguf", tmp_path / "out"), 65, "I8")
    assert not (tmp_path / "out/model.safetensors").exists()


@pytest.mark.parametrize("target", [to_pytorch, to_maxtext])
def test_a_type_that_needs_a_code_book_is_refused_by_name(target, tmp_path):
    gguf_model.write(tmp_path / "model.gguf", gguf_model.types("IQ2_XXS", "Q4_K"))
    support.assert_refused(target(tmp_path / "model.gguf", tmp_path / "out"), 65, "IQ2_XXS", "IQ4_XS")
    assert not (tmp_path / "out/model.safetensors").exists()
