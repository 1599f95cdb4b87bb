"""The chunk shape that every array of a MaxText checkpoint must have, by grid_reference.py: names of axes, and the rest."""

from math import prod

from grid_reference import grid
from maxtext_model import LAYERS, plain_name

# Axes of each slice, in the array's own order, and in the order of Hugging Face's tensor: (MaxText's, Hugging Face's).
AXES = {
    "token_embedder/embedding": ("ve", "ve"), "decoder/decoder_norm/scale": ("e", "e"),
    "decoder/logits_dense/kernel": ("ev", "ve"),
    "pre_self_attention_layer_norm/scale": ("e", "e"), "post_self_attention_layer_norm/scale": ("e", "e"),
    "self_attention/query/kernel": ("ehd", "hde"), "self_attention/key/kernel": ("ekd", "kde"),
    "self_attention/value/kernel": ("ekd", "kde"), "self_attention/out/kernel": ("hde", "ehd"),
    "mlp/wi_0/kernel": ("ef", "fe"), "mlp/wi_1/kernel": ("ef", "fe"), "mlp/wo/kernel": ("fe", "ef"),
}
CUT_BY = {"fsdp": "e", "tensor": "hkfv", "expert": "x"}  # which axes a mesh axis cuts


def mesh_axes(mesh):
    """{axis: devices} of {"fsdp": 16, "tensor": 4}."""
    return {axis: devices for name, devices in mesh.items() for axis in CUT_BY[name]}


def chunk_of(path, shape, mesh=None):
    """The chunk shape of one leaf. A scale and the step have no grid of their own: one chunk."""
    name, part = plain_name(path)
    if name == "step" or part == "scale/0":
        return [max(1, extent) for extent in shape]
    layer = LAYERS.fullmatch(name)
    own, hf = AXES[layer[2] if layer else name]
    if len(shape) == len(own) + 1:
        own = own[0] + "l" + own[1:]
    assert len(shape) == len(own), f"{path}: shape {shape} for axes {own}"
    axes = dict(zip(own, shape, strict=True))
    return [grid(axes, hf, mesh_axes(mesh or {}))[axis] for axis in own]


def keys(shape, chunk):
    """How many chunks an array has."""
    return prod(-(-extent // size) for extent, size in zip(shape, chunk, strict=True))
