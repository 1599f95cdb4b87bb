#!/usr/bin/env python3
"""Runs scripts of this folder one after the other in one process, as importing jax takes longer than most of them: orbax_server.py

Runs inside an environment of one Orbax generation. A line on standard input is {"script": file name, "arguments": [words]}; its
answer, a line on standard output, is {"status": exit status, "out": text, "err": text} of what the script printed. Until the input
ends. A script begins with all modules that others before it have imported, and with nothing else of theirs.
"""

import contextlib
import functools
import io
import json
import os
import sys
import traceback
from pathlib import Path

# Read when jax is imported, which some other script may do first.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"  # for orbax_restore.py


@functools.cache
def compiled(script):
    """Some run hundreds of times."""
    path = Path(__file__).with_name(script)
    return compile(path.read_text(encoding="utf-8"), str(path), "exec")


def status_of(script):
    """Runs a script as if it had been started; a fault in it is printed, and a failure."""
    try:
        exec(compiled(script), {"__name__": "__main__", "__file__": compiled(script).co_filename})
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main():
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print by themselves
    for line in sys.stdin:
        asked = json.loads(line)
        sys.argv = [asked["script"], *asked["arguments"]]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = status_of(asked["script"])
        print(json.dumps({"status": status, "out": out.getvalue(), "err": err.getvalue()}), file=answers, flush=True)


if __name__ == "__main__":
    main()
