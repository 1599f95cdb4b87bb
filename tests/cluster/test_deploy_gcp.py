"""The overlays of deploy/gcp are what the front door takes and what their folders promise. Only the last test needs a node."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import containers

sys.path.insert(0, str(containers.ROOT / "tools"))
import deploy_jobs  # noqa: E402  (it makes tests/stubs known)
from started import started  # noqa: E402

DEPLOY = containers.ROOT / "deploy"
JOBS = [job for job in deploy_jobs.jobs() if job.cloud]
SECRETS = {"huggingface": ("huggingface-secret", "/huggingface"), "kaggle": ("kaggle-secret", "/kaggle"), "meta": ("meta-secret", "/meta")}


def overlay_of(job):
    """The overlay, and the container that its patch describes."""
    overlay = yaml.safe_load((DEPLOY / "gcp" / job.folder / "kustomization.yaml").read_text(encoding="utf-8"))
    patch = yaml.safe_load(overlay["patches"][0]["patch"])
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    return overlay, container


def component(name):
    """The operations of a component's only patch, by path."""
    text = (DEPLOY / "components" / name / "kustomization.yaml").read_text(encoding="utf-8")
    return {step["path"]: step["value"] for step in yaml.safe_load(yaml.safe_load(text)["patches"][0]["patch"])}


def front_door(tmp_path, words, bucket, **env):
    """Runs a container's arguments where its variable BUCKET_NAME is `bucket`."""
    door = tmp_path / "checkpoint_entrypoint.sh"
    if not door.is_symlink():
        door.symlink_to(Path(os.environ.get("CKPT", containers.ROOT / "build/ckpt")).resolve())
    words = [word.replace("$(BUCKET_NAME)", bucket) for word in words]
    return subprocess.run([door, *words], capture_output=True, text=True, check=False, timeout=120,
                          env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **env})


def explain(tmp_path, words, bucket):
    """What the front door makes of a container's arguments."""
    return front_door(tmp_path, [*words, "--explain"], bucket)


@pytest.fixture(scope="module", name="services")
def _services(tmp_path_factory):
    """Stand-ins of the Hub, Kaggle, Meta and Cloud Storage with small models, and the folder of each secret."""
    folder = tmp_path_factory.mktemp("services")
    golden = containers.ROOT / "tests/golden"
    meta = folder / "meta/Meta-Llama-3.1-405B-Instruct-MP16"
    shutil.copytree(golden / "jetstream-pytorch/llama-2-meta/input", meta)
    (meta / "tokenizer.model").write_bytes(b"a tokenizer\n")
    (meta / "checklist.chk").write_text("".join(f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.name}\n"
                                                for path in sorted(meta.iterdir())), encoding="utf-8")
    token = folder / "huggingface/HUGGINGFACE_TOKEN"
    token.parent.mkdir()
    token.write_text("hf_planted0000000000\n", encoding="utf-8")
    login = folder / "kaggle/kaggle.json"
    login.parent.mkdir()
    login.write_text('{"username": "somebody", "key": "0123456789abcdef"}', encoding="utf-8")
    repositories = {"meta-llama/Llama-3.1-8B-Instruct": containers.MAXTEXT_GOLDEN,
                    "meta-llama/Meta-Llama-3-8B": containers.GOLDEN / "input"}
    words = [word for name, place in repositories.items() for word in ("--repo", f"{name}={place}", "--gated", name)]
    with started("hf", *words, "--tokens", "hf_planted0000000000", "--accepted", "hf_planted0000000000") as hub, \
            started("kaggle", "--model", f"google/gemma/maxText/2b-it/2={golden / 'maxtext/gemma-2b/kaggle'}",
                    "--user", "somebody:0123456789abcdef") as kaggle, \
            started("meta", "--folder", meta.parent, "--downloads", 1000) as links, started("gcs", "--bucket", "bkt") as buckets:
        (folder / "META_URL").write_text(links.said["link"], encoding="utf-8")
        for path in (containers.GOLDEN / "input").iterdir():
            buckets.put(f"bkt/pytorch/llama2-7b/base/{path.name}", path.read_bytes())
        yield buckets, folder / "META_URL", {
            "STORAGE_EMULATOR_HOST": buckets.url, "HF_ENDPOINT": hub.url, "KAGGLE_API_ENDPOINT": kaggle.url,
            "CKPT_META_ENDPOINT": links.url, "HUGGINGFACE_TOKEN_DIR": str(token.parent), "KAGGLE_CONFIG_DIR": str(login.parent)}


@pytest.mark.parametrize("folder, made", [
    ("maxtext/gemma-2b/bf16", "final/unscanned/gemma_2b-it/0/checkpoints/0/items/manifest.ocdbt"),
    ("maxtext/llama-8b/int8", "maxtext/llama-3.1-8b-int8/int8/manifest.ocdbt"),
    ("maxtext/llama-405b/int8", "maxtext/llama-3.1-405b/int8/manifest.ocdbt"),
    ("pytorch/folder", "pytorch/llama2-7b/final/bf16/model.safetensors"),
    ("pytorch/llama-3-8b/int8-blockwise", "pytorch/llama-3-8b/final/int8_blockwise/model.safetensors")])
def test_a_jobs_arguments_run_from_service_to_bucket(folder, made, services, tmp_path):
    """With the secrets as files, and the job's own threads and budget."""
    buckets, link, env = services
    (job,) = [job for job in JOBS if job.folder == folder]
    words = [word.replace("/meta/META_URL", str(link)) for word in overlay_of(job)[1]["args"]]
    ran = front_door(tmp_path, words, "bkt", **env)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert made in buckets.names("bkt")


def test_the_pods_of_an_indexed_job_make_one_checkpoint(services, tmp_path):
    """Each with its index, one after the other. The model is so small that some find nothing to do."""
    buckets, link, env = services
    (job,) = [job for job in JOBS if job.shards]
    words = [word.replace("/meta/META_URL", str(link)).replace("llama-3.1-405b", "indexed") for word in overlay_of(job)[1]["args"]]
    for index in range(job.shards):
        ran = front_door(tmp_path, words, "bkt", **env, JOB_COMPLETION_INDEX=str(index))
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "maxtext/indexed/int8/manifest.ocdbt" in buckets.names("bkt")
    assert "Completed quantizing model" in ran.stdout


def test_every_ready_job_has_an_overlay_but_the_one_for_a_mount():
    assert {job.folder for job in deploy_jobs.jobs()} - {job.folder for job in JOBS} == {"pytorch/mounted-bucket"}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.folder)
def test_the_front_door_takes_the_arguments_with_a_bucket_and_refuses_them_without(job, tmp_path):
    _, container = overlay_of(job)
    taken = explain(tmp_path, container["args"], "demo-bucket")
    assert taken.returncode == 0, taken.stdout + taken.stderr
    outputs = re.findall(r'"(gs://demo-bucket/[^"]*)"', taken.stdout)
    assert outputs, taken.stdout
    assert not any("/source" in word or "/output" in word or "local" in word for word in container["args"])
    name = component("gcp")["/spec/template/spec/containers/0/env"][0]
    assert name["name"] == "BUCKET_NAME"
    assert explain(tmp_path, container["args"], name["value"]).returncode == 64, "nobody has named a bucket"


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.folder)
def test_an_overlay_leads_to_its_job_and_mounts_its_sources_secret(job):
    overlay, container = overlay_of(job)
    folder = DEPLOY / "gcp" / job.folder
    assert [(folder / place).resolve() for place in overlay["resources"]] == [DEPLOY / job.folder]
    named = [(folder / place).resolve() for place in overlay["components"]]
    assert named == [DEPLOY / "components" / name for name in ("gcp", *job.secrets, *(["spot"] if job.shards else []))]
    words = " ".join(container["args"])
    wanted = {"kaggle"} if "google/gemma/maxtext" in words else {"meta"} if "meta_url_file" in words else \
        {"huggingface"} if re.search("--huggingface=True|-h=True", words) else set()
    assert set(job.secrets) == wanted
    budget = int(re.search(r"--memory=(\d+)MiB", words)[1])
    assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"] == f"{budget + 64}Mi"


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_mounted_where_the_program_looks(name):
    secret, folder = SECRETS[name]
    steps = component(name)
    volume, mount = steps["/spec/template/spec/volumes/-"], steps["/spec/template/spec/containers/0/volumeMounts/-"]
    assert volume["secret"] == {"secretName": secret, "defaultMode": 0o440}
    assert mount == {"name": volume["name"], "mountPath": folder, "readOnly": True}


def test_the_service_account_is_the_one_that_the_jobs_name():
    account = yaml.safe_load((DEPLOY / "gcp/service-account/service-account.yaml").read_text(encoding="utf-8"))
    assert account["metadata"]["name"] == component("gcp")["/spec/template/spec/serviceAccountName"] == "ckpt"
    assert "iam.gke.io/gcp-service-account" in account["metadata"]["annotations"]


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.folder)
def test_kustomize_makes_one_job_without_the_nodes_folders(node, job):
    (made,) = yaml.safe_load_all(node.kubectl("kustomize", DEPLOY / "gcp" / job.folder).stdout)
    spec = made["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert made["kind"] == "Job" and spec["serviceAccountName"] == "ckpt"
    assert [volume["secret"]["secretName"] for volume in spec["volumes"]] == [SECRETS[name][0] for name in job.secrets]
    assert container["args"] == overlay_of(job)[1]["args"]
    assert [variable["name"] for variable in container["env"]] == ["BUCKET_NAME"]
