"""bfloat16 on numpy, which has no such type: values travel as uint16 bit patterns."""

import numpy as np


def to_float32(bits):
    """float32 values of bf16 bit patterns: exact, the pattern is the upper half."""
    return (np.asarray(bits, np.uint16).astype(np.uint32) << 16).view(np.float32)


def from_float32(values):
    """bf16 bit patterns nearest to float32 values, ties to even; NaN stays NaN (made quiet)."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    nan = (bits & 0x7FFFFFFF) > 0x7F800000
    return np.where(nan, (bits >> 16) | 0x40, rounded).astype(np.uint16)


def round_float32(values):
    """float32 values rounded to bf16 and back: R(x) of the formulas."""
    out = np.array(values, np.float32)
    bits = out.view(np.uint32)
    nan = np.isnan(out) if np.isnan(out.max(initial=0)) else None
    bits += ((bits >> 16) & 1) + np.uint32(0x7FFF)
    bits &= np.uint32(0xFFFF0000)
    if nan is not None:
        out[nan] = np.nan
    return out
