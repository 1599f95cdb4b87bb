#!/usr/bin/env python3
"""OCDBT/zarr/Orbax writer, as docs/formats/orbax.md describes them; its reader is orbax_reader.py, their bytes ocdbt_codec.py.

stdlib + numpy + zstandard only.  No TensorStore, no orbax, no jax.
  make_ocdbt.py dump DIR            one line per array: path dtype shape sha256[:12]
  make_ocdbt.py check DIR TREE.txt  compare with a golden tree list
  make_ocdbt.py golden MAXTEXT_DIR  check every checkpoint of tests/golden/maxtext
  make_ocdbt.py make OUT            write the small proof checkpoints
"""
import hashlib, json, os, struct, sys, time
import numpy as np
import zstandard
from ocdbt_codec import cpl, crc32c, put_inner, put_leaf, put_manifest
from orbax_reader import SIZE, V2, check, dump, golden, grid

# ---------------------------------------------------------------- writer
class Shard:
    """One writer (thread or machine): its own data file, append only, plus a list of keys."""
    def __init__(self, root, sid, base=b'', limit=None):
        self.root, self.base, self.n, self.sid, self.limit = root, base, 0, sid, limit
        self.entries, self.fh = [], None
    def roll(self):
        self.close()
        self.rel = b'd/' + hashlib.sha256(b'%s/%d' % (self.sid, self.n)).hexdigest()[:32].encode()
        self.n += 1
        p = os.path.join(self.root.encode(), self.base + self.rel)
        os.makedirs(os.path.dirname(p), exist_ok=True)
        self.fh, self.off = open(p, 'wb'), 0
    def put(self, key, val, inline=100):
        if isinstance(key, str):
            key = key.encode()
        if len(val) <= inline:
            self.entries.append((key, bytes(val)))
            return
        if self.fh is None or (self.limit and self.off and self.off + len(val) > self.limit):
            self.roll()
        self.fh.write(val)
        self.entries.append((key, ((self.base, self.rel), self.off, len(val))))
        self.off += len(val)
    def close(self):
        if self.fh:
            self.fh.flush(); os.fsync(self.fh.fileno()); self.fh.close()
            self.fh = None

class DirShard:
    """plain zarr: every key is a file"""
    def __init__(self, root):
        self.root, self.entries = root, []
    def put(self, key, val):
        p = os.path.join(self.root, key)
        os.makedirs(os.path.dirname(p), exist_ok=True)
        open(p, 'wb').write(val)
    def close(self):
        pass

def common_of(ents):
    return cpl(ents[0][0], ents[-1][0])

def merge(root, entries, uuid, level=0, node_bytes=8 << 20, t=None, gen=1, nodefile=None):
    """The only serial step: sorts the keys of all shards, writes the b-tree and the manifest (last)."""
    entries = sorted(entries)
    if any(a[0] == b[0] for a, b in zip(entries, entries[1:])):
        raise ValueError('duplicate key')
    blob, nodes = bytearray(), 0
    rel = b'd/' + (nodefile or hashlib.sha256(uuid).hexdigest()[:32].encode())
    def split(ents, size):
        out, cur, n = [], [], 0
        for e in ents:
            z = size(e)
            if cur and n + z > node_bytes:
                out.append(cur); cur, n = [], 0
            cur.append(e); n += z
        return out + [cur]
    def esize(e):
        v = e[1]
        return 16 + len(e[0]) + (len(v) if isinstance(v, bytes) else 16 + len(v[0][0]) + len(v[0][1]))
    groups = split(entries, esize)
    level_ents, height = [], 0
    while True:
        nxt = []
        last = len(groups) == 1
        for g in groups:
            if height == 0:
                skip = 0 if last else common_of(g)
                enc, st = put_leaf(g, skip, level)
            else:
                skip = 0 if last else min([common_of(g)] + [e[1] for e in g])
                enc, st = put_inner(height, g, skip, level)
            ref = ((b'', rel), len(blob), len(enc))
            blob += enc
            nodes += 1
            nxt.append((g[0][0], skip, ref, st))
        if last:
            break
        height += 1
        n2 = split(nxt, lambda e: 56 + len(e[0]) + 40)
        if len(n2) > 1 and any(len(x) < 2 for x in n2):   # interior nodes need two children to make progress
            n2 = [nxt[i:i + 2] for i in range(0, len(nxt), 2)]
        groups = n2
    os.makedirs(os.path.join(root, 'd'), exist_ok=True)
    with open(os.path.join(root.encode(), rel), 'wb') as f:
        f.write(blob); f.flush(); os.fsync(f.fileno())
    r = nxt[0]
    m = put_manifest(uuid, dict(file=r[2][0], off=r[2][1], len=r[2][2], height=height, stats=r[3]), level, t=t, gen=gen)
    tmp = os.path.join(root, 'manifest.ocdbt.part')
    with open(tmp, 'wb') as f:
        f.write(m); f.flush(); os.fsync(f.fileno())
    os.rename(tmp, os.path.join(root, 'manifest.ocdbt'))
    return nodes, height

V2N = {v: k for k, v in V2.items()}

def put_array(sh, name, dt, a, chunks, fmt=2, comp=1, meta=True, sub=None, chk=False, only=None):
    """a: ndarray, itemsize SIZE[dt].  fmt 2|3; comp None or zstd level; sub: zarr3 inner chunk."""
    shape, chunks = list(a.shape), list(chunks)
    z = zstandard.ZstdCompressor(level=comp, write_checksum=chk) if comp is not None else None
    fill = 0 if dt[:3] in ('int', 'uin') else (False if dt == 'bool' else [0.0, 0.0] if dt[:7] == 'complex' else 0.0)
    if meta and fmt == 2:
        m = dict(chunks=chunks, compressor=None if comp is None else dict(id='zstd', level=comp), dimension_separator='.',
                 dtype=V2N.get(dt, dt), fill_value=None, filters=None, order='C', shape=shape, zarr_format=2)
        sh.put(name + '/.zarray', json.dumps(m, sort_keys=True, separators=(',', ':')).encode())
    if meta and fmt == 3:
        inner = [dict(name='bytes', configuration=dict(endian='little')) if SIZE[dt] > 1 else dict(name='bytes')]
        if comp is not None:
            inner.append(dict(name='zstd', configuration=dict(level=comp, checksum=chk)))
        elif chk:
            inner.append(dict(name='crc32c'))
        cs = inner
        if sub is not None:
            cs = [dict(name='sharding_indexed', configuration=dict(chunk_shape=list(sub), codecs=inner,
                  index_codecs=[dict(name='bytes', configuration=dict(endian='little')), dict(name='crc32c')]))]
        m = dict(zarr_format=3, node_type='array', shape=shape, data_type=dt, fill_value=fill, codecs=cs,
                 chunk_grid=dict(name='regular', configuration=dict(chunk_shape=chunks)), chunk_key_encoding=dict(name='default'))
        sh.put(name + '/zarr.json', json.dumps(m, sort_keys=True, separators=(',', ':')).encode())
    for ix in np.ndindex(*grid(shape, chunks)):
        if only and not only(ix):
            continue
        src = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in zip(ix, chunks, shape))
        part = a[src]
        if list(part.shape) != chunks:                     # edge chunk: always full size, padding = fill value 0
            full = np.zeros(chunks, a.dtype)
            full[tuple(slice(0, k) for k in part.shape)] = part
            part = full
        if fmt == 3 and sub is not None:
            body, index = bytearray(), []
            for jx in np.ndindex(*[p // q for p, q in zip(chunks, sub)]):
                t = np.ascontiguousarray(part[tuple(slice(j * k, j * k + k) for j, k in zip(jx, sub))]).tobytes()
                t = z.compress(t) if z else t
                index += [len(body), len(t)]
                body += t
            ib = struct.pack('<%dQ' % len(index), *index)
            raw = bytes(body) + ib + struct.pack('<I', crc32c(ib))
        else:
            raw = np.ascontiguousarray(part).tobytes()
            raw = z.compress(raw) if z else raw
            if chk and not z:
                raw += struct.pack('<I', crc32c(raw))
        if fmt == 2:
            sh.put(name + '/' + ('.'.join(map(str, ix)) or '0'), raw)
        else:
            sh.put(name + '/' + '/'.join(['c'] + [str(i) for i in ix]), raw)

def tree_key(path):
    return '(' + ', '.join(repr(k) for k in path) + (',)' if len(path) == 1 else ')')

EMPTY = ('None', 'Dict', 'List', 'Tuple', 'NamedTuple')

def metadata(paths, zarr3, ocdbt=True, types={}):
    """paths: list of tuples of (name, key type); types: path -> value type where it isn't jax.Array"""
    tm = {}
    for p in paths:
        names = tuple(n for n, _ in p)
        t = types.get(names, 'jax.Array')
        tm[tree_key(names)] = dict(key_metadata=[dict(key=n, key_type=k) for n, k in p],
                                   value_metadata=dict(value_type=t, skip_deserialize=t in EMPTY))
    return json.dumps(dict(tree_metadata=tm, use_ocdbt=ocdbt, use_zarr3=zarr3,
                           store_array_data_equal_to_fill_value=True, custom_metadata=None))

def mp_str(t):
    b = t.encode()
    return (bytes([0xa0 | len(b)]) if len(b) < 32 else struct.pack('>BB', 0xd9, len(b)) if len(b) < 256
            else struct.pack('>BH', 0xda, len(b))) + b

def mp_map(d):
    if isinstance(d, str):
        return mp_str(d)
    n = len(d)
    h = bytes([0x80 | n]) if n < 16 else struct.pack('>BH', 0xde, n) if n < 65536 else struct.pack('>BI', 0xdf, n)
    return h + b''.join(mp_str(k) + mp_map(v) for k, v in sorted(d.items()))

def aggregate(paths):
    """the msgpack file `checkpoint` that orbax 0.5.x insists on: nested maps, each leaf a placeholder string"""
    t = {}
    for p in paths:
        x = t
        for k in p[:-1]:
            x = x.setdefault(k, {})
        x[p[-1]] = 'PLACEHOLDER://' + '.'.join(p)
    return mp_map(t)

PYTREE = 'orbax.checkpoint._src.handlers.pytree_checkpoint_handler.PyTreeCheckpointHandler'

def root_metadata(handlers, t=None):
    t = t or time.time_ns()
    return json.dumps(dict(item_handlers=handlers, metrics={}, performance_metrics={}, init_timestamp_nsecs=t,
                           commit_timestamp_nsecs=t, custom_metadata={}))

def write_tree(d, tree, fmt=2, comp=1, ocdbt=True, shards=2, node_bytes=8 << 20, level=0, chunks=lambda p, a: a.shape,
               sub=lambda p, a, c: None, empties={}, base=lambda i: b'', limit=None, uuid=None, vtype='jax.Array', chk=False, t=None):
    """tree: {path tuple: (dtype name, ndarray)}; returns (nodes, height)"""
    os.makedirs(d, exist_ok=True)
    uuid = uuid or hashlib.sha256(d.encode()).digest()[:16]
    sh = [Shard(d, b'%s-%d' % (uuid, i), base(i), limit) for i in range(shards)] if ocdbt else [DirShard(d)]
    for i, (p, (dt, a)) in enumerate(tree.items()):
        c = [max(1, n) for n in chunks(p, a)]
        put_array(sh[i % len(sh)], '.'.join(p), dt, a, c, fmt, comp, sub=sub(p, a, c), chk=chk)
    for s in sh:
        s.close()
    r = None
    kp = [[(k, 2) for k in p] for p in list(tree) + list(empties)]
    with open(os.path.join(d, '_METADATA'), 'w') as f:
        ty = {p: 'scalar' if a.shape == () else vtype for p, (_, a) in tree.items()}
        f.write(metadata([tuple(p) for p in kp], fmt == 3, ocdbt, {**ty, **empties}))
    with open(os.path.join(d, 'checkpoint'), 'wb') as f:
        f.write(aggregate(list(tree) + list(empties)))
    if ocdbt:
        r = merge(d, [e for s in sh for e in s.entries], uuid, level, node_bytes, t)
    return r

def sample(n_layers=3, seed=1):
    g = np.random.default_rng(seed)
    def bf(*s):
        return 'bfloat16', (g.standard_normal(s).astype('<f4') * 0.02).view('<u4').__rshift__(16).astype('<u2')
    t = {}
    t['step',] = ('int64', np.array(7, '<i8'))
    t['params', 'params', 'token_embedder', 'embedding'] = bf(64, 32)
    t['params', 'params', 'decoder', 'layers', 'mlp', 'wi', 'kernel'] = bf(32, n_layers, 48)
    t['params', 'params', 'decoder', 'layers', 'norm', 'scale'] = bf(32, n_layers)
    t['params', 'params', 'decoder', 'zero', 'kernel'] = ('bfloat16', np.zeros((8, 8), '<u2'))
    t['params', 'params', 'decoder', 'edge', 'kernel'] = bf(33, 5)
    t['params', 'q8', 'w'] = ('int8', g.integers(-128, 128, (16, 8), dtype='i1'))
    t['params', 'q4', 'w'] = ('int4', g.integers(-8, 8, (16, 7), dtype='i1'))
    t['params', 'f8', 'w'] = ('float8_e4m3fn', np.arange(126, dtype='u1').reshape(14, 9))
    t['params', 'f8e5', 'w'] = ('float8_e5m2', np.arange(120, dtype='u1').reshape(12, 10))
    t['params', 'f32', 'w'] = ('float32', g.standard_normal((5, 7)).astype('<f4'))
    t['params', 'f16', 'w'] = ('float16', g.standard_normal((5, 7)).astype('<f2'))
    t['params', 'c64', 'w'] = ('complex64', g.standard_normal((5, 8)).astype('<f4').view('<c8'))
    t['params', 'i32', 'w'] = ('int32', g.integers(-9, 9, (5, 7), dtype='<i4'))
    t['params', 'flag', 'w'] = ('bool', g.integers(0, 2, (9,), dtype='u1'))
    return t

def sample_chunks(p, a):
    s = list(a.shape)
    if 'layers' in p:
        s[1] = 1
    if 'edge' in p:
        s = [10, 3]
    return s

def expected(tree):
    return {'/'.join(p): [dt, list(a.shape), hashlib.sha256(a.tobytes()).hexdigest()] for p, (dt, a) in tree.items()}

def layer_worker(job):
    """one process: writes layer i of every scanned array into a data file of its own; hands back only the key list"""
    d, i, tree = job
    s = Shard(d, b'par-%d' % i)
    for p, (dt, a) in tree.items():
        put_array(s, '.'.join(p), dt, a, [1 if k == 1 else n for k, n in enumerate(a.shape)], comp=None, meta=i == 0,
                  only=lambda ix: ix[1] == i)
    s.close()
    return s.entries

def parallel(out, exp):
    import multiprocessing
    g = np.random.default_rng(2)
    tree = {('params', 'params', 'decoder', 'layers', k, 'kernel'): ('bfloat16', g.integers(0, 30000, (16, 4, 24), dtype='<u2'))
            for k in ('wi_0', 'wi_1', 'wo')}
    step = os.path.join(out, 'parallel', '0')
    d = step + '/items'
    os.makedirs(d, exist_ok=True)
    with multiprocessing.Pool(4) as pool:
        lists = pool.map(layer_worker, [(d, i, tree) for i in range(4)])
    open(d + '/_METADATA', 'w').write(metadata([tuple((k, 2) for k in p) for p in tree], False))
    open(d + '/checkpoint', 'wb').write(aggregate(list(tree)))
    n = merge(d, [e for l in lists for e in l], b'parallel writers', t=T0)
    open(step + '/_CHECKPOINT_METADATA', 'w').write(root_metadata(dict(items=PYTREE), T0))
    exp['parallel'] = dict(nodes=n[0], height=n[1], arrays=expected(tree), empties={})

T0 = 1795500000000000000

def make(out):
    os.makedirs(out, exist_ok=True)
    exp = {}
    small = sample()
    E = {('params', 'nothing'): 'None', ('params', 'empty'): 'Dict'}
    big = {('step',): ('int64', np.array(3, '<i8'))}
    for i in range(400):
        big['params', 'layers_%d' % i, 'w'] = ('bfloat16', np.full((2, 3), 16000 + i, '<u2'))
    def go(name, tree, **kw):
        step = os.path.join(out, name, '0')
        r = write_tree(step + '/items', tree, uuid=hashlib.sha256(name.encode()).digest()[:16], t=T0, **kw)
        open(step + '/_CHECKPOINT_METADATA', 'w').write(root_metadata(dict(items=PYTREE), T0))
        for q in ('/items', ''):
            open(step + q + '/commit_success.txt', 'w').write('Checkpoint commit was successful to ' + name + '/0' + q)
        exp[name] = dict(nodes=r and r[0], height=r and r[1], arrays=expected(tree),
                         empties={'/'.join(p): t for p, t in kw.get('empties', {}).items()})
    sub3 = lambda p, a, c: [max(1, x // 2) if x % 2 == 0 else x for x in c]
    go('small-zarr2', small, chunks=sample_chunks, empties=E)
    go('small-zarr2-numpy', small, chunks=sample_chunks, vtype='np.ndarray')
    go('small-zarr2-raw', small, chunks=sample_chunks, comp=None, level=None)
    go('small-zarr3', {k: v for k, v in small.items()}, chunks=sample_chunks, fmt=3)
    go('small-zarr3-sharded', small, chunks=sample_chunks, fmt=3, comp=3, sub=sub3)
    go('small-zarr2-sum', small, chunks=sample_chunks, chk=True)
    go('small-zarr3-crc', small, chunks=sample_chunks, fmt=3, comp=None, chk=True)
    go('small-plain2', small, chunks=sample_chunks, ocdbt=False)
    go('small-plain3', small, chunks=sample_chunks, ocdbt=False, fmt=3)
    go('small-bases', small, chunks=sample_chunks, shards=3, limit=4096, base=lambda i: b'ocdbt.process_%d/' % i)
    go('multinode', big, shards=5, node_bytes=2500)
    go('multinode-raw', big, shards=2, node_bytes=4000, level=None, comp=None)
    parallel(out, exp)
    json.dump(exp, open(os.path.join(out, 'expected.json'), 'w'), indent=0)
    for k, v in exp.items():
        got = dump(os.path.join(out, k, '0/items'))
        want = sorted('%s %s (%s) %s' % (p, dt, ', '.join(map(str, s)) + (',' if len(s) == 1 else ''), h[:12])
                      for p, (dt, s, h) in v['arrays'].items())
        print('OK ' if got == want else 'BAD', k, 'nodes', v['nodes'], 'height', v['height'], len(want))

if __name__ == '__main__':
    if sys.argv[1] == 'dump':
        print('\n'.join(dump(sys.argv[2])))
    elif sys.argv[1] == 'check':
        sys.exit(not check(*sys.argv[2:4]))
    elif sys.argv[1] == 'golden':
        sys.exit(not golden(sys.argv[2]))
    elif sys.argv[1] == 'make':
        make(sys.argv[2])
