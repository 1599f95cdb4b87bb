#!/usr/bin/env python3
"""Judge of an Orbax checkpoint: restores it with real orbax and compares every leaf with a golden.

  python check_orbax_tree.py PRODUCED GOLDEN [--ulp N] [--ulp-for REGEX=N ...] [--cast] [--int-tol N] [--ignore REGEX] [--jax]
  python check_orbax_tree.py PRODUCED --write-tree FILE|-

PRODUCED, GOLDEN: a checkpoint directory (the one with _METADATA, or a parent: DIR/items, DIR/0/items, ...), or for GOLDEN a
tree.txt ('path dtype (shape) first-12-hex-of-sha256-of-bytes' a line; X.tree.txt next to a directory X uses X where hashes differ),
or a directory that holds only one tree.txt. Where a hash differs and the golden itself has no values, they are looked up by hash in the
case's other checkpoints (whole leaves and single layers of scanned ones) and values.npz files: below --values DIR, default the nearest
parent of the tree.txt with an hf, meta or kaggle folder.
Default: path, shape, dtype and bytes must be equal (dtype differences alone are a difference).
--cast       float leaves are compared after casting both to bfloat16 (round to nearest even), whatever their dtypes
--ulp N      implies --cast; allows N units in the last place of bfloat16 (default 0)
--ulp-for    the same for leaves whose path matches REGEX (e.g. 'query/kernel=1'); the last match wins
--atol X     with --cast: elements with |difference| <= X as float32 also count as equal (3e-8: goldens that went through float16)
--int-tol N  allows |difference| <= N in integer leaves
--ignore     leaves whose path matches are not compared on either side (default: ^(step|opt_state))
--prefix P   strip leading path P/ from produced leaves (and --golden-prefix from golden ones) before comparing
--jax        restore a second time as jax.Array on one device (as MaxText does) and require equal bytes
Prints differing leaves, then 'N leaves equal, M differ'; exit code 0 only if M = 0 and N > 0. Needs orbax-checkpoint, jax, numpy.
"""
import argparse, hashlib, logging, os, re, sys, warnings

os.environ.setdefault("JAX_PLATFORMS", "cpu")
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def find(d):
  d = os.path.abspath(d)
  if os.path.exists(os.path.join(d, "_METADATA")): return d
  c = sorted(p for p, ds, fs in os.walk(d) if "_METADATA" in fs)
  if len(c) == 1: return c[0]
  sys.exit(f"{d}: {len(c)} directories with _METADATA below: name one of {c[:6]}")


def restore(d, as_jax=False):
  import jax, numpy as np, orbax.checkpoint as ocp
  from etils import epath
  p, h = epath.Path(find(d)), ocp.PyTreeCheckpointHandler()
  md = h.metadata(p); md = getattr(md, "tree", md)
  if as_jax:
    s = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    ra = jax.tree.map(lambda m: ocp.ArrayRestoreArgs(restore_type=jax.Array, sharding=s) if hasattr(m, "shape") and m.shape is not None else ocp.RestoreArgs(), md)
  else:
    ra = jax.tree.map(lambda m: ocp.RestoreArgs(restore_type=np.ndarray) if hasattr(m, "shape") and m.shape is not None else ocp.RestoreArgs(), md)
  t = h.restore(p, args=ocp.args.PyTreeRestore(restore_args=ra))
  out = {}
  for k, v in jax.tree_util.tree_flatten_with_path(t)[0]:
    name = "/".join(str(getattr(x, "key", getattr(x, "idx", getattr(x, "name", x)))) for x in k)
    v = np.asarray(v)
    if v.dtype.name == "int4": v = v.astype(np.int8).astype(v.dtype)  # the spare upper bits of each byte say nothing
    out[name] = v
  return out


def sha(a): return hashlib.sha256(a.tobytes()).hexdigest()[:12]
def line(n, a): return f"{n} {a.dtype} {tuple(int(x) for x in a.shape)} {sha(a)}"


def read_tree(f):
  out = {}
  for l in open(f):
    l = l.rstrip("\n")
    if not l.strip() or l.startswith("#"): continue
    m = re.fullmatch(r"(.+) (\S+) (\(.*\)) ([0-9a-f]{12})", l)
    if not m: sys.exit(f"{f}: cannot parse {l!r}")
    out[m[1]] = (m[2], tuple(int(x) for x in re.findall(r"\d+", m[3])), m[4])
  return out


def lookup(root):  # (dtype, shape, hash) -> array, from every checkpoint and values.npz below root
  import numpy as np, ml_dtypes
  idx = {}
  def add(a):
    a = np.ascontiguousarray(a); idx.setdefault((str(a.dtype), tuple(a.shape), sha(a)), a)
  for p, _, fs in os.walk(root):
    if "values.npz" in fs:
      for k, v in np.load(os.path.join(p, "values.npz")).items():
        v = v.view(ml_dtypes.bfloat16) if k.endswith("|bfloat16") else v
        for x in [v] + ([v[:, i] for i in range(v.shape[1])] if ".layers." in k else []): add(x)
    if "_METADATA" in fs:
      try: t = restore(p)
      except Exception: continue
      for n, v in t.items():
        add(v)
        if "/layers/" in n and v.ndim > 1:
          for i in range(v.shape[1]): add(v[:, i])
  return idx


def order(a):  # bfloat16 bits -> monotone int32 (both zeros 0); NaN -> a single large value
  import numpy as np
  b = a.view(np.uint16).astype(np.int32)
  o = np.where(b & 0x8000, -(b & 0x7FFF), b & 0x7FFF)
  return np.where((b & 0x7FFF) > 0x7F80, 1 << 20, o)


def main():
  import numpy as np, ml_dtypes
  p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  p.add_argument("produced"); p.add_argument("golden", nargs="?")
  p.add_argument("--ulp", type=int, default=None); p.add_argument("--ulp-for", action="append", default=[])
  p.add_argument("--cast", action="store_true"); p.add_argument("--atol", type=float, default=0.0); p.add_argument("--int-tol", type=int, default=0)
  p.add_argument("--ignore", default=r"^(step|opt_state)(/|$)"); p.add_argument("--jax", action="store_true")
  p.add_argument("--prefix", default=""); p.add_argument("--golden-prefix", default="")
  p.add_argument("--values"); p.add_argument("--write-tree"); p.add_argument("--max-show", type=int, default=40)
  a = p.parse_args()
  for f in [(a.produced, True), (a.golden, False)]:
    if f[0] and not os.path.exists(f[0]): sys.exit(f"{f[0]}: does not exist\n0 leaves equal, 1 differ")
  try:
    got = restore(a.produced)
  except SystemExit: raise
  except BaseException as e:
    print(f"RESTORE FAILED: {type(e).__name__}: {str(e)[:600]}"); print("0 leaves equal, 1 differ"); return 1
  ig = re.compile(a.ignore) if a.ignore else None
  keep = lambda n: not (ig and ig.search(n))
  strip = lambda d, x: {(n[len(x) + 1:] if x and n.startswith(x + "/") else n): v for n, v in d.items()}
  got = {n: v for n, v in strip(got, a.prefix).items() if keep(n)}
  if a.write_tree:
    s = "".join(line(n, got[n]) + "\n" for n in sorted(got))
    sys.stdout.write(s) if a.write_tree == "-" else open(a.write_tree, "w").write(s)
    if not a.golden: return 0
  if not a.golden: p.error("GOLDEN or --write-tree needed")
  vals = idx = None
  if os.path.isdir(a.golden):
    below = [(p, f) for p, _, fs in os.walk(a.golden) for f in fs]
    trees = [os.path.join(p, f) for p, f in below if f.endswith(".tree.txt")]
    if not any(f == "_METADATA" for _, f in below) and len(trees) == 1: a.golden = trees[0]
  if os.path.isdir(a.golden):
    vals = {n: v for n, v in strip(restore(a.golden), a.golden_prefix).items() if keep(n)}
    want = {n: (str(v.dtype), tuple(v.shape), sha(v)) for n, v in vals.items()}
  else:
    want = {n: v for n, v in strip(read_tree(a.golden), a.golden_prefix).items() if keep(n)}
    side = a.golden[: -len(".tree.txt")] if a.golden.endswith(".tree.txt") else None
    if side and os.path.isdir(side): vals = {n: v for n, v in strip(restore(side), a.golden_prefix).items() if keep(n)}
  bad, same, cast = [], 0, a.cast or a.ulp is not None or a.ulp_for
  isf = lambda d: "float" in d
  for n in sorted(set(got) | set(want)):
    if n not in got: bad.append(f"MISSING {n} {want[n]}"); continue
    if n not in want: bad.append(f"EXTRA   {line(n, got[n])}"); continue
    g, (dt, sh, hx) = got[n], want[n]
    if tuple(g.shape) != sh: bad.append(f"SHAPE   {n} {tuple(g.shape)} want {sh}"); continue
    if str(g.dtype) == dt and sha(g) == hx: same += 1; continue
    w = vals.get(n) if vals else None
    if w is None:
      if idx is None:
        root = a.values or os.path.dirname(os.path.abspath(a.golden))
        while not a.values and len(root) > 1 and not any(os.path.isdir(os.path.join(root, x)) for x in ("hf", "meta", "kaggle")): root = os.path.dirname(root)
        idx = lookup(root) if len(root) > 1 else {}
      w = idx.get((dt, sh, hx))
    fl = isf(str(g.dtype)) and isf(dt)
    if str(g.dtype) != dt and not (cast and fl): bad.append(f"DTYPE   {n} {g.dtype} want {dt}" + ("" if w is None else f" (values {'equal' if np.array_equal(g.astype(np.float32), w.astype(np.float32)) else 'differ'} as float32)")); continue
    if w is None: bad.append(f"BYTES   {n} {sha(g)} want {hx} (no golden values: give a directory to measure)"); continue
    if fl:
      x, y = (v.astype(np.float32).astype(ml_dtypes.bfloat16) for v in (g, w))
      d = np.abs(order(x).astype(np.int64) - order(y)); tol = a.ulp or 0
      for r in a.ulp_for:
        rx, k = r.rsplit("=", 1)
        if re.search(rx, n): tol = int(k)
      if a.atol: d = np.where(np.abs(g.astype(np.float32) - w.astype(np.float32)) <= a.atol, 0, d)
      if cast and d.max(initial=0) <= tol: same += 1; continue
      i = np.unravel_index(int(d.argmax()), d.shape) if d.size else ()
      bad.append(f"VALUES  {n} {g.dtype}/{dt}: {int((d > (tol if cast else 0)).sum())} of {d.size} differ, worst {int(d.max(initial=0))} bf16 ulp at {tuple(int(q) for q in i)}: {float(g[i])!r} want {float(w[i])!r}")
    else:
      d = np.abs(g.astype(np.int64) - w.astype(np.int64))
      if d.max(initial=0) <= a.int_tol and a.int_tol: same += 1; continue
      bad.append(f"VALUES  {n} {g.dtype}: {int((d > a.int_tol).sum())} of {d.size} differ, worst {int(d.max(initial=0))}")
  if a.jax:
    try:
      j = {n: v for n, v in strip(restore(a.produced, True), a.prefix).items() if keep(n)}
      for n in sorted(got):
        if n == "step": continue  # a Python int on disk
        if n not in j or j[n].dtype != got[n].dtype or j[n].shape != got[n].shape or j[n].tobytes() != got[n].tobytes(): bad.append(f"JAX     {n}: jax.Array restore differs from numpy restore")
    except BaseException as e: bad.append(f"JAX     restore as jax.Array failed: {type(e).__name__}: {str(e)[:400]}")
  for b in bad[: a.max_show]: print(b)
  if len(bad) > a.max_show: print(f"... {len(bad) - a.max_show} more")
  print(f"{same} leaves equal, {len(bad)} differ")
  return 0 if same and not bad else 1


if __name__ == "__main__":
  sys.exit(main())
