"""Small models that the real transformers runs too: sizes, sources, and a numpy forward pass over what a folder decompresses to.

`quantized_inputs` is what compressed-tensors 0.19.0 makes of a Linear module's inputs on a CPU, by token or by 128 columns of one:
    s = max|x| / H (H = 127.5 or 448; 2^-23 where it is 0)     x ~ q * s
    q = rint(clamp(x / s, -128, 127)), or e4m3(clamp(x / s, -448, 448))
"""

from dataclasses import replace

import numpy as np

import bfloat16
import ct_reference
import ct_sources
import gemma_forward
import gemma_reference
import mixtral_forward
from ct_reference import E4M3_MOST, GROUP, SCHEMES
from gemma_reference import Sizes
from llama import Checkpoint, Config, Llama, meta_name_of_hf

f4 = np.float32
TOKENS = [(7 * i * i + 3 * i + 1) % 47 for i in range(24)]
WINDOW = 5  # of Gemma 3's local layers: less than the tokens
MODELS = {  # every inner size is whole groups; the width of a head has a root that is a power of two, so MaxText's queries come back
    "llama": ct_sources.Size("llama", dim=256, heads=4, kv_heads=2, head_dim=64, mlp=384),
    "mixtral": ct_sources.Size("mixtral", dim=256, heads=4, kv_heads=2, head_dim=64, mlp=256, experts=3),
    "gemma": ct_sources.Size("gemma", dim=256, heads=4, kv_heads=1, head_dim=64, mlp=384),
    "gemma3": Sizes(3, layers=7, dim=256, heads=4, kv_heads=2, head_dim=64, mlp=256, scalar=32),
}
MISSING_INPUT_SCALE = f4(2.0**-23)


def write(folder, name):
    """The model in Hugging Face's form, without planted rows: its logits are finite. Returns its tensors."""
    size = MODELS[name]
    if name != "gemma3":
        return ct_sources.write_tensors(folder, ct_sources.tensors_of(ct_sources.make(size, is_planted=False)), size.config())
    weights = gemma_reference.make(size)
    # smaller than there: the likeliest token would leave the others nothing, and scores would be one-hot
    factors = {"embed_tokens": f4(1 / 8)}
    bits = {f"model.{module}.weight": bfloat16.from_float32(bfloat16.to_float32(own) * factors.get(module, f4(1 / 4)))
            for module, own in weights.items()}
    return ct_sources.write_tensors(folder, ct_sources.tensors_of(bits), size.config() | {"sliding_window": WINDOW})


def values_of(tensors):
    """{name: float32} of an unquantized folder's tensors."""
    return {name: bfloat16.to_float32(ct_reference.as_array(tensor)) for name, tensor in tensors.items()}


def quantized_inputs(inputs, word):
    """float32 [T, I] of a module's inputs, as it multiplies them."""
    scheme = SCHEMES[word]
    groups = inputs.reshape(len(inputs), -1, GROUP) if word == "fp8-block" else inputs[:, None]
    most = E4M3_MOST if scheme.is_float else (scheme.highest - scheme.lowest) / f4(2)
    scales = np.abs(groups).max(-1, keepdims=True) / most
    scales = np.where(scales == 0, MISSING_INPUT_SCALE, scales)
    if scheme.is_float:
        codes = ct_reference.e4m3_values(ct_reference.e4m3_of(np.clip(groups / scales, -E4M3_MOST, E4M3_MOST)))
    else:
        codes = np.rint(np.clip(groups / scales, scheme.lowest, scheme.highest))
    return (codes * scales).reshape(inputs.shape)


def model_of(name, values):
    """A model of {Hugging Face's name: float32}."""
    size = MODELS[name]
    if name in ("llama", "mixtral"):
        config = Config(size.layers, size.heads, size.kv_heads, size.head_dim, 1e-5, 500000.0)
        if name == "mixtral":
            return mixtral_forward.of_hf(config, values)
        return Checkpoint(config, {meta_name_of_hf(tensor): value for tensor, value in values.items()}, False, "hf", 16)
    generation = 3 if name == "gemma3" else 1
    config = gemma_forward.Config(generation, size.layers, size.heads, size.kv_heads, size.head_dim,
                                  size.scalar if generation == 3 else size.head_dim, WINDOW,
                                  theta=1e6 if generation == 3 else 500000.0, eps=1e-6 if generation == 3 else 1e-5)
    own = {tensor.removeprefix("model.").removesuffix(".weight"): value for tensor, value in values.items()}
    return gemma_forward.of_source(config, own)


def logits_of(model):
    """float32 [positions, vocabulary]."""
    if isinstance(model, gemma_forward.Model):
        return model.logits(TOKENS)
    is_mixtral = "layers.0.block_sparse_moe.gate.weight" in model.weights
    return mixtral_forward.logits(model, TOKENS) if is_mixtral else Llama(model).extend(TOKENS)


def wrong_rotary(model):
    """The same weights with neighbours as rotary pairs, instead of the halves of a head: what a missed permutation looks like."""
    return replace(model, interleaved=True)


def logits(name, values):
    return logits_of(model_of(name, values))
