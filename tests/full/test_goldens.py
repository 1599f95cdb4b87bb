"""The goldens that continuous integration compares with are what the real packages say; --write-goldens writes them anew."""

import json

import numpy as np
import pytest

import ct_goldens
import ct_models
import real
from ct_goldens import BOUND, FILE
from ct_models import MODELS, TOKENS
from ct_sources import convert


def made(folder, name, word):
    """What the packages say of one model and scheme; what is loaded is what compressed-tensors decompressed, so all schemes can be."""
    entry = {} if word == "bf16" else {"tensors": {}}
    for arithmetic in reversed(ct_goldens.arithmetics_of(name)):  # the last one, ckpt's default, is run
        out = folder / f"{word}-{arithmetic}"
        if word == "bf16":
            convert(folder / "in", out)
            continue
        convert(folder / "in", out, word, "--ct-arithmetic", arithmetic)
        tensors = real.decompress(out, folder / f"{word}-{arithmetic}-bf16")
        entry["tensors"][arithmetic] = ct_goldens.digests(tensors)
        out = folder / f"{word}-{arithmetic}-bf16"
    entry["logits"] = ct_goldens.shown(real.logits(real.load(out).float(), TOKENS))
    return entry


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    real.quiet()
    models = {}
    for name in MODELS:
        folder = tmp_path_factory.mktemp(name)
        ct_models.write(folder / "in", name)
        models[name] = {word: made(folder, name, word) for word in ct_goldens.words()}
    return {"versions": real.versions(), "models": models}


def test_the_goldens_are_what_the_packages_say(said, request):
    if request.config.getoption("--write-goldens"):
        FILE.parent.mkdir(exist_ok=True)
        FILE.write_text(json.dumps(said, indent=1) + "\n")
    golden, tensors, logits = ct_goldens.read(), 0, 0
    assert golden["versions"] == said["versions"], "tests/full/requirements.txt changed: ./dev judge full --write-goldens"
    assert golden["models"].keys() == said["models"].keys()
    for name, words in said["models"].items():
        for word, entry in words.items():
            assert entry.get("tensors") == golden["models"][name][word].get("tensors"), (name, word)
            assert np.abs(np.subtract(entry["logits"], golden["models"][name][word]["logits"])).max() <= BOUND, (name, word)
            tensors += sum(map(len, entry.get("tensors", {}).values()))
            logits += len(entry["logits"])
    print(f"full: goldens: {tensors} decompressed tensors and {logits} logits of {len(said['models'])} models stand")
