"""Gemma: Kaggle's Flax files become what MaxText's own tools wrote, the .ckpt release what JetStream-PyTorch's converter wrote."""

import json

import pytest

import real_orbax
import support
from compare import differences

MAXTEXT = support.GOLDEN / "maxtext"
PYTORCH = support.GOLDEN / "jetstream-pytorch/gemma"
SIZES = ("gemma-2b", "gemma-7b")  # queries, keys and values in two tensors, and in one
ORIGINALS = {"scanned": "final/scanned/0/items", "unscanned": "final/unscanned/0/checkpoints/0/items"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """{size: folder} of three outputs of each Kaggle golden."""
    folder = tmp_path_factory.mktemp("gemma")
    for size in SIZES:
        support.convert_maxtext(MAXTEXT / size / "kaggle", folder / size, ("scanned", "unscanned", "int8"))
    return folder


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("output", ORIGINALS)
def test_every_leaf_equals_the_original(size, output, made):
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", support.items(made / size, output),
                                 MAXTEXT / size / ORIGINALS[output], "--jax")
    print(said)
    assert said.strip().endswith("leaves equal, 0 differ")


@pytest.mark.parametrize("size", SIZES)
def test_int8_from_kaggles_layout_is_int8_from_maxtexts(size, made, tmp_path):
    """Statistics across rows: scales of the einsum layout are those of the unscanned bf16 checkpoint."""
    again = tmp_path / "again"
    support.convert_maxtext(support.items(made / size, "unscanned"), again, ("int8",))
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", again / "int8", made / size / "int8")
    print(said)
    assert said.strip().endswith("leaves equal, 0 differ")


def test_a_small_stand_in_keeps_its_vocabulary_under_a_known_name(tmp_path):
    support.convert_maxtext(MAXTEXT / "gemma-7b/kaggle", tmp_path / "out", ("unscanned",), model="gemma-7b")
    said = real_orbax.run_script(real_orbax.NEWEST, "check_orbax_tree.py", support.items(tmp_path / "out", "unscanned"),
                                 MAXTEXT / "gemma-7b" / ORIGINALS["unscanned"])
    assert said.strip().endswith("leaves equal, 0 differ")


@pytest.mark.parametrize("kind", ("bf16", "int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise"))
def test_the_ckpt_release_equals_the_golden(kind, tmp_path):
    support.convert(PYTORCH / "input", tmp_path / "out", kind=kind)
    assert differences(tmp_path / "out/model.safetensors", PYTORCH / kind / "model.safetensors") == []
    ours = json.loads((tmp_path / "out/params.json").read_text())
    assert ours == json.loads((PYTORCH / kind / "params.json").read_text())
