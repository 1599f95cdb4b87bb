"""The Jobs that were published for this image, as their authors wrote them; only placeholders are replaced."""

import json
from dataclasses import dataclass

import containers

ENTRIES = json.loads((containers.ROOT / "tests/golden/entrypoint/manifests.json").read_text(encoding="utf-8"))["manifests"]
FUSE = "csi gcsfuse"
SECRETS = {"two literals": "kro-secret", "YOUR_LDAP": "student-kaggle-secret"}  # where the mount's note is not its name
# Published, and known without their whole text: what they change of one that is there.
GEMMA, LARGE = "aiongke-gemma-v0.2.2", "aiongke-llama31-405b-int8"
VARIANTS = {
    "gke-documentation": (GEMMA, {"image": "us-docker.pkg.dev/cloud-tpu-images/inference/inference-checkpoint:v0.2.4",
                                  "args": ["-b= BUCKET_NAME", "-m=google/gemma/maxtext/7b-it/2"]}),
    "pathways-405b-int8": (LARGE, {"node_selector": {"cloud.google.com/gke-nodepool": "cpu-pathways-np"}}),
    "wg-serving-llama31-8b": (LARGE, {
        "image": "us-docker.pkg.dev/cloud-tpu-images/inference/inference-checkpoint:v0.2.5",
        "args": ["--bucket_name=BUCKET_NAME", "--model_path=Llama3.1-8B-Instruct", "--model_name=llama-3", "--meta_url=META_URL",
                 "--output_directory=gs://BUCKET_NAME/maxtext/llama3-8b/"],
        "node_selector": {}, "image_pull_policy": None,
        "expect": {"server": "jetstream-maxtext", "source": {"kind": "meta"}, "family": "llama", "model": "llama3-8b", "quantize": None,
                   "outputs": {"scanned": "gs://demo-bucket/maxtext/llama3-8b/bf16/scanned/0/items",
                               "unscanned": "gs://demo-bucket/maxtext/llama3-8b/bf16/unscanned/checkpoints/0/items"},
                   "wait_for": ["Completed unscanning checkpoint to "
                                "gs://demo-bucket/maxtext/llama3-8b/bf16/unscanned/checkpoints/0/items"]}}),
}


@dataclass(frozen=True)
class Published:
    """A published Job, and the bucket that takes its placeholder's place."""

    id: str
    entry: dict
    bucket: str

    @property
    def expect(self) -> dict:
        """What it must mean and leave, with its bucket."""
        given = self.entry["substitute"].get("${bucket.metadata.name}", "demo-bucket")
        return json.loads(json.dumps(self.entry["expect"]).replace(given, self.bucket))

    @property
    def is_mounting(self) -> bool:
        """Whether it mounts the bucket as a folder, by a driver of Google's."""
        return any(what.startswith(FUSE) for what in self.entry["mounts"].values())

    def secret(self, what: str) -> str:
        """The name of the secret that a mount is of."""
        return next((name for mark, name in SECRETS.items() if mark in what), what.removeprefix("secret "))

    def args(self, link: str) -> list[str]:
        """Its arguments; `link` is Meta's."""
        replaced = {name: link if name == "META_URL" else self.bucket for name in self.entry["substitute"]}
        args = []
        for arg in self.entry["args"]:
            for name, value in replaced.items():
                arg = arg.replace(name, value)
            args.append(arg)
        return args

    def text(self, link: str, mounted: str | None = None) -> str:
        """The manifest; `mounted` is a folder of the node in the place of the driver's volume: without it, there is none."""
        entry = self.entry
        mounts, volumes = [], []
        for number, (path, what) in enumerate(entry["mounts"].items()):
            if what.startswith(FUSE) and mounted is None:
                continue
            shown = f'"{path}"' if path.endswith("/") else path
            mounts += [f"        - mountPath: {shown}", f"          name: volume-{number}", "          readOnly: true"]
            volumes += [f"      - name: volume-{number}"]
            volumes += ([f"        hostPath: {{path: {mounted}, type: Directory}}"] if what.startswith(FUSE) else
                        ["        secret:", "          defaultMode: 0400", f"          secretName: {self.secret(what)}"])
        tpu = entry["resources"].get("google.com/tpu")
        shown = f'"{tpu}"' if isinstance(tpu, str) else tpu
        lines = ["apiVersion: batch/v1", "kind: Job", "metadata:", "  name: checkpoint-converter", "spec:"]
        if entry["ttl_seconds_after_finished"]:
            lines += [f"  ttlSecondsAfterFinished: {entry['ttl_seconds_after_finished']}"]
        lines += ["  template:"]
        if self.is_mounting:
            lines += ["    metadata:", "      annotations:", '          gke-gcsfuse/volumes: "true"']
        lines += ["    spec:", f"      restartPolicy: {entry['restart_policy']}"]
        lines += [f"      serviceAccountName: {entry['service_account']}"] if "service_account" in entry else []
        lines += ["      containers:", "      - name: inference-checkpoint", f"        image: {entry['image']}"]
        if entry.get("image_pull_policy"):
            lines += [f"        imagePullPolicy: {entry['image_pull_policy']}"]
        lines += ["        args:", *(f"        - {arg}" for arg in self.args(link))]
        if "# replace" in entry.get("notes", ""):
            lines[-len(entry["args"])] += " # replace"
        lines += ["        volumeMounts:", *mounts] if mounts else []
        if tpu:
            lines += ["        resources:", "          requests:", f"            google.com/tpu: {shown}", "          limits:",
                      f"            google.com/tpu: {shown}"]
        if entry["node_selector"]:
            lines += ["      nodeSelector:", *(f"        {name}: {value}" for name, value in entry["node_selector"].items())]
        lines += ["      volumes:", *volumes] if volumes else []
        return "\n".join(lines) + "\n"


def bucket_of(number: int, entry: dict) -> str:
    """The bucket of a Job: its own word where it has no placeholder, as one was published."""
    return f"bucket-{number}" if entry["substitute"] else "slabe-jetstream"


def published() -> list[Published]:
    """All of them."""
    entries = [entry for entry in ENTRIES if entry["form"] != "made"]
    by_id = {entry["id"]: entry for entry in entries}
    entries += [by_id[base] | change | {"id": name} for name, (base, change) in VARIANTS.items()]
    return [Published(entry["id"], entry, bucket_of(number, entry)) for number, entry in enumerate(entries)]
