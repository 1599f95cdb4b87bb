"""A real model, SmolLM2-135M-Instruct: its output is bit-equal to independent readers, and still the same model.

Bounds on the KL divergence in nats. A bf16 output is held against the source's weights rounded to bf16 (1e-4 at every
position; a right conversion gives 0) and against the weights as stored, where bf16 itself costs something: measured over
the prompt 6e-5 on average. int8 measured 8e-3 on average and 3e-2 at most; its bounds leave a factor of 3 to 4.
"""

import gguf
import numpy as np
import pytest

import bfloat16
import forward
import quantize_reference
import support
from llama import meta_name_of_gguf
from safetensors_file import SafetensorsFile

PROMPT = "The capital of France is"
LONG = ("The quick brown fox jumps over the lazy dog. In 1969, Neil Armstrong became the first person to walk on the Moon, "
        "and the world watched him on television.")


@pytest.fixture(scope="module")
def outputs(smollm2, program):
    """Folders of the bf16 and the int8 output, reused by every test here."""
    folder = support.DATA / "smollm2-out"
    for kind in ("bf16", "int8_per_channel"):
        support.convert(smollm2, folder / kind, "--overwrite", kind=kind)
    return folder


@pytest.fixture(scope="module")
def proof(smollm2, outputs):
    return forward.compare(smollm2, [outputs / "bf16", outputs / "int8_per_channel"], PROMPT)


def test_bf16_equals_the_gguf_package_rounded_to_nearest_even(smollm2, outputs):
    file = SafetensorsFile(outputs / "bf16/model.safetensors")
    reader = gguf.GGUFReader(smollm2)
    left = set(file.entries)
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        expected = bfloat16.from_float32(values).tobytes()  # rows lie in Meta's order already
        names = [meta_name_of_gguf(tensor.name)]
        if tensor.name == "token_embd.weight":
            names.append("output.weight")  # tied: the server wants a copy
        for name in names:
            assert file.entries[name].shape == values.shape, name
            assert file.bytes_of(name) == expected, name
            left.remove(name)
    assert left == set()


def test_int8_equals_the_numpy_reference_bit_for_bit(outputs):
    file = SafetensorsFile(outputs / "int8_per_channel/model.safetensors")
    left = set(file.entries)
    for name, (dtype, shape, data) in quantize_reference.quantize_file(
            outputs / "bf16/model.safetensors", "int8_per_channel"):
        assert (file.entries[name].dtype, file.entries[name].shape) == (dtype, tuple(shape)), name
        assert file.bytes_of(name) == data, name
        left.remove(name)
    assert left == set()


def test_every_greedy_continuation_names_paris(proof):
    for row in [proof["source"], *proof["outputs"]]:
        assert row["continuation"].startswith(" Paris"), row


def test_bf16_agrees_at_every_position(proof):
    bf16 = proof["outputs"][0]
    assert bf16["rounded"]["kl_max"] <= 1e-4
    assert bf16["kl_max"] <= 1e-3
    assert bf16["continuation_ids"] == proof["source"]["continuation_ids"]


def test_bf16_agrees_over_the_prompt_with_the_weights_as_stored(smollm2, outputs):
    row = forward.compare(smollm2, [outputs / "bf16"], PROMPT, tokens=0)["outputs"][0]
    assert row["kl_mean"] <= 1e-4


def test_bf16_agrees_over_a_longer_text(smollm2, outputs):
    row = forward.compare(smollm2, [outputs / "bf16"], LONG, tokens=1)["outputs"][0]
    assert row["rounded"]["kl_max"] <= 1e-4


def test_int8_stays_within_its_bound(proof):
    int8 = proof["outputs"][1]
    assert int8["kl_mean"] <= 0.03
    assert int8["kl_max"] <= 0.1
    assert int8["top1_agreement"] >= 0.9


def test_the_wrong_rotary_order_breaks_every_bound(smollm2, outputs):
    result = forward.compare(smollm2, [outputs / "bf16", outputs / "int8_per_channel"], PROMPT, wrong_rotary=True)
    for row in result["outputs"]:
        assert row["rounded"]["kl_max"] > 0.1
        assert row["kl_mean"] > 0.03
