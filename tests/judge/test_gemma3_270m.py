"""A real Gemma 3 (270M, a Q4_K_M GGUF) in MaxText is still the same model: a numpy forward pass over what real Orbax restored.

The source is what the gguf package makes of the file. Bounds on the KL divergence in nats at every position. bf16, against the
source with MaxText's own roundings (norms + 1, embedding * sqrt(dim)): 1e-6, as a right conversion gives 0; against the source
rounded to bf16, and as stored: 1e-3, measured 1e-4 and 2e-4. int8 measured 5e-3; its bound leaves a factor of 4.
"""

import shutil
from dataclasses import replace

import gguf
import numpy as np
import pytest

import forward
import gemma_forward
import maxtext_reference
import real_orbax
import support
from gemma3_270m import gguf_of_wheels
from gemma_forward import Config
from gemma_reference import GGUF
from gguf_file import GgufFile

PROMPT = "<bos> The ▁capital ▁of ▁Italy ▁is ▁Rome . ▁The ▁capital ▁of ▁France ▁is".split()
BOUNDS = {("unscanned", "stored"): 1e-3, ("unscanned", "rounded"): 1e-3, ("unscanned", "maxtext"): 1e-6,
          **{("int8", name): 2e-2 for name in ("stored", "rounded", "maxtext")}}
OUTPUTS = ("unscanned", "int8")
WRONG = 0.1  # what every mistake exceeds at some position
MISTAKES = {
    "norms without their 1": lambda model: replace(model, norm_offset=model.norm_offset - 1),
    "queries scaled twice": lambda model: replace(model, query_divisor=model.query_divisor**2),
    "the wrong rotary order": lambda model: replace(model, interleaved=True),
}
HF = {"token_embd": "embed_tokens", "output_norm": "norm", **{label: name for name, label in GGUF.items()}}


def dequantized(file, name):
    """float32 values by the gguf package, some rows at a time."""
    tensor = file.tensors[name]
    raw = np.memmap(file.path, np.uint8, "r", tensor.begin, (tensor.shape[0], tensor.size // tensor.shape[0]))
    out, step, kind = np.empty(tensor.shape, np.float32), 1 << 8, gguf.GGMLQuantizationType[tensor.type]
    for row in range(0, len(out), step):
        out[row:row + step] = gguf.dequantize(raw[row:row + step], kind).reshape(out[row:row + step].shape)
    return out


def weights_of(file):
    """Under Hugging Face's names; norms without the 1 that llama.cpp's converter adds."""
    weights = {}
    for name in file.tensors:
        *layer, label = name.removesuffix(".weight").removeprefix("blk.").split(".")
        name, values = f"layers.{layer[0]}.{HF[label]}" if layer else HF[label], dequantized(file, name)
        weights[name] = values - np.float32(1) if values.ndim == 1 else values
    return weights


def config_of(file):
    """The file says neither the local layers' rotary base nor the queries' scale: llama.cpp knows them."""
    keys = {name.removeprefix("gemma3."): value for name, value in file.keys.items()}
    width = keys["attention.key_length"]
    return Config(3, layers=keys["block_count"], heads=keys["attention.head_count"], kv_heads=keys["attention.head_count_kv"],
                  head_dim=width, scalar=width, window=keys["attention.sliding_window"], theta=keys["rope.freq_base"],
                  local_theta=10000.0, eps=keys["attention.layer_norm_rms_epsilon"])


class Real:
    """What the source says to the prompt, by its three roundings, and the restored leaves' files; one model in memory at a time."""

    def __init__(self, path, folder):
        file = GgufFile(path)
        self.config, self.tokens = config_of(file), file.keys["tokenizer.ggml.tokens"]
        self.ids = [self.tokens.index(piece) for piece in PROMPT]
        source = gemma_forward.of_source(self.config, weights_of(file))
        self.expected = {"stored": source.logits(self.ids)}
        for name, change in (("rounded", gemma_forward.rounded_to_bf16), ("maxtext", gemma_forward.as_maxtext_stores)):
            self.expected[name] = change(source).logits(self.ids)
        del source
        support.convert_maxtext(path, folder, OUTPUTS)
        self.saves = {name: str(folder / f"{name}.npz") for name in OUTPUTS}
        jobs = [real_orbax.job(support.items(folder, name), "whole", save=save) for name, save in self.saves.items()]
        assert [result["error"] for result in real_orbax.restore(real_orbax.NEWEST, jobs) if "error" in result] == []

    def model(self, output):
        return gemma_forward.of_maxtext(self.config, maxtext_reference.read_leaves(self.saves[output]))


@pytest.fixture(scope="module")
def real():
    folder = support.DATA / "gemma3-270m-out"
    shutil.rmtree(folder, ignore_errors=True)
    with support.shared_folder("gemma3-270m") as source:
        gguf = gguf_of_wheels(source)
    yield Real(gguf, folder)
    shutil.rmtree(folder)


def test_the_source_knows_the_capital_of_france(real):
    """The forward pass is Gemma's: a wrong one would agree with itself, but not say this."""
    for name, expected in real.expected.items():
        assert real.tokens[expected[-1].argmax()] == "▁Paris", name


@pytest.mark.parametrize("output", OUTPUTS)
def test_every_position_agrees_with_the_source_and_no_mistake_does(output, real):
    model = real.model(output)
    found = model.logits(real.ids)
    distances = {name: forward.divergence(expected, found) for name, expected in real.expected.items()}
    for name, distance in distances.items():
        print(f"{output}, source {name}: KL mean {distance['kl_mean']:.1e}, max {distance['kl_max']:.1e}, "
              f"largest logit difference {distance['max_abs_logit_difference']:.2g}")
    assert {name: distance for name, distance in distances.items() if distance["kl_max"] > BOUNDS[output, name]} == {}
    assert distances["rounded"]["top1_agreement"] == 1
    assert real.tokens[found[-1].argmax()] == "▁Paris"
    for what, mistaken in MISTAKES.items():
        distance = forward.divergence(real.expected["rounded"], mistaken(model).logits(real.ids))
        print(f"{output}, {what}: KL mean {distance['kl_mean']:.1e}, max {distance['kl_max']:.1e}")
        assert distance["kl_max"] > WRONG, what
