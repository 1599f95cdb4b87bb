#!/usr/bin/env python3
"""Runs a command and writes its wall time, CPU time, peak RSS and exit code as JSON: measure.py RESULT.json COMMAND...

A process of its own, and a small one: the kernel counts a parent's memory into a child's peak until the child's exec, so a
test that holds arrays could not measure its children itself. The floor of this way is about 10 MB.
"""

import json
import os
import sys
import time


def main():
    if len(sys.argv) < 3 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) > 1 else 64
    began = time.monotonic()
    pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    with open(sys.argv[1], "w", encoding="utf-8") as out:
        json.dump({
            "exit_code": code, "wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime,
            "user_s": usage.ru_utime, "system_s": usage.ru_stime, "peak_rss_bytes": usage.ru_maxrss * 1024,
            "written_blocks": usage.ru_oublock,
        }, out)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
