"""Makes the judge's fixtures and modules known to the entrypoint tests, and a root for buckets of their own."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "judge"), str(TESTS / "stubs")]

from fixtures import pytest_configure, smollm2  # noqa: E402, F401

import door  # noqa: E402
import support  # noqa: E402
from services import Services, run_services  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def program() -> Path:
    """The program under test must exist: a suite that ran nothing would pass."""
    assert support.PROGRAM.exists(), f"{support.PROGRAM} is not there: run ./dev build, or set CKPT"
    return support.PROGRAM


@pytest.fixture(scope="session", autouse=True)
def services(sources: door.Sources, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """Stubs of all services, which know the models that the traces name."""
    with run_services(sources, tmp_path_factory.mktemp("services")) as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that stands for all buckets, with one bucket, bkt; removed with all that it holds afterwards."""
    folder = tmp_path / "gs"
    (folder / "bkt").mkdir(parents=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> door.Sources:
    """Small stand-in models, one for each form."""
    return door.Sources(tmp_path_factory.mktemp("sources"))
