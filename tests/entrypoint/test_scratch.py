"""The container with a Kaggle model that comes as one archive only."""

from pathlib import Path

import door
import support
from services import HANDLE, KAGGLE_KEY, KAGGLE_USER
from started import started

WORDS = ["-b=bkt", f"-m={HANDLE}"]


def test_an_archive_is_unpacked_to_the_scratch_volume(root: Path, tmp_path: Path):
    scratch = tmp_path / "scratch"
    credential = {"KAGGLE_USERNAME": KAGGLE_USER, "KAGGLE_KEY": KAGGLE_KEY}
    door.run(*WORDS, root=root, env=credential, expect=0)
    by_files = support.contents(root / "bkt/final")
    with started("kaggle", "--model", f"{HANDLE}={door.GOLDEN / 'maxtext/gemma-7b/kaggle'}", "--archive-only",
                 "--user", f"{KAGGLE_USER}:{KAGGLE_KEY}") as kaggle:
        env = {**credential, "KAGGLE_API_ENDPOINT": kaggle.url}
        other = tmp_path / "other"
        (other / "bkt").mkdir(parents=True)
        said = door.run(*WORDS, root=other, env=env)
        door.assert_refused(said, 73, "--scratch", "mountPath: /scratch")
        said = door.run(*WORDS, f"--scratch={scratch}", "--max-archive-bytes=1GiB", root=other, env=env, expect=0)
    assert any("comes as one archive" in line for line in said.lines())
    assert any(line.endswith(f"scratch disk {scratch}") for line in said.lines())
    written = support.contents(other / "bkt/final")
    assert {name: digest for name, digest in written.items() if ".ckpt-state" not in name} == \
        {name: digest for name, digest in by_files.items() if ".ckpt-state" not in name}
    assert list(scratch.iterdir()) == []
