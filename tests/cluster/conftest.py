"""One node for all tests of Jobs, and what the image's tests share."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "image"))

import node as nodes  # noqa: E402
import world as worlds  # noqa: E402  (it makes the stubs known, too)
import soak  # noqa: E402
from published import published  # noqa: E402


@pytest.fixture(scope="session", name="node")
def _node():
    """A running node that pulls our image under its public name."""
    with nodes.running() as node:
        yield node


@pytest.fixture(name="folder")
def _folder(node, request):
    """A folder of this test, which any user may write; the pods see it under the same path."""
    folder = node.folder / "work" / request.node.name.translate(str.maketrans("[]/ ", "----"))
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    return folder


@pytest.fixture(scope="session", name="world")
def _world(node):
    """The services under their public names, around the node; a bucket for each published Job, and one for the soak."""
    with worlds.running(node, [*(job.bucket for job in published()), soak.BUCKET]) as world:
        yield world
