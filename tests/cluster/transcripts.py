"""Pages that show what really happens: their commands are typed, and what they print is compared.

Numbers, times and pods' names differ from run to run and are not compared. CKPT_WRITE_TRANSCRIPTS=1 writes the outputs of this run
into the page, with times and names replaced. Whatever was seen is in build/cluster/PAGE.
"""

import os
import re
from pathlib import Path

import containers

SESSION = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WAITS_S = 120


def settled(text):
    """A transcript with times, pods' names and progress as they stand in a page."""
    text = re.sub(r"\d{4}-\d\d-\d\d([ T])\d\d:\d\d:\d\d", r"2026-01-02\g<1>03:04:05", text)
    text = re.sub(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
                  "Fri, 02 Jan 2026 03:04:05 +0000", text)
    text = re.sub(r"\b(convert-llama-3|wrong-flags|checkpoint-converter)-[a-z0-9]{5}\b", r"\1-x7k2q", text)
    text = re.sub(r"@[0-9a-f]{40}\b", "@e4003cc1a817596077c2fb4b64ef9d6c86465ff0", text)  # a commit of the stand-in's hub
    text = re.sub(r"(^.*: Converting: .*\n)+", r"\1", text, flags=re.MULTILINE)  # progress: the last line of it
    return re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE)


def comparable(text):
    """A transcript without what changes from run to run: numbers, and the blanks that numbers push about."""
    text = re.sub(r"\b(KiB|MiB|GiB|[kMG]B|ms|s)(/s)?\b", "UNIT", re.sub(r"\d+(\.\d+)?", "0", settled(text)))
    return [re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines()]


def typed(node, folder, session, replaced=()):
    """The commands of a session of a page, with what they print now; pairs of `replaced` (here, in the page) are exchanged."""
    said = []
    for command in re.findall(r"^\$ (.*)$", session, re.MULTILINE):
        done = containers.call("bash", "-c", f"cd '{folder}' && {command}", env=node.environment, timeout=WAITS_S)
        text = done.stdout + done.stderr
        for here, there in replaced:
            text = text.replace(here, there)
        said.append(f"$ {command}\n{text}")
    assert said, "a session without a command"
    return settled("".join(said))


def hold(node, page: Path, seen: list[str]):
    """Holds the sessions of a page, in its order, to what was seen: what their commands printed now."""
    text = page.read_text(encoding="utf-8")
    sessions = SESSION.findall(text)
    assert len(sessions) == len(seen), "a session of the page was not typed"
    new = iter(seen)
    shown = SESSION.sub(lambda _: f"```console\n{next(new)}```", text)
    (node.folder / page.name).write_text(shown, encoding="utf-8")
    if os.environ.get("CKPT_WRITE_TRANSCRIPTS"):
        page.write_text(shown, encoding="utf-8")
        return
    for session, now in zip(sessions, seen, strict=True):
        assert comparable(now) == comparable(session), f"{page.name} is stale: CKPT_WRITE_TRANSCRIPTS=1 ./dev test cluster"
