"""What real readers say of a destination in which a run was killed: they must refuse each output, or find it whole.

A reader's answer depends on the bytes and names alone, so each state of an output is shown to it once.
"""

import hashlib
import itertools
import os
from pathlib import Path

import cases
import places
import real_orbax
import support

STEP_ROOTS = {"scanned": "bf16/scanned", "unscanned": "bf16/unscanned/checkpoints"}
MADE_BY_ORBAX = {"_METADATA", "manifest.ocdbt", "_CHECKPOINT_METADATA", "checkpoint", ".zarray", "zarr.json"}


class Readers:
    """The readers of one case's target; `check` counts what they said."""

    def __init__(self, case: cases.Case):
        self.case = case
        self.counts = {"absent": 0, "refused": 0, "whole": 0}

    def check(self, name: str, history: str) -> None:
        """Fails where a reader takes something of destination `name` that is not whole."""
        raise NotImplementedError

    def stop(self) -> None:
        """Ends what was started."""

    def told(self) -> str:
        return ", ".join(f"{count} {word}" for word, count in self.counts.items())


class JetStream(Readers):
    """A loader takes any *.safetensors, whole or not: there must be none but the undisturbed run's."""

    def check(self, name: str, history: str) -> None:
        folder = self.case.place.folder(name)
        found = support.loadable(folder)
        self.counts["whole" if found else "absent"] += 1
        for path in found:
            relative = str(path.relative_to(folder))
            assert places.digest(path) == self.case.whole.outputs.get(relative), f"{history}: a loader would take {relative}"


class HuggingFace(Readers):
    """A loader asks for config.json, then for the weights that it finds; each file that has its name is whole."""

    def check(self, name: str, history: str) -> None:
        folder = self.case.place.folder(name)
        whole = self.case.whole.outputs
        for path in support.loadable(folder):
            relative = str(path.relative_to(folder))
            assert places.digest(path) == whole.get(relative), f"{history}: {relative} is not whole"
        if not (folder / "config.json").exists():
            self.counts["absent"] += 1
            return
        self.counts["whole"] += 1
        missing = [path for path, value in whole.items() if not (folder / path).exists() or places.digest(folder / path) != value]
        assert not missing, f"{history}: a loader would begin, and not find {missing}"


class MaxText(Readers):
    """Real Orbax."""

    def __init__(self, case: cases.Case):
        super().__init__(case)
        self._views = places.working_folder("views")
        self._numbers = itertools.count(1)
        self._answers: dict[tuple, dict] = {}
        self._leaves: dict[str, dict] = {}
        for output in cases.OUTPUTS:
            told = self._ask(support.items(case.place.folder("whole"), output), "whole")
            assert "error" not in told, f"the undisturbed {output} is refused: {told}"
            self._leaves[output] = told["leaves"]
        for root in STEP_ROOTS.values():
            assert self._ask(case.place.folder("whole") / root, "steps")["steps"] == [0]

    def stop(self) -> None:
        places.shutil.rmtree(self._views, ignore_errors=True)

    def _ask(self, path: Path, way: str, output: str = "") -> dict:
        """The answer to a job. The same state of a path is asked about once; each time by a name that was never used before."""
        state = hashlib.sha256()
        for place, folders, names in os.walk(path):
            folders.sort()
            state.update(f"{os.path.relpath(place, path)}\n".encode())
            for name in sorted(names):
                state.update(f"{name} {places.digest(Path(place, name))}\n".encode())
        key = (str(path.relative_to(self.case.place.root)).partition("/")[2], way, output, path.is_dir(), state.hexdigest())
        if key not in self._answers:
            root = self.case.place.root
            view = self._views / str(next(self._numbers))
            view.symlink_to(root)
            rows = {leaf: row for leaf, row in self._leaves[output].items() if leaf != "step"} if output else None
            job = real_orbax.job(view / path.relative_to(root), way, rows, is_gcs=self.case.place.kind == "gs")
            self._answers[key], = real_orbax.restore(real_orbax.NEWEST, [job])
        return self._answers[key]

    def check(self, name: str, history: str) -> None:
        folder = self.case.place.folder(name)
        named = set()
        for output in cases.OUTPUTS:
            items = support.items(folder, output)
            named.update({items, items.parent if output in STEP_ROOTS else items})
            told = self._ask(items, "args", output)
            if "error" in told:
                self.counts["refused" if items.exists() else "absent"] += 1
            else:
                wanted = {leaf: row for leaf, row in self._leaves[output].items() if leaf != "step"}
                assert told["leaves"] == wanted, f"{history}: Orbax restored other values from {output}"
                self.counts["whole"] += 1
            if output in STEP_ROOTS and (folder / STEP_ROOTS[output]).exists():
                steps = self._ask(folder / STEP_ROOTS[output], "steps")
                assert steps.get("steps", []) in ([], [0]), f"{history}: {output} lists the steps {steps}"
                if steps.get("steps"):
                    restored = self._ask(items, "manager")
                    assert restored.get("leaves") == self._leaves[output], f"{history}: a listed step of {output}: {restored}"
        for place, _, names in os.walk(folder):  # folders that no server is told of, but a person may find
            if MADE_BY_ORBAX.intersection(names) and Path(place) not in named:
                told = self._ask(Path(place), "whole")
                assert "error" in told or told["leaves"] in self._leaves.values(), (
                    f"{history}: Orbax restored other values from {Path(place).relative_to(folder)}")


def readers_of(case: cases.Case) -> Readers:
    if case.target.is_maxtext:
        return MaxText(case)
    return HuggingFace(case) if case.target.name.startswith("hf") else JetStream(case)
