"""Reads zarr arrays and Orbax trees from OCDBT or plain folders, as docs/formats/zarr.md and orbax.md describe them.

stdlib + numpy + zstandard only."""
import hashlib, json, math, os, struct
import numpy as np
from ocdbt_codec import Damaged, MAX_DEPTH, MAX_KEYS, MAX_NODE, crc32c, get_manifest, get_node, unzstd

# ---------------------------------------------------------------- stores
class DirStore:
    """plain directory as a key-value store"""
    def __init__(self, d):
        self.d = d
    def get(self, key):
        try:
            with open(os.path.join(self.d, key), 'rb') as f:
                return f.read()
        except FileNotFoundError:
            return None

class Ocdbt:
    def __init__(self, d):
        self.d, self.kv, self.nodes = d, {}, 0
        c, m = get_manifest(open(os.path.join(d, 'manifest.ocdbt'), 'rb').read())
        if m is None:                       # numbered
            last = max(f for f in os.listdir(d) if len(f) == 25 and f.startswith('manifest.') and f != 'manifest.ocdbt')
            c2, m = get_manifest(open(os.path.join(d, last), 'rb').read())
        self.config, self.version = c, m
        if m['root']:
            self.walk(m['root'], b'', b'', m['height'], 0, set())
            if len(self.kv) != m['stats'][0]:
                raise Damaged('b-tree holds %d keys, manifest says %d' % (len(self.kv), m['stats'][0]))
    def path(self, f):
        p = (f[0] + f[1]).decode('utf-8', 'strict')
        if p.startswith('/') or any(s in ('', '.', '..') for s in p.split('/')):
            raise Damaged('data file path escapes the checkpoint: %r' % p)
        return os.path.join(self.d, p)
    def range(self, ref):
        f, off, ln = ref
        p = self.path(f)
        try:
            if off + ln > os.path.getsize(p):
                raise Damaged('%s: range %d+%d past the end' % (p, off, ln))
        except FileNotFoundError:
            raise Damaged('missing data file ' + p)
        with open(p, 'rb') as fh:
            fh.seek(off)
            return fh.read(ln)
    def walk(self, ref, prefix, minkey, height, depth, above):
        if depth > MAX_DEPTH or ref in above:
            raise Damaged('b-tree too deep or cyclic')
        if ref[2] > MAX_NODE:
            raise Damaged('b-tree node of %d bytes' % ref[2])
        self.nodes += 1
        ents = get_node(self.range(ref), ref[0][0], height, 'b-tree node at %s+%d' % ((ref[0][0] + ref[0][1]).decode(), ref[1]))
        if prefix + ents[0][0] < minkey:
            raise Damaged('child starts before the key its parent promises')
        for e in ents:
            if height == 0:
                self.kv[(prefix + e[0]).decode()] = e[1]
            else:
                self.walk(e[2], prefix + e[0][:e[1]], prefix + e[0], height - 1, depth + 1, above | {ref})
        if len(self.kv) > MAX_KEYS:
            raise Damaged('too many keys')
    def get(self, key):
        v = self.kv.get(key)
        return v if v is None or isinstance(v, bytes) else self.range(v)

# ---------------------------------------------------------------- zarr
SIZE = {'bfloat16': 2, 'float16': 2, 'float32': 4, 'float64': 8, 'int2': 1, 'int4': 1, 'uint4': 1, 'int8': 1, 'uint8': 1,
        'int16': 2, 'uint16': 2, 'int32': 4, 'uint32': 4, 'int64': 8, 'uint64': 8, 'bool': 1,
        'complex64': 8, 'complex128': 16,
        'float8_e4m3fn': 1, 'float8_e4m3fnuz': 1, 'float8_e4m3b11fnuz': 1, 'float8_e5m2': 1, 'float8_e5m2fnuz': 1}
V2 = {'<f2': 'float16', '<f4': 'float32', '<f8': 'float64', '|i1': 'int8', '|u1': 'uint8', '<i2': 'int16', '<u2': 'uint16',
      '<i4': 'int32', '<u4': 'uint32', '<i8': 'int64', '<u8': 'uint64', '|b1': 'bool', '<c8': 'complex64', '<c16': 'complex128'}
MAX_CHUNK = 8 << 30

def name_of(v2):
    t = V2.get(v2, v2)
    if t not in SIZE:
        raise Damaged('zarr: unknown dtype %r' % v2)
    return t

def fill_bytes(fill, dt):
    n = SIZE[dt]
    if fill in (None, 0, 0.0, False) or fill == [0.0, 0.0]:
        return bytes(n)
    if dt == 'bfloat16':
        return struct.pack('<f', float(fill))[2:]
    return np.array(fill, dtype=dt).tobytes()

def decode_bytes(raw, codecs, nbytes, dt):
    """zarr3 inner codecs: bytes, zstd, gzip, crc32c in encode order"""
    for c in reversed(codecs):
        n, g = c['name'], c.get('configuration', {})
        if n == 'zstd':
            raw = unzstd(raw, nbytes + 1024)
        elif n == 'crc32c':
            if struct.unpack('<I', raw[-4:])[0] != crc32c(raw[:-4]):
                raise Damaged('zarr: chunk checksum')
            raw = raw[:-4]
        elif n == 'gzip':
            import zlib
            raw = zlib.decompressobj(31).decompress(raw, nbytes + 1)
        elif n == 'bytes':
            if SIZE[dt] > 1 and g.get('endian') != 'little':
                raise Damaged('zarr: only little endian')
        else:
            raise Damaged('zarr: unsupported codec ' + n)
    if len(raw) != nbytes:
        raise Damaged('zarr: chunk has %d bytes, expected %d' % (len(raw), nbytes))
    return raw

def grid(shape, chunks):
    return [max(1, -(-s // c)) if s else 0 for s, c in zip(shape, chunks)]

def read_array(kv, name, missing='error'):
    """returns (dtype name, shape, ndarray of bytes items)"""
    meta = kv.get(name + '/zarr.json')
    v3 = meta is not None
    if not v3:
        meta = kv.get(name + '/.zarray')
    if meta is None:
        raise Damaged('no .zarray or zarr.json for ' + name)
    if len(meta) > 1 << 20:
        raise Damaged('zarr metadata too large')
    try:
        m = json.loads(meta)
        return read_array2(kv, name, m, v3, missing)
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise Damaged('%s: bad zarr metadata: %s %s' % (name, type(e).__name__, e))

def read_array2(kv, name, m, v3, missing):
    shape = m['shape']
    if v3:
        dt = m['data_type']
        if m['chunk_grid']['name'] != 'regular':
            raise Damaged('zarr3: chunk grid')
        chunks = m['chunk_grid']['configuration']['chunk_shape']
        sep = m['chunk_key_encoding'].get('configuration', {}).get('separator', '/')
    else:
        dt, chunks, sep = name_of(m['dtype']), m['chunks'], m.get('dimension_separator', '.')
        if m['order'] != 'C' or m.get('filters'):
            raise Damaged('zarr2: order/filters')
    if dt not in SIZE or len(chunks) != len(shape) or any(c < 1 for c in chunks):
        raise Damaged('zarr: metadata')
    it = SIZE[dt]
    dts = np.dtype('V%d' % it)
    if math.prod(shape) * it > 1 << 44 or math.prod(chunks) * it > MAX_CHUNK:
        raise Damaged('zarr: too large')
    out = np.empty(shape, dts)
    out[...] = np.frombuffer(fill_bytes(m['fill_value'], dt), dts)[0]
    g = grid(shape, chunks)
    for ix in np.ndindex(*g):
        if v3:
            key = name + '/' + sep.join(['c'] + [str(i) for i in ix])
        else:
            key = name + '/' + (sep.join(map(str, ix)) or '0')
        raw = kv.get(key)
        if raw is None:
            if missing == 'error':
                raise Damaged('missing chunk ' + key)
            continue
        nb = math.prod(chunks) * it
        if not v3:
            c = m['compressor']
            if c is None:
                pass
            elif c['id'] == 'zstd':
                raw = unzstd(raw, nb)
            elif c['id'] in ('zlib', 'gzip'):
                import zlib
                raw = zlib.decompressobj(47).decompress(raw, nb + 1)
            else:
                raise Damaged('zarr2: compressor ' + c['id'])
            if len(raw) != nb:
                raise Damaged('zarr2: chunk of %d bytes, expected %d' % (len(raw), nb))
            a = np.frombuffer(raw, dts).reshape(chunks)
        else:
            cs = m['codecs']
            if cs[0]['name'] != 'sharding_indexed':
                a = np.frombuffer(decode_bytes(raw, cs, nb, dt), dts).reshape(chunks)
            else:
                s = cs[0]['configuration']
                sub = s['chunk_shape']
                per = [a // b for a, b in zip(chunks, sub)]
                n = math.prod(per)
                tail = 16 * n + (4 if s['index_codecs'][-1]['name'] == 'crc32c' else 0)
                ib = raw[-tail:] if s.get('index_location', 'end') == 'end' else raw[:tail]
                index = struct.unpack('<%dQ' % (2 * n), decode_bytes(ib, s['index_codecs'], 16 * n, 'uint64'))
                a = np.empty(chunks, dts)
                a[...] = np.frombuffer(fill_bytes(m['fill_value'], dt), dts)[0]
                for q, jx in enumerate(np.ndindex(*per)):
                    o, l = index[2 * q:2 * q + 2]
                    if o == l == 2**64 - 1:
                        continue
                    if o + l > len(raw):
                        raise Damaged('zarr3: shard index points past the end')
                    t = decode_bytes(raw[o:o + l], s['codecs'], math.prod(sub) * it, dt)
                    a[tuple(slice(j * k, j * k + k) for j, k in zip(jx, sub))] = np.frombuffer(t, dts).reshape(sub)
        dst = tuple(slice(i * c, min(i * c + c, n)) for i, c, n in zip(ix, chunks, shape))
        src = tuple(slice(0, s.stop - s.start) for s in dst)
        out[dst] = a[src]
    return dt, tuple(shape), out

# ---------------------------------------------------------------- orbax read
def open_store(d):
    return Ocdbt(d) if os.path.exists(os.path.join(d, 'manifest.ocdbt')) else DirStore(d)

def leaves(d):
    """[(key tuple, value type)] from _METADATA, else from the keys"""
    p = os.path.join(d, '_METADATA')
    m = json.load(open(p))
    out = []
    for k, v in m['tree_metadata'].items():
        out.append((tuple(x['key'] for x in v['key_metadata']), v['value_metadata']['value_type'],
                    v['value_metadata'].get('skip_deserialize', False)))
    return out, m

def dump(d):
    kv = open_store(d)
    out = []
    for key, typ, skip in leaves(d)[0]:
        if skip or typ in ('None', 'Dict', 'List', 'Tuple', 'NamedTuple'):
            continue
        dt, shape, a = read_array(kv, '.'.join(key))
        out.append('%s %s %s %s' % ('/'.join(key), dt, '(%s)' % (', '.join(map(str, shape)) + (',' if len(shape) == 1 else '')),
                                    hashlib.sha256(a.tobytes()).hexdigest()[:12]))
    return sorted(out)

def check(d, tree):
    want = sorted(l.rstrip('\n') for l in open(tree) if l.strip())
    got = dump(d)
    ok = want == got
    print('OK ' if ok else 'BAD', len(got), d)
    if not ok:
        for a in sorted(set(want) ^ set(got))[:8]:
            print('   ', '-' if a in want else '+', a)
    return ok

def golden(root):
    ok = n = 0
    for dp, dn, fn in os.walk(root):
        for f in sorted(fn):
            if f.endswith('.tree.txt') and os.path.isdir(os.path.join(dp, f[:-9])):
                n += 1
                ok += check(os.path.join(dp, f[:-9]), os.path.join(dp, f))
    print(ok, 'of', n, 'golden checkpoints read bit-exactly')
    return ok == n
