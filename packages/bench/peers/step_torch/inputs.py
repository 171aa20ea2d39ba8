"""Initial weights and token batches, written by packages/bench/src/step/inputs.ts."""

import json
import math
import struct

import torch

DTYPES = {"F32": (torch.float32, 4), "I32": (torch.int32, 4)}


class TensorFile:
    """A safetensors file, read tensor by tensor, so that a rank loads only its own.

    Format: u64 little-endian header length, JSON {name: {dtype, shape, data_offsets}}, then the tensors,
    row-major and little-endian, at offsets from the end of the header.
    """

    def __init__(self, path):
        self._path = path
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        self._start = 8 + length
        self._entries = {name: entry for name, entry in header.items() if name != "__metadata__"}

    @property
    def names(self):
        return list(self._entries)

    def read(self, name):
        """A copy of one tensor."""
        entry = self._entries[name]
        dtype, size = DTYPES[entry["dtype"]]
        begin, end = entry["data_offsets"]
        if end - begin != size * math.prod(entry["shape"]):
            found = f"{end - begin} bytes for shape {entry['shape']}"
            raise ValueError(f"{self._path}: tensor {name} has {found}")
        with open(self._path, "rb") as file:
            file.seek(self._start + begin)
            data = bytearray(file.read(end - begin))
        return torch.frombuffer(data, dtype=dtype).reshape(entry["shape"])
