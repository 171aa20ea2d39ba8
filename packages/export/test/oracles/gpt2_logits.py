"""GPT-2 (HuggingFace's format) written from the paper and config.json alone: compares an exported folder with
the logits ([B, S, V], float32) of the trainer for ids.json ([B, S]). Prints `good`."""

import json
import sys
from math import pi, sqrt

import numpy
import torch
from safetensors import safe_open

folder = sys.argv[1]
config = json.load(open(f"{folder}/config.json"))
assert config["architectures"] == ["GPT2LMHeadModel"] and config["activation_function"] == "gelu_new"
with safe_open(f"{folder}/model.safetensors", "pt") as file:
    assert file.metadata() == {"format": "pt"}
    weights = {name.removeprefix("transformer."): file.get_tensor(name) for name in file.keys()}
used = set()


def get(name):
    used.add(name)
    return weights[name]


def norm(x, name):
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.square().mean(-1, keepdim=True) + config["layer_norm_epsilon"]).sqrt()
    return x * get(f"{name}.weight") + get(f"{name}.bias")


def linear(x, name):
    return x @ get(f"{name}.weight") + get(f"{name}.bias")


def attention(x, name):
    batch, length, size = x.shape
    heads = config["n_head"]
    q, k, v = (
        part.view(batch, length, heads, size // heads).permute(0, 2, 1, 3)
        for part in linear(x, f"{name}.c_attn").split(size, 2)
    )
    scores = q @ k.permute(0, 1, 3, 2) / sqrt(size // heads)
    scores = scores + torch.full((length, length), -torch.inf).triu(1)
    mixed = (scores.softmax(-1) @ v).permute(0, 2, 1, 3).reshape(batch, length, size)
    return linear(mixed, f"{name}.c_proj")


def feed_forward(x, name):
    x = linear(x, f"{name}.c_fc")
    gelu = 0.5 * x * (1 + torch.tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))
    return linear(gelu, f"{name}.c_proj")


ids = torch.tensor(json.load(open(f"{folder}/ids.json")))
x = get("wte.weight")[ids] + get("wpe.weight")[: ids.shape[1]]
for layer in range(config["n_layer"]):
    x = x + attention(norm(x, f"h.{layer}.ln_1"), f"h.{layer}.attn")
    x = x + feed_forward(norm(x, f"h.{layer}.ln_2"), f"h.{layer}.mlp")
logits = norm(x, "ln_f") @ get("wte.weight").T
own = torch.from_numpy(numpy.fromfile(f"{folder}/logits", numpy.float32)).view_as(logits)
torch.testing.assert_close(logits, own, atol=1e-4, rtol=0)
assert used == set(weights), used ^ set(weights)
print("good")
