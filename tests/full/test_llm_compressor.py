"""llm-compressor quantizes the same models, rounding to nearest without data: scales, zero points, codes and configuration are ours.

It runs on a CPU, where it rounds quotients to bf16: --ct-arithmetic cpu. What ckpt does by itself differs from that in codes alone, by one.
`model_free_ptq` takes files, so it is asked about every family with planted rows; `oneshot` loads the model. The two differ from each other
in one thing: without a zero point to add, `model_free_ptq` keeps the sign of fp8's -0 (0x80). Ours is +0, as oneshot's.
"""

import json

import numpy as np
import pytest
from compressed_tensors.quantization import QuantizationConfig

import ct_models
import ct_reference
import ct_sources
import real
from ct_reference import SCHEMES
from ct_sources import convert, different, read

OF_EXPERTS = {".gate_proj.": ".w1.", ".up_proj.": ".w3.", ".down_proj.": ".w2."}


@pytest.fixture(scope="module", autouse=True)
def quiet():
    real.quiet()


def config_of(folder):
    return json.loads((folder / "config.json").read_text())["quantization_config"]


def meaning_of(config):
    """What the package itself reads in a configuration; of a scheme all but the observer that made the scales, which no loader asks."""
    foreign = ("version", "transform_config", "sparsity_config")  # not read by this class
    parsed = QuantizationConfig.model_validate({key: value for key, value in config.items() if key not in foreign})
    groups = []
    for scheme in parsed.config_groups.values():
        told = scheme.model_dump()
        for part in ("weights", "input_activations"):
            if told[part]:
                told[part] = {key: value for key, value in told[part].items() if not key.startswith("observer")}
        groups.append(told)
    return {"groups": groups, "format": parsed.format, "status": str(parsed.quantization_status), "kv_cache": parsed.kv_cache_scheme}


def assert_same_configuration(ours, theirs):
    ours, theirs = config_of(ours), config_of(theirs)
    assert meaning_of(ours) == meaning_of(theirs)
    return set(ours["ignore"]), set(theirs["ignore"])


def in_order(codes):
    """Numbers of fp8's codes in the order of their values: neighbours differ by 1."""
    numbers = (codes & 0x7F).astype(np.int32)
    return np.where(codes & 0x80, -numbers, numbers)


def assert_same_but_for_codes(ours, theirs, word):
    """Returns (codes that differ, codes): neighbours, under equal scales and zero points."""
    scheme, changed, count = SCHEMES[word], 0, 0
    names = different(ours, theirs)
    assert all(name.endswith((".weight", ".weight_packed")) for name in names), names
    theirs = ct_reference.parts_of(theirs, word)
    for module, parts in ct_reference.parts_of(ours, word).items():
        codes, others = (ct_reference.levels(own, scheme)[0] for own in (parts, theirs[module]))
        if scheme.is_float:
            codes, others = (in_order(own["weight"]) for own in (parts, theirs[module]))
        assert np.abs(codes - others).max() <= 1, module
        changed, count = changed + np.count_nonzero(codes != others), count + codes.size
    return changed, count


def without_negative_zeros(theirs, source, word):
    """Their tensors with 0x80 as 0x00, and how many there were: each under a negative weight, or -0."""
    made, count = dict(theirs), 0
    for module, parts in ct_reference.parts_of(theirs, word).items() if SCHEMES[word].is_float else ():
        name = module + ".weight"
        negative_zeros = parts["weight"] == 0x80
        made[name] = ct_reference.as_tensor(np.where(negative_zeros, 0, parts["weight"]).astype(np.uint8))
        assert np.all(ct_reference.as_array(source[name])[negative_zeros] & 0x8000)
        count += np.count_nonzero(negative_zeros)
    return made, count


@pytest.mark.parametrize("word", SCHEMES)
def test_files_are_quantized_to_the_same_bits(word, planted, tmp_path):
    folders = tensors = changed = count = zeros = 0
    for name, source in planted.items():
        if name == "llama-odd" and word not in ct_sources.WHOLE:
            continue  # nothing would be quantized, and the program refuses it: test_compressed_tensors.py
        ours, single, theirs = (tmp_path / f"{name}-{kind}" for kind in ("cpu", "gpu", "theirs"))
        convert(source, ours, word, "--ct-arithmetic", "cpu")
        convert(source, single, word)
        ignored = config_of(ours)["ignore"]
        with real.writing_views():
            real.compress_files(source, theirs, word, ignored)
        own, own_zeros = without_negative_zeros(read(ours), read(source), word)
        others, their_zeros = without_negative_zeros(read(theirs), read(source), word)
        assert different(own, others) == [], name
        our_ignore, their_ignore = assert_same_configuration(ours, theirs)
        assert our_ignore == their_ignore - set(real.NO_LINEAR)
        more, of = assert_same_but_for_codes(read(single), read(theirs), word)
        folders, tensors, changed, count = folders + 1, tensors + len(read(ours)), changed + more, count + of
        zeros += their_zeros - own_zeros
    signs = f" but for the sign of {zeros} zeros" if zeros else ""
    print(f"full: model_free_ptq {word}: {folders} folders, {tensors} tensors equal with --ct-arithmetic cpu{signs}; "
          f"by default {changed} of {count} codes are a neighbour ({100 * changed / count:.2f} %)")
    assert 0 < changed < 0.15 * count
    assert SCHEMES[word].is_float or zeros == 0


@pytest.mark.parametrize("name, word", [("gemma", "fp8-block"), ("llama", "w8a16-channel")])
def test_cut_blocks_and_words_are_what_the_library_itself_cannot_write(name, word, planted, tmp_path):
    """So it says nothing of them by itself: above, its tensors are made contiguous before it writes them."""
    convert(planted[name], tmp_path / "ours", word)
    with pytest.raises(ValueError, match="non contiguous"):
        real.compress_files(planted[name], tmp_path / "theirs", word, config_of(tmp_path / "ours")["ignore"])


@pytest.mark.parametrize("name", ["llama", "mixtral"])
@pytest.mark.parametrize("word", SCHEMES)
def test_a_loaded_model_is_quantized_to_the_same_bits(word, name, tmp_path):
    """Mixtral's experts have other names there, which no server's Mixtral reads: they are compared under ours."""
    ct_models.write(tmp_path / "in", name)
    convert(tmp_path / "in", tmp_path / "ours", word, "--ct-arithmetic", "cpu")
    real.compress_model(tmp_path / "in", tmp_path / "theirs", word)
    theirs = read(tmp_path / "theirs")
    if name == "mixtral":
        theirs = {renamed(tensor): held for tensor, held in theirs.items()}
    assert different(read(tmp_path / "ours"), theirs) == []
    our_ignore, their_ignore = assert_same_configuration(tmp_path / "ours", tmp_path / "theirs")
    assert our_ignore == their_ignore
    print(f"full: oneshot {name} {word}: {len(theirs)} tensors equal, and {len(our_ignore)} names to ignore")


def renamed(tensor):
    for old, new in OF_EXPERTS.items():
        tensor = tensor.replace(old, new)
    return tensor


@pytest.mark.parametrize("word", ["w8a8", "fp8-block", "w4a16-asym"])
def test_transformers_refuses_its_experts_as_it_refuses_ours(word, tmp_path):
    ct_models.write(tmp_path / "in", "mixtral")
    convert(tmp_path / "in", tmp_path / "ours", word)
    real.compress_files(tmp_path / "in", tmp_path / "theirs", word, config_of(tmp_path / "ours")["ignore"])
    for folder in ("ours", "theirs"):
        with pytest.raises(RuntimeError, match="CONVERSION"):
            real.load(tmp_path / folder)
