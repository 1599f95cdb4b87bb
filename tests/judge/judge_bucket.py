#!/usr/bin/env python3
"""Says whether what Jobs left in a bucket is right: judge_bucket.py JOBS.json

JOBS: [{"id", "server", "source": folder, "model": MaxText's name or null, "quantize": type or null, "outputs": {name: gs://...}}], as in
tests/golden/entrypoint/manifests.json. STORAGE_EMULATOR_HOST names the service. MaxText's outputs are restored from gs:// by the real
Orbax (bucket_restore.py), JetStream-PyTorch's read by the real safetensors library. Of each output two things must hold:
    its weights equal the source's, rounded or quantized by the judge's own formulas, to the last bit (bucket_expected.py);
    what an independent forward pass says over it stays within a bound of what it says over the source (KL divergence in nats; of a
    stand-in with planted rows, both with these rows divided).
A line for each output; exit 1 when any is wrong. "params" and "tokenizer" hold no weights and are not looked at.
"""

import json
import os
import sys
import tempfile
import urllib.parse
import urllib.request
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy's first import; why: forward.py

import numpy as np  # noqa: E402
import safetensors  # noqa: E402

import bucket_expected  # noqa: E402
import bucket_source  # noqa: E402
import gemma_forward  # noqa: E402
import maxtext_model  # noqa: E402
import maxtext_reference  # noqa: E402
import mixtral_forward  # noqa: E402
import real_orbax  # noqa: E402
from forward import divergence  # noqa: E402
from llama import Checkpoint  # noqa: E402

ENVIRONMENT = "0.12.8-gs"  # of requirements-orbax-0.12.8-gs.txt
WITHOUT_WEIGHTS = ("params", "tokenizer")
EMBEDDINGS = ("tok_embeddings.weight", "embedder.weight")  # JetStream-PyTorch's names
# KL in nats, mean and largest over positions, as in test_maxtext_forward.py, test_gemma_forward.py and test_mixtral_forward.py.
BF16 = (1e-6, 1e-6)  # the very bits of the source
BF16_SCALED = (4e-4, 2e-3)  # MaxText's, where a factor of the format had to be rounded
INT8, FP8, INT4 = (5e-3, 2e-2), (1e-2, 2e-2), (0.15, 0.5)  # int4: 0.39 at one position of a model with planted rows


@dataclass(frozen=True)
class Output:
    """An output as a model that runs; `forms`: what has a scale each ("rows", "columns", "blocks") in the weights that are quantized."""

    model: object
    dtypes: set
    arrays: int
    size_bytes: int
    forms: dict


class OrbaxError(Exception):
    """What the real Orbax said instead of restoring."""


def fetched(place):
    """The bytes of gs://BUCKET/NAME."""
    bucket, name = place.removeprefix("gs://").split("/", 1)
    url = f"{os.environ['STORAGE_EMULATOR_HOST']}/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}?alt=media"
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=300) as answer:
        return answer.read()


def turns_pairs(model, source):
    """Whether MaxText's server turns neighbouring pairs of a query; "llama3.3" must be told to where Meta's files are the source."""
    if model is None:
        return source.config.rope_factors is not None
    return model.startswith("llama3.1") or (model.startswith("llama3.3") and source.interleaved)


def of_maxtext(leaves, source, job, kind):
    if bucket_expected.is_gemma(source):
        model = gemma_forward.of_maxtext(source.config, leaves)
    elif any("block_sparse_moe" in name for name in source.weights):
        model = mixtral_forward.of_maxtext(source.config, leaves)
    else:
        model = maxtext_model.load(leaves, source.config, turns_pairs(job["model"], source))
    forms = {name: "rows" for name, weight in model.weights.items()
             if kind and name.startswith("layers.") and weight.ndim > 1 and "block_sparse_moe.gate" not in name}
    dtypes = {leaf.dtype for path, leaf in leaves.items() if path != "step"}
    return Output(model, dtypes, len(leaves), sum(leaf.array.nbytes for leaf in leaves.values()), forms)


def of_jetstream(data, source):
    tensors = {name: (told["dtype"], tuple(told["shape"]), bytes(told["data"])) for name, told in safetensors.deserialize(data)}
    weights, forms = {}, {}
    for name, tensor in tensors.items():
        if name.endswith("_scaler"):
            continue
        values, label = bucket_source.float32(*tensor), name
        if bucket_expected.is_gemma(source):
            label = ".".join(gemma_forward.JETSTREAM.get(part, part) for part in name.removesuffix(".weight").split("."))
        if name + "_scaler" in tensors:
            is_blocks = values.ndim == 3 and "cond_ffn" not in name
            forms[label] = "columns" if name in EMBEDDINGS else "blocks" if is_blocks else "rows"
            values = multiplied_out(values, bucket_source.float32(*tensors[name + "_scaler"]), forms[label])
        weights[label] = values
    if bucket_expected.is_gemma(source):
        sizes = source.config
        model = gemma_forward.Model(sizes, weights, 1, np.sqrt(len(weights["norm"])), 1, np.sqrt(sizes.head_dim))
    else:
        model = Checkpoint(source.config, weights, True, "jetstream-pytorch", 16)
    dtypes, size = {dtype for dtype, _, _ in tensors.values()}, sum(len(raw) for _, _, raw in tensors.values())
    return Output(model, dtypes, len(tensors), size, forms)


def multiplied_out(q, scale, form):
    """The weight [.., out, in]; of blocks, q[s][c][o] is its [o, s * width + c]."""
    if form != "blocks":
        return q * (scale if form == "columns" else scale[..., None])
    return np.ascontiguousarray((q * scale.reshape(len(q), 1, -1)).reshape(-1, q.shape[2]).T)


def bound(output, source, kind, in_maxtext):
    if kind:
        return INT4 if kind.startswith("int4") else FP8 if kind == "fp8" else INT8
    is_exact = not in_maxtext or (not bucket_expected.is_gemma(source) and np.log2(source.config.head_dim) % 2 == 0)
    return BF16 if is_exact else BF16_SCALED


def wrong_type(output, stored, kind, in_maxtext):
    """In words, what is not of the type that was asked for; None when all is."""
    wanted = {"bfloat16" if in_maxtext else "BF16"} | ({maxtext_reference.DTYPES[kind] if in_maxtext else "I8"} if kind else set())
    if output.dtypes != wanted:
        return f"arrays of {sorted(output.dtypes)} instead of {sorted(wanted)}"
    if in_maxtext or not kind:
        return None
    left = {name for name, weight in stored.items() if weight.ndim > 1} - output.forms.keys()
    if left or ("blocks" in output.forms.values()) != kind.endswith("blockwise"):
        return f"not {kind}: {sorted(left) or sorted(set(output.forms.values()))}"
    return None


def judge(output, source, kind, in_maxtext):
    """The KL's mean and largest; raises ValueError for an output that is not the source's."""
    stored = bucket_expected.as_stored(source, output.model).weights
    if differing := bucket_expected.misshapen(stored, output.model.weights) or wrong_type(output, stored, kind, in_maxtext):
        raise ValueError(differing)
    expected = {name: bucket_expected.quantized(weight, output.forms[name], kind, in_maxtext) if name in output.forms else weight
                for name, weight in stored.items()}
    if differing := bucket_expected.differences(expected, output.model.weights):
        raise ValueError(differing)
    by, embedding = bucket_expected.divisors(source), bucket_expected.embedding(source)
    if by and embedding in output.forms:  # the format itself leaves nothing of a row beside one of thousands
        source = replace(source, weights={**source.weights, embedding: expected[embedding]})
    count = len(source.weights[embedding])
    tokens = [2, 3, 4, 5, *((7 * i * i + 3 * i + 1) % min(count, 251) for i in range(16))]  # planted rows, and hf.logits.npy's
    said = [bucket_expected.logits(bucket_expected.divided(model, by, source), tokens) for model in (source, output.model)]
    distance = divergence(*said)
    mean, largest = bound(output, source, kind, in_maxtext)
    if not (distance["kl_mean"] <= mean and distance["kl_max"] <= largest):
        raise ValueError(f"KL mean {distance['kl_mean']:.1e} max {distance['kl_max']:.1e}, where {mean:g} and {largest:g} are allowed")
    return distance["kl_mean"], distance["kl_max"]


def restored(places, folder):
    """{place: leaves, or the error} of folders and gs:// paths, in one process; `folder` is for its files."""
    if not places:
        return {}
    asked, answered = Path(folder, "jobs.json"), Path(folder, "result.json")
    saves = {place: str(Path(folder, f"{number}.npz")) for number, place in enumerate(places)}
    asked.write_text(json.dumps({"jobs": [{"path": place, "save": save, "tree": {}} for place, save in saves.items()]}), encoding="utf-8")
    real_orbax.run_script(ENVIRONMENT, "bucket_restore.py", asked, answered)
    results = json.loads(answered.read_text(encoding="utf-8"))["results"]
    return {place: OrbaxError(result["error"]) if "error" in result else maxtext_reference.read_leaves(saves[place])
            for place, result in zip(saves, results)}


def judged(job, name, place, leaves):
    """What a right output's line says."""
    in_maxtext = job["server"] == "jetstream-maxtext"
    kind = None if name in ("scanned", "unscanned") else job["quantize"]
    for restored_place in (job["source"], place):
        if isinstance(leaves.get(restored_place), OrbaxError):
            raise leaves[restored_place]
    source = bucket_source.load(job["source"], leaves.get(job["source"]))
    output = of_maxtext(leaves[place], source, job, kind) if in_maxtext else of_jetstream(fetched(place), source)
    mean, largest = judge(output, source, kind, in_maxtext)
    return f"{output.arrays} arrays, {output.size_bytes} bytes, KL mean {mean:.1e} max {largest:.1e}"


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 64
    jobs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    asked = [(job, name, place) for job in jobs for name, place in job["outputs"].items() if name not in WITHOUT_WEIGHTS]
    folders = [job["source"] for job in jobs if bucket_source.is_orbax(job["source"])]
    places = [place for job, _, place in asked if job["server"] == "jetstream-maxtext"]
    with tempfile.TemporaryDirectory(prefix="judge-") as folder:
        leaves = restored(dict.fromkeys([*folders, *places]), folder)
    verdicts = Counter()
    for job, name, place in asked:
        try:
            said, verdict = judged(job, name, place, leaves), "right"
        except Exception as error:  # whatever a reader does with a damaged output is an answer
            said, verdict = f"WRONG: {type(error).__name__}: {error}", "wrong"
        verdicts[verdict] += 1
        print(f"judge: {job['id']} {name}: {said}", flush=True)
    print(f"judge: {len(jobs)} jobs, {verdicts['right']} outputs right, {verdicts['wrong']} wrong")
    return 0 if verdicts["right"] and not verdicts["wrong"] else 1


if __name__ == "__main__":
    sys.exit(main())
