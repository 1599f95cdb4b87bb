"""Stubs of the services that the contract reads and writes: hub, Kaggle, Meta's links, Cloud Storage.

They know the models that the traces name, each as a small stand-in of its family, and the credentials that tests plant.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import door
from started import Stub, started

GOLDEN = door.GOLDEN
KAGGLE_USER, KAGGLE_KEY = "somebody", "0123456789abcdef"
HUB_TOKEN = "hf_abcdefghijklmnopqrstuvwxyz"
HANDLE = "google/gemma/maxText/7b-it/2"
META_FOLDERS = ("Llama-2-7b", "llama-2-7b", "llama-2-13b-chat", "Meta-Llama-3-8B", "Meta-Llama-3.1-8B",
                "Meta-Llama-3.1-8B-Instruct", "Meta-Llama-3.1-70B-Instruct", "Llama-3.3-70B-Instruct",
                "Meta-Llama-3.1-405B-Instruct-MP16")


@dataclass
class Services:
    """The running stubs."""

    hub: Stub
    kaggle: Stub
    meta: Stub
    buckets: Stub

    @property
    def meta_link(self) -> str:
        """A link as Meta would send it."""
        return self.meta.said["link"]


def repositories(sources: door.Sources) -> dict[str, Path]:
    """Repositories that the traces name, and what lies there."""
    pytorch = GOLDEN / "jetstream-pytorch"
    return {"google/gemma-2b-it-pytorch": pytorch / "gemma/input", "google/gemma-7b-it-pytorch": pytorch / "gemma/input",
            "meta-llama/Llama-2-7b": sources.meta, "meta-llama/Llama-2-7b-hf": sources.hugging_face,
            "meta-llama/Llama-3.1-8B": sources.llama31, "meta-llama/Meta-Llama-3-8B": sources.hugging_face,
            "mistralai/Mixtral-8x7B-v0.1": pytorch / "mixtral/input"}


def lay_out_meta(folder: Path) -> Path:
    """The golden of two ranks under each folder that a model id may mean; Llama 2's tokenizer beside them."""
    source = GOLDEN / "jetstream-pytorch/llama-2-meta/input"
    for name in META_FOLDERS:
        (folder / name).mkdir(parents=True)
        for path in source.iterdir():
            shutil.copy(path, folder / name)
        (folder / name / "tokenizer.model").write_bytes(b"a tokenizer\n")
        files = sorted(path for path in (folder / name).iterdir() if path.is_file())
        (folder / name / "checklist.chk").write_text("".join(f"{door.md5(path)}  {path.name}\n" for path in files))
    (folder / "tokenizer.model").write_bytes(b"a tokenizer\n")
    return folder


@contextmanager
def run_services(sources: door.Sources, folder: Path) -> Iterator[Services]:
    """All four, named by door.ENDPOINTS while the block runs."""
    words = [word for name, place in repositories(sources).items() for word in ("--repo", f"{name}={place}")]
    with ExitStack() as stack:
        gated = [word for name in repositories(sources) for word in ("--gated", name)]
        hub = stack.enter_context(started("hf", *words, *gated, "--tokens", HUB_TOKEN, "--accepted", HUB_TOKEN))
        kaggle = stack.enter_context(started("kaggle", "--model", f"{HANDLE}={GOLDEN / 'maxtext/gemma-7b/kaggle'}",
                                             "--user", f"{KAGGLE_USER}:{KAGGLE_KEY}"))
        meta = stack.enter_context(started("meta", "--folder", str(lay_out_meta(folder / "meta")), "--downloads", "1000"))
        buckets = stack.enter_context(started("gcs", "--bucket", "bkt"))
        door.ENDPOINTS.update(HF_ENDPOINT=hub.url, KAGGLE_API_ENDPOINT=kaggle.url, CKPT_META_ENDPOINT=meta.url,
                              STORAGE_EMULATOR_HOST=buckets.url)
        yield Services(hub, kaggle, meta, buckets)
        door.ENDPOINTS.clear()
