"""Compares a folder of float32 with the same one exported as bfloat16. Prints `good`."""

import sys

import torch

float32, bfloat16 = sys.argv[1:]
sys.path.insert(0, bfloat16)
from locmoe import load  # noqa: E402

expected, model = load(float32), load(bfloat16)
for name, tensor in model.state_dict().items():
    whole = expected.state_dict()[name]
    assert tensor.equal(whole if ".router." in name else whole.to(torch.bfloat16)), name
assert model.embed.tokens.dtype == torch.bfloat16

ids, domain_ids = torch.arange(8)[None], torch.tensor([0])
with torch.no_grad():
    torch.testing.assert_close(model(ids, domain_ids).float(), expected(ids, domain_ids), atol=0.1, rtol=0)
print("good")
