"""Figures that texts and Jobs state are those of the plans, and the ready Jobs of deploy/ are what the front door takes."""

import re
import subprocess
import sys

import pytest
import yaml

import support

sys.path.insert(0, str(support.ROOT / "tools"))
import deploy_jobs  # noqa: E402
import sizing  # noqa: E402

JOBS = deploy_jobs.jobs()
PLANNED = [job for job in JOBS if job.model]


@pytest.fixture(scope="module")
def planner(program):
    with sizing.Planner(program) as found:
        yield found


def container_of(job):
    """The container that a Job's own patch describes, and the text of its file."""
    text = (deploy_jobs.DEPLOY / job.folder / "kustomization.yaml").read_text()
    patch = yaml.safe_load(yaml.safe_load(text)["patches"][0]["patch"])
    (container,) = patch["spec"]["template"]["spec"]["containers"]
    return container, text


def front_door(tmp_path, *words):
    """Runs the program under the name that the image gives it."""
    link = tmp_path / "checkpoint_entrypoint.sh"
    link.symlink_to(support.PROGRAM.resolve())
    return subprocess.run([link, *words], capture_output=True, text=True, check=False, timeout=60)


def test_the_readmes_table_is_what_the_plans_say(planner):
    page = sizing.PAGE.read_text()
    assert sizing.page_with(page, planner) == page, "run tools/sizing.py"


def test_the_ready_jobs_are_what_the_plans_say(planner):
    assert deploy_jobs.stale(planner) == [], "run tools/deploy_jobs.py"


def test_there_is_a_job_for_every_row_of_the_contract():
    folders = {job.folder for job in JOBS}
    assert len(folders) == len(JOBS) == 33  # one of them in parts
    assert {f"maxtext/llama-{size}/{kind}" for size in ("8b", "70b") for kind in ("bf16", "int8", "int8w", "int4w", "intmp", "fp8")} < folders
    assert {job.folder for job in JOBS if not job.model} == {
        "maxtext/gemma-2b/bf16", "maxtext/gemma-7b/bf16", *(f"pytorch/gemma-7b/{kind.replace('_', '-')}"
                                                            for kind in ("bf16", *deploy_jobs.PYTORCH_TYPES))}


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.folder)
def test_a_containers_memory_is_its_budget_and_64_mib(job):
    container, text = container_of(job)
    words = dict(word.lstrip("-").split("=", 1) for word in container["args"])
    budget_mib = int(words["memory"].removesuffix("MiB"))
    resources = container["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == f"{budget_mib + 64}Mi"
    assert resources["requests"]["cpu"] == words["threads"]
    assert (deploy_jobs.NO_SHAPE in text) == (not job.model)


@pytest.mark.parametrize("job", PLANNED, ids=lambda job: job.folder)
def test_the_front_door_plans_a_job_as_its_file_says(job, planner, tmp_path):
    container, text = container_of(job)
    source, base = planner.folder(job.model), tmp_path / "bucket/pytorch/llama2-7b/base"
    if job.folder == "pytorch/mounted-bucket":
        base.parent.mkdir(parents=True)
        base.symlink_to(source)
        source = tmp_path / "bucket"
    words = [word.replace(deploy_jobs.SOURCE, str(source)).replace(deploy_jobs.OUTPUT, str(tmp_path / "out"))
             for word in container["args"]]
    ran = front_door(tmp_path, "--dry_run", *words)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert not (tmp_path / "out").exists()
    read, written, peak = re.search(r"# Planned: (.*) in, (.*) out(?: by \d+ pods; in each|,) (\d+) MiB at most", text).groups()
    assert read == sizing.gigabytes(int(re.search(r"^read .*?\((\d+) bytes\)", ran.stdout, re.MULTILINE)[1]))
    assert written == sizing.gigabytes(int(re.search(r"^write .*?\((\d+) bytes\)", ran.stdout, re.MULTILINE)[1]))
    said = float(re.search(r"^memory +(\S+) MiB at most", ran.stdout, re.MULTILINE)[1])
    assert abs(int(peak) - said) <= 2, ran.stdout
