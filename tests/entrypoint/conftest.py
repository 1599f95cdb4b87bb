"""Makes the judge's fixtures and modules known to the entrypoint tests, and a root for buckets of their own."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "judge"))

from fixtures import pytest_configure, smollm2  # noqa: E402, F401

import door  # noqa: E402
import support  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def program() -> Path:
    """The program under test must exist: a suite that ran nothing would pass."""
    assert support.PROGRAM.exists(), f"{support.PROGRAM} is not there: run ./dev build, or set CKPT"
    return support.PROGRAM


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
