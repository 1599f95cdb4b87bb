"""A Llama model in numpy: reads it from GGUF, a Hugging Face folder or a JetStream-PyTorch output, and runs it.

Weights carry Meta's names (layers.N.attention.wq.weight, ...) and are float32 [out, in]. The order of q and k rows is
kept as stored and told by `interleaved`: Meta, GGUF and JetStream pair rows (2t, 2t + 1), Hugging Face (t, h/2 + t).
"""

import json
import os
from dataclasses import dataclass, replace

import numpy as np

import bfloat16
from gguf_file import GgufFile
from safetensors_file import SafetensorsFile

HF_LAYER = {
    "input_layernorm": "attention_norm", "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk",
    "self_attn.v_proj": "attention.wv", "self_attn.o_proj": "attention.wo",
    "mlp.gate_proj": "feed_forward.w1", "mlp.down_proj": "feed_forward.w2", "mlp.up_proj": "feed_forward.w3",
}
GGUF_LAYER = {
    "attn_norm": "attention_norm", "ffn_norm": "ffn_norm", "attn_q": "attention.wq", "attn_k": "attention.wk",
    "attn_v": "attention.wv", "attn_output": "attention.wo", "ffn_gate": "feed_forward.w1",
    "ffn_down": "feed_forward.w2", "ffn_up": "feed_forward.w3",
}
HF_TOP = {"model.embed_tokens": "tok_embeddings", "model.norm": "norm", "lm_head": "output"}
GGUF_TOP = {"token_embd": "tok_embeddings", "output_norm": "norm", "output": "output"}


@dataclass(frozen=True)
class Config:
    """Dimensions and constants of the forward pass; rope_factors divide the rotary frequencies, one each."""

    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    eps: float
    theta: float
    rope_factors: object = None


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to run, and what its file spends on it."""

    config: Config
    weights: dict
    interleaved: bool
    format: str
    bits_per_weight: float
    is_query_scaled: bool = False  # the query weights hold 1 / sqrt(head_dim), as MaxText's do

    def with_wrong_rotary(self):
        """The same weights read with the other rotary order: what a missed permutation looks like."""
        return replace(self, interleaved=not self.interleaved)

    def rounded_to_bf16(self):
        """The same model with every weight rounded to bf16: what a perfect bf16 conversion holds."""
        tied = self.weights["output.weight"] is self.weights["tok_embeddings.weight"]
        weights = {name: bfloat16.round_float32(w) for name, w in self.weights.items() if not (
            tied and name == "output.weight")}
        weights.setdefault("output.weight", weights["tok_embeddings.weight"])
        return replace(self, weights=weights)


def meta_name_of_hf(name):
    return _renamed(name, "model.layers", HF_TOP, HF_LAYER)


def meta_name_of_gguf(name):
    return _renamed(name, "blk", GGUF_TOP, GGUF_LAYER)


def load_source(path):
    """A GGUF file or a Hugging Face folder."""
    return load_hf(path) if os.path.isdir(path) else load_gguf(path)


def load_gguf(path):
    file = GgufFile(path)
    keys = {name.removeprefix("llama."): value for name, value in file.keys.items()}
    heads = keys["attention.head_count"]
    factors = file.float32("rope_freqs.weight") if "rope_freqs.weight" in file.tensors else None
    config = Config(
        layers=keys["block_count"], heads=heads, kv_heads=keys.get("attention.head_count_kv", heads),
        head_dim=keys.get("attention.key_length", keys["embedding_length"] // heads),
        eps=keys["attention.layer_norm_rms_epsilon"], theta=keys.get("rope.freq_base", 10000.0), rope_factors=factors)
    weights, size, count = {}, 0, 0
    for name, tensor in file.tensors.items():
        if name == "rope_freqs.weight":
            continue
        weights[meta_name_of_gguf(name)] = file.float32(name)
        size += tensor.size
        count += int(np.prod(tensor.shape))
    weights.setdefault("output.weight", weights["tok_embeddings.weight"])
    return Checkpoint(config, weights, True, "gguf", 8 * size / count)


def load_hf(folder):
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        values = json.load(file)
    heads = values["num_attention_heads"]
    head_dim = values.get("head_dim") or values["hidden_size"] // heads
    theta = values.get("rope_theta", 10000.0)
    config = Config(
        layers=values["num_hidden_layers"], heads=heads, kv_heads=values.get("num_key_value_heads") or heads,
        head_dim=head_dim, eps=values.get("rms_norm_eps", 1e-6), theta=theta,
        rope_factors=_llama3_factors(values.get("rope_scaling"), head_dim, theta))
    weights, size, count = {}, 0, 0
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".safetensors"):
            continue
        file = SafetensorsFile(os.path.join(folder, name))
        for tensor, entry in file.entries.items():
            if "inv_freq" not in tensor:
                weights[meta_name_of_hf(tensor)] = _float32(file, tensor)
                size, count = size + entry.end - entry.begin, count + entry.elements
    if values.get("tie_word_embeddings"):
        weights.setdefault("output.weight", weights["tok_embeddings.weight"])
    return Checkpoint(config, weights, False, "hf", 8 * size / count)


def load_jetstream(path, config):
    """A JetStream-PyTorch output, bf16 or quantized; the file holds no configuration, so the source's is given."""
    file = SafetensorsFile(os.path.join(path, "model.safetensors") if os.path.isdir(path) else path)
    weights, count, kinds = {}, 0, set()
    for name, entry in file.entries.items():
        if name.endswith("_scaler") or name == "rope.freqs":
            continue
        count += entry.elements
        kinds.add(entry.dtype)
        weights[name] = _float32(file, name)
        if name + "_scaler" in file.entries:
            weights[name] = _unquantized(name, weights[name], _float32(file, name + "_scaler"))
    size = sum(entry.end - entry.begin for entry in file.entries.values())
    return Checkpoint(config, weights, True, "jetstream-pytorch " + "+".join(sorted(kinds)), 8 * size / count)


def _float32(file, name):
    entry = file.entries[name]
    raw = np.frombuffer(file.bytes_of(name), np.uint8)
    if entry.dtype == "BF16":
        return bfloat16.to_float32(raw.view(np.uint16)).reshape(entry.shape)
    return raw.view({"F32": np.float32, "F16": np.float16, "I8": np.int8}[entry.dtype]).astype(np.float32).reshape(
        entry.shape)


def _unquantized(name, q, scale):
    if name == "tok_embeddings.weight":
        return q * scale  # one scale per column
    if q.ndim == 2:
        return q * scale[:, None]
    blocks, width, rows = q.shape  # q[s][c][o] is the weight's [o, s * width + c]
    return np.ascontiguousarray((q * scale.reshape(blocks, 1, rows)).reshape(blocks * width, rows).T)


def _renamed(name, prefix, top, layer):
    """Meta's name of a tensor; raises KeyError or ValueError for one that no table knows."""
    stem = name.removesuffix(".weight")
    if stem in top:
        return top[stem] + ".weight"
    number, rest = stem.removeprefix(prefix + ".").split(".", 1)
    return f"layers.{int(number)}.{layer[rest]}.weight"


def _llama3_factors(scaling, head_dim, theta):
    """Llama 3.1's scaling: slow frequencies are divided by `factor`, fast ones kept, those between blended."""
    if not scaling or scaling.get("rope_type", scaling.get("type")) != "llama3":
        return None
    inverse = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    turns = scaling["original_max_position_embeddings"] * inverse / (2 * np.pi)
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return 1 / ((1 - smooth) / scaling["factor"] + smooth)


class Llama:
    """Runs a checkpoint over a growing sequence; keys and values of earlier positions are kept."""

    def __init__(self, checkpoint):
        self._w, self._c, self._interleaved = checkpoint.weights, checkpoint.config, checkpoint.interleaved
        self._score_divisor = np.float32(1 if checkpoint.is_query_scaled else np.sqrt(checkpoint.config.head_dim))
        self._past = [None] * self._c.layers
        self._length = 0

    def extend(self, tokens):
        """Appends token ids; returns float32 logits [len(tokens), vocabulary]."""
        c, w = self._c, self._w
        x = w["tok_embeddings.weight"][np.asarray(tokens)]
        cos, sin = self._rotation(len(tokens))
        for layer in range(c.layers):
            at = f"layers.{layer}."
            x = x + self._attention(layer, _rms_norm(x, w[at + "attention_norm.weight"], c.eps), cos, sin)
            x = x + self._feed_forward(at, _rms_norm(x, w[at + "ffn_norm.weight"], c.eps))
        self._length += len(tokens)
        return _rms_norm(x, w["norm.weight"], c.eps) @ w["output.weight"].T

    def _feed_forward(self, at, h):
        w1, w2, w3 = (self._w[f"{at}feed_forward.{name}.weight"] for name in ("w1", "w2", "w3"))
        return gated(h, w1, w2, w3)

    def _rotation(self, count):
        c = self._c
        inverse = c.theta ** (-np.arange(0, c.head_dim, 2) / c.head_dim)
        if c.rope_factors is not None:
            inverse = inverse / c.rope_factors
        angles = np.outer(np.arange(self._length, self._length + count), inverse)
        return np.cos(angles).astype(np.float32)[:, None], np.sin(angles).astype(np.float32)[:, None]

    def _rotated(self, x, cos, sin):
        half = x.shape[-1] // 2
        first, second = (slice(0, None, 2), slice(1, None, 2)) if self._interleaved else (slice(half), slice(half, None))
        out = np.empty_like(x)
        out[..., first] = x[..., first] * cos - x[..., second] * sin
        out[..., second] = x[..., first] * sin + x[..., second] * cos
        return out

    def _attention(self, layer, h, cos, sin):
        c, w, at = self._c, self._w, f"layers.{layer}.attention."
        count = len(h)
        q = self._rotated((h @ w[at + "wq.weight"].T).reshape(count, c.heads, c.head_dim), cos, sin)
        k = self._rotated((h @ w[at + "wk.weight"].T).reshape(count, c.kv_heads, c.head_dim), cos, sin)
        v = (h @ w[at + "wv.weight"].T).reshape(count, c.kv_heads, c.head_dim)
        if self._past[layer] is not None:
            k, v = (np.concatenate([old, new]) for old, new in zip(self._past[layer], (k, v)))
        self._past[layer] = (k, v)
        group = c.heads // c.kv_heads
        keys, values = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = np.einsum("thd,shd->hts", q, keys, optimize=True) / self._score_divisor
        future = np.arange(len(k))[None] > np.arange(self._length, self._length + count)[:, None]
        scores = np.where(future, np.float32(-np.inf), scores)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        out = np.einsum("hts,shd->thd", weights, values, optimize=True).reshape(count, c.heads * c.head_dim)
        return out @ w[at + "wo.weight"].T


def gated(h, w1, w2, w3):
    """SwiGLU of [out, in] matrices."""
    gate = h @ w1.T
    return (gate / (1 + np.exp(-gate)) * (h @ w3.T)) @ w2.T


def _rms_norm(x, weight, eps):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + np.float32(eps)) * weight
