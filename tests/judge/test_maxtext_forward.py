"""A MaxText output is still the same model: a numpy forward pass over leaves that real Orbax restored, against the source.

Bounds on the KL divergence in nats, at every position. bf16: 1e-4 (the goldens' weights are bf16 and their query scale is exact,
so a right conversion gives 0; SmolLM2's blocks are finer than bf16, so it is held against the source rounded to bf16). int8:
measured 6e-4 on the goldens, 2e-2 on SmolLM2; fp8 6e-3 on the goldens, int4 0.18 and 0.06. The bounds leave a factor of 1.4 to 4.
"""

from dataclasses import replace

import numpy as np
import pytest

import forward
import maxtext_model
import maxtext_reference
import real_orbax
import support
from llama import Llama, load_hf, load_source

GOLDEN = support.GOLDEN / "maxtext"
MODELS = {"llama2": "llama2-7b", "llama3.1": "llama3.1-8b"}
BOUNDS = {"scanned": 1e-4, "unscanned": 1e-4, "int8": 2e-3, "int8w": 2e-3, "fp8": 2e-2}
INT4_BOUND = {"llama2": 0.25, "llama3.1": 0.1}
OUTPUTS = (*BOUNDS, "int4w")
TOKENS = [(7 * i * i + 3 * i + 1) % 251 for i in range(16)]  # those of hf.logits.npy
SMOLLM2_BOUNDS = {"scanned": 1e-4, "unscanned": 1e-4, "int8": 5e-2}
PROMPT = "The capital of France is"
WRONG = 0.1  # what a wrong rotary order exceeds at some position


def restored(folder, outputs):
    """{output: {path: Leaf}} below a conversion's folder, by the newest Orbax in one process."""
    saves = {name: str(folder / f"{name}.npz") for name in outputs}
    jobs = [real_orbax.job(support.items(folder, name), "whole", save=save) for name, save in saves.items()]
    results = real_orbax.restore(real_orbax.NEWEST, jobs)
    assert [result["error"] for result in results if "error" in result] == []
    return {name: maxtext_reference.read_leaves(save) for name, save in saves.items()}


@pytest.fixture(scope="module", params=MODELS)
def golden(request, tmp_path_factory):
    """(source's logits, the original's logits, {output: model}, {output: bound})."""
    folder = tmp_path_factory.mktemp(request.param)
    source = load_hf(GOLDEN / request.param / "hf")
    support.convert_maxtext(GOLDEN / request.param / "hf", folder / "out", OUTPUTS, model=MODELS[request.param])
    models = {name: maxtext_model.load(leaves, source.config) for name, leaves in restored(folder / "out", OUTPUTS).items()}
    original = np.load(GOLDEN / request.param / "hf.logits.npy")
    return Llama(source).extend(TOKENS), original, models, {**BOUNDS, "int4w": INT4_BOUND[request.param]}


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_position_agrees_with_the_source(output, golden):
    source, original, models, bounds = golden
    found = Llama(models[output]).extend(TOKENS)
    for expected in (source, original):
        distance = forward.divergence(expected, found)
        print(output, distance)
        assert distance["kl_max"] <= bounds[output]
    if output in support.MAXTEXT_PATHS:
        assert distance["max_abs_logit_difference"] <= 1e-4
        assert distance["top1_agreement"] == 1


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_wrong_rotary_order_breaks_the_bound(output, golden):
    source, _, models, bounds = golden
    distance = forward.divergence(source, Llama(models[output].with_wrong_rotary()).extend(TOKENS))
    assert distance["kl_max"] > max(WRONG, bounds[output])


def test_a_query_scaled_twice_breaks_the_bound(golden):
    source, _, models, _ = golden
    model = models["unscanned"]
    twice = {name: weight / np.float32(np.sqrt(model.config.head_dim)) if name.endswith("wq.weight") else weight
             for name, weight in model.weights.items()}
    distance = forward.divergence(source, Llama(replace(model, weights=twice)).extend(TOKENS))
    assert distance["kl_max"] > 1e-2


class SmolLM2:
    """The real model, its outputs in memory, and what the source says to a prompt."""

    def __init__(self, gguf, folder):
        source = load_source(gguf)
        self.tokenizer = forward.tokenizer_of(gguf)
        self.source, self.config = source, source.config
        self.expected = forward.Expected(source, source.rounded_to_bf16(), self.tokenizer.encode(PROMPT), 12)
        support.convert_maxtext(gguf, folder / "out", SMOLLM2_BOUNDS)
        self.leaves = restored(folder / "out", SMOLLM2_BOUNDS)

    def model(self, output):
        return maxtext_model.load(self.leaves[output], self.config)


@pytest.fixture(scope="module")
def real(smollm2, tmp_path_factory):
    return SmolLM2(smollm2, tmp_path_factory.mktemp("smollm2"))


def test_the_real_models_leaves_equal_the_numpy_reference_bit_for_bit(real):
    bf16 = maxtext_reference.unscanned(real.source, interleaved=False)
    references = {"scanned": lambda: maxtext_reference.scanned(real.source, False), "unscanned": lambda: bf16,
                  "int8": lambda: maxtext_reference.quantized(bf16, "int8")}
    for output, reference in references.items():
        assert maxtext_reference.rows(real.leaves[output]) == maxtext_reference.rows(reference()), output


@pytest.mark.parametrize("output", SMOLLM2_BOUNDS)
def test_the_real_model_continues_as_its_source(output, real):
    model = real.model(output)
    distance = real.expected.distance(model)
    print(output, distance)
    assert distance["rounded"]["kl_max"] <= SMOLLM2_BOUNDS[output]
    ids, _ = forward.greedy(model, real.expected.ids, 12)
    assert real.tokenizer.decode(ids).startswith(" Paris")
    if output in support.MAXTEXT_PATHS:
        assert ids == real.expected.continuation


@pytest.mark.parametrize("output", SMOLLM2_BOUNDS)
def test_the_wrong_rotary_order_breaks_the_real_model(output, real):
    assert real.expected.distance(real.model(output).with_wrong_rotary())["rounded"]["kl_max"] > WRONG
