"""Mixtral in numpy: Llama's attention and a feed-forward of experts, from each form of the weights.

Weights carry JetStream-PyTorch's names and are float32: cond_ffn.w1 and w3 [experts, mlp, dim], w2 [experts, dim, mlp].
"""

import re

import numpy as np

import bfloat16
import maxtext_model
from llama import Checkpoint, Llama, gated, meta_name_of_hf
from safetensors_file import SafetensorsFile

CHOSEN = 2  # experts of a position
EXPERT = re.compile(r"model\.layers\.(\d+)\.block_sparse_moe\.experts\.(\d+)\.(w[123])\.weight")
MOE_OF_MAXTEXT = {"MoeBlock_0/gate/kernel": "gate.weight", "MoeBlock_0/wi_0": "cond_ffn.w1", "MoeBlock_0/wi_1": "cond_ffn.w3",
                  "MoeBlock_0/wo": "cond_ffn.w2"}


class Mixtral(Llama):
    """Runs a checkpoint: the two experts that the router likes best, weighted by the softmax of their two scores."""

    def _feed_forward(self, at, h):
        at += "block_sparse_moe."
        scores = h @ self._w[at + "gate.weight"].T
        out = np.zeros_like(h)
        for position, row in enumerate(scores):
            best = np.argsort(-row)[:CHOSEN]
            shares = np.exp(row[best] - row[best].max())
            for expert, share in zip(best, shares / shares.sum()):
                w1, w2, w3 = (self._w[f"{at}cond_ffn.{name}"][expert] for name in ("w1", "w2", "w3"))
                out[position] += share * gated(h[position], w1, w2, w3)
        return out


def logits(checkpoint, tokens):
    return Mixtral(checkpoint).extend(tokens)


def of_hf(config, tensors):
    """{Hugging Face's name: float32}."""
    weights, experts = {}, {}
    for name, value in tensors.items():
        if found := EXPERT.fullmatch(name):
            experts.setdefault((found[1], found[3]), {})[int(found[2])] = value
        elif name.endswith("block_sparse_moe.gate.weight"):
            weights[name.removeprefix("model.")] = value
        else:
            weights[meta_name_of_hf(name)] = value
    for (layer, part), parts in experts.items():
        weights[f"layers.{layer}.block_sparse_moe.cond_ffn.{part}"] = np.stack([parts[number] for number in range(len(parts))])
    return Checkpoint(config, weights, False, "hf", 16)


def of_jetstream(config, path):
    file, weights = SafetensorsFile(path / "model.safetensors"), {}

    def read(name):
        entry = file.entries[name]
        raw = np.frombuffer(file.bytes_of(name), np.uint8)
        values = raw.view(np.int8).astype(np.float32) if entry.dtype == "I8" else bfloat16.to_float32(raw.view(np.uint16))
        return values.reshape(entry.shape)
    for name in file.entries:
        if name.endswith("_scaler"):
            continue
        weights[name] = read(name)
        if name + "_scaler" in file.entries:
            scale = read(name + "_scaler")
            weights[name] = weights[name] * (scale if name == "tok_embeddings.weight" else scale[..., None])
    return Checkpoint(config, weights, True, "jetstream-pytorch", 16)


def of_maxtext(config, leaves):
    """Leaves as real Orbax restored them, scanned or not: experts are the first axis, layers the second where they are stacked."""
    weights = {}
    for name, kernel in maxtext_model.kernels(leaves).items():
        layer = maxtext_model.LAYERS.fullmatch(name)
        if not layer:
            meta = maxtext_model.META_OF_TOP[name]
            weights[meta] = kernel.T if meta == "output.weight" else kernel
            continue
        for number in range(config.layers) if layer[1] is None else [int(layer[1])]:
            own = kernel[:, number] if layer[1] is None else kernel
            if moe := MOE_OF_MAXTEXT.get(layer[2]):
                weights[f"layers.{number}.block_sparse_moe.{moe}"] = own.swapaxes(-1, -2)
            else:
                meta = maxtext_model.META_OF_LAYER[layer[2]]
                weights[f"layers.{number}.{meta}"] = maxtext_model.out_in(meta, own)
    return Checkpoint(config, weights, False, "maxtext", 16, is_query_scaled=True)
