"""A quantized model is still the same model: a numpy forward pass over its dequantized weights, against the source.

Bounds on the KL divergence in nats, on average and at the worst position, with a factor of 3 over what small random models measured.
"""

import numpy as np
import pytest

import bfloat16
import ct_reference
import ct_sources
import forward
import gemma_forward
import mixtral_forward
from ct_sources import convert, read
from llama import Checkpoint, Config, Llama, meta_name_of_hf

TOKENS = [(7 * i * i + 3 * i + 1) % 47 for i in range(24)]
LLAMA = ct_sources.Size("llama", dim=256, heads=4, kv_heads=2, head_dim=64, mlp=384, layers=3)
MIXTRAL = ct_sources.Size("mixtral", dim=256, heads=4, kv_heads=2, head_dim=64, mlp=256, experts=3, layers=2)
# KL on average, and at every position. Random weights are the worst case for 4 bits: nothing in them is redundant.
BOUNDS = {**dict.fromkeys(("fp8-dynamic", "fp8-block"), (5e-2, 0.2)), **dict.fromkeys(("w8a8", "w8a16", "w8a16-channel"), (2.5e-3, 1.2e-2)),
          **dict.fromkeys(("w4a16", "w4a16-asym"), (0.5, 2.5))}


def config_of(size):
    return Config(size.layers, size.heads, size.kv_heads, size.head_dim, 1e-5, 500000.0)


def llama_of(tensors):
    return Checkpoint(config_of(LLAMA), {meta_name_of_hf(name): value for name, value in tensors.items()}, False, "hf", 16)


def gemma3_of(tensors):
    sizes = ct_sources.GEMMA3
    config = gemma_forward.Config(3, sizes.layers, sizes.heads, sizes.kv_heads, sizes.head_dim, sizes.scalar, 5, theta=1e6)
    return gemma_forward.of_source(config, {name.removeprefix("model.").removesuffix(".weight"): value for name, value in tensors.items()})


FAMILIES = {  # name: (model of {Hugging Face's name: float32}, its logits)
    "llama": (llama_of, lambda model: Llama(model).extend(TOKENS)),
    "mixtral": (lambda tensors: mixtral_forward.of_hf(config_of(MIXTRAL), tensors), lambda model: mixtral_forward.logits(model, TOKENS)),
    "gemma3": (gemma3_of, lambda model: model.logits(TOKENS)),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """(name, folder of the source, its logits)."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param) / "in"
    if name == "gemma3":  # an embedding an eighth as large: the likeliest token would leave the others nothing
        tensors = ct_sources.write(folder, name)
        embedding = bfloat16.to_float32(ct_reference.as_array(tensors["model.embed_tokens.weight"])) / np.float32(8)
        tensors["model.embed_tokens.weight"] = ct_reference.as_tensor(bfloat16.from_float32(embedding))
        ct_sources.write_tensors(folder, tensors, ct_sources.GEMMA3.config())
    else:
        size = {"llama": LLAMA, "mixtral": MIXTRAL}[name]
        ct_sources.write_tensors(folder, ct_sources.tensors_of(ct_sources.make(size, is_planted=False)), size.config())
    of, logits = FAMILIES[name]
    values = {tensor: bfloat16.to_float32(ct_reference.as_array(held)) for tensor, held in read(folder).items()}
    return name, folder, logits(of(values))


def distance_of(family, tensors, word, mistaken=lambda parts: parts):
    """How far the model of an output's tensors is from the source."""
    name, _, expected = family
    of, logits = FAMILIES[name]
    values = ct_reference.dequantize_model(tensors, word)
    for module, parts in ct_reference.parts_of(tensors, word).items():
        values[module + ".weight"] = ct_reference.dequantize(mistaken(parts), ct_reference.SCHEMES[word])
    found = logits(of(values))
    assert np.all(np.isfinite(found))
    return forward.divergence(expected, found)


def scales_of_neighbours(parts):
    return {**parts, "weight_scale": np.roll(parts["weight_scale"], 1, axis=0)}


def codes_shifted(parts):
    """Each code in its neighbour's place: a wrong order of nibbles or bytes."""
    part = "weight_packed" if "weight_packed" in parts else "weight"
    return {**parts, part: np.roll(parts[part], 1, axis=1)}


@pytest.mark.parametrize("word", ct_reference.SCHEMES)
def test_every_position_says_nearly_what_the_source_says(word, family, tmp_path):
    convert(family[1], tmp_path / "out", word)
    tensors = read(tmp_path / "out")
    distance, (mean, most) = distance_of(family, tensors, word), BOUNDS[word]
    print(f"{family[0]} {word}: KL mean {distance['kl_mean']:.1e}, max {distance['kl_max']:.1e}")
    assert 0 < distance["kl_mean"] <= mean
    assert distance["kl_max"] <= most
    for mistake in (scales_of_neighbours, codes_shifted):
        wrong = distance_of(family, tensors, word, mistake)
        print(f"{family[0]} {word}, {mistake.__name__}: KL mean {wrong['kl_mean']:.1e}")
        assert wrong["kl_mean"] > (mean if mistake is codes_shifted else 2 * distance["kl_mean"]), mistake  # rows are much alike
