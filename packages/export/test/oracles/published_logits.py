"""Llama, Mixtral, Qwen2, Qwen3 and the mixtures of both in HuggingFace's format, written from the papers and
config.json alone.

`check FOLDER...` compares exported folders, each with the adapter in its folder `adapter` if there is one, with the
logits ([B, S, V], float32) of the trainer for ids.json ([B, S]), and prints `good` for each. `make (FOLDER DTYPE
SHARDS)...` writes random weights in SHARDS files and their logits into folders that have config.json and ids.json, and
prints `made` for each."""

import json
import math
import os
import sys

import numpy
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.functional import silu

MLP = ("gate_proj", "up_proj", "down_proj")


class Model:
    """A model class of transformers. `get(name, shape)` returns a tensor."""

    def __init__(self, config, get):
        self.config, self.get = config, get
        self.kind = config["architectures"][0]
        self.size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        assert config["hidden_act"] == "silu"

    def norm(self, x, name):
        weight = self.get(f"{name}.weight", (x.shape[-1],))
        return x / (x.square().mean(-1, keepdim=True) + self.config["rms_norm_eps"]).sqrt() * weight

    def linear(self, x, name, width, bias=False):
        y = x @ self.get(f"{name}.weight", (width, x.shape[-1])).T
        return y + self.get(f"{name}.bias", (width,)) if bias else y

    def rotated(self, x):
        half = self.size // 2
        theta = self.config.get("rope_theta") or self.config["rope_parameters"]["rope_theta"]
        rates = self.scaled(theta ** -(torch.arange(half, dtype=torch.float64) / half))
        angles = torch.arange(x.shape[2], dtype=torch.float64)[:, None] * rates
        cos, sin = angles.cos().float(), angles.sin().float()
        a, b = x[..., :half], x[..., half:]
        return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

    def scaled(self, rates):
        fields = self.config.get("rope_scaling") or self.config.get("rope_parameters") or {}
        kind = fields.get("rope_type", fields.get("type", "default"))
        if kind == "default":
            return rates
        if kind == "linear":
            return rates / fields["factor"]
        low, high = fields["low_freq_factor"], fields["high_freq_factor"]
        old, lengths = fields["original_max_position_embeddings"], 2 * math.pi / rates
        smooth = (old / lengths - low) / (high - low)
        between = (1 - smooth) * rates / fields["factor"] + smooth * rates
        return torch.where(lengths > old / low, rates / fields["factor"], torch.where(lengths < old / high, rates, between))

    def attention(self, x, name):
        config, (batch, length, width) = self.config, x.shape
        heads, shared = config["num_attention_heads"], config["num_key_value_heads"]
        bias = self.kind == "Qwen2ForCausalLM" or self.kind == "Qwen2MoeForCausalLM" and config.get("qkv_bias", True)

        def project(part, count):
            y = self.linear(x, f"{name}.{part}_proj", count * self.size, bias).view(batch, length, count, self.size)
            if "Qwen3" in self.kind and part != "v":
                y = self.norm(y, f"{name}.{part}_norm")
            return y.transpose(1, 2)

        q = self.rotated(project("q", heads))
        k = self.rotated(project("k", shared)).repeat_interleave(heads // shared, 1)
        v = project("v", shared).repeat_interleave(heads // shared, 1)
        scores = q @ k.transpose(2, 3) / self.size**0.5
        scores = scores + torch.full((length, length), -torch.inf).triu(1)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(batch, length, heads * self.size)
        return self.linear(mixed, f"{name}.o_proj", width)

    def network(self, x, name, width, names=MLP):
        gate, up, down = (f"{name}.{each}" for each in names)
        return self.linear(silu(self.linear(x, gate, width)) * self.linear(x, up, width), down, x.shape[-1])

    def mixture(self, x, name):
        config, isMixtral = self.config, self.kind == "MixtralForCausalLM"
        name = f"{name}.block_sparse_moe" if isMixtral else f"{name}.mlp"
        names = ("w1", "w3", "w2") if isMixtral else MLP
        count = config["num_local_experts"] if isMixtral else config["num_experts"]
        width = config["intermediate_size"] if isMixtral else config["moe_intermediate_size"]
        probabilities = self.linear(x, f"{name}.gate", count).softmax(-1)
        weights, chosen = probabilities.topk(config["num_experts_per_tok"], -1)
        if isMixtral or config["norm_topk_prob"]:
            weights = weights / weights.sum(-1, keepdim=True)
        weights = torch.zeros_like(probabilities).scatter(-1, chosen, weights)
        experts = [self.network(x, f"{name}.experts.{i}", width, names) for i in range(count)]
        y = (torch.stack(experts, -1) * weights[..., None, :]).sum(-1)
        if isMixtral or "Qwen3" in self.kind:
            return y
        opened = self.linear(x, f"{name}.shared_expert_gate", 1).sigmoid()
        return y + opened * self.network(x, f"{name}.shared_expert", config["shared_expert_intermediate_size"])

    def is_sparse(self, layer):
        return "Mixtral" in self.kind or "Moe" in self.kind and layer not in self.config["mlp_only_layers"]

    def logits(self, ids):
        config, width = self.config, self.config["hidden_size"]
        embedding = self.get("model.embed_tokens.weight", (config["vocab_size"], width))
        x = embedding[ids]
        for layer in range(config["num_hidden_layers"]):
            name = f"model.layers.{layer}"
            x = x + self.attention(self.norm(x, f"{name}.input_layernorm"), f"{name}.self_attn")
            normal = self.norm(x, f"{name}.post_attention_layernorm")
            if self.is_sparse(layer):
                x = x + self.mixture(normal, name)
            else:
                x = x + self.network(normal, f"{name}.mlp", config["intermediate_size"])
        x = self.norm(x, "model.norm")
        return x @ embedding.T if config["tie_word_embeddings"] else self.linear(x, "lm_head", config["vocab_size"])


def read(folder, name):
    return json.load(open(f"{folder}/{name}.json"))


def adapter(folder):
    """What a LoRA adapter in PEFT's format adds to each weight: lora_alpha / r B A for the modules whose names end in
    one of target_modules. Also returns the tensors of modules that it does not target."""
    config = read(folder, "adapter_config")
    assert config["peft_type"] == "LORA" and config["bias"] == "none" and not config["fan_in_fan_out"]
    with safe_open(f"{folder}/adapter_model.safetensors", "pt") as file:
        pairs = {name: file.get_tensor(name) for name in file.keys()}
    added = {}
    for name in list(pairs):
        module, _, part = name.removeprefix("base_model.model.").rpartition(".lora_A.weight")
        if not part and any(module.endswith(f".{each}") for each in config["target_modules"]):
            a, b = (pairs.pop(f"base_model.model.{module}.lora_{each}.weight") for each in "AB")
            assert a.shape[0] == b.shape[1] == config["r"]
            added[f"{module}.weight"] = config["lora_alpha"] / config["r"] * b @ a
    return added, set(pairs)


def check(folder):
    with safe_open(f"{folder}/model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}
        weights = {name: file.get_tensor(name) for name in file.keys()}
    used = set()
    added, unused = adapter(f"{folder}/adapter") if os.path.exists(f"{folder}/adapter") else ({}, set())

    def get(name, shape):
        used.add(name)
        assert weights[name].shape == shape, (name, weights[name].shape, shape)
        return weights[name].float() + added.get(name, 0)

    logits = Model(read(folder, "config"), get).logits(torch.tensor(read(folder, "ids")))
    own = torch.from_numpy(numpy.fromfile(f"{folder}/logits", numpy.float32)).view_as(logits)
    torch.testing.assert_close(logits, own, atol=1e-4, rtol=0)
    assert used == set(weights), used ^ set(weights)
    assert set(added) <= used and not unused, (set(added) - used, unused)
    print("good")


def make(folder, dtype, shards):
    torch.manual_seed(1)
    weights = {}

    def get(name, shape):
        if name not in weights:
            spread = 1 + torch.randn(shape) / 5 if "norm" in name else torch.randn(shape) / shape[-1] ** 0.5
            weights[name] = spread.to(getattr(torch, dtype))
        return weights[name].float()

    logits = Model(read(folder, "config"), get).logits(torch.tensor(read(folder, "ids")))
    logits.numpy().tofile(f"{folder}/logits")
    files = {}
    for i in range(int(shards)):
        name = f"model-{i + 1:05}-of-{int(shards):05}.safetensors" if int(shards) > 1 else "model.safetensors"
        part = dict(list(weights.items())[i :: int(shards)])
        save_file(part, f"{folder}/{name}", {"format": "pt"})
        files |= dict.fromkeys(part, name)
    if int(shards) > 1:
        json.dump({"metadata": {}, "weight_map": files}, open(f"{folder}/model.safetensors.index.json", "w"))
    print("made")


with torch.no_grad():
    if sys.argv[1] == "make":
        for i in range(2, len(sys.argv), 3):
            make(*sys.argv[i : i + 3])
    else:
        for folder in sys.argv[2:]:
            check(folder)
