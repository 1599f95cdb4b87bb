"""What the real packages said of the small models (ct_models.py), ../golden/compressed-tensors-full, and how ours is put in its terms.

{"versions": {package: version}, "models": {model: {"bf16" or scheme: {
    "tensors": {arithmetic: {module: first 16 digits of the SHA-256 of its decompressed weight, bf16 [out, in], little-endian}},
    "logits": [of the last position for ids 0 to 7, by transformers in float32, with these weights and unquantized inputs]}}}}
"""

import hashlib
import json

import ct_reference
import support

FILE = support.GOLDEN / "compressed-tensors-full/goldens.json"
LOGITS = 8
# The largest difference of two float32 passes over equal weights; measured up to 8.7e-5 in Gemma's logits (up to 12), 1.4e-5 elsewhere.
BOUND = 5e-4


def read():
    return json.loads(FILE.read_text())


def arithmetics_of(name):
    """Both where it is cheap."""
    return ("gpu", "cpu") if name == "llama" else ("gpu",)


def digest(data):
    return hashlib.sha256(data).hexdigest()[:16]


def digests(tensors):
    """{module: digest} of the quantized ones among a decompressed folder's {name: (dtype, shape, bytes)}."""
    modules = {name.removesuffix(".weight"): data for name, (_, _, data) in tensors.items()}
    return {module: digest(data) for module, data in sorted(modules.items()) if ct_reference.is_linear(module)}


def shown(logits):
    return [round(float(value), 6) for value in logits[-1, :LOGITS]]


def words():
    return ("bf16", *ct_reference.SCHEMES)
