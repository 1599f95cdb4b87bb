"""Makes the judge's fixtures and modules, and the stubs of services, known to the crash tests."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "judge"), str(TESTS / "stubs")]

from fixtures import bench_model, disk, program, pytest_configure, smollm2, sparse_8gb  # noqa: E402, F401


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch):
    """The stub of the bucket takes none."""
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "CLOUDSDK")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
