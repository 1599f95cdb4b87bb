"""docs/kubernetes.md shows what really happens: its Job is applied, its commands are typed, its outputs are compared.

Numbers, times and pods' names differ from run to run and are not compared. CKPT_WRITE_TRANSCRIPTS=1 writes the outputs
of this run into the page, with times and names replaced. Whatever was seen is in build/cluster/kubernetes.md.
"""

import os
import re
import shutil

import containers

PAGE = containers.ROOT / "docs/kubernetes.md"
SESSION = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WAITS_S = 120


def settled(text):
    """A transcript with times, pods' names and progress as they stand in the page."""
    text = re.sub(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d", r"2026-01-02\g<1>03:04:05", text)
    text = re.sub(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
                  "Fri, 02 Jan 2026 03:04:05 +0000", text)
    text = re.sub(r"\b(convert-llama-3|wrong-flags)-[a-z0-9]{5}\b", r"\1-x7k2q", text)
    text = re.sub(r"(^.*: Converting: .*\n)+", r"\1", text, flags=re.MULTILINE)  # progress: the last line of it
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def comparable(text):
    """A transcript without what changes from run to run: numbers, and the blanks that numbers push about."""
    text = re.sub(r"\b(KiB|MiB|GiB|[kMG]B|ms|s)(/s)?\b", "UNIT", re.sub(r"\d+(\.\d+)?", "0", settled(text)))
    return [re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines()]


def typed(node, folder, session):
    """The commands of a session of the page, with what they print now."""
    said = []
    for command in re.findall(r"^\$ (.*)$", session, re.MULTILINE):
        done = containers.call("bash", "-c", f"cd '{folder}' && {command}", env=node.environment, timeout=WAITS_S)
        said.append(f"$ {command}\n{done.stdout}{done.stderr}")
    assert said, "a session without a command"
    return settled("".join(said))


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
    seen = [typed(node, folder, session) for session in sessions]
    new = page
    for session, now in zip(sessions, seen, strict=True):
        new = new.replace(session, now)
    (node.folder / "kubernetes.md").write_text(new, encoding="utf-8")
    if os.environ.get("CKPT_WRITE_TRANSCRIPTS"):
        PAGE.write_text(new, encoding="utf-8")
        sessions = SESSION.findall(new)
    for session, now in zip(sessions, seen, strict=True):
        assert comparable(now) == comparable(session), "the page is stale: CKPT_WRITE_TRANSCRIPTS=1 ./dev test cluster"
    golden = containers.GOLDEN / "bf16/model.safetensors"
    assert (folder / "checkpoints/llama-3/model.safetensors").read_bytes() == golden.read_bytes()
