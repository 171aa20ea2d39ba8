"""The family pangu-sigma (docs/models.md) without its query layer: a pre-LN GPT with sparse upper layers.

B sequences, S positions, T = B S tokens, d hidden size, H heads. Parameters are named as in our checkpoints;
matrices are [in, out].
"""

import torch
import torch.nn.functional as F

from feed_forward import feed_forward
from switch_layer import SwitchLayer


class Model:
    def __init__(self, config, parameters, rank, world_size, clock):
        self.sizes = config["model"]
        self.parameters = parameters
        dense = self.sizes["numDenseLayers"]
        self.prefixes = [f"layers.{i}" for i in range(dense + self.sizes["numSparseLayers"])]
        self.sparse = {
            prefix: SwitchLayer(parameters, prefix, config["moe"], rank, world_size, clock)
            for prefix in self.prefixes[dense:]
        }

    def compile(self):
        """Compiles what has the same shapes at every step: all but the sparse layers' experts and exchanges."""
        self._attention = torch.compile(self._attention, dynamic=False)
        self._norm = torch.compile(self._norm, dynamic=False)
        self._dense = torch.compile(self._dense, dynamic=False)
        self._cross_entropy = torch.compile(self._cross_entropy, dynamic=False)

    def loss(self, tokens_BS, targets_BS):
        """Mean cross-entropy over this rank's tokens in nats, and the sum of the balance losses."""
        x_TD = self._embedding(tokens_BS).flatten(0, 1)
        auxiliary = torch.zeros(())
        for prefix in self.prefixes:
            x_TD = x_TD + self._attention(prefix, self._norm(f"{prefix}.ln_attn", x_TD), tokens_BS.shape)
            normal_TD = self._norm(f"{prefix}.ln_ffn", x_TD)
            if prefix in self.sparse:
                y_TD, balance = self.sparse[prefix].forward(normal_TD)
                auxiliary = auxiliary + balance
            else:
                y_TD = self._dense(prefix, normal_TD)
            x_TD = x_TD + y_TD
        return self._cross_entropy(self._norm("ln_final", x_TD), targets_BS.flatten()), auxiliary

    def _embedding(self, tokens_BS):
        return F.embedding(tokens_BS, self.parameters["embed.tokens"]) + self.parameters["embed.positions"]

    def _head(self):
        """The matrix of the logits, [vocabulary, d]."""
        return self.parameters["embed.tokens"]

    def _dense(self, prefix, x_TD):
        return feed_forward(self.parameters, f"{prefix}.ffn")(x_TD)

    def _cross_entropy(self, x_TD, targets_T):
        return F.cross_entropy(x_TD @ self._head().T, targets_T)

    def _norm(self, prefix, x_TD):
        gain, bias = self.parameters[f"{prefix}.gain"], self.parameters[f"{prefix}.bias"]
        return F.layer_norm(x_TD, (x_TD.shape[1],), gain, bias, eps=1e-5)

    def _attention(self, prefix, x_TD, shape_BS):
        q, k, v = self._qkv(prefix, x_TD, shape_BS)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(2).flatten(0, 1) @ self.parameters[f"{prefix}.attn.out"]

    def _qkv(self, prefix, x_TD, shape_BS):
        """Queries, keys and values, each [B, H, S, coordinates of a head]."""
        num_heads = self.sizes["numHeads"]
        qkv_BSC = (x_TD @ self.parameters[f"{prefix}.attn.qkv"]).view(*shape_BS, 3, num_heads, -1)
        return qkv_BSC.permute(2, 0, 3, 1, 4)
