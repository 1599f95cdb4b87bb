#!/usr/bin/env python3
"""Saves a checkpoint again as today's Orbax does, in one OCDBT database: orbax_resave.py FROM TO

Runs inside an environment of one Orbax generation.
"""

import sys

import orbax.checkpoint


def main():
    if len(sys.argv) != 3:
        print(__doc__)
        return 64
    tree = orbax.checkpoint.PyTreeCheckpointer().restore(sys.argv[1])
    orbax.checkpoint.PyTreeCheckpointer(use_ocdbt=True).save(sys.argv[2], tree)
    return 0


if __name__ == "__main__":
    sys.exit(main())
