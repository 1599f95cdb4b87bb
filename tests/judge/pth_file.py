"""Reads the tensors of a torch zip file (.pth) without torch: a pickle machine that may build tensors and nothing else.

Only for the committed goldens: the test that merges Meta's shards into safetensors needs their bytes.
"""

import io
import pickle
import zipfile
from collections import OrderedDict


class _Storage:
    """A storage's dtype in safetensors' words, and its bytes."""

    def __init__(self, dtype, width, data):
        self.dtype, self.width, self.data = dtype, width, data


STORAGES = {"BFloat16Storage": ("BF16", 2), "FloatStorage": ("F32", 4), "HalfStorage": ("F16", 2)}


def _rebuild(storage, offset, shape, stride, *_):
    """(dtype, shape, bytes) of a contiguous tensor; the goldens hold no other."""
    expected, step = [], 1
    for extent in reversed(shape):
        expected.insert(0, step)
        step *= extent
    if tuple(expected) != tuple(stride):
        raise ValueError(f"shape {shape} with strides {stride} is not contiguous")
    begin = offset * storage.width
    return storage.dtype, tuple(shape), storage.data[begin : begin + step * storage.width]


class _Unpickler(pickle.Unpickler):
    def __init__(self, data, archive, root):
        super().__init__(io.BytesIO(data))
        self._archive, self._root = archive, root

    def find_class(self, module, name):
        allowed = {("collections", "OrderedDict"): OrderedDict, ("torch._utils", "_rebuild_tensor_v2"): _rebuild}
        if (module, name) in allowed:
            return allowed[module, name]
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")

    def persistent_load(self, pid):
        _, (dtype, width), key, _, count = pid
        data = self._archive.read(f"{self._root}/data/{key}")
        if len(data) != count * width:
            raise ValueError(f"storage {key} has {len(data)} bytes, {count * width} expected")
        return _Storage(dtype, width, data)


def read_pth(path):
    """{name: (dtype, shape, bytes)} of a state dict."""
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        root = pickled.removesuffix("/data.pkl")
        return dict(_Unpickler(archive.read(pickled), archive, root).load())
