"""Reference of the chunk grid of docs/formats/grid.md, for tests to compare with. Run it for the 405B table.

grid(axes, hf_order, mesh): axes of one array in its own order, name -> extent ('l' layer, 'x' expert, 'd' head width);
hf_order: the axis names of the role's `hf` cell, outermost first; mesh: axis -> number of devices that cut it. Returns name -> chunk extent."""
from math import prod

MiB = 1 << 20


def smallest_prime_factor(n):
    return next((i for i in range(2, int(n**.5) + 1) if n % i == 0), n)


def grid(axes, hf_order, mesh={}):
    gone = {'l'} | ({'x'} if len(axes.keys() - {'l', 'x'}) >= 2 else set())
    s = {a: n for a, n in axes.items() if a not in gone}            # the slice
    ones = {a: 1 for a in axes if a in gone}
    if 2 * prod(s.values()) < MiB:
        return {a: {**s, **ones}[a] for a in axes}
    m = {a: mesh.get(a, 1) if a != 'd' and n % mesh.get(a, 1) == 0 else 1 for a, n in s.items()}
    band = next((a for a in hf_order if a in s), next(iter(s)))
    fit = max(1, 16 * MiB // (2 * prod(n for a, n in s.items() if a != band)))
    while True:
        c = {a: n // m[a] for a, n in s.items()}
        if c[band] > fit:
            b = max(k for k in range(1, fit + 1) if c[band] % k == 0)
            c[band] = b if 2 * b >= fit or m[band] > 1 else 1 << (fit.bit_length() - 1)
        cut = [a for a in c if a not in (band, 'd')]
        while 2 * prod(c.values()) > 4 * MiB and any(c[a] > 1 for a in cut):
            a = max(cut, key=c.get)
            if 2 * prod(c.values()) // smallest_prime_factor(c[a]) < MiB:
                break
            c[a] //= smallest_prime_factor(c[a])
        w = [a for a in m if m[a] > 1]
        if 2 * prod(c.values()) >= MiB or not w:
            return {a: {**c, **ones}[a] for a in axes}
        a = max(w, key=m.get)                                       # the mesh makes crumbs: loosen it
        m[a] //= smallest_prime_factor(m[a])


if __name__ == "__main__":
    E, L, H, K, D, F, V = 16384, 126, 128, 8, 128, 53248, 128256
    for name, axes, hf in (("embedding", dict(v=V, e=E), "ve"), ("logits", dict(e=E, v=V), "ve"), ("query", dict(e=E, l=L, h=H, d=D), "hde"),
                           ("key", dict(e=E, l=L, h=K, d=D), "hde"), ("out", dict(h=H, l=L, d=D, e=E), "ehd"), ("wi", dict(e=E, l=L, f=F), "fe"),
                           ("wo", dict(f=F, l=L, e=E), "ef"), ("norm", dict(e=E, l=L), "e")):
        print(name, tuple(grid(axes, hf).values()), tuple(grid(axes, hf, dict(e=16, h=4, f=4, v=4)).values()))
