#!/usr/bin/env python3
"""Writes the ready Jobs of deploy/: one Kustomize folder each, with the container's arguments and the plan's own figures.

usage: tools/deploy_jobs.py [--program CKPT]           rewrites every kustomization.yaml of a Job
       tools/deploy_jobs.py --check [--program CKPT]   changes nothing; exit status 1 if one is not what it should be

Arguments are those of the published Jobs with a folder where those have a bucket. Memory and CPU are said to the program too
(--memory, --threads), so that the run is the planned one. Standard library only.
"""
import argparse
import pathlib
import sys
from dataclasses import dataclass

import sizing
from tree import ROOT

DEPLOY = ROOT / "deploy"
MARK = "# Made by tools/deploy_jobs.py: change that, or put your own changes into a folder of your own (deploy/README.md).\n"
SOURCE, OUTPUT = "/source", "/output"  # where deploy/base mounts the two folders
MAXTEXT_TYPES = ("int8", "int8w", "int4w", "intmp", "fp8")
PYTORCH_TYPES = ("int8_per_channel", "int4_per_channel", "int8_blockwise", "int4_blockwise")
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

    @property
    def budget_mib(self) -> int:
        """What --memory says."""
        return sizing.default_budget_mib(self.cores) if self.model else self.goal_mib - sizing.PROGRAM_MIB


def quantized(kind: str) -> tuple:
    """The published spelling of a quantize type."""
    return ("--quantize_weights=True", f"--quantize_type={kind}") if kind != "bf16" else ()


def maxtext_llama(size: str, kind: str, cores: int) -> Job:
    """MaxText's scanned and unscanned checkpoints of a Llama 3.1, and a quantized one."""
    repository = f"meta-llama/Llama-3.1-{size.upper()}-Instruct"
    args = ("--bucket_name=local", "--inference_server=jetstream-maxtext", "--model_name=llama-3.1", f"--model_path={repository}",
            "--huggingface=True", f"--input_directory={SOURCE}", f"--output_directory={OUTPUT}", *quantized(kind))
    outputs = ["scanned", "unscanned", *([kind] if kind != "bf16" else [])]
    return Job(f"maxtext/llama-{size}/{kind}", f"the files of {repository}", " + ".join(outputs), args, cores, f"llama3.1-{size}",
               ("--to", "maxtext", "--outputs", ",".join(outputs)))


def maxtext_405b() -> Job:
    """The published example of 405B; its model path has no repository, so nothing asks for Meta's URL."""
    args = ("--bucket_name=local", "--inference_server=jetstream-maxtext", "--model_name=llama-3.1",
            "--model_path=Llama3.1-405B-Instruct:bf16-mp16", f"--input_directory={SOURCE}", f"--output_directory={OUTPUT}",
            *quantized("int8")[::-1])
    return Job("maxtext/llama-405b/int8", "Llama-3.1-405B-Instruct", "scanned + unscanned + int8", args, 16, "llama3.1-405b",
               ("--to", "maxtext", "--outputs", "scanned,unscanned,int8"))


def maxtext_gemma(size: str, variation: str) -> Job:
    """Gemma from Kaggle: outputs lie in the bucket's final/, here a folder of that name below the output folder."""
    args = ("-b=local", f"-m=google/gemma/maxtext/{variation}/2", f"--input_directory={SOURCE}")
    return Job(f"maxtext/gemma-{size}/bf16", f"the unpacked google/gemma/maxtext/{variation}/2", "scanned + unscanned", args, 4,
               goal_mib=4096, env=(("CKPT_GS_ROOT", OUTPUT),))


def pytorch(folder: str, args: tuple, kind: str, source: str, model: str) -> Job:
    """A JetStream-PyTorch file."""
    words = ("--to", "jetstream-pytorch", *(("--quantize", kind) if kind != "bf16" else ()))
    weights = ("-q=False",) if kind == "bf16" else quantized(kind)
    return Job(f"pytorch/{folder}", source, f"JetStream-PyTorch {kind}", ("-s=jetstream-pytorch", *args, f"-o={OUTPUT}", *weights),
               4, model, words, goal_mib=0 if model else 4096)


def pytorch_repository(name: str, repository: str, family: str, kind: str, model: str) -> Job:
    """The published list for a repository, read from a folder."""
    args = (f"-m={repository}", f"-n={family}", "-h=True", f"-i={SOURCE}")
    return pytorch(f"{name}/{kind.replace('_', '-')}", args, kind, f"the files of {repository}", model)


def jobs() -> list[Job]:
    """Every Job, in the order of their folders' table."""
    found = [maxtext_gemma("2b", "2b-it"), maxtext_gemma("7b", "7b-it")]
    found += [maxtext_llama(size, kind, 8) for size in ("8b", "70b") for kind in ("bf16", *MAXTEXT_TYPES)]
    found.append(maxtext_405b())
    # The published Jobs of a folder and of a mounted bucket, whose place is replaced by the mount.
    base = "pytorch/llama2-7b/base/"
    found.append(pytorch("folder", ("-m=/models", f"-i={SOURCE}"), "bf16", "a Llama, as Llama-2-7b", "llama2-7b"))
    found.append(pytorch("mounted-bucket", (f"-m={SOURCE}", f"-i=gs://local/{base}"), "bf16",
                         f"what the bucket holds: a Llama in {base}", "llama2-7b"))
    for kind in ("bf16", *PYTORCH_TYPES):
        found.append(pytorch_repository("llama-2-7b", "meta-llama/Llama-2-7b-hf", "llama-2", kind, "llama2-7b"))
        found.append(pytorch_repository("llama-3-8b", "meta-llama/Meta-Llama-3-8B", "llama-3", kind, "llama3.1-8b"))
        found.append(pytorch_repository("gemma-7b", "google/gemma-7b-it-pytorch", "gemma", kind, ""))
    return found


def figures(job: Job, planner: sizing.Planner) -> str:
    """The comment that says where memory and CPU come from."""
    limit = sizing.limit_mib(job.budget_mib)
    if not job.model:
        return f"# Resources: {job.cores} CPU, {limit} MiB: {NO_SHAPE}.\n"
    plan = planner.plan(job.model, job.words, job.cores, job.budget_mib)
    peak = -(-plan["memory"]["peak_bytes"] // sizing.MIB)
    return (f"# Planned: {sizing.gigabytes(plan['bytes']['read'])} in, {sizing.gigabytes(plan['bytes']['written'])} out, "
            f"{peak} MiB at most of a budget of {job.budget_mib} MiB, no disk.\n"
            f"# Resources: {job.cores} CPU, and the budget and {sizing.PROGRAM_MIB} MiB for the program.\n")


def text_of(job: Job, planner: sizing.Planner) -> str:
    """The Job's kustomization.yaml. Words of ours need no quotes but those that YAML would take for something else."""
    up = "../" * (job.folder.count("/") + 1)
    name = job.folder.replace("/", "-")
    args = [*job.args, f"--memory={job.budget_mib}MiB", f"--threads={job.cores}"]
    memory = f"{sizing.limit_mib(job.budget_mib)}Mi"
    lines = [f"# {job.folder}: {job.writes}, from {job.source}.\n", figures(job, planner), MARK]
    lines += ["apiVersion: kustomize.config.k8s.io/v1beta1\n", "kind: Kustomization\n", "resources:\n", f"- {up}base\n",
              f"nameSuffix: -{name}\n", "labels:\n", "- includeTemplates: true\n", "  pairs:\n",
              f"    app.kubernetes.io/instance: {name}\n", "patches:\n", "- patch: |\n"]
    patch = ["apiVersion: batch/v1", "kind: Job", "metadata:", "  name: convert", "spec:", "  template:", "    spec:",
             "      containers:", "      - name: inference-checkpoint", "        args:",
             *(f'        - "{word}"' for word in args)]
    if job.env:
        patch += ["        env:", *(line for key, value in job.env for line in (f"        - name: {key}", f"          value: {value}"))]
    patch += ["        resources:", "          requests:", f'            cpu: "{job.cores}"', f"            memory: {memory}",
              "          limits:", f"            memory: {memory}"]
    return "".join(lines) + "".join(f"    {line}\n" for line in patch)


def files(planner: sizing.Planner) -> dict[pathlib.Path, str]:
    """Every file that this script writes."""
    return {DEPLOY / job.folder / "kustomization.yaml": text_of(job, planner) for job in jobs()}


def stale(planner: sizing.Planner) -> list[str]:
    """Names of files that are not what they should be, and of Jobs that this script does not know."""
    wanted = files(planner)
    there = {path for server in ("maxtext", "pytorch") for path in (DEPLOY / server).rglob("kustomization.yaml")}
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
