"""The ready Jobs of deploy/ are what this Kubernetes takes, and one runs; so does what `ckpt manifest` prints."""

import shutil

import pytest

import containers
import node as nodes

DEPLOY = containers.ROOT / "deploy"
READY = sorted(str(path.parent.relative_to(DEPLOY)) for path in DEPLOY.glob("*/**/kustomization.yaml")
               if path.relative_to(DEPLOY).parts[0] in ("maxtext", "pytorch", "example", "gcp")
               and path.parent.name != "service-account")


def test_server_takes_every_ready_job(node):
    """Field names, values and their combinations, as the API server checks them."""
    assert len(READY) >= 20
    taken = [node.kubectl("apply", "--dry-run=server", "-k", DEPLOY / folder).stdout for folder in READY]
    assert all(text.startswith("job.batch/convert") for text in taken), taken


def test_server_takes_the_service_account(node):
    """Which the Jobs of deploy/gcp run as."""
    taken = node.kubectl("apply", "--dry-run=server", "-k", DEPLOY / "gcp/service-account").stdout
    assert taken.startswith("serviceaccount/ckpt "), taken


# An overlay as deploy/README.md tells users to write it, with resources that fit a small node.
OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- {base}
components: {components}
images:
- name: inference-checkpoint
  newName: {image}
  newTag: latest
patches:
- target:
    kind: Job
  patch: |
    - op: replace
      path: /spec/template/spec/volumes/0/hostPath/path
      value: {folder}/source
    - op: replace
      path: /spec/template/spec/volumes/1/hostPath/path
      value: {folder}/output
    - op: replace
      path: /spec/template/spec/containers/0/resources/requests/cpu
      value: 100m
    - op: replace
      path: /spec/template/spec/containers/0/imagePullPolicy
      value: Always
"""


@pytest.fixture(name="folders")
def _folders(folder):
    """The golden model as source, and an output that any user may write."""
    shutil.copytree(containers.GOLDEN / "input", folder / "source")
    (folder / "output").mkdir()
    (folder / "output").chmod(0o777)
    return folder


@pytest.mark.parametrize("hardened", [False, True], ids=["as-it-is", "hardened"])
def test_ready_job_runs(node, folders, hardened):
    overlay = folders / "overlay"
    shutil.copytree(DEPLOY, folders / "deploy")
    overlay.mkdir()
    name, _ = nodes.IMAGE.rsplit(":", 1)
    components = "[../deploy/components/hardened]" if hardened else "[]"
    suffix = "-hardened" if hardened else ""
    (overlay / "kustomization.yaml").write_text(
        OVERLAY.format(base="../deploy/pytorch/folder", components=components, image=name, folder=folders)
        + (f"nameSuffix: {suffix}\n" if suffix else ""), encoding="utf-8")
    node.kubectl("apply", "-k", overlay)
    ended = node.wait("convert-pytorch-folder" + suffix)
    assert ended.verdict == "Complete", ended.log
    golden = containers.GOLDEN / "bf16/model.safetensors"
    assert (folders / "output/model.safetensors").read_bytes() == golden.read_bytes()


def test_printed_manifest_runs(node, folders):
    options = ["--volume", f"{folders}:{folders}"]
    printed = containers.run("manifest", folders / "source", folders / "output/made", "--to", "jetstream-pytorch",
                             "--quantize", "int8_per_channel", "--threads", "1", "--memory", "256MiB",
                             "--image", nodes.IMAGE, options=options)
    node.apply(printed.stdout)
    (job,) = [item for item in node.get("jobs")["items"]
              if str(folders) in str(item["spec"]["template"]["spec"]["volumes"])]
    ended = node.wait(job["metadata"]["name"])
    assert ended.verdict == "Complete", ended.log
    golden = containers.GOLDEN / "int8_per_channel/model.safetensors"
    assert (folders / "output/made/model.safetensors").read_bytes() == golden.read_bytes()
