"""Compressed-tensors in plain numpy: what `--to hf --quantize` must write bit for bit, its configuration, and the way back.

Origin of the formulas: vllm-project/compressed-tensors 0.19.0 and vllm-project/llm-compressor 0.14.0.1, min-max observer.
R(x) rounds to bf16, nearest even; every operation is one of float32, followed by R where it stands. Weights are bf16 patterns [O, I].
    symmetric   s = R(max|w| / H)               H = 127.5, 7.5 or 448
    asymmetric  s = R(R(mx - mn) / (U - L))     mn, mx with 0 among them     z = rint(clamp(R(L - R(mn / s)), L, U))
    s = 2^-7 where it is 0, after z was made    q = rint(clamp(w / s + z, L, U)), or e4m3(clamp(w / s + 0, -448, 448))
"cpu" rounds quotient and sum of the last line with R, "gpu" (what ckpt does by itself) does not.
"""

from dataclasses import dataclass

import numpy as np

import bfloat16
from bfloat16 import round_float32 as R

f4 = np.float32
MISSING_SCALE = f4(2.0**-7)
GROUP = BLOCK = 128
E4M3_MOST = f4(448)


@dataclass(frozen=True)
class Scheme:
    """A preset: `rows` by `columns` of a weight share a scale; columns None: all of a row's."""

    alias: str
    format: str
    bits: int = 8
    is_float: bool = False
    is_symmetric: bool = True
    rows: int = 1
    columns: int | None = None

    @property
    def is_packed(self):
        return self.format == "pack-quantized"

    @property
    def lowest(self):
        return f4(-(2 ** (self.bits - 1)))

    @property
    def highest(self):
        return f4(2 ** (self.bits - 1) - 1)

    def takes(self, shape):
        """Groups within a row must fill it; blocks may be ragged."""
        return self.rows > 1 or self.columns is None or shape[1] % self.columns == 0


SCHEMES = {
    "fp8-dynamic": Scheme("FP8_DYNAMIC", "float-quantized", is_float=True),
    "w8a8": Scheme("W8A8", "int-quantized"),
    "fp8-block": Scheme("FP8_BLOCK", "float-quantized", is_float=True, rows=BLOCK, columns=BLOCK),
    "w4a16": Scheme("W4A16", "pack-quantized", bits=4, columns=GROUP),
    "w8a16": Scheme("W8A16", "pack-quantized", columns=GROUP),
    "w8a16-channel": Scheme("W8A16_CHANNEL", "pack-quantized"),
    "w4a16-asym": Scheme("W4A16_ASYM", "pack-quantized", bits=4, is_symmetric=False, columns=GROUP),
}


# --- E4M3: 4 bits of exponent (bias 7), 3 of mantissa, no infinity, 0x7f and 0xff are NaN

def e4m3_of(values):
    """Codes nearest to float32 values of at most 448, ties to the even one."""
    exponents = np.maximum(np.frexp(values)[1] - 1, -6)  # subnormals have the step of the least exponent
    steps = np.ldexp(f4(1), exponents - 3)
    counted = np.rint(np.abs(values) / steps).astype(np.int32)  # both exact: a power of two, then half to even
    counted, exponents = np.where(counted == 16, 8, counted), exponents + (counted == 16)
    codes = np.where(counted < 8, counted, (exponents + 7) * 8 + counted - 8)
    return (codes | np.where(np.signbit(values), 0x80, 0)).astype(np.uint8)


def e4m3_values(codes):
    exponents, mantissas = (codes >> 3 & 15).astype(np.int32), (codes & 7).astype(f4)
    values = np.where(exponents == 0, np.ldexp(mantissas, -9), np.ldexp(8 + mantissas, exponents - 10)).astype(f4)
    values = np.where(codes & 0x7F == 0x7F, f4(np.nan), values)
    return np.where(codes & 0x80, -values, values)


# --- groups of a band of rows: an array [groups down, groups across, elements of a group]

def _grouped(rows, scheme):
    height, width = rows.shape
    columns = width if scheme.columns is None else scheme.columns
    down, across = -(-height // scheme.rows), -(-width // columns)
    padded = np.zeros((down * scheme.rows, across * columns), rows.dtype)
    padded[:height, :width] = rows
    parts = padded.reshape(down, scheme.rows, across, columns).swapaxes(1, 2)
    return parts.reshape(down, across, scheme.rows * columns)


def spread(per_group, shape, scheme):
    """A value of each group at each of its elements, [O, I]."""
    columns = shape[1] if scheme.columns is None else scheme.columns
    return np.repeat(np.repeat(per_group, scheme.rows, axis=0), columns, axis=1)[: shape[0], : shape[1]]


def _scales(groups, scheme):
    """(scales, zero points) as float32, and None for the latter where the scheme is symmetric."""
    if scheme.is_symmetric:
        half = E4M3_MOST if scheme.is_float else (scheme.highest - scheme.lowest) / f4(2)
        scales, zeros = R(np.abs(groups).max(-1) / half), None
    else:
        least, most = np.minimum(groups.min(-1), f4(0)), np.maximum(groups.max(-1), f4(0))
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scales = R(R(most - least) / (scheme.highest - scheme.lowest))
            zeros = np.clip(R(scheme.lowest - R(least / scales)), scheme.lowest, scheme.highest)
        zeros = np.where((scales == 0) & (least == 0), f4(0), np.rint(zeros))
    return np.where(scales == 0, MISSING_SCALE, scales), zeros


def _codes(rows, scales, zeros, scheme, arithmetic):
    rounded = R if arithmetic == "cpu" else lambda values: values
    with np.errstate(over="ignore"):
        quotients = rounded(rows / scales)
        if scheme.is_float:
            return e4m3_of(np.clip(quotients + f4(0), -E4M3_MOST, E4M3_MOST))
        sums = quotients if zeros is None else rounded(quotients + zeros)
    return np.rint(np.clip(sums, scheme.lowest, scheme.highest)).astype(np.int8)


def packed(codes, bits):
    """Rows of int8 codes as int32 words: code i is q + 2^(bits - 1) from bit i * bits on; what is left of a row's last word is 0."""
    per_word = 32 // bits
    words = np.zeros((codes.shape[0], -(-codes.shape[1] // per_word)), np.uint32)
    unsigned = (codes.astype(np.int32) + 2 ** (bits - 1)).astype(np.uint32)
    for place in range(per_word):
        part = unsigned[:, place::per_word] << np.uint32(bits * place)
        words[:, : part.shape[1]] |= part
    return words.view(np.int32)


def unpacked(words, bits, columns):
    per_word, words = 32 // bits, np.ascontiguousarray(words).view(np.uint32)
    codes = np.zeros((words.shape[0], words.shape[1] * per_word), np.int8)
    for place in range(per_word):
        codes[:, place::per_word] = (words >> np.uint32(bits * place) & np.uint32(2**bits - 1)).astype(np.int32) - 2 ** (bits - 1)
    return codes[:, :columns]


def quantize(bits, scheme, arithmetic="gpu"):
    """{part of the module: array} of a weight's bf16 patterns [O, I]; scales are bf16 patterns."""
    codes, scales, zeros = [], [], []
    for at in range(0, len(bits), 1024):  # whole groups; float32 copies of large weights are large
        rows = bfloat16.to_float32(bits[at : at + 1024])
        own_scales, own_zeros = _scales(_grouped(rows, scheme), scheme)
        wide = None if own_zeros is None else spread(own_zeros, rows.shape, scheme)
        codes.append(_codes(rows, spread(own_scales, rows.shape, scheme), wide, scheme, arithmetic))
        scales.append(own_scales)
        zeros.append(own_zeros)
    codes = np.concatenate(codes)
    made = {"weight_scale": bfloat16.from_float32(np.concatenate(scales))}
    if not scheme.is_packed:
        return {"weight": codes, **made}
    made |= {"weight_packed": packed(codes, scheme.bits), "weight_shape": np.array(bits.shape, np.int64)}
    if not scheme.is_symmetric:
        points = np.concatenate(zeros).astype(np.int8)
        made["weight_zero_point"] = np.ascontiguousarray(packed(np.ascontiguousarray(points.T), scheme.bits).T)
    return made


DTYPES = {np.dtype(np.int8): "I8", np.dtype(np.int32): "I32", np.dtype(np.int64): "I64", np.dtype(np.uint8): "F8_E4M3",
          np.dtype(np.uint16): "BF16"}


def as_tensor(array):
    """(dtype, shape, bytes), as files hold it."""
    return DTYPES[array.dtype], array.shape, array.tobytes()


def as_array(tensor):
    dtype, shape, data = tensor
    return np.frombuffer(data, next(kind for kind, name in DTYPES.items() if name == dtype)).reshape(shape)


def levels(parts, scheme):
    """A module's codes as float32 [O, I], and their zero points at each, which may be plain 0."""
    if not scheme.is_packed:
        return e4m3_values(parts["weight"]) if scheme.is_float else parts["weight"].astype(f4), f4(0)
    shape = tuple(map(int, parts["weight_shape"]))
    codes = unpacked(parts["weight_packed"], scheme.bits, shape[1]).astype(f4)
    if scheme.is_symmetric:
        return codes, f4(0)
    points = unpacked(parts["weight_zero_point"].T, scheme.bits, shape[0]).T
    return codes, spread(points.astype(f4), shape, scheme)


def dequantize(parts, scheme):
    """A module's weight as loaders have it: float32 of R((q - z) * s)."""
    codes, zeros = levels(parts, scheme)
    return R((codes - zeros) * spread(bfloat16.to_float32(parts["weight_scale"]), codes.shape, scheme))


# --- whole models

LINEAR = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3")
ROUTER = "block_sparse_moe.gate"


def is_linear(module):
    """What servers quantize: projections, by the last part of their names."""
    return module.rsplit(".", 1)[-1] in LINEAR


def quantize_model(tensors, word, arithmetic="gpu", ignored=lambda module: False):
    """{name: (dtype, shape, bytes)} of a model's bf16 tensors, and what of its Linear modules stays, in alphabetical order."""
    scheme, made, left = SCHEMES[word], {}, {"lm_head"}
    for name, tensor in tensors.items():
        module = name.removesuffix(".weight")
        if module.endswith(ROUTER):
            left.add(module)
        elif is_linear(module):
            if scheme.takes(tensor[1]) and not ignored(module):
                parts = quantize(as_array(tensor), scheme, arithmetic)
                made |= {f"{module}.{part}": as_tensor(array) for part, array in parts.items()}
                continue
            left.add(module)
        made[name] = tensor
    return made, sorted(left)


def parts_of(tensors, word):
    """{module: {part: array}} of a quantized model's tensors."""
    names = ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point") if SCHEMES[word].is_packed else ("weight", "weight_scale")
    modules = [name.removesuffix(".weight_scale") for name in tensors if name.endswith(".weight_scale")]
    return {module: {part: as_array(tensors[f"{module}.{part}"]) for part in names if f"{module}.{part}" in tensors}
            for module in modules}


def dequantize_model(tensors, word):
    """{name: float32} under the names of the model that was quantized."""
    values, used = {}, set()
    for module, parts in parts_of(tensors, word).items():
        values[module + ".weight"] = dequantize(parts, SCHEMES[word])
        used |= {f"{module}.{part}" for part in parts}
    return values | {name: bfloat16.to_float32(as_array(tensor)) for name, tensor in tensors.items() if name not in used}


# --- the configuration, written out as the documents have it

def _weights(**differences):
    return {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False} | differences


WEIGHTS = {
    "fp8-dynamic": _weights(type="float"),
    "w8a8": _weights(),
    "fp8-block": _weights(type="float", strategy="block", block_structure=[128, 128]),
    "w4a16": _weights(num_bits=4, strategy="group", group_size=128),
    "w8a16": _weights(strategy="group", group_size=128),
    "w8a16-channel": _weights(),
    "w4a16-asym": _weights(num_bits=4, symmetric=False, strategy="group", group_size=128),
}
ACTIVATIONS = {
    "fp8-dynamic": _weights(type="float", strategy="token", dynamic=True),
    "w8a8": _weights(strategy="token", dynamic=True),
    "fp8-block": _weights(type="float", strategy="group", group_size=128, dynamic=True),
}


def quantization_config(word, ignored):
    """The short form: no key that an older loader refuses, and the status without which transformers loads random weights."""
    kind = SCHEMES[word].format
    group = {"targets": ["Linear"], "format": kind, "weights": WEIGHTS[word], "input_activations": ACTIVATIONS.get(word)}
    return {"quant_method": "compressed-tensors", "format": kind, "quantization_status": "compressed",
            "config_groups": {"group_0": group}, "ignore": list(ignored), "kv_cache_scheme": None}
