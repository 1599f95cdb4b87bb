"""Every tensor equals what the original converter wrote: name, dtype, shape and bytes."""

import json
import shutil

import pytest

import pth_file
import support
from compare import differences

TYPES = ("bf16", "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")
GOLDEN = support.GOLDEN / "jetstream-pytorch"
# jetstream-pytorch.md 2.1: the axis along which Meta's llama-2 shards are cut; None: copies
META_AXIS = {"tok_embeddings": 1, "wq": 0, "wk": 0, "wv": 0, "wo": 1, "w1": 0, "w3": 0, "w2": 1, "output": 0,
             "attention_norm": None, "ffn_norm": None, "norm": None, "freqs": None}


def concatenate(parts, axis):
    """One tensor (dtype, shape, bytes) of the shards' tensors along axis 0 or 1."""
    dtype, shape, data = parts[0]
    if axis is None:
        return parts[0]
    if axis == 0:
        return dtype, (shape[0] * len(parts), *shape[1:]), b"".join(part for _, _, part in parts)
    step = len(data) // shape[0]
    rows = (part[row * step : (row + 1) * step] for row in range(shape[0]) for _, _, part in parts)
    return dtype, (shape[0], shape[1] * len(parts)), b"".join(rows)


@pytest.fixture(scope="module")
def meta_merged(tmp_path_factory):
    """llama-2-meta's shards, merged into one safetensors file with Meta's names, params.json beside it."""
    folder = tmp_path_factory.mktemp("llama-2-meta")
    source = GOLDEN / "llama-2-meta/input"
    shards = [pth_file.read_pth(path) for path in sorted(source.glob("*.pth"))]
    merged = {}
    for name in shards[0]:
        stem = name.removesuffix(".weight").rsplit(".", 1)[-1]
        merged[name] = concatenate([shard[name] for shard in shards], META_AXIS[stem])
    support.write_tensors(folder / "model.safetensors", merged)
    shutil.copy(source / "params.json", folder)
    return folder


@pytest.mark.parametrize("kind", TYPES)
def test_llama_3_of_hugging_face_equals_the_golden(kind, tmp_path):
    support.convert(GOLDEN / "llama-3-hf/input", tmp_path / "out", kind=kind)
    assert differences(tmp_path / "out/model.safetensors", GOLDEN / f"llama-3-hf/{kind}/model.safetensors") == []


@pytest.mark.parametrize("kind", TYPES)
def test_llama_2_with_metas_names_equals_the_golden(kind, tmp_path, meta_merged):
    support.convert(meta_merged, tmp_path / "out", kind=kind)
    golden = GOLDEN / "llama-2-meta" / kind
    assert differences(tmp_path / "out/model.safetensors", golden / "model.safetensors") == []
    ours = json.loads((tmp_path / "out/params.json").read_text())
    assert ours == json.loads((golden / "params.json").read_text())


@pytest.mark.parametrize("kind", TYPES)
def test_a_file_of_the_original_is_reproduced_to_the_last_byte(kind, tmp_path):
    support.convert(GOLDEN / "llama-3-hf/input", tmp_path / "out", kind=kind)
    ours = (tmp_path / "out/model.safetensors").read_bytes()
    assert ours == (GOLDEN / f"llama-3-hf/{kind}/model.safetensors").read_bytes()


def test_no_params_json_is_written_for_hugging_face(tmp_path):
    support.convert(GOLDEN / "llama-3-hf/input", tmp_path / "out")
    assert not (tmp_path / "out/params.json").exists()
