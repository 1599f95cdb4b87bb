"""The ready Jobs, and printed ones, with claims and without root meet the strictest of Kubernetes' Pod Security Standards."""

import json

import kubernetes_validate
import pytest
import yaml

import containers

DEPLOY = containers.ROOT / "deploy"
FOLDERS = sorted(str(path.parent.relative_to(DEPLOY)) for server in ("maxtext", "pytorch", "gcp/maxtext", "gcp/pytorch")
                 for path in (DEPLOY / server).rglob("kustomization.yaml"))
SCHEMAS = "1.35"
OVERLAY = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- ../deploy/{base}
components:
- ../deploy/components/claim
- ../deploy/components/hardened
"""


@pytest.fixture(scope="module", name="restricted")
def _restricted(node):
    """A namespace that takes no other pod."""
    name = "restricted"
    node.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {
        "name": name, "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}})
    return name


def pod_of(job, namespace):
    """The pod that the Job's controller would make: security is enforced on pods, not on Jobs."""
    template = job["spec"]["template"]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {**template["metadata"], "name": "one", "namespace": namespace},
            "spec": template["spec"]}


def would_take(node, pod):
    """What the server answers to a pod that it does not keep."""
    return node.kubectl("apply", "--dry-run=server", "-f", "-", input=json.dumps(pod), expect=None)


@pytest.mark.parametrize("base", FOLDERS)
def test_ready_job_is_valid_and_small(node, base):
    job = yaml.safe_load(node.kubectl("kustomize", DEPLOY / base).stdout)
    kubernetes_validate.validate(job, SCHEMAS, strict=True)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert set(container["resources"]["requests"]) == {"cpu", "memory", "ephemeral-storage"}, "no accelerator"
    assert container["resources"]["requests"]["ephemeral-storage"] == "1Gi"


@pytest.mark.parametrize("base", ["maxtext/llama-8b/int8", "maxtext/gemma-7b/bf16", "pytorch/folder"])
def test_ready_job_with_claims_and_without_root_is_restricted(node, restricted, folder, base):
    (folder / "overlay").mkdir()
    (folder / "deploy").symlink_to(DEPLOY)
    (folder / "overlay/kustomization.yaml").write_text(OVERLAY.format(base=base), encoding="utf-8")
    job = yaml.safe_load(node.kubectl("kustomize", folder / "overlay").stdout)
    kubernetes_validate.validate(job, SCHEMAS, strict=True)
    taken = would_take(node, pod_of(job, restricted))
    assert taken.returncode == 0, taken.stderr
    refused = would_take(node, pod_of(yaml.safe_load(node.kubectl("kustomize", DEPLOY / base).stdout), restricted))
    assert "violates PodSecurity" in refused.stderr, "the namespace would take anything"


@pytest.mark.parametrize("base", ["gcp/maxtext/llama-405b/int8", "gcp/maxtext/gemma-7b/bf16", "gcp/pytorch/folder"])
def test_job_for_a_bucket_without_root_is_restricted(node, restricted, folder, base):
    """It has no folder of the node, so that no claim is needed. The namespace's service account is the one it names."""
    (folder / "overlay").mkdir()
    (folder / "deploy").symlink_to(DEPLOY)
    text = OVERLAY.format(base=base).replace("- ../deploy/components/claim\n", "")
    (folder / "overlay/kustomization.yaml").write_text(text, encoding="utf-8")
    node.kubectl("apply", "--namespace", restricted, "-k", DEPLOY / "gcp/service-account")
    job = yaml.safe_load(node.kubectl("kustomize", folder / "overlay").stdout)
    kubernetes_validate.validate(job, SCHEMAS, strict=True)
    taken = would_take(node, pod_of(job, restricted))
    assert taken.returncode == 0, taken.stderr


def test_printed_job_with_a_claim_and_a_user_is_restricted(node, restricted):
    model = containers.GOLDEN / "input"
    printed = containers.run("manifest", model, "/models/out", "--to", "jetstream-pytorch", "--claim", "models:/", "--user", "1000",
                             options=["--volume", f"{model}:{model}:ro"])
    taken = would_take(node, pod_of(yaml.safe_load(printed.stdout), restricted))
    assert taken.returncode == 0, taken.stderr


@pytest.mark.parametrize("base, words", [("pytorch/folder", []), ("maxtext/llama-405b/int8-indexed", ["--shards", "8"])],
                         ids=["one-pod", "indexed"])
def test_ready_and_printed_jobs_fail_and_run_alike(node, base, words):
    """What deploy/base and deploy/components say by hand is what `ckpt manifest` says."""
    model = containers.GOLDEN / "input"
    printed = yaml.safe_load(containers.run("manifest", model, "/out", "--to", "jetstream-pytorch", *words,
                                            options=["--volume", f"{model}:{model}:ro"]).stdout)["spec"]
    ready = yaml.safe_load(node.kubectl("kustomize", DEPLOY / base).stdout)["spec"]
    for spec in (printed, ready):
        (container,) = spec["template"]["spec"]["containers"]
        for name in ("name", "image", "args", "resources", "volumeMounts"):
            container.pop(name)
        del spec["template"]["metadata"], spec["template"]["spec"]["volumes"]
        del spec["podFailurePolicy"]["rules"][0]["onExitCodes"]["containerName"]
    assert printed == ready
