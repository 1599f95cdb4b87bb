"""Our outputs, dequantized and run in numpy, are what the real compressed-tensors and transformers said of them (`./dev judge full`).

The packages need several GB, so their answers are goldens here: a digest of every decompressed weight, and logits.
"""

import numpy as np
import pytest

import bfloat16
import ct_goldens
import ct_models
import ct_reference
from ct_sources import convert, read


@pytest.fixture(scope="module", params=ct_models.MODELS)
def source(request, tmp_path_factory):
    """(name, folder, what the packages said)."""
    folder = tmp_path_factory.mktemp(request.param) / "in"
    ct_models.write(folder, request.param)
    return request.param, folder, ct_goldens.read()["models"][request.param]


@pytest.mark.parametrize("word", ct_reference.SCHEMES)
def test_weights_and_logits_are_those_of_the_real_packages(word, source, tmp_path):
    name, folder, said = source
    assert said[word]["tensors"].keys() == set(ct_goldens.arithmetics_of(name))
    for arithmetic, expected in said[word]["tensors"].items():
        convert(folder, tmp_path / arithmetic, word, "--ct-arithmetic", arithmetic)
        values = ct_reference.dequantize_model(read(tmp_path / arithmetic), word)
        found = {tensor: ct_reference.as_tensor(bfloat16.from_float32(value)) for tensor, value in values.items()}
        assert ct_goldens.digests(found) == expected and len(expected) >= 14
        if arithmetic == "gpu":
            assert_same_logits(ct_models.model_of(name, values), said[word]["logits"])
            assert said[word]["logits"] != said["bf16"]["logits"]


def test_unquantized_logits_are_those_of_the_real_transformers(source, tmp_path):
    name, folder, said = source
    convert(folder, tmp_path / "out")
    model = ct_models.model_of(name, ct_models.values_of(read(tmp_path / "out")))
    assert_same_logits(model, said["bf16"]["logits"])
    wrong = ct_models.logits_of(ct_models.wrong_rotary(model))[-1, :ct_goldens.LOGITS]
    assert np.abs(wrong - said["bf16"]["logits"]).max() > 100 * ct_goldens.BOUND


def assert_same_logits(model, expected):
    found = ct_models.logits_of(model)[-1, :ct_goldens.LOGITS]
    assert np.abs(found - expected).max() <= ct_goldens.BOUND
