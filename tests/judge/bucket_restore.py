#!/usr/bin/env python3
"""Restores checkpoints from gs:// with the real Orbax, each twice: bucket_restore.py JOBS.json RESULT.json

Runs inside the environment orbax-0.12.8-gs. JOBS: {"jobs": [{"path": gs://..., "save": file.npz}]}; a folder is restored in the first
way alone. First the whole checkpoint by its own metadata, whose leaves are saved; then, as MaxText's server does, what was found is
asked for by dtype and shape. RESULT: that of orbax_restore.py, an error also where the two ways disagree.
STORAGE_EMULATOR_HOST names the service: gcsfs, with which etils reads markers and metadata, takes it as it is, TensorStore, which
reads the arrays, under another name and with a token that nobody checks.
"""

import os

os.environ["TENSORSTORE_GCS_HTTP_URL"] = os.environ.get("STORAGE_EMULATOR_HOST", "")
os.environ["GOOGLE_AUTH_TOKEN_FOR_TESTING"] = "x"
os.environ["FSSPEC_GCS_TOKEN"] = "anon"  # else gcsfs looks for credentials, also at a metadata server
for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
    del os.environ[name]

import json  # noqa: E402
import sys  # noqa: E402

import orbax_restore  # noqa: E402


def restore(job):
    """What a job's checkpoint holds, found in two ways."""
    whole = orbax_restore.run({**job, "way": "whole"})
    if "error" in whole or not job["path"].startswith("gs://"):
        return whole
    tree = {path: row[:2] for path, row in whole["leaves"].items()}
    served = orbax_restore.run({"path": job["path"], "way": "args", "tree": tree})
    if "error" in served:
        return served
    differing = [path for path, row in whole["leaves"].items() if path != "step" and served["leaves"].get(path) != row]
    return {"error": f"two ways of restoring disagree on {differing[:3]}"} if differing else whole


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 64
    with open(sys.argv[1], encoding="utf-8") as file:
        jobs = json.load(file)["jobs"]
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"results": [restore(job) for job in jobs]}, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
