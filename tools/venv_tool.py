#!/usr/bin/env python3
"""Makes a Python environment with pinned packages inside the build folder, once, and prints the path of its interpreter.

usage: tools/venv_tool.py NAME REQUIREMENTS

The environment is build/venv/NAME. It is made again when the text of REQUIREMENTS changes. Where packages come from is
the pip client's own configuration.
"""
import hashlib
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def make(name: str, requirements: pathlib.Path) -> pathlib.Path:
    """The interpreter of build/venv/NAME, which holds exactly what `requirements` pins."""
    folder = ROOT / "build" / "venv" / name
    python = folder / "bin" / "python3"
    stamp = folder / "made-from"
    # A virtual environment knows its own absolute path, so a moved one must be made again.
    key = hashlib.sha256(f"{sys.version}\n{folder}\n{requirements.read_text()}".encode()).hexdigest()
    if stamp.exists() and stamp.read_text() == key:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    print(f"venv: {name}: installing what {requirements.name} pins", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--only-binary", ":all:",
                    "-r", requirements], check=True, stdout=sys.stderr)
    stamp.write_text(key)
    return python


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(make(sys.argv[1], pathlib.Path(sys.argv[2]).resolve()))
