"""The judge is judged: its reference reproduces the goldens, and its readers agree with the formats' own packages."""

import numpy as np
import pytest

import bfloat16
import gguf_model
import quantize_reference
import support
from compare import differences
from gguf_file import GgufFile
from safetensors_file import SafetensorsFile, encode
from sparse_check import output_row, source_row
from tokenizer import Tokenizer

GOLDEN = support.GOLDEN / "jetstream-pytorch"


@pytest.mark.parametrize("kind", quantize_reference.TYPES)
@pytest.mark.parametrize("model", ["llama-3-hf", "llama-2-meta"])
def test_the_reference_reproduces_the_goldens(model, kind, tmp_path):
    made = dict(quantize_reference.quantize_file(GOLDEN / model / "bf16/model.safetensors", kind))
    (tmp_path / "made.safetensors").write_bytes(encode(made))
    assert differences(tmp_path / "made.safetensors", GOLDEN / model / kind / "model.safetensors") == []


def test_a_comparison_sees_one_flipped_bit(tmp_path):
    golden = GOLDEN / "llama-3-hf/bf16/model.safetensors"
    data = bytearray(golden.read_bytes())
    data[-5] ^= 1
    (tmp_path / "flipped.safetensors").write_bytes(data)
    assert len(differences(tmp_path / "flipped.safetensors", golden)) == 1


def test_the_gguf_reader_agrees_with_the_package(tmp_path):
    left = set(gguf_model.TYPES)
    for names in (gguf_model.TYPES[:8], gguf_model.TYPES[8:]):  # a model has nine matrices
        expected = gguf_model.write(tmp_path / "model.gguf", gguf_model.types(*names))
        file = GgufFile(tmp_path / "model.gguf")
        assert set(file.tensors) == set(expected)
        for name, values in expected.items():
            assert np.array_equal(file.float32(name).view(np.uint32), values.view(np.uint32)), name
            left.discard(file.tensors[name].type)
    assert not left


def test_rounding_to_bf16_takes_the_even_neighbour_and_keeps_nan():
    ties = np.array([0x3F808000, 0x3F818000, 0x3F808001, 0x7F800000, 0x80000000, 0x00008000], np.uint32)
    assert bfloat16.from_float32(ties.view(np.float32)).tolist() == [0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x8000, 0x0000]
    assert np.isnan(bfloat16.round_float32(np.float32([np.nan, 1.0]))).tolist() == [True, False]


def test_the_rotary_rows_are_a_permutation_and_its_inverse():
    name = "model.layers.0.self_attn.k_proj.weight"
    rows = [source_row(name, row, 8) for row in range(16)]
    assert rows == [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15]
    assert [output_row(name, row, 8) for row in rows] == list(range(16))


def test_the_tokenizer_survives_a_round_trip(smollm2):
    tokenizer = Tokenizer.of_gguf(GgufFile(smollm2).keys)
    for text in ("The capital of France is", "In 1969, we're 2x\n\n  über  naïve_name 🙂!"):
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.encode("The capital of France is") == [504, 3575, 282, 4649, 314]


def test_a_reader_refuses_a_file_that_breaks_the_format(tmp_path):
    (tmp_path / "short.safetensors").write_bytes(encode({"a": ("F32", (2,), b"\0" * 8)})[:-1])
    with pytest.raises(ValueError, match="ends at"):
        SafetensorsFile(tmp_path / "short.safetensors")
