#!/usr/bin/env python3
"""The peer of bench/llm_compressor.py: llm-compressor quantizes a folder, file by file, and tells what its imports took.

  llm_compressor_peer.py SOURCE DEST PRESET RESULT.json WORKERS
"""

import os
import resource
import sys
import time

started = time.monotonic()
os.environ |= {"CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}

from llmcompressor import model_free_ptq  # noqa: E402

IGNORED = ("lm_head", "model.embed_tokens", "re:.*norm$")


def main():
    source, dest, scheme, result, workers = sys.argv[1:]
    imported, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    model_free_ptq(source, dest, scheme=scheme, ignore=IGNORED, max_workers=int(workers), device="cpu")
    for name in os.listdir(dest):  # as durable as ckpt's output
        with open(os.path.join(dest, name), "rb") as file:
            os.fsync(file.fileno())
    done = time.monotonic()
    with open(result, "w", encoding="utf-8") as file:
        file.write('{"work_s": %f, "import_s": %f, "import_cpu_s": %f, "import_rss_bytes": %d}\n' % (
            done - imported, imported - started, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024))
    return 0


if __name__ == "__main__":
    sys.exit(main())
