"""Sources of fp8 with scales: every target is made of the bf16 that they stand for, byte for byte as from a source of bf16."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import bfloat16
import support

BLOCK = (128, 128)
DIMS = {"dim": 320, "mlp": 456, "heads": 4, "kv_heads": 2, "head_dim": 80, "vocab": 300}
TARGETS = {"hf": ("--to", "hf"), "jetstream": ("--to", "jetstream-pytorch", "--quantize", "int8_per_channel"),
           "maxtext": ("--to", "maxtext", "--outputs", "scanned,int8")}


def values_of(codes):
    """float32 values of E4M3 codes."""
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent, mantissa = (codes >> 3 & 15).astype(int), codes & 7
    size = np.where(exponent == 0, mantissa * 2.0**-9, (8 + mantissa) * 2.0 ** (exponent - 10.0))
    return (sign * size).astype(np.float32)


def random_codes(chances, shape):
    """Small ones, both zeros and subnormals among them; no NaN."""
    return chances.integers(0, 0x50, shape).astype(np.uint8) | chances.integers(0, 2, shape).astype(np.uint8) << 7


@dataclass(frozen=True)
class Form:
    """A way to store a weight's scales: how they are drawn, and spread over the weight."""

    suffix: str
    dtype: str
    scales: Callable
    spread: Callable
    config: dict


def blocks(chances, shape, dtype):
    counts = tuple(-(-extent // block) for extent, block in zip(shape, BLOCK, strict=True))
    return random_scales(chances, counts, dtype)


def random_scales(chances, shape, dtype):
    """The scales as float32, exact in their type."""
    if dtype == "F8_E8M0":
        return np.exp2(chances.integers(-9, -3, shape)).astype(np.float32)
    scales = chances.uniform(0.001, 0.02, shape).astype(np.float32)
    return bfloat16.round_float32(scales) if dtype == "BF16" else scales


def spread_blocks(scales, shape):
    return np.repeat(np.repeat(scales, BLOCK[0], 0), BLOCK[1], 1)[:shape[0], :shape[1]]


DEEPSEEK = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": list(BLOCK), "modules_to_not_convert": ["lm_head"]}
CT = {"quant_method": "compressed-tensors", "format": "float-quantized"}
FORMS = {
    "deepseek": Form("_scale_inv", "F32", blocks, spread_blocks, DEEPSEEK),
    "deepseek-e8m0": Form("_scale_inv", "F8_E8M0", blocks, spread_blocks, DEEPSEEK),
    "ct-block": Form("_scale", "BF16", blocks, spread_blocks, CT),
    "ct-channel": Form("_scale", "BF16", lambda chances, shape, dtype: random_scales(chances, (shape[0], 1), dtype),
                       lambda scales, shape: np.broadcast_to(scales, shape), CT),
    "ct-tensor": Form("_scale", "F32", lambda chances, shape, dtype: random_scales(chances, (1,), dtype),
                      lambda scales, shape: np.broadcast_to(scales, shape), CT),
}


def stored(scales, dtype):
    if dtype == "F32":
        return scales.tobytes()
    if dtype == "BF16":
        return bfloat16.from_float32(scales).tobytes()
    return (np.log2(scales).astype(int) + 127).astype(np.uint8).tobytes()


def write_both(form, folder, **dims):
    """FOLDER/scaled and FOLDER/plain: one model, stored in fp8 and as what it dequantizes to."""
    plain, scaled = folder / "plain", folder / "scaled"
    support.small(plain, adversarial=False, **{**DIMS, **dims})
    chances = np.random.default_rng(7)
    tensors = support.read_tensors(plain / "model.safetensors")
    quantized = dict(tensors)
    for name, (_, shape, _) in tensors.items():
        if "_proj" not in name:
            continue
        codes, scales = random_codes(chances, shape), form.scales(chances, tuple(shape), form.dtype)
        weight = bfloat16.from_float32(values_of(codes) * form.spread(scales, shape))
        tensors[name] = ("BF16", shape, weight.tobytes())
        quantized[name] = ("F8_E4M3", shape, codes.tobytes())
        quantized[name + form.suffix] = (form.dtype, list(scales.shape), stored(scales, form.dtype))
        quantized[name.removesuffix("weight") + "input_scale"] = ("F32", [1], np.float32(1).tobytes())
    shutil.copytree(plain, scaled)
    support.write_tensors(plain / "model.safetensors", tensors)
    support.write_tensors(scaled / "model.safetensors", quantized)
    config = json.loads((plain / "config.json").read_text())
    (scaled / "config.json").write_text(json.dumps({**config, "quantization_config": form.config}))
    return plain, scaled


def bytes_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file() and ".ckpt-state" not in path.parts}


def checksums(folder, target):
    """Of every array, as the report has them."""
    told = support.report(folder)
    outputs = told["outputs"] if target == "maxtext" else [told]
    found = [(output.get("name"), name, array["crc32c"]) for output in outputs for name, array in output["arrays"].items()]
    assert found
    return found


@pytest.mark.parametrize("name", FORMS)
def test_every_target_is_as_from_bf16(name, tmp_path):
    plain, scaled = write_both(FORMS[name], tmp_path)
    for target, words in TARGETS.items():
        made = {}
        for source in (plain, scaled):
            folder = tmp_path / f"{target}-{source.name}"
            support.run("convert", source, folder, *words, "--quiet", expect=0)
            made[source.name] = bytes_below(folder)
        assert checksums(tmp_path / f"{target}-plain", target) == checksums(tmp_path / f"{target}-scaled", target)
        if target == "maxtext":  # names of its files tell the run
            continue
        made["plain"].pop("config.json", None), made["scaled"].pop("config.json", None)
        assert made["plain"] == made["scaled"]
        support.run("verify", tmp_path / f"{target}-scaled", "--source", scaled, "--quiet", expect=0)
    assert "quantization_config" not in json.loads((tmp_path / "hf-scaled/config.json").read_text())
    support.run("diff", plain, scaled, "--quiet", expect=0)


def test_a_small_budget_holds(tmp_path):
    plain, scaled = write_both(FORMS["deepseek"], tmp_path, dim=1024, mlp=4096, layers=3)
    for source in (plain, scaled):
        support.run("convert", source, tmp_path / f"{source.name}-out", "--to", "hf", "--memory", "128MiB", "--threads", 1, "--quiet", expect=0)
        told = support.report(tmp_path / f"{source.name}-out")["memory"]
        assert told["granted_peak_bytes"] <= told["planned_peak_bytes"] <= told["budget_bytes"]
    made = [(tmp_path / f"{kind}-out/model.safetensors").read_bytes() for kind in ("plain", "scaled")]
    assert made[0] == made[1]


def test_what_is_wrong_is_said_where_it_is(tmp_path):
    _, scaled = write_both(FORMS["deepseek"], tmp_path)
    name = "model.layers.0.mlp.up_proj.weight"
    tensors = support.read_tensors(scaled / "model.safetensors")

    def refused(changed, *mentions):
        folder = tmp_path / "bad"
        shutil.copytree(scaled, folder, dirs_exist_ok=True)
        support.write_tensors(folder / "model.safetensors", {**tensors, **changed})
        ran = support.run("convert", folder, tmp_path / "out", "--to", "hf", "--quiet")
        support.assert_refused(ran, 65, name, *mentions)
        assert not support.loadable(tmp_path / "out")

    dtype, shape, data = tensors[name]
    at = 3 * shape[1] + 5
    refused({name: (dtype, shape, data[:at] + b"\x7f" + data[at + 1:])}, "NaN", "[3, 5]")
    refused({name + "_scale_inv": ("F32", [1, 2], np.ones(2, np.float32).tobytes())}, "scales", "[1, 2]")
