"""OCDBT's bytes, as docs/formats/ocdbt.md describes them: envelope, file table, manifest and tree nodes, both ways.

stdlib + zstandard only."""
import struct, time
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
