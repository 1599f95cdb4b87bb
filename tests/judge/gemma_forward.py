"""Gemma 1, 2 and 3 (text) in numpy: the source, MaxText's leaves and JetStream-PyTorch's file as models that run.

Weights are float32 under Hugging Face's names without "model." and ".weight", matrices [out, in]. Each server computes with what
its format stores; that is what a Model tells: whether norms have had their 1 added, where the embedding's factor and the queries'
scale are applied. Nothing is undone: MaxText's norms, embedding and queries are used as they were restored.
"""

import os
import re
from dataclasses import dataclass, replace

import numpy as np

import bfloat16
from maxtext_model import kernels
from safetensors_file import SafetensorsFile


@dataclass(frozen=True)
class Config:
    """Sizes and constants; `scalar` is query_pre_attn_scalar, `window` how many positions a local layer sees, its own included."""

    generation: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    scalar: float
    window: int = 4096
    theta: float = 10000.0
    local_theta: float = 10000.0
    eps: float = 1e-6

    def is_local(self, layer):
        """Gemma 2: every other layer, the first one too; Gemma 3: five of six."""
        return {1: False, 2: layer % 2 == 0, 3: layer % 6 != 5}[self.generation]

    @property
    def score_cap(self):
        return 50 if self.generation == 2 else None

    @property
    def logit_cap(self):
        return 30 if self.generation == 2 else None


@dataclass(frozen=True)
class Model:
    """Weights and how their server computes with them."""

    config: Config
    weights: dict
    norm_offset: float  # added to norms
    embedding_factor: float  # of the embedding where it is looked up
    logit_divisor: float
    query_divisor: float
    interleaved: bool = False  # no Gemma turns pairs (2t, 2t + 1): a mistake to be found

    def logits(self, tokens):
        """float32 [len(tokens), vocabulary]."""
        c, count = self.config, len(tokens)
        at, back = np.arange(count), np.subtract.outer(np.arange(count), np.arange(count))
        x = self.weights["embed_tokens"][np.asarray(tokens)] * np.float32(self.embedding_factor)
        for layer in range(c.layers):
            local = c.is_local(layer)
            hidden = (back < 0) | (local & (back >= c.window))
            turns = np.outer(at, (c.local_theta if local else c.theta) ** (-np.arange(0, c.head_dim, 2) / c.head_dim))
            mixed = self._attention(layer, self._norm(x, f"layers.{layer}.input_layernorm"), turns, hidden)
            if c.generation == 1:  # the norm that Hugging Face calls so comes before the feed-forward layers here
                x = x + mixed
                x = x + self._mlp(layer, self._norm(x, f"layers.{layer}.post_attention_layernorm"))
                continue
            x = x + self._norm(mixed, f"layers.{layer}.post_attention_layernorm")
            mixed = self._mlp(layer, self._norm(x, f"layers.{layer}.pre_feedforward_layernorm"))
            x = x + self._norm(mixed, f"layers.{layer}.post_feedforward_layernorm")
        logits = self._norm(x, "norm") @ self.weights["embed_tokens"].T
        logits /= np.float32(self.logit_divisor)
        return _capped(logits, c.logit_cap)

    def _norm(self, x, name):
        weight = self.weights[name] + np.float32(self.norm_offset)
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(self.config.eps)) * weight

    def _attention(self, layer, x, turns, hidden):
        c, at = self.config, f"layers.{layer}.self_attn."
        q, k, v = (np.reshape(x @ self.weights[f"{at}{kind}_proj"].T, (len(x), -1, c.head_dim)) for kind in "qkv")
        if c.generation == 3:
            q, k = self._norm(q, at + "q_norm"), self._norm(k, at + "k_norm")
        q, k = self._turned(q, turns) / np.float32(self.query_divisor), self._turned(k, turns)
        keys, values = (np.repeat(part, c.heads // c.kv_heads, axis=1) for part in (k, v))
        scores = _capped(np.einsum("thd,shd->hts", q, keys, optimize=True), c.score_cap)
        scores = np.where(hidden, np.float32(-np.inf), scores)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hts,shd->thd", shares, values, optimize=True)
        return mixed.reshape(len(x), -1) @ self.weights[at + "o_proj"].T

    def _turned(self, x, turns):
        cos, sin = np.cos(turns).astype(np.float32)[:, None], np.sin(turns).astype(np.float32)[:, None]
        half = x.shape[-1] // 2
        first, second = (slice(0, None, 2), slice(1, None, 2)) if self.interleaved else (slice(half), slice(half, None))
        out = np.empty_like(x)
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., second] * cos + x[..., first] * sin
        return out

    def _mlp(self, layer, x):
        gate, up, down = (self.weights[f"layers.{layer}.mlp.{kind}_proj"] for kind in ("gate", "up", "down"))
        gate = x @ gate.T
        gate = gate / 2 * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (gate + np.float32(0.044715) * gate**3)))  # GELU
        return (gate * (x @ up.T)) @ down.T


def _capped(values, cap):
    return values if cap is None else np.tanh(values / np.float32(cap)) * np.float32(cap)


def _dim(weights):
    return len(weights["norm"])


def _bf16(value):
    return float(bfloat16.round_float32([value])[0])


def of_source(config, weights):
    """As transformers runs a bf16 model: it rounds the embedding's factor to bf16."""
    return Model(config, weights, 1, _bf16(np.sqrt(_dim(weights))), 1, np.sqrt(config.scalar))


def _rounded(weight, change=lambda rows: rows):
    """bf16(change(bf16(weight))) as float32, some rows at a time: temporaries of an embedding would be several times as large."""
    out, step = np.empty(weight.shape, np.float32), 1 << 6
    for row in range(0, len(weight), step):
        out[row:row + step] = bfloat16.round_float32(change(bfloat16.round_float32(weight[row:row + step])))
    return out


def rounded_to_bf16(model):
    """A source whose every weight is a bf16 number: the best that a server of bf16 weights could get."""
    return replace(model, weights={name: _rounded(weight) for name, weight in model.weights.items()})


def as_maxtext_stores(model):
    """A source in MaxText's own terms: norms + 1, embedding * sqrt(dim) and (not in Gemma 3) queries / sqrt(scalar), each rounded
    to bf16. What it differs from the source by is MaxText's format's doing, which no converter avoids."""
    c, weights = model.config, {}
    scale = 1 if c.generation == 3 else _bf16(1 / np.sqrt(c.scalar)) if c.generation == 1 else 1 / np.sqrt(c.scalar)
    factors = {"embed_tokens": np.float32(model.embedding_factor), "q_proj": np.float32(scale)}
    for name, weight in model.weights.items():
        if weight.ndim == 1:
            weights[name] = _rounded(weight, lambda norm: norm + np.float32(1))
        else:
            factor = factors.get(name.split(".")[-1], np.float32(1))
            weights[name] = _rounded(weight, lambda rows, factor=factor: rows * factor)
    return _in_maxtext(c, weights)


def _in_maxtext(config, weights):
    """MaxText adds nothing to norms, looks the embedding up as it is, divides the logits, and scales queries in Gemma 3 alone."""
    divisor = np.sqrt(config.scalar) if config.generation == 3 else 1
    return Model(config, weights, 0, 1, _bf16(np.sqrt(_dim(weights))), divisor)


MAXTEXT_TOP = {"token_embedder/embedding": "embed_tokens", "decoder/decoder_norm/scale": "norm"}
MAXTEXT_LAYER = {
    "pre_self_attention_norm/scale": "input_layernorm", "post_self_attention_norm/scale": "post_attention_layernorm",
    "pre_ffw_norm/scale": "pre_feedforward_layernorm", "post_ffw_norm/scale": "post_feedforward_layernorm",
    "self_attention/query/kernel": "self_attn.q_proj", "self_attention/key/kernel": "self_attn.k_proj",
    "self_attention/value/kernel": "self_attn.v_proj", "self_attention/out/kernel": "self_attn.o_proj",
    "self_attention/query_norm/scale": "self_attn.q_norm", "self_attention/key_norm/scale": "self_attn.k_norm",
    "mlp/wi_0/kernel": "mlp.gate_proj", "mlp/wi_1/kernel": "mlp.up_proj", "mlp/wo/kernel": "mlp.down_proj",
}
PLACE = re.compile(r"decoder/layers(?:_(?P<number>\d+))?(?:(?P<rest>_remainder)?/layers_(?P<place>\d+))?/(?P<leaf>.+)")


def _layers_of(name, value, config):
    """(layer, leaf, array) of each layer that a leaf holds. Gemma 2 numbers pairs of a local and a global layer; Gemma 3 stacks
    each place of a block of six, and the layers beyond the last whole block not at all."""
    found = PLACE.fullmatch(name)
    leaf, step, first = found["leaf"], 1, 0
    if config.generation == 2:
        step, first = 2, int("_global/" in leaf)
        leaf = re.sub("_(local|global)/", "/", leaf)
    if found["rest"]:
        yield config.layers // 6 * 6 + int(found["place"]), leaf, value
    elif found["number"]:
        yield step * int(found["number"]) + first, leaf, value
    else:
        if found["place"]:
            step, first = 6, int(found["place"])
        for number in range(value.shape[1]):
            yield step * number + first, leaf, value[:, number]


def _out_in(leaf, kernel):
    """A layer's array as [out, in]; heads and their width are one axis."""
    if kernel.ndim == 3:
        kernel = kernel.reshape((-1, kernel.shape[2]) if "/out/" in leaf else (kernel.shape[0], -1))
    return np.ascontiguousarray(kernel.T)


def of_maxtext(config, leaves):
    """{path: Leaf} of a restored checkpoint, scanned, unscanned or quantized."""
    weights = {}
    for name, value in kernels(leaves).items():
        if name in MAXTEXT_TOP:
            weights[MAXTEXT_TOP[name]] = value
            continue
        for layer, leaf, array in _layers_of(name, value, config):
            hf = MAXTEXT_LAYER[leaf]
            if config.generation == 1 and hf == "pre_feedforward_layernorm":
                hf = "post_attention_layernorm"
            assert f"layers.{layer}.{hf}" not in weights, name
            weights[f"layers.{layer}.{hf}"] = _out_in(leaf, array)
    return _in_maxtext(config, weights)


JETSTREAM = {"embedder": "embed_tokens", "wq": "q_proj", "wk": "k_proj", "wv": "v_proj"}


def of_jetstream(config, folder):
    """Gemma 1 as JetStream-PyTorch wrote it, bf16 or int8_per_channel: scales are of rows, but of columns in the embedding."""
    file = SafetensorsFile(os.path.join(folder, "model.safetensors"))

    def values(name):
        raw, entry = np.frombuffer(file.bytes_of(name), np.uint8), file.entries[name]
        plain = bfloat16.to_float32(raw.view(np.uint16)) if entry.dtype == "BF16" else raw.view(np.int8).astype(np.float32)
        return plain.reshape(entry.shape)
    weights = {}
    for name in file.entries:
        if name.endswith("_scaler"):
            continue
        weight = values(name)
        if name + "_scaler" in file.entries:
            scale = values(name + "_scaler")
            weight = weight * (scale if name == "embedder.weight" else scale[:, None])
        weights[".".join(JETSTREAM.get(part, part) for part in name.removesuffix(".weight").split("."))] = weight
    return Model(config, weights, 1, np.sqrt(_dim(weights)), 1, np.sqrt(config.head_dim))
