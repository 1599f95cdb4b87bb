"""A soak: CKPT_SOAK_MINUTES of Jobs over faulty services (./dev soak MINUTES); CKPT_SOAK_SEED draws others."""

import os

from soak import Soak

MINUTES = float(os.environ.get("CKPT_SOAK_MINUTES", "1"))
SEED = int(os.environ.get("CKPT_SOAK_SEED", "10"))


def test_every_job_ends_complete_or_as_documented(world):
    told = Soak(world, MINUTES, SEED).run()
    for line in told.lines():
        print(f"soak: {line}")
    assert not told.wrong, "\n".join(told.wrong)
    complete = sum(count for (_, verdict), count in told.verdicts.items() if verdict == "Complete")
    assert complete >= 5 * MINUTES and complete >= sum(told.verdicts.values()) // 2
    assert told.faults and told.deleted
