#!/usr/bin/env python3
"""OCDBT/zarr/Orbax writer and reader, as docs/formats/orbax.md describes them.

stdlib + numpy + zstandard only.  No TensorStore, no orbax, no jax.
  make_ocdbt.py dump DIR            one line per array: path dtype shape sha256[:12]
  make_ocdbt.py check DIR TREE.txt  compare with a golden tree list
  make_ocdbt.py golden MAXTEXT_DIR  check every checkpoint of tests/golden/maxtext
  make_ocdbt.py make OUT            write the small proof checkpoints
"""
import hashlib, json, math, os, struct, sys, time
import numpy as np
import zstandard

# ---------------------------------------------------------------- primitives
_T = []
for _i in range(256):
    _c = _i
    for _ in range(8):
        _c = (_c >> 1) ^ (0x82F63B78 if _c & 1 else 0)
    _T.append(_c)

def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    t = _T
    for b in data:
        crc = t[(crc ^ b) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF

def uv(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)

class Damaged(Exception):
    pass

MAX_NODE = 64 << 20     # decoded bytes of one node/manifest we accept
MAX_DEPTH = 16
MAX_KEYS = 1 << 22

class R:
    def __init__(self, b):
        self.b, self.p = b, 0
    def u8(self):
        if self.p >= len(self.b):
            raise Damaged('unexpected end of data')
        self.p += 1
        return self.b[self.p - 1]
    def uv(self, bits=64):
        v = s = 0
        while True:
            c = self.u8()
            v |= (c & 127) << s
            if c < 128:
                break
            s += 7
            if s > 63:
                raise Damaged('varint too long')
        if v >> bits:
            raise Damaged('varint exceeds %d bits' % bits)
        return v
    def take(self, n):
        if n > len(self.b) - self.p:
            raise Damaged('unexpected end of data')
        self.p += n
        return bytes(self.b[self.p - n:self.p])
    def many(self, n, bits=64):
        if n > len(self.b) - self.p:       # every varint costs at least a byte
            raise Damaged('count %d larger than the data' % n)
        return [self.uv(bits) for _ in range(n)]

def unzstd(b, limit):
    d = zstandard.ZstdDecompressor().decompressobj()
    out = bytearray()
    try:
        for i in range(0, len(b), 1 << 12):          # small steps bound what a bomb can allocate before the check
            out += d.decompress(b[i:i + (1 << 12)])
            if len(out) > limit:
                raise Damaged('zstd data decodes to more than %d bytes' % limit)
    except zstandard.ZstdError as e:
        raise Damaged('zstd: %s' % e)
    if not d.eof or d.unused_data:
        raise Damaged('zstd frame truncated or followed by garbage')
    return bytes(out)

MANIFEST, VNODE, BNODE = 0x0cdb3a2a, 0x0cdb1234, 0x0cdb20de

def seal(magic, body, level=0):
    """level None: uncompressed."""
    if level is None:
        t = b'\0\0' + body
    else:
        t = b'\0\1' + zstandard.ZstdCompressor(level=level or 3).compress(body)
    b = struct.pack('>I', magic) + struct.pack('<Q', 12 + len(t) + 4) + t
    return b + struct.pack('<I', crc32c(b))

def unseal(magic, b, what):
    if len(b) < 16:
        raise Damaged(what + ': shorter than 16 bytes')
    if struct.unpack('>I', b[:4])[0] != magic:
        raise Damaged('%s: magic %s, expected %08x' % (what, b[:4].hex(), magic))
    if struct.unpack('<Q', b[4:12])[0] != len(b):
        raise Damaged('%s: header says %d bytes, have %d' % (what, struct.unpack('<Q', b[4:12])[0], len(b)))
    if struct.unpack('<I', b[-4:])[0] != crc32c(b[:-4]):
        raise Damaged(what + ': CRC-32C mismatch')
    r = R(b[:-4])
    r.p = 12
    if r.uv(32) != 0:
        raise Damaged(what + ': unknown version')
    c = r.uv(32)
    if c == 0:
        return R(r.b[r.p:])
    if c == 1:
        return R(unzstd(r.b[r.p:], MAX_NODE))
    raise Damaged(what + ': unknown compression %d' % c)

# ---------------------------------------------------------------- file table
def cpl(a, b):
    n = 0
    for x, y in zip(a, b):
        if x != y:
            break
        n += 1
    return n

def put_files(files):
    """files: list of (base, rel) bytes; returns (encoding, index map)."""
    fs = sorted(set(files))
    pre = [0]
    for (pb, pr), (b, r) in zip(fs, fs[1:]):
        n = cpl(pb, b)
        if pb == b:
            n += cpl(pr, r)
        pre.append(n)
    o = uv(len(fs)) + b''.join(uv(n) for n in pre[1:])
    o += b''.join(uv(len(b) + len(r) - n) for (b, r), n in zip(fs, pre))
    o += b''.join(uv(len(b)) for b, r in fs)
    o += b''.join((b + r)[n:] for (b, r), n in zip(fs, pre))
    return o, {f: i for i, f in enumerate(fs)}

def get_files(r, transitive):
    n = r.uv()
    if n == 0:
        return []
    pre = [0] + r.many(n - 1, 16)
    suf = r.many(n, 16)
    base = r.many(n, 16)
    out, prev, prevbase = [], b'', 0
    for i in range(n):
        if pre[i] > len(prev):
            raise Damaged('file table: prefix longer than the previous path')
        if pre[i] > min(prevbase, base[i]) and base[i] != prevbase:
            raise Damaged('file table: prefix runs past a differing base path')
        p = prev[:pre[i]] + r.take(suf[i])
        if base[i] > len(p) or len(transitive) + len(p) > 65535:
            raise Damaged('file table: bad path length')
        out.append((transitive + p[:base[i]], p[base[i]:]))
        prev, prevbase = p, base[i]
    return out

# ---------------------------------------------------------------- manifest
def put_manifest(uuid, root, level=0, inline=100, node=100_000_000, arity=4, gen=1, t=None, method=1):
    """root = dict(file=(base, rel), off, len, height, stats=(keys, tree, indirect)); None: empty tree"""
    cfg = uuid + b'\0' + uv(inline) + uv(node) + bytes([arity])
    cfg += (b'\0' if level is None else b'\1' + struct.pack('<i', level))
    if root is None:
        root = dict(file=(b'', b''), off=2**64 - 1, len=2**64 - 1, height=0, stats=(0, 0, 0))
    tab, idx = put_files([root['file']])
    b = cfg + tab
    b += uv(1) + uv(gen) + bytes([root['height']])
    b += uv(idx[root['file']]) + uv(root['off']) + uv(root['len'])
    b += b''.join(uv(x) for x in root['stats'])
    b += struct.pack('<Q', t or time.time_ns())
    b += uv(0)                                   # no version tree nodes
    return seal(MANIFEST, b, level)

def get_config(r):
    c = dict(uuid=r.take(16).hex(), kind=r.u8(), inline=r.uv(32), node=r.uv(32), arity=r.u8(), comp=r.uv(32))
    if c['kind'] > 1 or not 1 <= c['arity'] <= 16 or c['comp'] > 1:
        raise Damaged('manifest: bad configuration %r' % c)
    if c['comp'] == 1:
        c['level'] = struct.unpack('<i', r.take(4))[0]
    return c

def get_manifest(b):
    r = unseal(MANIFEST, b, 'manifest')
    c = get_config(r)
    if c['kind'] == 1:
        return c, None
    files = get_files(r, b'')
    n = r.uv()
    if not 1 <= n <= 1 << c['arity']:
        raise Damaged('manifest: %d versions' % n)
    gen = r.many(n); h = [r.u8() for _ in range(n)]
    fid = r.many(n); off = r.many(n); ln = r.many(n)
    st = [r.many(n), r.many(n), r.many(n)]
    tm = [struct.unpack('<Q', r.take(8))[0] for _ in range(n)]
    k = r.uv()
    if k > 63 // c['arity'] - 1:
        raise Damaged('manifest: too many version nodes')
    r.many(k), r.many(k), r.many(k), r.many(k), r.many(k)
    r.take(8 * k), r.take(k)
    if r.p != len(r.b):
        raise Damaged('manifest: trailing bytes')
    if 0 in gen or any(a >= b for a, b in zip(gen, gen[1:])):
        raise Damaged('manifest: generation numbers')
    if any(f >= len(files) for f in fid):
        raise Damaged('manifest: data file index')
    if off[-1] == ln[-1] == 2**64 - 1:
        return c, dict(root=None, gen=gen[-1])
    return c, dict(root=(files[fid[-1]], off[-1], ln[-1]), height=h[-1], gen=gen[-1],
                   stats=(st[0][-1], st[1][-1], st[2][-1]), time=tm[-1], versions=n)

# ---------------------------------------------------------------- b+tree
def put_keys(keys, skip, common):
    """keys: full keys; skip: bytes of inherited prefix left out. common: subtree prefix lengths or None."""
    rel = [k[skip:] for k in keys]
    pre = [0] + [cpl(a, b) for a, b in zip(rel, rel[1:])]
    o = b''.join(uv(n) for n in pre[1:])
    o += b''.join(uv(len(k) - n) for k, n in zip(rel, pre))
    if common is not None:
        o += b''.join(uv(c - skip) for c in common)
    return o + b''.join(k[n:] for k, n in zip(rel, pre))

def put_leaf(ents, skip, level):
    """ents: [(key, value)] with value = bytes or (file, off, len)."""
    tab, idx = put_files([v[0] for _, v in ents if not isinstance(v, bytes)])
    b = b'\0' + tab + uv(len(ents)) + put_keys([k for k, _ in ents], skip, None)
    b += b''.join(uv(len(v) if isinstance(v, bytes) else v[2]) for _, v in ents)
    b += bytes(0 if isinstance(v, bytes) else 1 for _, v in ents)
    ind = [v for _, v in ents if not isinstance(v, bytes)]
    b += b''.join(uv(idx[v[0]]) for v in ind) + b''.join(uv(v[1]) for v in ind)
    b += b''.join(v for _, v in ents if isinstance(v, bytes))
    e = seal(BNODE, b, level)
    return e, (len(ents), len(e), sum(v[2] for v in ind))

def put_inner(height, ents, skip, level):
    """ents: [(first key, common prefix length (absolute), ref=(file, off, len), stats)]"""
    tab, idx = put_files([e[2][0] for e in ents])
    b = bytes([height]) + tab + uv(len(ents)) + put_keys([e[0] for e in ents], skip, [e[1] for e in ents])
    for f in (lambda e: idx[e[2][0]], lambda e: e[2][1], lambda e: e[2][2],
              lambda e: e[3][0], lambda e: e[3][1], lambda e: e[3][2]):
        b += b''.join(uv(f(e)) for e in ents)
    e = seal(BNODE, b, level)
    return e, (sum(x[3][0] for x in ents), len(e) + sum(x[3][1] for x in ents), sum(x[3][2] for x in ents))

def get_node(b, base, height, what):
    r = unseal(BNODE, b, what)
    h = r.u8()
    if h != height:
        raise Damaged('%s: height %d, expected %d' % (what, h, height))
    files = get_files(r, base)
    n = r.uv(32)
    if not 1 <= n <= 1 << 20:
        raise Damaged('%s: %d entries' % (what, n))
    pre = [0] + r.many(n - 1, 16)
    suf = r.many(n, 16)
    com = r.many(n, 16) if h else None
    keys, prev = [], b''
    for i in range(n):
        if pre[i] > len(prev) or pre[i] + suf[i] > 65535:
            raise Damaged(what + ': key lengths')
        k = prev[:pre[i]] + r.take(suf[i])
        if i and k <= prev:
            raise Damaged(what + ': keys out of order')
        if h and com[i] > len(k):
            raise Damaged(what + ': subtree prefix longer than key')
        keys.append(k); prev = k
    out = []
    if h:
        fid, off, ln, a, t, v = (r.many(n) for _ in range(6))
        for i in range(n):
            if fid[i] >= len(files) or off[i] + ln[i] >= 1 << 63:
                raise Damaged(what + ': reference')
            out.append((keys[i], com[i], (files[fid[i]], off[i], ln[i]), (a[i], t[i], v[i])))
    else:
        ln = r.many(n)
        kind = [r.u8() for _ in range(n)]
        if any(k > 1 for k in kind) or any(k == 0 and l > 1 << 20 for k, l in zip(kind, ln)):
            raise Damaged(what + ': value kind/length')
        m = sum(kind)
        fid, off = r.many(m), r.many(m)
        j = 0
        for i in range(n):
            if kind[i]:
                if fid[j] >= len(files) or off[j] + ln[i] >= 1 << 63:
                    raise Damaged(what + ': reference')
                out.append((keys[i], (files[fid[j]], off[j], ln[i]))); j += 1
            else:
                out.append((keys[i], r.take(ln[i])))
    if r.p != len(r.b):
        raise Damaged(what + ': trailing bytes')
    return out

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
