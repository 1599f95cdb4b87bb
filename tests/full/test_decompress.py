"""compressed-tensors itself decompresses every tensor of every scheme to the values of the numpy formulas, bit for bit.

The sources have planted rows on which rounding shows (ct_sources.py), ragged rows, blocks and words, experts, and tied embeddings.
"""

import json

import numpy as np
import pytest

import bfloat16
import ct_reference
import ct_sources
import real
import support
from ct_sources import convert, different, read

ARITHMETICS = ("gpu", "cpu")


def expected_of(folder, word):
    """What the folder's tensors are worth by numpy, as bf16 tensors."""
    values = ct_reference.dequantize_model(read(folder), word)
    return {name: ct_reference.as_tensor(bfloat16.from_float32(value)) for name, value in values.items()}


@pytest.mark.parametrize("word", ct_reference.SCHEMES)
def test_every_tensor_decompresses_to_the_formulas_values(word, planted, tmp_path):
    folders = tensors = quantized = 0
    for name, source in planted.items():
        if name == "llama-odd" and word not in ct_sources.WHOLE:
            continue  # nothing would be quantized, and the program refuses it: test_compressed_tensors.py
        for arithmetic in ARITHMETICS:
            out = tmp_path / f"{name}-{arithmetic}"
            convert(source, out, word, "--ct-arithmetic", arithmetic)
            found, expected = real.decompress(out, tmp_path / f"{name}-{arithmetic}-bf16"), expected_of(out, word)
            assert different(found, expected) == [], (name, arithmetic)
            assert found.keys() == read(source).keys()
            folders, tensors = folders + 1, tensors + len(found)
            quantized += len(ct_reference.parts_of(read(out), word))
    print(f"full: compressed-tensors decompresses {word}: {folders} folders, {tensors} tensors equal, {quantized} of them quantized")
    assert quantized > 0


@pytest.mark.parametrize("word", ct_reference.SCHEMES)
def test_one_wrong_code_is_seen(word, planted, tmp_path):
    convert(planted["llama-whole"], tmp_path / "out", word)
    expected, tensors = expected_of(tmp_path / "out", word), read(tmp_path / "out")
    module = "model.layers.1.mlp.down_proj"
    part = f"{module}.weight_packed" if ct_reference.SCHEMES[word].is_packed else f"{module}.weight"
    dtype, shape, data = tensors[part]
    at = len(data) // 2
    tensors[part] = (dtype, shape, data[:at] + bytes([data[at] ^ 0x10]) + data[at + 1:])
    ct_sources.write_tensors(tmp_path / "wrong", tensors, json.loads((tmp_path / "out/config.json").read_text()))
    found = real.decompress(tmp_path / "wrong", tmp_path / "wrong-bf16")
    assert different(found, expected) == [f"{module}.weight"]
    values = [np.frombuffer(tensors_of[f"{module}.weight"][2], np.uint16) for tensors_of in (found, expected)]
    assert np.count_nonzero(values[0] != values[1]) == 1


def test_several_files_with_an_index_are_one_model(planted, tmp_path):
    convert(planted["mixtral"], tmp_path / "one", "w4a16")
    convert(planted["mixtral"], tmp_path / "many", "w4a16", "--max-shard-size", "300KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 3
    assert (tmp_path / "many/model.safetensors.index.json").exists()
    assert different(real.decompress(tmp_path / "many", tmp_path / "b"), real.decompress(tmp_path / "one", tmp_path / "a")) == []
    assert support.read_tensors(tmp_path / "one/model.safetensors").keys() == read(tmp_path / "many").keys()
