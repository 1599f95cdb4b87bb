"""One node for all tests of Jobs, and what the image's tests share.

The node is started before the tests and ended after them, by the process that hands tests to workers where there are workers. Two
groups of files may run side by side: those that change the node or the world around it, and the others.
"""

import contextlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "image"))

import node as nodes  # noqa: E402
import world as worlds  # noqa: E402  (it makes the stubs known, too)
import soak  # noqa: E402
from published import published  # noqa: E402

ALONE = ("test_indexed_job.py", "test_published.py", "test_soak.py", "test_troubleshooting.py")
RUNNING = contextlib.ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Starts the node, in one process and before the workers."""
    if not hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        RUNNING.enter_context(nodes.running())


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session):
    RUNNING.close()


def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.xdist_group("alone" if item.path.name in ALONE else "others"))


@pytest.fixture(scope="session", name="node")
def _node():
    """A running node that pulls our image under its public name."""
    return nodes.attached()


@pytest.fixture(scope="session", name="world")
def _world(node):
    """The services under their public names, around the node; a bucket for each published Job, and one for the soak."""
    with worlds.running(node, [*(job.bucket for job in published()), soak.BUCKET]) as world:
        yield world


@pytest.fixture(name="folder")
def _folder(node, request):
    """A folder of this test, which any user may write; the pods see it under the same path."""
    folder = node.folder / "work" / request.node.name.translate(str.maketrans("[]/ ", "----"))
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    return folder
