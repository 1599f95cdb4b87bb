"""The docker lines of README.md, then those of docs/release.md, run as they stand, and what a machine that pulls the result gets.

They are also the second build of the reproducibility test: no compiler cache is in reach of them, another tool builds,
and the program must be the same to the bit. As this compiles everything, a source state that has passed is remembered
by its digest (in the cache folder, with the program's digest); the next run of the same state lets the lines use a
compiler cache, and compares with the remembered program.
"""

import hashlib
import json
import os
import re
import urllib.request

import pytest

import containers

LOCATION, PROJECT = "us-central1", "test-project"
HOST = f"{LOCATION}-docker.pkg.dev"
PROVEN = containers.CACHE / "proven-builds.json"


def docker_lines():
    """The block of the README whose first line is a docker build."""
    readme = (containers.ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```\w*\n(docker build .*?)^```$", readme, re.MULTILINE | re.DOTALL)
    return block


def release_lines():
    """The block of docs/release.md that builds and pushes, and that which looks at what was pushed."""
    page = (containers.ROOT / "docs/release.md").read_text(encoding="utf-8")
    (pushing,) = re.findall(r"^```\n(docker build .*?)^```$", page, re.MULTILINE | re.DOTALL)
    (looking,) = re.findall(r"^```\n(id=.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return pushing + looking


def source_state():
    """A digest of all that the image is made of."""
    digest = hashlib.sha256((containers.ROOT / "Dockerfile").read_bytes())
    base = containers.call(containers.ROOT / "tools/image.sh", "base").stdout.strip()
    digest.update(containers.sha256(base).encode())
    for name in sorted(containers.context_names()):
        top = containers.ROOT / name
        for path in sorted([top] if top.is_file() else top.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(containers.ROOT)}\0{containers.sha256(path)}\0".encode())
    return digest.hexdigest()


@pytest.fixture(scope="module", name="pulled")
def _pulled(built):
    """The tag under which the image that the lines built and pushed was pulled again, with what the lines said."""
    assert built["Id"]
    state = source_state()
    proven = json.loads(PROVEN.read_text(encoding="utf-8")) if PROVEN.exists() else {}
    lines = docker_lines() + release_lines()
    # The name in the lines has no port, so the registry listens on port 80, of an address of its own.
    address = f"127.77.{os.getpid() // 250 % 250 + 1}.{os.getpid() % 250 + 1}"
    with containers.scratch("docker") as folder, containers.registry(folder / "registry", f"{address}:80"):
        cached = ["--compiler-cache"] if state in proven else []
        said = containers.call(containers.ROOT / "tools/docker_root.sh", *cached, folder / "root", HOST,
                               address, f"LOCATION={LOCATION}", f"PROJECT_ID={PROJECT}", "REVISION=0123abcd",
                               "SOURCE=https://example.com/ckpt", "VERSION=1.2.3", f"REGISTRY={HOST}/{PROJECT}/released", input=lines,
                               timeout=3000)
        with urllib.request.urlopen(f"http://{address}:80/v2/{PROJECT}/released/inference-checkpoint/tags/list") as answer:
            tags = json.load(answer)["tags"]
        name = f"{address}:80/{PROJECT}/jetstream/inference-checkpoint:latest"
        containers.image("pull", name)
        compiled_all = not (folder / "root/srv/ccache").exists()
    return {"tag": name, "said": said, "state": state, "proven": proven, "compiled_all": compiled_all, "tags": tags}


def test_readme_has_the_lines_of_the_original():
    name = "${LOCATION}-docker.pkg.dev/${PROJECT_ID}/jetstream/inference-checkpoint:latest"
    assert docker_lines().splitlines() == ["docker build -t inference-checkpoint .",
                                           f"docker tag inference-checkpoint {name}", f"docker push {name}"]


def test_lines_run_verbatim_and_the_pulled_image_converts(pulled):
    for line in docker_lines().splitlines():
        typed = line.replace("${LOCATION}", LOCATION).replace("${PROJECT_ID}", PROJECT)
        assert f"+ {typed}" in pulled["said"].stderr
    with containers.scratch("out") as out:
        containers.run("convert", "/in", "/out/made", "--to", "jetstream-pytorch", tag=pulled["tag"], options=[
            "--volume", f"{containers.GOLDEN / 'input'}:/in:ro", "--volume", f"{out}:/out"])
        made, golden = out / "made/model.safetensors", containers.GOLDEN / "bf16/model.safetensors"
        assert made.read_bytes() == golden.read_bytes()


def test_a_release_is_pulled_by_every_published_job(pulled):
    """Under the tags that they name; what was pushed says its digest, and its SBOM names it."""
    entries = json.loads((containers.ROOT / "tests/golden/entrypoint/manifests.json").read_text(encoding="utf-8"))["manifests"]
    wanted = {entry["image"].rpartition(":")[2] for entry in entries}
    assert len(wanted) >= 5 and set(pulled["tags"]) == wanted | {"1.2.3"}
    sums = dict(reversed(line.split()) for line in re.findall(r"^[0-9a-f]{64}  \S+$", pulled["said"].stdout, re.MULTILINE))
    assert set(sums) == {"ckpt", "ckpt.spdx.json"}, pulled["said"].stdout[-2000:]


def test_two_builds_of_one_state_give_the_same_program(pulled, files):
    with containers.scratch("pulled") as folder:
        containers.image("extract", pulled["tag"], folder / "root")
        theirs = folder / "root"
        program = containers.sha256(theirs / "usr/bin/ckpt")
        assert program == containers.sha256(files / "usr/bin/ckpt"), "one source, two programs"
        assert {str(path.relative_to(theirs)) for path in theirs.rglob("*")} == {
            str(path.relative_to(files)) for path in files.rglob("*")}
    state, proven = pulled["state"], pulled["proven"]
    if state in proven:
        assert program == proven[state], "compiled without a cache before, this state gave another program"
    else:
        assert pulled["compiled_all"], "the compiler cache was to be left out"
        PROVEN.write_text(json.dumps({**dict(list(proven.items())[-20:]), state: program}), encoding="utf-8")


def test_second_build_changes_nothing_and_takes_seconds(built):
    """Layers whose sources did not change are used again."""
    containers.image("build", containers.TAG, timeout=60)
    (again,) = json.loads(containers.image("inspect", containers.TAG).stdout)
    assert again["Id"] == built["Id"]
