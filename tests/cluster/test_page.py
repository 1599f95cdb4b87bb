"""docs/kubernetes.md shows what really happens: its Job is applied, its commands are typed, its outputs are compared."""

import os
import re
import shutil

import containers
from transcripts import SESSION, hold, typed

PAGE = containers.ROOT / "docs/kubernetes.md"


def test_page_shows_what_happens(node, folder):
    page = PAGE.read_text(encoding="utf-8")
    (job,) = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (folder / "models").mkdir()
    shutil.copytree(containers.GOLDEN / "input", folder / "models/llama-3")
    (folder / "checkpoints").mkdir()
    assert "`chown 65532 /mnt/checkpoints`" in page
    os.chown(folder / "checkpoints", 65532, -1)
    for place in ("models", "checkpoints"):
        assert f"path: /mnt/{place}\n" in job
        job = job.replace(f"path: /mnt/{place}\n", f"path: {folder / place}\n")
    (folder / "job.yaml").write_text(job, encoding="utf-8")
    sessions = SESSION.findall(page)
    assert len(sessions) >= 2, "one that goes well, and one with wrong flags"
    hold(node, PAGE, [typed(node, folder, session) for session in sessions])
    golden = containers.GOLDEN / "bf16/model.safetensors"
    assert (folder / "checkpoints/llama-3/model.safetensors").read_bytes() == golden.read_bytes()
