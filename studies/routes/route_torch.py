"""Routes windows with the exported model in PyTorch. Writes the experts that take each token, int32 [L, T], bit e for
expert e."""

import sys
from pathlib import Path

import numpy
import torch

folder, length = Path(sys.argv[1]), int(sys.argv[2])
sys.path.insert(0, str(folder))
from locmoe import SparseLayer, load  # noqa: E402

model = load(folder)
ids = torch.from_numpy(numpy.fromfile(folder / "ids", numpy.int32)).long().view(-1, length)
domains = torch.from_numpy(numpy.fromfile(folder / "domains", numpy.int32)).long()
routers = [layer.router for layer in model.layers if isinstance(layer, SparseLayer)]
taken = [[] for _ in routers]
for layer, router in enumerate(routers):
    bits = 1 << torch.arange(model.config.num_experts)
    router.register_forward_hook(
        lambda _, __, weights, layer=layer, bits=bits: taken[layer].append(((weights != 0) * bits).sum(1))
    )
with torch.no_grad():
    for part, domain in zip(ids.split(32), domains.split(32)):
        model(part, domain)
numpy.stack([torch.cat(parts).numpy() for parts in taken]).astype(numpy.int32).tofile(folder / "taken")
