"""Routes windows with the exported graph in Python's ONNX Runtime. Writes what route_torch.py does."""

import sys
from pathlib import Path

import numpy
import onnxruntime

folder, length = Path(sys.argv[1]), int(sys.argv[2])
session = onnxruntime.InferenceSession(str(folder / "onnx" / "model.onnx"), providers=["CPUExecutionProvider"])
names = sorted((o.name for o in session.get_outputs() if o.name.endswith(".weights")), key=lambda n: int(n.split(".")[1]))
ids = numpy.fromfile(folder / "ids", numpy.int32).astype(numpy.int64).reshape(-1, length)
domains = numpy.fromfile(folder / "domains", numpy.int32).astype(numpy.int64)
taken = [[] for _ in names]
for begin in range(0, len(ids), 32):
    end = begin + 32
    given = {"input_ids": ids[begin:end], "attention_mask": numpy.ones_like(ids[begin:end]), "domain": domains[begin:end]}
    past = [i for i in session.get_inputs() if i.name.startswith("past_key_values.")]
    empty = {i.name: numpy.zeros((len(ids[begin:end]), i.shape[1], 0, i.shape[3]), numpy.float32) for i in past}
    outputs = session.run(names, given | empty)
    for layer, weights in enumerate(outputs):
        bits = 1 << numpy.arange(weights.shape[-1])
        taken[layer].append(((weights != 0) * bits).sum(-1).reshape(-1))
numpy.stack([numpy.concatenate(parts) for parts in taken]).astype(numpy.int32).tofile(folder / "taken")
