"""The ready Jobs of deploy/ are what this Kubernetes takes, and one runs; so does what `ckpt manifest` prints."""

import re
import shutil

import pytest
import yaml

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


def test_an_indexed_job_says_its_number_three_times_and_hopes_as_the_others(node):
    """Its tries are counted for each index; what another try cannot mend ends the whole Job; a lost Spot node costs none."""
    for folder in ("maxtext/llama-405b/int8-indexed", "gcp/maxtext/llama-405b/int8-indexed"):
        spec = yaml.safe_load(node.kubectl("kustomize", DEPLOY / folder).stdout)["spec"]
        (container,) = spec["template"]["spec"]["containers"]
        assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 8, 8)
        assert "--shards=8" in container["args"] and "--threads=8" in container["args"]
        assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (6, 1) and "backoffLimit" not in spec
        fails, ignored = spec["podFailurePolicy"]["rules"]
        assert (fails["action"], fails["onExitCodes"]["values"]) == ("FailJob", nodes.HOPELESS)
        assert (ignored["action"], ignored["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
        assert spec["template"]["spec"]["terminationGracePeriodSeconds"] == 30
        hosts = [volume for volume in spec["template"]["spec"]["volumes"] if "hostPath" in volume]
        assert not hosts, "a node's folder is another one for each pod"
        is_spot = "cloud.google.com/gke-spot" in spec["template"]["spec"].get("nodeSelector", {})
        assert is_spot == bool(spec["template"]["spec"].get("tolerations")) == folder.startswith("gcp/")


def test_any_ready_job_becomes_an_indexed_one(node, folder):
    """By the overlay that deploy/README.md shows."""
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    (shown,) = [text for text in re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL) if "components/indexed" in text]
    shutil.copytree(DEPLOY, folder / "deploy")
    (folder / "deploy/mine").mkdir()
    (folder / "deploy/mine/kustomization.yaml").write_text(shown, encoding="utf-8")
    node.kubectl("apply", "--dry-run=server", "-k", folder / "deploy/mine")
    spec = yaml.safe_load(node.kubectl("kustomize", folder / "deploy/mine").stdout)["spec"]
    assert spec["completions"] == 4 and spec["completionMode"] == "Indexed"
    assert "--shards=4" in spec["template"]["spec"]["containers"][0]["args"]


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
