"""Compares exported folders, which are the arguments, with the logits ([B, S, V], float32) of the trainer.

ids.json: [B, S]; sequence i is of domain i. With a cache of keys and values, and with padding on the left,
the logits must be the same. Prints `good` for each folder.
"""

import json
import sys
from pathlib import Path

import numpy
import torch

sys.path.insert(0, sys.argv[1])
from locmoe import load  # noqa: E402


class Cache:
    """Mimics transformers' DynamicCache."""

    def __init__(self):
        self.layers = {}

    def get_seq_length(self):
        return self.layers[0][0].shape[2] if self.layers else 0

    def update(self, keys, values, layer):
        if layer in self.layers:
            old_keys, old_values = self.layers[layer]
            keys, values = torch.cat([old_keys, keys], 2), torch.cat([old_values, values], 2)
        self.layers[layer] = keys, values
        return keys, values


@torch.no_grad()
def compare(folder):
    model = load(folder)
    ids = torch.tensor(json.loads((folder / "ids.json").read_text()))
    own = torch.from_numpy(numpy.fromfile(folder / "logits", numpy.float32)).view(*ids.shape, -1)
    domain_ids = torch.arange(len(ids))
    same(model(ids, domain_ids), own)

    cache, half = Cache(), ids.shape[1] // 2
    parts = [ids[:, :half], *ids[:, half:].split(1, 1)]
    same(torch.cat([model(part, domain_ids, cache=cache) for part in parts], 1), own)

    padded = torch.cat([ids[:, :1], ids[:, :-1]], 1)
    mask = torch.ones_like(ids)
    mask[:, 0] = 0
    same(model(padded, domain_ids, attention_mask=mask)[:, 1:], own[:, :-1])

    for unknown in [-1, len(model.config.domains)]:
        try:
            model(ids, torch.full_like(domain_ids, unknown))
        except ValueError as error:
            assert "the model knows" in str(error), error
        else:
            raise AssertionError(f"domain {unknown}, which the model does not know, was taken")


def same(logits, own):
    torch.testing.assert_close(logits, own, atol=1e-4, rtol=0)


for folder in sys.argv[1:]:
    compare(Path(folder))
    print("good")
