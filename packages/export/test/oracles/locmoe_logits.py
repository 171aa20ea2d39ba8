"""Logits of exported folders: reads a list of {"folder", "sequences"}, writes one of [B, S, V].

Sequence i is of domain i. With a cache of keys and values, and with padding on the left, they must be the same.
"""

import json
import sys

import torch

requests = json.load(sys.stdin)
sys.path.insert(0, requests[0]["folder"])
from locmoe import load  # noqa: E402


class Cache:
    """As transformers' DynamicCache."""

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
def logits_of(folder, sequences):
    model = load(folder)
    ids = torch.tensor(sequences)
    domain_ids = torch.arange(len(ids))
    logits = model(ids, domain_ids)

    cache, half = Cache(), ids.shape[1] // 2
    parts = [ids[:, :half], *ids[:, half:].split(1, 1)]
    cached = torch.cat([model(part, domain_ids, cache=cache) for part in parts], 1)
    torch.testing.assert_close(cached, logits, atol=1e-4, rtol=0)

    mask = torch.ones_like(ids)
    mask[:, 0] = 0
    padded = model(ids, domain_ids, attention_mask=mask)[:, 1:]
    torch.testing.assert_close(padded, model(ids[:, 1:], domain_ids), atol=1e-4, rtol=0)
    return logits.tolist()


json.dump([logits_of(**request) for request in requests], sys.stdout)
