"""docs/troubleshooting.md shows what a user sees of each failure: the Job of each section is applied to the real node, what
kubectl and the report then say stands in the page."""

import re
import shutil
import subprocess
from contextlib import contextmanager, nullcontext

import pytest

import containers
import published
import services
import world as worlds
from transcripts import SESSION, hold, typed

PAGE = containers.ROOT / "docs/troubleshooting.md"
JOBS = {job.id: job for job in published.published()}
GEMMA, LARGE, HUB = (JOBS[name] for name in ("aiongke-gemma-v0.2.2", "aiongke-llama31-405b-int8",
                                             "aiongke-pytorch-readme-llama3-df646332"))
BUCKET, NO_BUCKET = "my-bucket", "no-such-bucket"  # as the page has them
DENIED = {"error": {"code": 403, "message": f"{worlds.EMAIL} does not have storage.objects.create access",
                    "errors": [{"reason": "forbidden"}]}}
SECTION = re.compile(r"^## (.*?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
# What stands in for `gcloud storage cat`: it reads from the stand-in's folder.
GCLOUD = """#!/bin/sh
[ "$1 $2" = "storage cat" ] || exit 64
exec cat "{folder}/${{3#gs://my-bucket/}}" 2>/dev/null
"""


def argued(job, *more, without=()):
    """The Job with more arguments, and without some."""
    args = [arg for arg in job.entry["args"] if not arg.startswith(tuple(without))]
    return published.Published(job.id, {**job.entry, "args": [*args, *more]}, job.bucket)


def with_fields(text, *pairs):
    """A manifest with more lines behind some of its own."""
    for line, more in pairs:
        assert text.count(line + "\n") == 1, line
        text = text.replace(line + "\n", f"{line}\n{more}\n")
    return text


@contextmanager
def writing_refused(world):
    """The bucket answers 403 to whoever writes."""
    world.buckets.faults([{"method": "POST|PUT", "path": f"/b/{GEMMA.bucket}/|/{GEMMA.bucket}/", "status": 403, "body": DENIED}])
    try:
        yield
    finally:
        world.buckets.clear_faults()


@contextmanager
def secret_of_a_stranger(world):
    """The token's account has not accepted the licence."""
    world.node.kubectl("create", "secret", "generic", "strangers-secret", f"--from-literal=HUGGINGFACE_TOKEN={worlds.STRANGER}")
    yield
    world.node.kubectl("delete", "secret", "strangers-secret")


@contextmanager
def other_checkpoint(world):
    """The bucket holds what another Job has made there."""
    world.buckets.put(f"{GEMMA.bucket}/final/unscanned/gemma_7b-it/0/checkpoints/0/items/_METADATA", b"{}")
    yield


@contextmanager
def small_disk(world):
    """A disk of 256 KiB on the node."""
    place = world.folder / "small"
    place.mkdir()
    shutil.copytree(services.GOLDEN / "jetstream-pytorch/llama-3-hf/input", world.folder / "model", dirs_exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def on_disks(world, text):
    """The Job with a folder of the node as its source and a small disk as its output."""
    text = with_fields(text, ("        volumeMounts:", "        - {mountPath: /model, name: model}\n        - {mountPath: /out, name: out}"),
                       ("      volumes:", f"      - {{name: model, hostPath: {{path: {world.folder / 'model'}}}}}\n"
                                          f"      - {{name: out, hostPath: {{path: {world.folder / 'small'}}}}}"))
    return text


NO_TRY = ("\nspec:", "  backoffLimit: 0")  # so that one pod tells of it
# By the heading of the page: the Job, a context that makes the failure, and what is changed in the manifest's text.
CASES = {
    "A flag that does not exist": (argued(GEMMA, "--quantise_type=int8"), nullcontext, None),
    "A placeholder that was not replaced": (published.Published("", {**GEMMA.entry, "substitute": {}}, GEMMA.bucket), nullcontext, None),
    "A secret that is not there": (GEMMA, nullcontext, lambda _, text: text.replace("kaggle-secret", "no-such-secret")),
    "A secret that is not mounted": (GEMMA, nullcontext, lambda _, text: text.replace('"/kaggle/"', '"/elsewhere/"')),
    "A secret that cannot be read": (GEMMA, nullcontext, lambda _, text: with_fields(
        text, ("      restartPolicy: Never", "      securityContext: {runAsUser: 1000}"))),
    "A licence that was not accepted": (HUB, secret_of_a_stranger,
                                        lambda _, text: text.replace("huggingface-secret", "strangers-secret")),
    "A bucket that refuses": (GEMMA, writing_refused, None),
    "A bucket that does not exist": (published.Published("", GEMMA.entry, NO_BUCKET), nullcontext, None),
    "A link that has expired": (LARGE, nullcontext, None),
    "A model that is not there": (argued(HUB, "-m=meta-llama/Meta-Llama-3-8BB", without=["-m="]), nullcontext, None),
    "A destination that holds another checkpoint": (GEMMA, other_checkpoint, None),
    "A disk without space": (published.Published("", {**HUB.entry, "args": [
        "-s=jetstream-pytorch", "-m=/model", "-i=/model", "-o=/out", "-n=llama-3"]}, HUB.bucket), small_disk, on_disks),
    "A memory limit below the least": (GEMMA, nullcontext, lambda _, text: text.replace(
        "            google.com/tpu: 8\n      nodeSelector", "            google.com/tpu: 8\n            memory: 24Mi\n      nodeSelector")),
}
PENDING = {"A secret that is not there"}


def sections():
    """{heading: its sessions} of the page's sections that have one."""
    found = {heading: SESSION.findall(body) for heading, body in SECTION.findall(PAGE.read_text(encoding="utf-8"))}
    return {heading: sessions for heading, sessions in found.items() if sessions}


def test_the_page_has_each_failure():
    assert set(sections()) == set(CASES)


def show(heading, world, folder):
    """Applies a section's Job and types its commands: what was printed, for each session."""
    job, making, changed = CASES[heading]
    if job.bucket != NO_BUCKET:
        world.buckets.control("DELETE", f"below/{job.bucket}/")
    world.label(job.entry["node_selector"])
    world.offer(job.entry["image"])
    text = with_fields(job.text(world.link(life_s=-60)), NO_TRY).replace("  ttlSecondsAfterFinished: 30\n", "")
    with making(world):
        world.node.apply(changed(world, text) if changed else text)
        if heading in PENDING:
            world.node.wait_for_event("checkpoint-converter", "FailedMount")
        else:
            world.node.wait("checkpoint-converter")
        gcloud = world.node.folder / "bin/gcloud"
        gcloud.write_text(GCLOUD.format(folder=world.bucket_folder(job.bucket)), encoding="utf-8")
        gcloud.chmod(0o755)
        replaced = [(job.bucket, BUCKET)] if job.bucket != NO_BUCKET else []
        said = [typed(world.node, folder, session, [*replaced, (str(world.folder), "/mnt")]) for session in sections()[heading]]
        world.node.kubectl("delete", "job", "checkpoint-converter", "--wait=true")
    return said


def test_the_page_shows_what_happens(world, folder):
    hold(world.node, PAGE, [said for heading in sections() for said in show(heading, world, folder)])


@pytest.mark.parametrize("secret", [services.KAGGLE_KEY, services.HUB_TOKEN, "Signature=", worlds.STRANGER])
def test_the_page_tells_no_secret(secret):
    assert secret not in PAGE.read_text(encoding="utf-8")
