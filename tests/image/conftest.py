"""The image under test: built once for all tests, from this working tree."""

import json
import shutil

import pytest

import containers


@pytest.fixture(scope="session", name="built")
def _built():
    """The image's settings, as podman tells them."""
    containers.build()
    (settings,) = json.loads(containers.image("inspect", containers.TAG).stdout)
    return settings


@pytest.fixture(scope="session", name="files")
def _files(built):
    """A folder with all files of the image."""
    with containers.scratch("files") as folder:
        containers.image("extract", containers.TAG, folder / "root")
        yield folder / "root"


@pytest.fixture(scope="session", autouse=True)
def _clean_scratch():
    """A run that was killed may have left files."""
    containers.lock()
    shutil.rmtree(containers.SCRATCH, ignore_errors=True)
