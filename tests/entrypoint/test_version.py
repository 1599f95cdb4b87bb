"""--version takes every published tag, main, any word and none: it is told in the log, and no byte depends on it."""

import pytest

import door
import support

# The tag as users gave it, and what it did at d645ad54 for MaxText | PyTorch; here it changes nothing, as one layout
# serves orbax-checkpoint 0.5.20 (the old tags' reader) and all later ones.
TAGS = [
    *(f"jetstream-v0.2.{number}" for number in range(6)),  # 0 to 2: installs Orbax 0.5.20 | checks the tag out
    *(f"v0.2.{number}" for number in range(6)),  # tags of the image, given by mistake: no effect | no such tag
    "main",  # the default: newest Orbax | convert_checkpoints is gone there
    None,  # as main
    "7f3e1c2", "some/branch=x",  # a commit, a branch: no effect | checks it out
]


@pytest.fixture(scope="module")
def told(sources: door.Sources, tmp_path_factory: pytest.TempPathFactory) -> dict:
    """{(server, tag): (log lines, {path: SHA-256})} of a conversion each."""
    found = {}
    for server, source in (("jetstream-maxtext", sources.llama2), ("jetstream-pytorch", sources.meta)):
        for number, tag in enumerate(TAGS):
            root = tmp_path_factory.mktemp(f"{server}-{number}")
            (root / "bkt").mkdir()
            words = [f"--version={tag}"] if tag else []
            said = door.run(f"-s={server}", "-b=bkt", "-m=Llama-2-7b", f"-i={source}", "-o=gs://bkt/o", "-n=llama-2",
                            *words,
                            root=root, expect=0)
            found[server, tag] = said.lines(), support.outputs_of(root / "bkt/o")
    return found


@pytest.mark.parametrize("server", ["jetstream-maxtext", "jetstream-pytorch"])
@pytest.mark.parametrize("tag", TAGS)
def test_a_tag_is_logged_and_changes_no_byte(server: str, tag: str | None, told: dict):
    lines, outputs = told[server, tag]
    assert lines.count(f"Version={tag or ''}") == 1
    assert outputs
    assert outputs == told[server, None][1]
