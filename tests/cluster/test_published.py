"""The published Jobs, unchanged, against stand-ins of the services under their public names: what they always left, and right."""

import json
import sys

import pytest

import containers
import door
import services
from published import Published, published
from started import started

JOBS = published()
MOUNTING = [job for job in JOBS if job.is_mounting and job.expect["source"]["kind"] == "directory"]
JUDGE = containers.ROOT / "tests/judge/judge_bucket.py"
BASE = services.GOLDEN / "jetstream-pytorch/llama-2-meta/input"
BESIDE = {"params", "tokenizer"}  # outputs that are written where the source has them


def name_of(job: Published) -> str:
    return job.id


def source_folder(job: Published, world) -> str:
    """Where the stand-in of a Job's model lies."""
    source = job.expect["source"]
    if source["kind"] == "huggingface":
        return str(world.repositories[source["repository"]])
    if source["kind"] == "kaggle":
        return str(services.GOLDEN / "maxtext/gemma-7b/kaggle")
    return str(BASE)


def seeded(job: Published, world) -> set[str]:
    """The objects that must be there before: of a Job that reads the bucket, its source and a tokenizer."""
    source = job.expect["source"]
    if source["kind"] != "directory":
        return set()
    below = source["path"].removeprefix(f"gs://{job.bucket}/").strip("/")
    world.buckets.put(f"{job.bucket}/{below}/tokenizer.model", b"a tokenizer\n")
    return world.seed(job.bucket, below, BASE) | {f"{job.bucket}/{below}/tokenizer.model"}


def run(job: Published, world, mounted=None):
    """Applies the Job to an empty bucket, and waits for its end."""
    world.buckets.control("DELETE", f"below/{job.bucket}/")
    before = seeded(job, world)
    world.offer(job.entry["image"])
    world.label(job.entry["node_selector"])
    world.node.apply(job.text(world.link(), mounted))
    ended = world.node.wait("checkpoint-converter")
    world.node.kubectl("delete", "job", "checkpoint-converter", "--wait=true", expect=None)
    return ended, before


def assert_left_what_it_must(job: Published, world, ended, before: set[str]) -> None:
    """Its final lines, its paths and no other."""
    expect = job.expect
    assert ended.verdict == "Complete", ended.log
    assert len(ended.pods) == 1
    said = [line[door.STAMP.match(line).end():] for line in ended.log.splitlines()]
    assert said[0] == f"Inference server is {expect['server']}"
    assert [line for line in said if line.startswith(door.FINAL)] == expect["wait_for"]
    is_maxtext = expect["server"] == "jetstream-maxtext"
    wanted = {kind: path + ("/" if is_maxtext else "") for kind, path in expect["outputs"].items()}
    needed = {path for kind, path in wanted.items() if kind not in BESIDE}
    made = door.places({f"{job.bucket}/{name}" for name in world.buckets.names(job.bucket)} - before)
    assert needed <= made <= set(wanted.values()), made


@pytest.mark.parametrize("job", JOBS, ids=name_of)
def test_a_published_job_leaves_what_it_always_left(job: Published, world):
    mounted = str(world.bucket_folder(job.bucket)) if job.is_mounting else None
    ended, before = run(job, world, mounted)
    assert_left_what_it_must(job, world, ended, before)
    expect = job.expect
    world.left.append({"id": job.id, "server": expect["server"], "source": source_folder(job, world), "model": expect["model"],
                       "outputs": expect["outputs"], "quantize": expect["quantize"]})
    if expect["source"]["kind"] == "directory":
        assert f"Reading {expect['source']['mounted_at']}" in ended.log


@pytest.mark.parametrize("job", MOUNTING, ids=name_of)
def test_without_its_volume_the_bucket_is_read_directly(job: Published, world):
    made = containers.without_state(world.bucket_folder(job.bucket))
    ended, before = run(job, world)
    assert_left_what_it_must(job, world, ended, before)
    assert f"Reading {job.expect['source']['path']}" in ended.log
    assert containers.without_state(world.bucket_folder(job.bucket)) == made


def test_the_results_are_right(world):
    """Real Orbax, or real safetensors, reads each from the bucket, and an independent forward pass gives the source's answers."""
    assert len(world.left) == len(JOBS), "some of the Jobs did not run"
    jobs = world.folder / "left.json"
    jobs.write_text(json.dumps(world.left), encoding="utf-8")
    with started("gcs", "--folder", str(world.folder / "gs")) as buckets:  # the same objects, for readers without credentials
        done = containers.call(sys.executable, JUDGE, jobs, timeout=900,
                               env={"PATH": "/usr/bin:/bin", "STORAGE_EMULATOR_HOST": buckets.url, "OPENBLAS_NUM_THREADS": "1"})
    print(done.stdout)


def test_another_quantization_into_the_same_place_is_refused(world):
    """The two of 405B in turn: the second does not touch what is there, and says what would."""
    by_id = {job.id: job for job in JOBS}
    plain, quantized = by_id["aiongke-llama31-405b-bf16"], by_id["aiongke-llama31-405b-int8"]
    quantized = Published(quantized.id, quantized.entry, plain.bucket)
    before = containers.without_state(world.bucket_folder(plain.bucket))
    assert before, "the first has left its checkpoints"
    world.label(quantized.entry["node_selector"])
    world.node.apply(quantized.text(world.link()))
    container = world.node.wait_for_end_of_pod("checkpoint-converter")
    log = world.node.kubectl("logs", "-l", "job-name=checkpoint-converter", "--tail=-1").stdout
    world.node.kubectl("delete", "job", "checkpoint-converter", "--wait=true")
    assert container["exitCode"] == 73, log
    assert "--overwrite" in log and "--overwrite" in container["message"]
    assert containers.without_state(world.bucket_folder(plain.bucket)) == before


def test_nothing_else_was_asked_for(world):
    """No name beside the services', no packet to anywhere else; each bucket was asked with the metadata server's token."""
    said = world.status()
    print(said)
    assert "names not in the world: \n" in said and "packets refused: 0" in said
    assert all(request["authorization"] for request in world.buckets.requests() if not request["path"].startswith("/_stub"))
    assert not any("llamameta" in request["path"] for request in world.buckets.requests())
