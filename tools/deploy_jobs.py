#!/usr/bin/env python3
"""Writes the ready Jobs of deploy/: one Kustomize folder each, with the container's arguments and the plan's own figures.

usage: tools/deploy_jobs.py [--program CKPT]           rewrites every kustomization.yaml of a Job
       tools/deploy_jobs.py --check [--program CKPT]   changes nothing; exit status 1 if one is not what it should be

Arguments are those of the published Jobs with a folder where those have a bucket; each has an overlay in deploy/gcp whose
arguments have the bucket, the hub, Kaggle or Meta again. Memory and CPU are said to the program too (--memory, --threads), so that
the run is the planned one. Plans with a bucket ask the stub of tests/stubs for it. Standard library only.
"""
import argparse
import bisect
import contextlib
import functools
import json
import os
import pathlib
import subprocess
import sys
from dataclasses import dataclass

import sizing
from tree import ROOT

sys.path.insert(0, str(ROOT / "tests/stubs"))
from started import started  # noqa: E402

DEPLOY = ROOT / "deploy"
MARK = "# Made by tools/deploy_jobs.py: change that, or put your own changes into a folder of your own (deploy/README.md).\n"
SOURCE, OUTPUT = "/source", "/output"  # where deploy/base mounts the two folders
MAXTEXT_TYPES = ("int8", "int8w", "int4w", "intmp", "fp8")
PYTORCH_TYPES = ("int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")
BUCKET = "gs://$(BUCKET_NAME)"  # Kubernetes puts the container's variable in; deploy/components/gcp has it
BUDGET_STEP_MIB = 256
NO_SHAPE = "goal, not planned: tools/sizing.py makes no model of this family's shape yet"


@dataclass(frozen=True)
class Job:
    """One folder below deploy/."""

    folder: str  # "maxtext/llama-8b/int8"
    source: str  # what lies in the source folder
    writes: str
    args: tuple
    cores: int
    model: str = ""  # of sizing.SHAPES; none: no model of this shape can be made to plan with
    words: tuple = ()  # of the equal `ckpt plan`
    goal_mib: int = 0  # the container's memory where nothing can be planned
    env: tuple = ()
    cloud: tuple = ()  # the arguments of its overlay in deploy/gcp; none: it has none
    secrets: tuple = ()  # that the overlay mounts: folders of deploy/components
    note: str = ""  # on the overlay's figures
    beside_mib: int = 0  # what the overlay's source needs in its budget beside what the plan of the stand-in says
    shards: int = 0  # pods of an Indexed Job, each with its part; its cores and budget are those of one pod. None: a Job of one pod

    @property
    def budget_mib(self) -> int:
        """What --memory says."""
        return sizing.default_budget_mib(self.cores) if self.model else self.goal_mib - sizing.PROGRAM_MIB

    @property
    def components(self) -> tuple:
        """Those of deploy/components that the Job needs, and its overlay with it. Shards share their folders, so no node's."""
        return ("claim", "indexed") if self.shards else ()

    @property
    def cloud_components(self) -> tuple:
        """Those of its overlay."""
        return ("gcp", *self.secrets, *(("spot",) if self.shards else ()))


def quantized(kind: str) -> tuple:
    """The published spelling of a quantize type."""
    return ("--quantize_weights=True", f"--quantize_type={kind}") if kind != "bf16" else ()


def maxtext_llama(size: str, kind: str, cores: int) -> Job:
    """MaxText's scanned and unscanned checkpoints of a Llama 3.1, and a quantized one."""
    repository = f"meta-llama/Llama-3.1-{size.upper()}-Instruct"
    args = ("--bucket_name=local", "--inference_server=jetstream-maxtext", "--model_name=llama-3.1", f"--model_path={repository}",
            "--huggingface=True", f"--input_directory={SOURCE}", f"--output_directory={OUTPUT}", *quantized(kind))
    outputs = ["scanned", "unscanned", *([kind] if kind != "bf16" else [])]
    cloud = ("--bucket_name=$(BUCKET_NAME)", *args[1:5], f"--output_directory={BUCKET}/maxtext/llama-3.1-{size}-{kind}", *quantized(kind))
    return Job(f"maxtext/llama-{size}/{kind}", f"the files of {repository}", " + ".join(outputs), args, cores, f"llama3.1-{size}",
               ("--to", "maxtext", "--outputs", ",".join(outputs)), cloud=cloud, secrets=("huggingface",))


def maxtext_405b(shards: int, cores: int) -> Job:
    """The published example of 405B, in one pod or in several; its model path has no repository, so nothing asks for Meta's URL."""
    args = ("--bucket_name=local", "--inference_server=jetstream-maxtext", "--model_name=llama-3.1",
            "--model_path=Llama3.1-405B-Instruct:bf16-mp16", f"--input_directory={SOURCE}", f"--output_directory={OUTPUT}",
            *quantized("int8")[::-1])
    cloud = ("--bucket_name=$(BUCKET_NAME)", args[1], "--meta_url_file=/meta/META_URL", *args[2:4],
             f"--output_directory={BUCKET}/maxtext/llama-3.1-405b", *quantized("int8")[::-1])
    folder = "maxtext/llama-405b/int8" + ("-indexed" if shards else "")
    return Job(folder, "Llama-3.1-405B-Instruct", "scanned + unscanned + int8", args, cores, "llama3.1-405b",
               ("--to", "maxtext", "--outputs", "scanned,unscanned,int8"), cloud=cloud, secrets=("meta",),
               note="# The plan is one of safetensors of this shape; each of Meta's 16 files needs 17 MiB more of the budget while it is read.\n",
               beside_mib=16 * 17, shards=shards)


def maxtext_gemma(size: str, variation: str) -> Job:
    """Gemma from Kaggle: outputs lie in the bucket's final/, here a folder of that name below the output folder."""
    args = ("-b=local", f"-m=google/gemma/maxtext/{variation}/2", f"--input_directory={SOURCE}")
    return Job(f"maxtext/gemma-{size}/bf16", f"the unpacked google/gemma/maxtext/{variation}/2", "scanned + unscanned", args, 4,
               goal_mib=4096, env=(("CKPT_GS_ROOT", OUTPUT),), cloud=("-b=$(BUCKET_NAME)", args[1]), secrets=("kaggle",))


def pytorch(folder: str, args: tuple, kind: str, source: str, model: str, cloud: tuple = (), secrets: tuple = ()) -> Job:
    """A JetStream-PyTorch file. `cloud` begins with the output's folder in the bucket."""
    words = ("--to", "jetstream-pytorch", *(("--quantize", kind) if kind != "bf16" else ()))
    weights = ("-q=False",) if kind == "bf16" else quantized(kind)
    remote = ("-s=jetstream-pytorch", *cloud[1:], f"-o={BUCKET}/pytorch/{cloud[0]}/", *weights) if cloud else ()
    return Job(f"pytorch/{folder}", source, f"JetStream-PyTorch {kind}", ("-s=jetstream-pytorch", *args, f"-o={OUTPUT}", *weights),
               4, model, words, goal_mib=0 if model else 4096, cloud=remote, secrets=secrets)


def pytorch_repository(name: str, repository: str, family: str, kind: str, model: str) -> Job:
    """The published list for a repository, read from a folder."""
    args = (f"-m={repository}", f"-n={family}", "-h=True", f"-i={SOURCE}")
    cloud = (f"{name}/final/{kind}", *args[:3])
    return pytorch(f"{name}/{kind.replace('_', '-')}", args, kind, f"the files of {repository}", model, cloud, ("huggingface",))


def jobs() -> list[Job]:
    """Every Job, in the order of their folders' table."""
    found = [maxtext_gemma("2b", "2b-it"), maxtext_gemma("7b", "7b-it")]
    found += [maxtext_llama(size, kind, 8) for size in ("8b", "70b") for kind in ("bf16", *MAXTEXT_TYPES)]
    found += [maxtext_405b(0, 16), maxtext_405b(8, 8)]
    # The published Jobs of a folder and of a mounted bucket, whose place is replaced by the mount.
    base = "pytorch/llama2-7b/base/"
    found.append(pytorch("folder", ("-m=/models", f"-i={SOURCE}"), "bf16", "a Llama, as Llama-2-7b", "llama2-7b",
                         ("llama2-7b/final/bf16", "-m=/models", f"-i={BUCKET}/{base}")))
    found.append(pytorch("mounted-bucket", (f"-m={SOURCE}", f"-i=gs://local/{base}"), "bf16",
                         f"what the bucket holds: a Llama in {base}", "llama2-7b"))
    for kind in ("bf16", *PYTORCH_TYPES):
        found.append(pytorch_repository("llama-2-7b", "meta-llama/Llama-2-7b-hf", "llama-2", kind, "llama2-7b"))
        found.append(pytorch_repository("llama-3-8b", "meta-llama/Meta-Llama-3-8B", "llama-3", kind, "llama3.1-8b"))
        found.append(pytorch_repository("gemma-7b", "google/gemma-7b-it-pytorch", "gemma", kind, ""))
    return found


class Buckets:
    """Plans the overlays: conversions of the same models into a bucket that a stub serves."""

    def __init__(self, planner: sizing.Planner, url: str):
        self._planner = planner
        self._environment = {**os.environ, "STORAGE_EMULATOR_HOST": url}
        self.plan = functools.cache(self._plan)

    def _plan(self, job: Job, budget_mib: int) -> dict:
        """The plan as `ckpt plan --json` prints it. Raises RuntimeError with what the program said."""
        program = self._planner._program  # pylint: disable=protected-access
        named = ("--model", job.model) if "maxtext" in job.words else ()
        command = [program, "plan", self._planner.folder(job.model), "gs://bucket/out", *job.words, *named, "--threads",
                   str(job.cores), "--memory", f"{budget_mib}MiB", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=self._environment, timeout=120)
        if done.returncode:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")
        return json.loads(done.stdout)

    def budget_mib(self, job: Job) -> int:
        """The program's default, or the first step above it that lets all lanes run: each has parts of uploads in memory."""
        if not job.model or self.plan(job, job.budget_mib)["memory"]["lanes"] >= job.cores:
            return job.budget_mib
        short = job.budget_mib // BUDGET_STEP_MIB
        enough = short + 1
        while not self._fits(job, enough):
            short, enough = enough, 2 * enough - job.budget_mib // BUDGET_STEP_MIB
        steps = range(short + 1, enough + 1)
        return BUDGET_STEP_MIB * steps[bisect.bisect_left(steps, True, key=lambda number: self._fits(job, number))]

    def _fits(self, job: Job, steps: int) -> bool:
        """Whether all lanes run in so many steps of memory."""
        return self.plan(job, steps * BUDGET_STEP_MIB)["memory"]["lanes"] >= job.cores


@contextlib.contextmanager
def buckets(planner: sizing.Planner):
    """Plans into a bucket while the block runs."""
    with started("gcs", "--bucket", "bucket") as stub:
        yield Buckets(planner, stub.url)


def figures(job: Job, plan: dict | None, budget_mib: int) -> str:
    """The comment that says where memory and CPU come from."""
    if not plan:
        return f"# Resources: {job.cores} CPU, {sizing.limit_mib(budget_mib)} MiB: {NO_SHAPE}.\n"
    peak = -(-plan["memory"]["peak_bytes"] // sizing.MIB)
    parted = f" by {job.shards} pods; in each" if job.shards else ""
    return (f"# Planned: {sizing.gigabytes(plan['bytes']['read'])} in, {sizing.gigabytes(plan['bytes']['written'])} out{parted or ','} "
            f"{peak} MiB at most of a budget of {budget_mib} MiB, no disk.\n"
            f"# Resources{' of each' if parted else ''}: {job.cores} CPU, and the budget and {sizing.PROGRAM_MIB} MiB for the program.\n")


def patch_of(job: Job, name: str, args: tuple, budget_mib: int) -> list[str]:
    """The patch of a Job's container. Words of ours need no quotes but those that YAML would take for something else."""
    is_cloud = args == job.cloud
    budget_mib += job.beside_mib if is_cloud else 0
    memory = f"{sizing.limit_mib(budget_mib)}Mi"
    words = (*args, f"--memory={budget_mib}MiB", f"--threads={job.cores}", *((f"--shards={job.shards}",) if job.shards else ()))
    pods = [f"  completions: {job.shards}", f"  parallelism: {job.shards}"] if job.shards and not is_cloud else []
    lines = ["apiVersion: batch/v1", "kind: Job", "metadata:", f"  name: {name}", "spec:", *pods, "  template:", "    spec:",
             "      containers:", "      - name: inference-checkpoint", "        args:", *(f'        - "{word}"' for word in words)]
    if job.env and not is_cloud:
        lines += ["        env:", *(line for key, value in job.env for line in (f"        - name: {key}", f"          value: {value}"))]
    return lines + ["        resources:", "          requests:", f'            cpu: "{job.cores}"', f"            memory: {memory}",
                    "          limits:", f"            memory: {memory}"]


def components(up: str, names: tuple) -> list[str]:
    """The lines that name them."""
    return ["components:\n", *(f"- {up}components/{name}\n" for name in names)] if names else []


def text_of(job: Job, planner: sizing.Planner) -> str:
    """The Job's kustomization.yaml."""
    up = "../" * (job.folder.count("/") + 1)
    name = job.folder.replace("/", "-")
    plan = planner.plan(job.model, job.words, job.cores, job.budget_mib) if job.model else None
    lines = [f"# {job.folder}: {job.writes}, from {job.source}.\n", figures(job, plan, job.budget_mib), MARK]
    lines += ["apiVersion: kustomize.config.k8s.io/v1beta1\n", "kind: Kustomization\n", "resources:\n", f"- {up}base\n",
              *components(up, job.components), f"nameSuffix: -{name}\n", "labels:\n", "- includeTemplates: true\n", "  pairs:\n",
              f"    app.kubernetes.io/instance: {name}\n", "patches:\n", "- patch: |\n"]
    return "".join(lines) + "".join(f"    {line}\n" for line in patch_of(job, "convert", job.args, job.budget_mib))


def cloud_text_of(job: Job, planned: Buckets) -> str:
    """The kustomization.yaml of the Job's overlay for Google Cloud."""
    up = "../" * (job.folder.count("/") + 2)
    budget = planned.budget_mib(job)
    plan = planned.plan(job, budget) if job.model else None
    lines = [f"# gcp/{job.folder}: {job.writes}, into a bucket.\n", figures(job, plan, budget), job.note, MARK]
    lines += ["apiVersion: kustomize.config.k8s.io/v1beta1\n", "kind: Kustomization\n", "resources:\n", f"- {up}{job.folder}\n",
              *components(up, job.cloud_components), "patches:\n",
              "- target:\n", "    kind: Job\n", "  patch: |\n"]
    return "".join(lines) + "".join(f"    {line}\n" for line in patch_of(job, "any", job.cloud, budget))


def files(planner: sizing.Planner) -> dict[pathlib.Path, str]:
    """Every file that this script writes."""
    found = {DEPLOY / job.folder / "kustomization.yaml": text_of(job, planner) for job in jobs()}
    with buckets(planner) as planned:
        found |= {DEPLOY / "gcp" / job.folder / "kustomization.yaml": cloud_text_of(job, planned) for job in jobs() if job.cloud}
    return found


def stale(planner: sizing.Planner) -> list[str]:
    """Names of files that are not what they should be, and of Jobs that this script does not know."""
    wanted = files(planner)
    there = {path for server in ("maxtext", "pytorch", "gcp/maxtext", "gcp/pytorch") for path in (DEPLOY / server).rglob("kustomization.yaml")}
    wrong = {path for path, text in wanted.items() if not path.exists() or path.read_text() != text}
    return sorted(str(path.relative_to(ROOT)) for path in wrong | (there - set(wanted)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/ckpt")
    arguments = parser.parse_args()
    with sizing.Planner(arguments.program.absolute()) as planner:
        if arguments.check:
            wrong = stale(planner)
            return "stale; run tools/deploy_jobs.py: " + ", ".join(wrong) if wrong else 0
        for path, text in files(planner).items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
