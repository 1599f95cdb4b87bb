"""Fixtures of the judge and crash tests; their conftest.py files take them from here."""

import os
import shutil

import pytest

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy's first import; why: forward.py

import support  # noqa: E402
from smollm2 import gguf_of_wheel  # noqa: E402


def pytest_configure():
    """Also the process that starts workers (pytest -n), which runs no fixture, holds the test data."""
    support.lock_test_data()


@pytest.fixture(scope="session", autouse=True)
def program():
    """The program under test must exist: a suite that ran nothing would pass."""
    assert support.PROGRAM.exists(), f"{support.PROGRAM} is not there: run ./dev build, or set CKPT"
    return support.PROGRAM


@pytest.fixture
def disk(request):
    """An empty folder on the build folder's disk (not /tmp, which may be memory), removed afterwards."""
    name = f"run-{request.module.__name__}-{request.node.name}"
    folder = support.DATA / "".join(c if c.isalnum() else "-" for c in name)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def bench_model():
    """The benchmark's model: 983.6 MB of random bf16 in two shards."""
    return support.preset("bench")


@pytest.fixture(scope="session")
def sparse_8gb():
    """8.03 GB, sparse, with planted blocks."""
    return support.preset("8gb", sparse=True)


@pytest.fixture(scope="session")
def smollm2():
    """SmolLM2-135M-Instruct as Q4_1 GGUF, a real model."""
    with support.shared_folder("smollm2") as folder:
        return gguf_of_wheel(folder)
