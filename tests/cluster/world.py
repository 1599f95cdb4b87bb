"""The services that published Jobs talk to, as stand-ins on this machine under their public names (tools/world.sh)."""

import contextlib
import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import containers
import node as nodes

sys.path[:0] = [str(containers.ROOT / name) for name in ("tests/stubs", "tests/judge", "tests/entrypoint", "tools")]

import door  # noqa: E402
import make_model  # noqa: E402
import services  # noqa: E402
import soak  # noqa: E402
from started import Stub, started  # noqa: E402

SCRIPT = containers.ROOT / "tools/world.sh"
TAG = "localhost/inference-checkpoint:world"  # our image, and the test CA
CDN, KAGGLE_STORAGE = "cdn-lfs.huggingface.co", "www.kaggleusercontent.com"
META = "llama3-1.llamameta.net"
EMAIL = "converter@my-project.iam.gserviceaccount.com"  # of the pods, as the metadata server says
STRANGER = "hf_ofSomebodyElse00000000"  # a token of an account that has accepted no licence
HOSTS = ("storage.googleapis.com", "huggingface.co", CDN, "api.kaggle.com", "www.kaggle.com", KAGGLE_STORAGE, META)


@dataclass
class World:
    """The running stand-ins, and what Jobs have left in their buckets."""

    node: nodes.Node
    folder: Path
    registry: str
    buckets: Stub
    hub: Stub
    kaggle: Stub
    meta: Stub
    metadata: Stub
    repositories: dict[str, Path]  # what the hub has, and where it lies
    offered: set[str] = field(default_factory=set)
    left: list[dict] = field(default_factory=list)  # for the judge: one entry for each Job that completed

    def link(self, life_s: float = 86400) -> str:
        """Meta's link, as it comes by e-mail."""
        return self.meta.control("GET", f"link?base=https://{META}&expires={life_s}").decode()

    def bucket_folder(self, bucket: str) -> Path:
        """Where the objects of a bucket lie."""
        return self.folder / "gs" / bucket

    def seed(self, bucket: str, below: str, source: Path) -> set[str]:
        """Puts a folder's files into a bucket, as a user did before; returns their names."""
        for path in source.iterdir():
            if path.is_file():
                self.buckets.put(f"{bucket}/{below}/{path.name}", path.read_bytes())
        return {f"{bucket}/{below}/{path.name}" for path in source.iterdir() if path.is_file()}

    def offer(self, image: str) -> None:
        """Makes the registry hold our image under a published name."""
        if image not in self.offered:
            containers.image("push", TAG, f"{self.registry}/{image.split('/', 1)[1]}")
            self.offered.add(image)

    def label(self, selector: dict) -> None:
        """Makes the node one that a Job asks for."""
        if selector:
            self.node.kubectl("label", "node", "localhost", "--overwrite", *(f"{name}={value}" for name, value in selector.items()))

    def status(self) -> str:
        """Names that pods asked for beside those of the world, and how many packets were refused."""
        return containers.call(SCRIPT, "status", self.node.folder / "node").stdout


def stand_ins(folder: Path) -> tuple[dict[str, Path], Path]:
    """{repository of the hub: folder}, and the folder that Meta's link stands for."""
    sources = door.Sources(folder)
    repositories = services.repositories(sources)
    repositories[soak.MEDIUM] = folder / "medium"
    make_model.make(repositories[soak.MEDIUM], make_model.Shape(4, 512, 8, 2, 1024, 4096, 64), 2)  # 26 MB
    repositories["google/gemma-2b-pytorch"] = repositories["google/gemma-2b-it-pytorch"]
    return repositories, services.lay_out_meta(folder / "meta-link")


def make_secrets(node: nodes.Node, folder: Path) -> None:
    """The secrets that published pages say to make, and the service account that one of them names."""
    folder.mkdir()
    (folder / "kaggle.json").write_text(json.dumps({"username": services.KAGGLE_USER, "key": services.KAGGLE_KEY}), encoding="utf-8")
    for name in ("kaggle-secret", "student-kaggle-secret"):
        node.kubectl("create", "secret", "generic", name, f"--from-file={folder / 'kaggle.json'}")
    node.kubectl("create", "secret", "generic", "kro-secret", f"--from-literal=username={services.KAGGLE_USER}",
                 f"--from-literal=key={services.KAGGLE_KEY}")
    node.kubectl("create", "secret", "generic", "huggingface-secret", f"--from-literal=HUGGINGFACE_TOKEN={services.HUB_TOKEN}")
    node.kubectl("create", "serviceaccount", "benchmark-sa")


@contextlib.contextmanager
def running(node: nodes.Node, bucket_names: list[str]) -> Iterator[World]:
    """The world around a node while the block runs, with these buckets, empty."""
    home, folder = node.folder / "node", node.folder / "world"
    folder.mkdir()
    containers.call(SCRIPT, "ca", home, *HOSTS)
    containers.build(home / "world/image", "--build-arg", f"BASE={containers.TAG}", tag=TAG)
    repositories, meta_folder = stand_ins(folder / "sources")
    make_secrets(node, folder / "secrets")
    tls = ("--tls", *(str(home / "world" / f"{name}.{kind}") for name in ("server", "other") for kind in ("pem", "key")))
    tokens = str(folder / "tokens")
    for name in bucket_names:  # also an empty bucket can be mounted
        (folder / "gs" / name).mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        metadata = stack.enter_context(started("oauth", "--tokens-file", tokens, "--email", EMAIL))
        buckets = stack.enter_context(started("gcs", *tls, "--folder", folder / "gs", "--tokens", tokens))
        words = [word for name, place in repositories.items() for word in ("--repo", f"{name}={place}", "--gated", name)]
        hub = stack.enter_context(started("hf", *tls, *words, "--tokens", f"{services.HUB_TOKEN},{STRANGER}", "--accepted", services.HUB_TOKEN,
                                          "--cdn-url", f"https://{CDN}", "--lfs-over", 64 << 10))
        kaggle = stack.enter_context(started(
            "kaggle", *tls, "--model", f"{services.HANDLE}={services.GOLDEN / 'maxtext/gemma-7b/kaggle'}", "--user",
            f"{services.KAGGLE_USER}:{services.KAGGLE_KEY}", "--storage-url", f"https://{KAGGLE_STORAGE}"))
        meta = stack.enter_context(started("meta", *tls, "--folder", meta_folder, "--downloads", 1000))
        ports = {"storage.googleapis.com": buckets.said["tls"], "huggingface.co": hub.said["tls"], CDN: hub.said["cdn-tls"],
                 "api.kaggle.com": kaggle.said["tls"], "www.kaggle.com": kaggle.said["tls"],
                 KAGGLE_STORAGE: kaggle.said["storage-tls"], META: meta.said["tls"]}
        try:
            containers.call(SCRIPT, "start", home, metadata.port, *(f"{host}={port}" for host, port in ports.items()))
            yield World(node, folder, node.environment["K8S_MIRROR"], buckets, hub, kaggle, meta, metadata,
                        repositories)
        finally:
            node.kubectl("delete", "job", "checkpoint-converter", "--ignore-not-found", "--wait=true", expect=None)
            for ours in ("batch.kubernetes.io/job-name=checkpoint-converter", "soak"):
                node.kubectl("delete", "jobs,pods", "-l", ours, "--wait=true", expect=None)
            containers.call(SCRIPT, "stop", home)
            shutil.rmtree(folder)
