#!/usr/bin/env python3
"""Converts the demo's real model for MaxText and proves it with the real Orbax. `./dev demo maxtext` runs it.

usage: tools/demo_maxtext.py --program build/ckpt --folder build/demo

One pass over the GGUF file makes the scanned, the unscanned and the int8 checkpoint. Orbax 0.12.8 restores all three, in an
environment of its own in the build folder (a download of some 180 MB the first time), and the forward pass of tests/judge runs on
what it restored.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import demo
import venv_tool

ROOT = demo.ROOT
ORBAX = "0.12.8"
# The largest KL divergence, over all positions, from the source's weights rounded to bf16 that counts as the same model.
KL_BOUND = {"scanned": 1e-4, "unscanned": 1e-4, "int8": 5e-2}
ITEMS = {"scanned": "bf16/scanned/0/items", "unscanned": "bf16/unscanned/checkpoints/0/items", "int8": "int8"}


def shown(path: pathlib.Path) -> str:
    """A path as a reader at the root of the repository would type it."""
    return os.path.relpath(path, ROOT)


def convert(program: pathlib.Path, model: pathlib.Path, out: pathlib.Path) -> dict:
    """Converts into `out` and returns the program's own report."""
    command = [program, "convert", model, out, "--to", "maxtext", "--outputs", ",".join(ITEMS), "--memory", demo.MEMORY,
               "--overwrite", "--quiet"]
    print("demo:", *(shown(word) if isinstance(word, pathlib.Path) else word for word in command), flush=True)
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(f"demo: the conversion ended with status {status}")
    return json.loads((out / ".ckpt-state" / "report.json").read_text())


def restore(out: pathlib.Path, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Restores every output with Orbax; the leaves of each, as a file."""
    python = venv_tool.make(f"orbax-{ORBAX}", ROOT / f"tests/judge/requirements-orbax-{ORBAX}.txt")
    saved = {name: folder / f"maxtext-{name}.npz" for name in ITEMS}
    jobs, results = folder / "restore-jobs.json", folder / "restore-results.json"
    jobs.write_text(json.dumps({"jobs": [{"path": str(out / path), "way": "whole", "save": str(saved[name])}
                                         for name, path in ITEMS.items()]}))
    print(f"demo: restoring all of it with orbax-checkpoint {ORBAX}", flush=True)
    subprocess.run([python, ROOT / "tests/judge/orbax_restore.py", jobs, results], check=True,
                   env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    for name, result in zip(ITEMS, json.loads(results.read_text())["results"], strict=True):
        if "error" in result:
            sys.exit(f"demo: Orbax does not restore {ITEMS[name]}: {result['error']}")
        print(f"demo:   {ITEMS[name]}: {len(result['leaves'])} arrays", flush=True)
    return saved


def close(report: dict, proof: dict, program: pathlib.Path, out: pathlib.Path, restore_s: float) -> None:
    """The lines to remember."""
    moved_gb = (report["bytes"]["read"] + report["bytes"]["written"]) / 1e9
    wall_s = report["timing"]["wall_s"]
    divergences = ", ".join(f"{name} {demo.figure(row['rounded']['kl_max'], '{:.1e}')}"
                            for name, row in zip(KL_BOUND, proof["outputs"], strict=True))
    written_mb = report["bytes"]["written"] / 1e6
    print(f"converted  SmolLM2-135M-Instruct to MaxText: {', '.join(ITEMS)} in one pass, {written_mb:.0f} MB")
    print(f"proof      restored by orbax-checkpoint {ORBAX} in {restore_s:.1f} s; all continue with \"{demo.ANSWER}\"; "
          f"largest KL divergence from the rounded source: {divergences}")
    print(f"speed      {wall_s:.2f} s ({moved_gb / wall_s:.2f} GB/s moved)")
    print(f"memory     budget {demo.MEMORY}; resident at most {report['memory']['peak_rss_bytes'] / 2**20:.0f} MiB")
    print(f"load with  load_parameters_path={shown(out / ITEMS['unscanned'])} scan_layers=false")
    print(f"try next   {shown(program)} inspect {shown(out / ITEMS['scanned'])}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/ckpt")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/demo")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    program, out = arguments.program.absolute(), folder / "maxtext"
    model = demo.fetch_model(folder)
    report = convert(program, model, out)
    began = time.monotonic()
    saved = restore(out, folder)
    restore_s = time.monotonic() - began
    proof = demo.prove(model, folder, list(saved.values()))
    for path in saved.values():
        path.unlink()
    demo.show(proof, list(KL_BOUND))
    found = demo.faults(proof, KL_BOUND)
    if found:
        print("demo: NOT the same model:", *found, sep="\n  ", file=sys.stderr)
        return 1
    close(report, proof, program, out, restore_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
