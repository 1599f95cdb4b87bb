"""What a converter's output must hold of a source, weight by weight, and how two models are run side by side.

`as_stored` tells the source in an output's terms, rounded to bf16; `quantized` what is left of a weight once it is quantized and
multiplied out again. Both are the judge's own formulas: the output must equal them to the last bit.
"""

from dataclasses import replace

import numpy as np

import bfloat16
import gemma_forward
import maxtext_reference
import quantize_reference
from llama import Llama
from maxtext_reference import Leaf
from mixtral_forward import Mixtral

EMBEDDINGS = ("embed_tokens", "tok_embeddings.weight")
PLANTED = 100  # a row that much longer than the others was planted to show a rounding rule


def is_gemma(model):
    return isinstance(model, gemma_forward.Model)


def embedding(model):
    """The name of the embedding."""
    return next(name for name in EMBEDDINGS if name in model.weights)


def logits(model, tokens):
    """float32 [len(tokens), vocabulary]."""
    if is_gemma(model):
        return model.logits(tokens)
    is_sparse = any("block_sparse_moe" in name for name in model.weights)
    return (Mixtral if is_sparse else Llama)(model).extend(tokens)


def as_stored(source, found):
    """The source as a model of the output's form: its rotary order, its scaling of queries, all weights rounded to bf16."""
    if is_gemma(source):
        adds_one = found.norm_offset == 1
        return replace(found, weights=(gemma_forward.rounded_to_bf16 if adds_one else gemma_forward.as_maxtext_stores)(source).weights)
    weights = {}
    for name, value in source.weights.items():
        if name == "rope.freqs" and found.is_query_scaled:
            continue  # MaxText computes it
        value = reordered(name, bfloat16.round_float32(value), source, found)
        if name.endswith("wq.weight") and found.is_query_scaled:
            value = bfloat16.round_float32(value * np.float32(1 / np.sqrt(source.config.head_dim)))
        weights[name] = value
    return replace(found, weights=weights)


def reordered(name, rows, source, found):
    """Rows of queries and keys from halves to pairs or back, where the two models differ in that."""
    if source.interleaved == found.interleaved or not name.endswith(("wq.weight", "wk.weight")):
        return rows
    half = source.config.head_dim // 2
    grouped = rows.reshape(*((-1, 2, half) if found.interleaved else (-1, half, 2)), rows.shape[-1])
    return grouped.swapaxes(1, 2).reshape(rows.shape)


def quantized(weight, form, kind, in_maxtext):
    """What is left of a bf16 weight [.., out, in] whose "columns", "rows" or "blocks" of rows have a scale each."""
    bits = bfloat16.from_float32(weight)
    if in_maxtext:
        q, scale = maxtext_reference.quantize(Leaf("bfloat16", bits), (weight.ndim - 1,), kind)
        return q.float32() * scale.float32()
    if form == "columns":
        q, scale = quantize_reference.quantize_axis(bits, 0, 8)
        return q * bfloat16.to_float32(scale)
    width = 4 if kind.startswith("int4") else 8
    parts = bits.reshape(len(bits), -1, quantize_reference.BLOCK) if form == "blocks" else bits
    q, scale = quantize_reference.quantize_axis(parts, parts.ndim - 1, width)
    return (q * bfloat16.to_float32(scale)[..., None]).reshape(weight.shape)


def misshapen(expected, found):
    """The first names or shapes in which two models' weights differ, in words; None where they are alike."""
    if expected.keys() != found.keys():
        return f"missing {sorted(expected.keys() - found.keys())[:3]}, not expected {sorted(found.keys() - expected.keys())[:3]}"
    return next((f"{name}: shape {found[name].shape} instead of {value.shape}" for name, value in expected.items()
                 if value.shape != found[name].shape), None)


def differences(expected, found):
    """The first weight that differs between models of one shape, in words; None when all are equal to the last bit."""
    for name, value in expected.items():
        differing = np.argwhere(value != found[name])
        if len(differing):
            at = tuple(differing[0].tolist())
            return f"{name}: {len(differing)} of {value.size} weights differ, the first at {at}: {found[name][at]} instead of {value[at]}"
    return None


def divisors(model):
    """{name: powers of two, one a row or norm} that make a stand-in with planted rows an ordinary model; empty for an ordinary one.

    Rows of thousands saturate every softmax: then the least rounding decides, and no forward pass tells right from wrong. Norms of
    hundredths make all words alike. Both models are divided alike and exactly, so what differs between them still does. Rows that are
    short beside the others stay so: they are mostly rounding. Gemma's norms are near 1, which is not stored with them.
    """
    lengths = {}
    for name, weight in model.weights.items():
        if weight.ndim > 1 or not (is_gemma(model) or name == "rope.freqs"):
            length = np.linalg.norm(weight.astype(np.float64), axis=-1, keepdims=True)
            lengths[name] = length if weight.ndim > 1 else length / np.sqrt(weight.size)
    if not any(length.max() > PLANTED * np.median(length) for length in lengths.values()):
        return {}
    return {name: np.exp2(np.rint(np.log2(np.maximum(length, np.median(length))))).astype(np.float32) for name, length in lengths.items()}


def divided(model, by, source):
    """A model with the rows of its matrices divided; `source`: whose rows `by` belongs to."""
    def of(name, weight):
        return weight / (by[name] if is_gemma(source) else reordered(name, by[name], source, model))
    return replace(model, weights={name: of(name, weight) if name in by else weight for name, weight in model.weights.items()})
