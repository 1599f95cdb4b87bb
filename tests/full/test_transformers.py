"""transformers loads what --to hf writes, and its logits are the numpy forward pass's.

As a user does: AutoModelForCausalLM.from_pretrained, bf16, on a CPU. Its weights are then held to the formulas bit for bit, and the model
is run once more in float32: in bf16 the logits of a small model differ by more than a mistake might. Two ways to load a quantized folder:
by default, modules stay compressed until the first pass and quantize their inputs in the schemes that say so; with
CompressedTensorsConfig(dequantize=True) the weights alone count.
"""

import numpy as np
import pytest
import torch

import bfloat16
import ct_models
import ct_reference
import ct_sources
import forward
import real
import support
from ct_goldens import BOUND
from ct_models import MODELS, TOKENS
from ct_reference import ACTIVATIONS, SCHEMES
from ct_sources import convert, different, read

BF16_KL = 0.3  # nats on average, of transformers' bf16 logits; measured 0.09 where a router of experts chose others, 1.4e-3 elsewhere
MODULE_BOUND = 1e-5  # of a module's largest output; measured 0
WORST_MISTAKE = 1000  # times the bound: what a wrong rotary order must differ by, at least
# What transformers 5.24 itself cannot load; test_llm_compressor.py shows that it fails on llm-compressor's own folders in the same way.
BY_DEFAULT_NOT = {(name, "w4a16-asym") for name in MODELS}  # it expects unpacked zero points
EXPERTS_NOT = {("mixtral", word) for word in ("w8a8", "fp8-block", "w4a16-asym")}  # it stacks experts and has no code for these


@pytest.fixture(scope="module", autouse=True)
def quiet():
    real.quiet()


@pytest.fixture(scope="module", params=MODELS)
def source(request, tmp_path_factory):
    """(name, folder)."""
    folder = tmp_path_factory.mktemp(request.param) / "in"
    ct_models.write(folder, request.param)
    return request.param, folder


def in_float32(model):
    """transformers forbids this for quantized models, whose codes it would break; these have been decompressed."""
    return torch.nn.Module.float(model)


def assert_same_weights(model, values):
    found = real.weights_of(model)
    assert sorted(found.keys() - values.keys() - {"lm_head.weight"}) == [] and sorted(values.keys() - found.keys()) == []
    for name, value in values.items():
        assert np.array_equal(found[name], bfloat16.from_float32(value)), name
    return len(values)


def assert_same_logits(model, name, values, what):
    """In float32, on equal weights; and a wrong rotary order is far outside the bound."""
    own = ct_models.model_of(name, values)
    expected, found = ct_models.logits_of(own), real.logits(in_float32(model), TOKENS)
    far = np.abs(found - expected).max()
    wrong = np.abs(found - ct_models.logits_of(ct_models.wrong_rotary(own))).max()
    print(f"full: transformers, {name} {what}: {len(found)} positions, logits differ by {far:.1e} at most, "
          f"with a wrong rotary order by {wrong:.2g}")
    assert far <= BOUND
    assert wrong >= WORST_MISTAKE * BOUND


def test_a_plain_folder_is_loaded_and_runs(source, tmp_path):
    name, folder = source
    convert(folder, tmp_path / "out")
    values, model = ct_models.values_of(read(tmp_path / "out")), real.load(tmp_path / "out")
    half = real.logits(model, TOKENS)
    assert_same_weights(model, values)
    assert_same_logits(model, name, values, "bf16")
    kl = forward.divergence(ct_models.logits(name, values), half)["kl_mean"]
    print(f"full: transformers, {name} bf16: KL of its bf16 pass {kl:.1e}")
    assert kl <= BF16_KL


def test_a_folder_that_came_back_from_maxtext_is_loaded_and_runs(source, tmp_path):
    """Llama and Mixtral of this width come back bit for bit; of Gemma the norms do not (docs/formats/hf.md)."""
    name, folder = source
    support.convert_maxtext(folder, tmp_path / "maxtext", ("scanned",))
    convert(support.items(tmp_path / "maxtext", "scanned"), tmp_path / "back")
    tensors, model = read(tmp_path / "back"), real.load(tmp_path / "back")
    real.logits(model, TOKENS)
    assert_same_weights(model, ct_models.values_of(tensors))
    assert_same_logits(model, name, ct_models.values_of(tensors), "back from MaxText")
    changed = different(tensors, read(folder))
    assert all("norm" in tensor for tensor in changed) and bool(changed) == name.startswith("gemma"), changed


@pytest.mark.parametrize("word", SCHEMES)
def test_a_quantized_folder_is_loaded_and_runs(word, source, tmp_path):
    """Weights alone, in every scheme; what transformers cannot stack is decompressed by compressed-tensors first."""
    name, folder = source
    convert(folder, tmp_path / "out", word)
    values = ct_reference.dequantize_model(read(tmp_path / "out"), word)
    if (name, word) in EXPERTS_NOT:
        with pytest.raises(RuntimeError, match="CONVERSION"):
            real.load(tmp_path / "out", dequantize=True)
        real.decompress(tmp_path / "out", tmp_path / "bf16")
        model, what = real.load(tmp_path / "bf16"), f"{word}, decompressed first"
    else:
        model, what = real.load(tmp_path / "out", dequantize=True), f"{word}, dequantize=True"
    real.logits(model, TOKENS)
    assert_same_weights(model, values)
    assert_same_logits(model, name, values, what)


@pytest.mark.parametrize("word", SCHEMES)
def test_a_folder_is_loaded_by_default_and_its_modules_quantize_their_inputs(word, source, tmp_path):
    name, folder = source
    convert(folder, tmp_path / "out", word)
    if (name, word) in BY_DEFAULT_NOT | EXPERTS_NOT:
        with pytest.raises(RuntimeError, match="CONVERSION" if (name, word) in EXPERTS_NOT else "ignore_mismatched_sizes"):
            real.load(tmp_path / "out")
        print(f"full: transformers, {name} {word} by default: refused, as documented")
        return
    values, model = ct_reference.dequantize_model(read(tmp_path / "out"), word), real.load(tmp_path / "out")
    half = real.logits(model, TOKENS)  # the pass that decompresses
    assert_same_weights(model, values)
    if word not in ACTIVATIONS:
        kl = forward.divergence(ct_models.logits(name, values), half)["kl_mean"]
        print(f"full: transformers, {name} {word} by default: KL of its bf16 pass {kl:.1e}")
        assert kl <= BF16_KL
        assert_same_logits(model, name, values, f"{word} by default")
        return
    assert np.all(np.isfinite(half))
    assert_modules_quantize_their_inputs(model, name, word, values)


def assert_modules_quantize_their_inputs(model, name, word, values):
    """Module by module: a code that falls to the other side by a last bit of its input changes all that follows. Experts' inputs stay:
    transformers holds experts stacked, not as Linear modules."""
    seen = {}
    for module_name, module in model.named_modules():
        if hasattr(module, "quantization_scheme"):
            module.register_forward_hook(
                lambda _, inputs, output, at=module_name: seen.update({at: (inputs[0][0].numpy(), output[0].numpy())}))
    real.logits(in_float32(model), TOKENS)
    modules = (tensor.removesuffix(".weight") for tensor in values)
    assert sorted(seen) == sorted(module for module in modules if ct_reference.is_linear(module) and ".experts." not in module)
    assert all(np.all(np.isfinite(output)) for _, output in seen.values())
    far = plain = 0
    for module, (inputs, output) in seen.items():
        weight = values[f"{module}.weight"]
        size = np.abs(output).max()
        far = max(far, np.abs(output - ct_models.quantized_inputs(inputs, word) @ weight.T).max() / size)
        plain = max(plain, np.abs(output - inputs @ weight.T).max() / size)
    print(f"full: transformers, {name} {word} by default: {len(seen)} modules differ by {far:.1e} of their outputs at most, by {plain:.1e} "
          "with unquantized inputs")
    assert far <= MODULE_BOUND and plain >= 100 * MODULE_BOUND


def test_blocks_that_end_inside_inputs_need_dequantize(tmp_path):
    """By default inputs are quantized by whole groups of 128, and the first pass fails; the weights themselves are read well."""
    ct_sources.write(tmp_path / "in", "gemma3")  # 264 and 80 inputs
    convert(tmp_path / "in", tmp_path / "out", "fp8-block")
    with pytest.raises(RuntimeError, match="unflatten"):
        real.logits(real.load(tmp_path / "out"), TOKENS)
    model = real.load(tmp_path / "out", dequantize=True)
    assert np.all(np.isfinite(real.logits(model, TOKENS)))
    count = assert_same_weights(model, ct_reference.dequantize_model(read(tmp_path / "out"), "fp8-block"))
    print(f"full: transformers, gemma3 fp8-block of 264 inputs: {count} weights equal with dequantize=True; by default its first pass fails")
