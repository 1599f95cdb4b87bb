"""Makes the judge's fixtures and modules, and the stubs of services, known to the crash tests."""

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "judge"), str(TESTS / "stubs")]

from fixtures import bench_model, disk, program, pytest_configure, smollm2, sparse_8gb  # noqa: E402, F401


WAITING = ("test_late_requests.py", "test_stop.py", "test_work_lost.py")  # more than they compute


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that wait run among the others, not side by side at the end, where nobody would compute."""
    waiting = [item for item in items if item.path.name in WAITING]
    others = [item for item in items if item.path.name not in WAITING]
    places = {id(item): (number + 0.5) / len(group) for group in (waiting, others) for number, item in enumerate(group)}
    items.sort(key=lambda item: places[id(item)])


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch):
    """The stub of the bucket takes none."""
    for name in list(os.environ):
        if name.startswith(("GOOGLE_", "CLOUDSDK")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", "/nonexistent")
