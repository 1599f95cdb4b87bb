#!/usr/bin/env python3
"""Converts the demo's real model for MaxText and proves it with the real Orbax. `./dev demo maxtext` runs it.

usage: tools/demo_maxtext.py --program build/ckpt --folder build/demo

One pass over the GGUF file makes the scanned, the unscanned and the int8 checkpoint. The newest Orbax restores all three, in an
environment of its own in the build folder (a download of some 180 MB the first time), and the forward pass of tests/judge runs on
what it restored.
"""
import pathlib
import sys
import time

import demo

sys.path.insert(0, str(demo.ROOT / "tests/judge"))

import real_orbax  # noqa: E402
import support  # noqa: E402

# The largest KL divergence, over all positions, from the source's weights rounded to bf16 that counts as the same model.
KL_BOUND = {"scanned": 1e-4, "unscanned": 1e-4, "int8": 5e-2}


def restore(out: pathlib.Path, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Restores every output with Orbax; the leaves of each, as a file."""
    print(f"demo: restoring all of it with orbax-checkpoint {real_orbax.NEWEST}", flush=True)
    saved = {name: folder / f"maxtext-{name}.npz" for name in KL_BOUND}
    jobs = [real_orbax.job(support.items(out, name), "whole", save=str(path)) for name, path in saved.items()]
    for name, result in zip(saved, real_orbax.restore(real_orbax.NEWEST, jobs), strict=True):
        items = support.items(out, name).relative_to(out)
        if "error" in result:
            sys.exit(f"demo: Orbax does not restore {items}: {result['error']}")
        print(f"demo:   {items}: {len(result['leaves'])} arrays", flush=True)
    return saved


def close(report: dict, proof: dict, program: pathlib.Path, out: pathlib.Path, restore_s: float) -> None:
    """The lines to remember."""
    divergences = ", ".join(f"{name} {demo.figure(row['rounded']['kl_max'], '{:.1e}')}"
                            for name, row in zip(KL_BOUND, proof["outputs"], strict=True))
    written_mb = report["bytes"]["written"] / 1e6
    print(f"converted  SmolLM2-135M-Instruct to MaxText: {', '.join(KL_BOUND)} in one pass, {written_mb:.0f} MB")
    print(f"proof      restored by orbax-checkpoint {real_orbax.NEWEST} in {restore_s:.1f} s; all continue with \"{demo.ANSWER}\"; "
          f"largest KL divergence from the rounded source: {divergences}")
    print(f"speed      {report['timing']['wall_s']:.2f} s ({demo.gb_per_s(report):.2f} GB/s moved)")
    print(f"memory     budget {demo.MEMORY}; resident at most {report['memory']['peak_rss_bytes'] / 2**20:.0f} MiB")
    print(f"load with  load_parameters_path={demo.shown(support.items(out, 'unscanned'))} scan_layers=false")
    print(f"try next   {demo.shown(program)} inspect {demo.shown(support.items(out, 'scanned'))}", flush=True)


def main() -> int:
    program, folder = demo.places(__doc__)
    out = folder / "maxtext"
    model = demo.fetch_model(folder)
    report = demo.convert(program, model, out, "--to", "maxtext", "--outputs", ",".join(KL_BOUND))
    began = time.monotonic()
    saved = restore(out, folder)
    restore_s = time.monotonic() - began
    proof = demo.prove(model, folder, list(saved.values()))
    for path in saved.values():
        path.unlink()
    demo.judge(proof, KL_BOUND)
    close(report, proof, program, out, restore_s)
    return 0


if __name__ == "__main__":
    sys.exit(main())
