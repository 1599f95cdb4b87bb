"""Gemma 2 and Gemma 3 in numpy: a small random model in Hugging Face's, Kaggle's and GGUF's names, and what MaxText must hold of it.

Written from the formats' text, beside and apart from models/*.toml. Weights are bf16 bit patterns, one dict {HF name: uint16 array}.
"""

from dataclasses import dataclass

import numpy as np

import bfloat16
from maxtext_reference import Leaf

TOP = "params/params/"


@dataclass(frozen=True)
class Sizes:
    """A model's sizes; `scalar` is query_pre_attn_scalar."""

    generation: int
    layers: int
    dim: int = 24
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 8
    mlp: int = 40
    vocab: int = 48
    scalar: int = 8

    def config(self):
        """config.json of the text model."""
        return {"architectures": [f"Gemma{self.generation}ForCausalLM"],
                "model_type": "gemma2" if self.generation == 2 else "gemma3_text", "num_hidden_layers": self.layers,
                "hidden_size": self.dim, "num_attention_heads": self.heads, "num_key_value_heads": self.kv_heads,
                "head_dim": self.head_dim, "intermediate_size": self.mlp, "vocab_size": self.vocab,
                "query_pre_attn_scalar": self.scalar, "torch_dtype": "bfloat16"}


NORMS = {  # HF name: (Kaggle's, GGUF's, MaxText's, which has a suffix in pairs)
    "input_layernorm": ("pre_attention_norm/scale", "attn_norm", "pre_self_attention_norm"),
    "post_attention_layernorm": ("post_attention_norm/scale", "post_attention_norm", "post_self_attention_norm"),
    "pre_feedforward_layernorm": ("pre_ffw_norm/scale", "ffn_norm", "pre_ffw_norm"),
    "post_feedforward_layernorm": ("post_ffw_norm/scale", "post_ffw_norm", "post_ffw_norm"),
}
GGUF = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
        **{name: gguf for name, (_, gguf, _) in NORMS.items()}}


def make(sizes, seed=5):
    """{HF name, without "model." and ".weight": bf16 bits} of a random model."""
    noise = np.random.default_rng(seed)
    q, kv, e, f = sizes.heads * sizes.head_dim, sizes.kv_heads * sizes.head_dim, sizes.dim, sizes.mlp
    shapes = {"embed_tokens": (sizes.vocab, e), "norm": (e,)}
    for r in range(sizes.layers):
        layer = {**{name: (e,) for name in NORMS}, "self_attn.q_proj": (q, e), "self_attn.k_proj": (kv, e),
                 "self_attn.v_proj": (kv, e), "self_attn.o_proj": (e, q), "mlp.gate_proj": (f, e), "mlp.up_proj": (f, e),
                 "mlp.down_proj": (e, f)}
        if sizes.generation == 3:
            layer |= {"self_attn.q_norm": (sizes.head_dim,), "self_attn.k_norm": (sizes.head_dim,)}
        shapes |= {f"layers.{r}.{name}": shape for name, shape in layer.items()}
    return {name: bfloat16.from_float32(noise.normal(0, 0.5, shape).astype(np.float32)) for name, shape in shapes.items()}


def kaggle(weights, sizes, is_transposed):
    """{Kaggle's name: bf16 bits}; gating_einsum is [2, f, e] where `is_transposed`, else [2, e, f]."""
    out = {"transformer/embedder/input_embedding": weights["embed_tokens"], "transformer/final_norm/scale": weights["norm"]}
    for r in range(sizes.layers):
        def of(name, r=r):
            return weights[f"layers.{r}.{name}"]

        def heads(name, of=of):  # [n d, e] -> [n, e, d]
            return of(name).reshape(-1, sizes.head_dim, sizes.dim).transpose(0, 2, 1)
        gating = np.stack([of("mlp.gate_proj"), of("mlp.up_proj")])
        layer = {flax: of(name) for name, (flax, _, _) in NORMS.items()}
        layer |= {"attn/q_einsum/w": heads("self_attn.q_proj"),
                  "attn/kv_einsum/w": np.stack([heads("self_attn.k_proj"), heads("self_attn.v_proj")]),
                  "attn/attn_vec_einsum/w": of("self_attn.o_proj").T.reshape(sizes.heads, sizes.head_dim, sizes.dim),
                  "mlp/gating_einsum/w": gating if is_transposed else gating.transpose(0, 2, 1),
                  "mlp/linear/w": of("mlp.down_proj").T}
        if sizes.generation == 3:
            layer |= {"attn/_query_norm/scale": of("self_attn.q_norm"), "attn/_key_norm/scale": of("self_attn.k_norm")}
        out |= {f"transformer/layer_{r}/{name}": value for name, value in layer.items()}
    return {name: np.ascontiguousarray(value) for name, value in out.items()}


def _rounded(product):
    return bfloat16.from_float32(product.astype(np.float32))


def _plus_one(bits):
    return _rounded(bfloat16.to_float32(bits) + np.float32(1))


def _layer(weights, sizes, r, suffix):
    """{leaf below the layer: bf16 bits} of real layer r."""
    def of(name):
        return weights[f"layers.{r}.{name}"]
    e, d, attention = sizes.dim, sizes.head_dim, f"self_attention{suffix}/"
    query = of("self_attn.q_proj").T.reshape(e, sizes.heads, d)
    if sizes.generation == 2:  # one float32 product, then one rounding
        query = _rounded(bfloat16.to_float32(query) * np.float32(1 / np.sqrt(sizes.scalar)))
    out = {f"{maxtext}{suffix}/scale": _plus_one(of(name)) for name, (_, _, maxtext) in NORMS.items()}
    out |= {attention + "query/kernel": query,
            attention + "key/kernel": of("self_attn.k_proj").T.reshape(e, sizes.kv_heads, d),
            attention + "value/kernel": of("self_attn.v_proj").T.reshape(e, sizes.kv_heads, d),
            attention + "out/kernel": of("self_attn.o_proj").T.reshape(sizes.heads, d, e),
            f"mlp{suffix}/wi_0/kernel": of("mlp.gate_proj").T, f"mlp{suffix}/wi_1/kernel": of("mlp.up_proj").T,
            f"mlp{suffix}/wo/kernel": of("mlp.down_proj").T}
    if sizes.generation == 3:
        out |= {attention + "query_norm/scale": _plus_one(of("self_attn.q_norm")),
                attention + "key_norm/scale": _plus_one(of("self_attn.k_norm"))}
    return out


def _tree(weights, sizes, layers, vocab):
    factor = bfloat16.round_float32([np.sqrt(sizes.dim)])[0]
    embedding = bfloat16.to_float32(weights["embed_tokens"]) * factor
    padded = np.zeros((vocab or sizes.vocab, sizes.dim), np.float32)
    rows = min(len(padded), len(embedding))
    padded[:rows] = embedding[:rows]
    leaves = {"token_embedder/embedding": _rounded(padded), "decoder/decoder_norm/scale": _plus_one(weights["norm"]), **layers}
    return {"step": Leaf("int64", np.array(0, np.int64)),
            **{TOP + path: Leaf("bfloat16", np.ascontiguousarray(bits)) for path, bits in leaves.items()}}


def unscanned(weights, sizes, vocab=None):
    """The tree with one subtree per layer; in Gemma 2 per pair of layers."""
    layers = {}
    for r in range(sizes.layers):
        at, suffix = (r // 2, ("_local", "_global")[r % 2]) if sizes.generation == 2 else (r, "")
        layers |= {f"decoder/layers_{at}/{leaf}": bits for leaf, bits in _layer(weights, sizes, r, suffix).items()}
    return _tree(weights, sizes, layers, vocab)


def scanned(weights, sizes, vocab=None):
    """The tree that stacks pairs (Gemma 2), or each place of a block of six layers (Gemma 3), along axis 1."""
    stacks, layers = {}, {}
    whole = sizes.layers if sizes.generation == 2 else sizes.layers // 6 * 6
    for r in range(sizes.layers):
        place, suffix = ("", ("_local", "_global")[r % 2]) if sizes.generation == 2 else (f"layers_{r % 6}/", "")
        for leaf, bits in _layer(weights, sizes, r, suffix).items():
            if r < whole:
                stacks.setdefault(f"decoder/layers/{place}{leaf}", []).append(bits)
            else:
                layers[f"decoder/layers_remainder/layers_{r - whole}/{leaf}"] = bits
    layers |= {path: np.stack(parts, axis=1) for path, parts in stacks.items()}
    return _tree(weights, sizes, layers, vocab)
