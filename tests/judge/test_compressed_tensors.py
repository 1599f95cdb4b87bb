"""`--to hf --quantize` writes what llm-compressor writes, bit for bit: its goldens, and every family from every form by the formulas.

ct_reference.py is those formulas in numpy; it is held to the library's own codes first.
"""

import json

import numpy as np
import pytest

import bfloat16
import ct_reference
import ct_sources
import support
from ct_reference import SCHEMES, as_array, as_tensor
from ct_sources import convert, different, read

GOLDEN = support.GOLDEN / "compressed-tensors"
FOLDERS = {word: {"w8a16": "w8a16-g128"}.get(word, word) for word in SCHEMES}
ARITHMETICS = ("gpu", "cpu")
VECTORS = {"cpu": "vectors.safetensors", "gpu": "vectors-f32-quotient.safetensors"}


# --- the judge is judged

@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_the_reference_makes_the_librarys_codes(arithmetic):
    vectors, weights = support.read_tensors(GOLDEN / VECTORS[arithmetic]), support.read_tensors(GOLDEN / "vectors.safetensors")
    compared = 0
    for source, prefix in (("W", ""), ("RAGGED", "ragged.")):
        for word, folder in FOLDERS.items():
            expected = {name.removeprefix(f"{prefix}{folder}."): tensor for name, tensor in vectors.items()
                        if name.startswith(f"{prefix}{folder}.")}
            made = ct_reference.quantize(as_array(weights[source]), SCHEMES[word], arithmetic) if expected else {}
            for part, (dtype, shape, data) in expected.items():
                assert as_tensor(made[part]) == (dtype, tuple(shape), data), (word, source, part)
                compared += 1
    assert compared == {"cpu": 28, "gpu": 6}[arithmetic]


def test_the_reference_rounds_to_the_nearest_of_all_256_codes():
    values = ct_reference.e4m3_values(np.arange(256, dtype=np.uint8))
    finite = np.flatnonzero(np.isfinite(values))
    assert len(finite) == 254 and values[0x7E] == 448 and values[1] == 2.0**-9
    assert np.array_equal(ct_reference.e4m3_of(values[finite]), finite)
    positive = values[:127].astype(np.float64)
    middles = ((positive[1:] + positive[:-1]) / 2).astype(np.float32)
    even = np.arange(126) + np.arange(126) % 2
    assert np.array_equal(ct_reference.e4m3_of(middles), even)
    assert np.array_equal(ct_reference.e4m3_of(np.nextafter(middles, np.float32(0))), np.arange(126))
    assert np.array_equal(ct_reference.e4m3_of(np.nextafter(middles, np.float32(500))), np.arange(1, 127))


# --- the goldens

@pytest.mark.parametrize("word", SCHEMES)
def test_a_folder_of_llm_compressor_is_reproduced(word, tmp_path):
    """Every tensor; of the configuration, what ours has of theirs; the order in the file is the reference writer's, which is theirs."""
    golden = GOLDEN / FOLDERS[word]
    convert(GOLDEN / "input", tmp_path / "out", word, "--ct-arithmetic", "cpu")
    ours, theirs = read(tmp_path / "out"), read(golden)
    assert different(ours, theirs) == []
    assert list(ours) == list(theirs)
    assert (tmp_path / "out/generation_config.json").read_bytes() == (GOLDEN / "input/generation_config.json").read_bytes()
    configs = [json.loads((folder / "config.json").read_text())["quantization_config"] for folder in (tmp_path / "out", golden)]

    def subset(ours, theirs):
        if isinstance(ours, dict):
            return all(key in theirs and subset(value, theirs[key]) for key, value in ours.items())
        return ours == theirs
    assert subset(*configs), configs


@pytest.mark.parametrize("word", SCHEMES)
def test_the_default_arithmetic_rounds_once(word, tmp_path):
    tensors = read(GOLDEN / "input")
    convert(GOLDEN / "input", tmp_path / "out", word)
    made = read(tmp_path / "out")
    assert different(made, ct_reference.quantize_model(tensors, word, "gpu")[0]) == []
    other = different(made, read(GOLDEN / FOLDERS[word]))
    assert other and all(name.endswith((".weight", ".weight_packed")) for name in other), "the two arithmetics differ in codes alone"
    convert(GOLDEN / "input", tmp_path / "named", word, "--ct-arithmetic", "gpu")
    assert different(read(tmp_path / "named"), made) == []


# --- every family, every form

@pytest.fixture(scope="module", params=ct_sources.FAMILIES)
def source(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "in"
    return request.param, folder, ct_sources.write(folder, request.param)


def assert_quantized(out, tensors, word, arithmetic="gpu"):
    """The tensors are the reference's, some of them quantized, and `ignore` names what is not."""
    expected, left = ct_reference.quantize_model(tensors, word, arithmetic)
    assert different(read(out), expected) == []
    assert sum(name.endswith(".weight_scale") for name in expected) > 0
    config = json.loads((out / "config.json").read_text())["quantization_config"]
    assert sorted(config["ignore"]) == left


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("word", SCHEMES)
def test_every_family_is_quantized_by_the_formulas(word, arithmetic, source, tmp_path):
    name, folder, tensors = source
    if name == "llama-odd" and word not in ct_sources.WHOLE:
        ran = convert(folder, tmp_path / "out", word, expect=64)
        support.assert_refused(ran, 64, "nothing would be quantized")
        return
    convert(folder, tmp_path / "out", word, "--ct-arithmetic", arithmetic)
    assert_quantized(tmp_path / "out", tensors, word, arithmetic)


@pytest.fixture(scope="module", params=ct_sources.FORMS)
def form(request, tmp_path_factory):
    """(what to convert, the same in Hugging Face's form, flags, schemes)."""
    write, words = ct_sources.FORMS[request.param]
    return *write(tmp_path_factory.mktemp(request.param) / "in"), words or tuple(SCHEMES)


@pytest.mark.parametrize("word", SCHEMES)
def test_every_form_gives_the_codes_of_its_bf16_values(word, form, tmp_path):
    path, tensors, flags, words = form
    if word not in words:
        return
    convert(path, tmp_path / "out", word, *flags)
    assert_quantized(tmp_path / "out", tensors, word)


@pytest.mark.parametrize("word", ["fp8-block", "w4a16-asym"])
@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_other_types_are_rounded_to_bf16_first(dtype, word, tmp_path):
    """Not so in the library, which computes in the weight's own type; the loader gets bf16 either way."""
    size, kind = ct_sources.SIZES["llama"], {"F32": np.float32, "F16": np.float16}[dtype]
    noise, stored, rounded = np.random.default_rng(3), {}, {}
    for name, bits in ct_sources.make(size, is_planted=False).items():
        values = (bfloat16.to_float32(bits) * noise.uniform(0.99, 1.01, bits.shape)).astype(kind)
        stored[name] = (dtype, values.shape, values.tobytes())
        rounded[name] = bfloat16.from_float32(values.astype(np.float32))
    ct_sources.write_tensors(tmp_path / "in", stored, size.config())
    ran = convert(tmp_path / "in", tmp_path / "out", word)
    assert_quantized(tmp_path / "out", ct_sources.tensors_of(rounded), word)
    assert dtype in ran.stderr, "that they are rounded is said"


def test_experts_are_quantized_one_by_one_and_their_router_is_not(tmp_path):
    tensors = ct_sources.write(tmp_path / "in", "mixtral")
    convert(tmp_path / "in", tmp_path / "out", "fp8-dynamic")
    made, size = read(tmp_path / "out"), ct_sources.SIZES["mixtral"]
    for layer in range(size.layers):
        at = f"model.layers.{layer}.block_sparse_moe"
        assert made[f"{at}.gate.weight"] == tensors[f"{at}.gate.weight"]
        for expert in range(size.experts):
            for part, shape in (("w1", (384, 256)), ("w2", (256, 384)), ("w3", (384, 256))):
                assert made[f"{at}.experts.{expert}.{part}.weight"][:2] == ("F8_E4M3", shape)
                assert made[f"{at}.experts.{expert}.{part}.weight_scale"][:2] == ("BF16", (shape[0], 1))


# --- what the codes are worth

@pytest.mark.parametrize("word", SCHEMES)
def test_weights_come_back_within_half_a_step(word, tmp_path):
    """Values beyond the last code aside: H is half a code above it, and a scale of 8 bits may be 1/512 too small."""
    scheme, size = SCHEMES[word], ct_sources.SIZES["llama-whole"]
    weights = ct_sources.make(size, is_planted=False)
    ct_sources.write_tensors(tmp_path / "in", ct_sources.tensors_of(weights), size.config())
    convert(tmp_path / "in", tmp_path / "out", word)
    parts_of = ct_reference.parts_of(read(tmp_path / "out"), word)
    assert len(parts_of) == 7 * size.layers
    for module, parts in parts_of.items():
        codes, zeros = ct_reference.levels(parts, scheme)
        scales = ct_reference.spread(bfloat16.to_float32(parts["weight_scale"]), codes.shape, scheme)
        quotients = bfloat16.to_float32(weights[module + ".weight"]) / scales + zeros
        far = np.abs(codes - quotients)
        if scheme.is_float:
            assert np.all(far <= np.maximum(np.abs(quotients) / 16, 2.0**-10)), module
            continue
        is_last = (codes == scheme.lowest) | (codes == scheme.highest)
        assert far[~is_last].max() <= 0.5, module
        assert far.max() <= 0.5 + 2**scheme.bits / 512 + (0 if scheme.is_symmetric else 0.6), module
        assert is_last.mean() < (0.02 if scheme.bits == 8 else 0.2)
