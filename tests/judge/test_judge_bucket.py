"""The judge of buckets finds real conversions right, and each of them wrong once a single weight of it has changed."""

import json
import shutil
import subprocess
import sys
import urllib.parse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bucket_source
import judge_bucket
import support

sys.path.append(str(support.ROOT / "tests/stubs"))

from started import started  # noqa: E402

LLAMA2 = support.GOLDEN / "maxtext/llama2/hf"
PYTORCH = support.GOLDEN / "jetstream-pytorch"
JOBS = {
    "gemma": ("jetstream-maxtext", support.GOLDEN / "maxtext/gemma-7b/kaggle", "gemma-7b", None),
    "llama": ("jetstream-maxtext", PYTORCH / "llama-2-meta/input", "llama3.1-405b", "int8"),
    "mixtral": ("jetstream-pytorch", PYTORCH / "mixtral/input", None, "int8_per_channel"),
    "ckpt": ("jetstream-pytorch", PYTORCH / "gemma/input", None, None),
}


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """Cloud Storage, and what each Job left there."""
    folder = tmp_path_factory.mktemp("buckets")
    (folder / "bkt").mkdir()
    with started("gcs", "--folder", str(folder)) as stub, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", stub.url)
        for name, (server, source, model, kind) in JOBS.items():
            if server == "jetstream-pytorch":
                support.convert(source, f"gs://bkt/{name}", kind=kind)
            else:
                support.convert_maxtext(source, f"gs://bkt/{name}", ("scanned", "unscanned", *([kind] if kind else ())), model=model)
        yield stub


def outputs(name, kind, server):
    if server == "jetstream-pytorch":
        return {"weights": f"gs://bkt/{name}/model.safetensors", "params": f"gs://bkt/{name}/params.json"}
    paths = {output: f"gs://bkt/{name}/{path}" for output, path in support.MAXTEXT_PATHS.items()}
    return {**paths, **({"quantized": f"gs://bkt/{name}/{kind}"} if kind else {})}


def judged(names, tmp_path, **changes):
    """(exit code, the lines that the judge says) of these Jobs, each with `changes`."""
    jobs = [{"id": name, "server": server, "source": str(source), "model": model, "quantize": kind, "outputs": outputs(name, kind, server),
             **changes} for name, (server, source, model, kind) in JOBS.items() if name in names]
    (tmp_path / "JOBS.json").write_text(json.dumps(jobs))
    program = Path(judge_bucket.__file__)
    done = subprocess.run([sys.executable, program, tmp_path / "JOBS.json"], capture_output=True, text=True, timeout=300, check=False)
    print(done.stdout, done.stderr)
    return done.returncode, done.stdout.splitlines()


def bits(values):
    return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()


def with_a_bit_turned(data, at):
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def test_what_ckpt_left_in_a_bucket_is_right(bucket, tmp_path):
    bucket.clear_requests()
    code, lines = judged(JOBS, tmp_path)
    assert code == 0
    assert lines[-1] == "judge: 4 jobs, 7 outputs right, 0 wrong"
    for line in ("gemma scanned: 12 arrays,", "gemma unscanned: 30 arrays,", "llama quantized: 35 arrays,", "mixtral weights: 23 arrays,"):
        assert any(said.startswith(f"judge: {line}") for said in lines), line
    asked = [(urllib.parse.unquote(request["path"]), request["query"] or "") for request in bucket.requests()]
    assert any(path.endswith("gemma/bf16/scanned/0/items/_METADATA") for path, _ in asked), "Orbax did not read the bucket"
    assert any("tensorstore=" in query for _, query in asked), "TensorStore did not read the bucket"


def test_a_changed_weight_in_a_file_is_seen(bucket, tmp_path):
    data = bucket.get("bkt/ckpt/model.safetensors")
    weights = bits(bucket_source.load(JOBS["ckpt"][1]).weights["layers.0.mlp.up_proj"])
    assert data.count(weights) == 1
    bucket.put("bkt/changed/model.safetensors", with_a_bit_turned(data, data.index(weights) + 2 * (5 * 128 + 7)))
    code, lines = judged(["ckpt"], tmp_path, outputs={"weights": "gs://bkt/changed/model.safetensors"})
    assert code == 1
    assert "WRONG: ValueError: layers.0.mlp.up_proj: 1 of 32768 weights differ, the first at (5, 7): " in lines[0]
    assert lines[-1] == "judge: 1 jobs, 0 outputs right, 1 wrong"


def test_a_changed_weight_in_an_array_is_seen(bucket, tmp_path):
    """In the object itself, which its checksum tells, and in a sound checkpoint of a source with one other weight. So is a marker
    that is missing, without which a checkpoint on Cloud Storage is not finished for Orbax."""
    norm = bits(bucket_source.load(JOBS["llama"][1]).weights["norm.weight"])
    objects = {f"bkt/{name}": bucket.get(f"bkt/{name}") for name in bucket.names("bkt") if name.startswith("llama/")}
    (place,) = [name for name, data in objects.items() if "/unscanned/" in name and norm in data]
    marker = "bkt/llama/int8/commit_success.txt"
    shutil.copytree(LLAMA2, tmp_path / "other")
    for path in (tmp_path / "other").glob("*.safetensors"):
        tensors = support.read_tensors(path)
        for name in filter("model.layers.1.self_attn.q_proj.weight".__eq__, tensors):
            tensors[name] = *tensors[name][:2], with_a_bit_turned(tensors[name][2], 2 * (3 * 64 + 9))
        support.write_tensors(path, tensors)
    support.convert_maxtext(tmp_path / "other", "gs://bkt/other", ("scanned",), model="llama2-7b")
    bucket.put(place, with_a_bit_turned(objects[place], objects[place].index(norm) + 64))
    bucket.control("DELETE", f"below/{marker}")
    try:
        code, lines = judged(["llama"], tmp_path)
        other, said = judged(["llama"], tmp_path, source=str(LLAMA2), model="llama2-7b", quantize=None,
                             outputs={"scanned": f"gs://bkt/other/{support.MAXTEXT_PATHS['scanned']}"})
    finally:
        for name in (place, marker):
            bucket.put(name, objects[name])
    assert (code, other) == (1, 1)
    assert "unscanned: WRONG: OrbaxError: " in lines[1] and "Digest mismatch" in lines[1]
    assert "quantized: WRONG: OrbaxError: ValueError: Found incomplete checkpoint" in lines[2]
    assert lines[-1] == "judge: 1 jobs, 1 outputs right, 2 wrong"
    assert "layers.1.attention.wq.weight: 1 of 4096 weights differ, the first at (3, 9): " in said[0]


@pytest.mark.parametrize(("name", "changes", "said"), [
    ("ckpt", {"outputs": {"weights": "gs://bkt/nothing/model.safetensors"}}, "HTTPError: HTTP Error 404"),
    ("ckpt", {"outputs": {"weights": "gs://bkt/ckpt/params.json"}}, "SafetensorError"),
    ("ckpt", {"quantize": "int8_per_channel"}, "arrays of ['BF16'] instead of ['BF16', 'I8']"),
    ("mixtral", {"quantize": None}, "arrays of ['BF16', 'I8'] instead of ['BF16']"),
    ("mixtral", {"quantize": "int4_per_channel"}, "weights differ"),
    ("mixtral", {"quantize": "int8_blockwise"}, "not int8_blockwise: ['columns', 'rows']"),
    ("ckpt", {"outputs": {"weights": "gs://bkt/mixtral/model.safetensors"}}, "missing ['embed_tokens', "),
], ids=["absent", "another-file", "not-quantized", "quantized", "another-width", "another-form", "another-model"])
def test_what_is_not_the_jobs_output_is_wrong(name, changes, said, bucket, tmp_path):
    code, lines = judged([name], tmp_path, **changes)
    assert code == 1
    assert "WRONG: " in lines[0] and said in lines[0]


def test_no_output_at_all_is_wrong(bucket, tmp_path):
    assert judged([], tmp_path) == (1, ["judge: 0 jobs, 0 outputs right, 0 wrong"])


def gate_for_up(model):
    names = {"gate_proj": "up_proj", "up_proj": "gate_proj", "w1": "w3", "w3": "w1"}
    return replace(model, weights={".".join(names.get(part, part) for part in name.split(".")): weight
                                   for name, weight in model.weights.items()})


def rows_moved(model):
    """The rows of the last matrix of attention, each in the next one's place."""
    name = next(name for name in model.weights if name.endswith(("o_proj", "wo.weight")))
    return replace(model, weights={**model.weights, name: np.roll(model.weights[name], 1, axis=0)})


@pytest.mark.parametrize("mistake", [gate_for_up, rows_moved])
@pytest.mark.parametrize("name", ["ckpt", "mixtral"])
def test_the_forward_pass_alone_sees_a_mistake(name, mistake, bucket, monkeypatch):
    """Also in stand-ins with planted rows."""
    _, folder, _, kind = JOBS[name]
    source = bucket_source.load(folder)
    output = judge_bucket.of_jetstream(bucket.get(f"bkt/{name}/model.safetensors"), source)
    monkeypatch.setattr(judge_bucket.bucket_expected, "differences", lambda expected, found: None)
    print(judge_bucket.judge(output, source, kind, False))
    with pytest.raises(ValueError, match="are allowed") as raised:
        judge_bucket.judge(replace(output, model=mistake(output.model)), source, kind, False)
    print(raised.value)
