"""Makes the judge's fixtures and the stubs of services known to the tests of remote stores."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "judge"), str(TESTS / "stubs")]

from fixtures import bench_model, disk, program, pytest_configure  # noqa: E402, F401

from repositories import LLAMA3, LLAMA31, TOKEN  # noqa: E402
from started import Stub, started  # noqa: E402


@pytest.fixture(scope="session")
def hub() -> Iterator[Stub]:
    """The Hugging Face hub: small repositories, one gated, one private; files over 64 KiB come from the CDN."""
    repositories = [word for name, folder in (("org/llama3", LLAMA3), ("org/llama31", LLAMA31), ("org/gated", LLAMA3),
                                              ("org/private", LLAMA3))
                    for word in ("--repo", f"{name}={folder}")]
    with started("hf", *repositories, "--gated", "org/gated", "--private", "org/private", "--tokens", TOKEN,
                 "--accepted", TOKEN, "--lfs-over", str(64 << 10)) as stub:
        yield stub


@pytest.fixture(scope="session")
def buckets() -> Iterator[Stub]:
    """Google Cloud Storage with one bucket, bkt."""
    with started("gcs", "--bucket", "bkt") as stub:
        yield stub


@pytest.fixture(autouse=True)
def fresh(hub: Stub, buckets: Stub, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test meets services without faults, an empty request log, and no credential but those it sets."""
    for name in list(os.environ):
        if name.startswith(("HF_", "HUGGING", "GOOGLE_", "CLOUDSDK", "KAGGLE", "AWS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", buckets.url)
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HOME", "/nonexistent")
    monkeypatch.setenv("HUGGINGFACE_TOKEN_DIR", "/nonexistent")
    for stub in (hub, buckets):
        stub.clear_faults()
        stub.clear_requests()
    yield


@pytest.fixture
def below(request: pytest.FixtureRequest) -> str:
    """A folder of the bucket of this test's own."""
    return "".join(c if c.isalnum() else "-" for c in request.node.name)
