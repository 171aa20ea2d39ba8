"""The family llama (docs/models.md): RMS norms, rotary positions, and heads that share keys and values.

S positions, H heads, K heads of keys and values, C coordinates of a head.
"""

import torch
import torch.nn.functional as F

from model import Model


class Llama(Model):
    def __init__(self, config, *rest):
        super().__init__(config, *rest)
        sizes = self.sizes
        self.epsilon = sizes["normEpsilon"]
        self.head_dim = sizes["headDim"]
        theta = sizes["ropeTheta"]
        frequencies = theta ** (-torch.arange(0, self.head_dim, 2) / self.head_dim)
        angles_SC = (torch.arange(sizes["seqLen"])[:, None] * frequencies).repeat(1, 2)
        self.cos_SC, self.sin_SC = angles_SC.cos(), angles_SC.sin()

    def _embedding(self, tokens_BS):
        return F.embedding(tokens_BS, self.parameters["embed.tokens"])

    def _head(self):
        return self.parameters.get("head", self.parameters["embed.tokens"])

    def _norm(self, prefix, x_TD):
        return F.rms_norm(x_TD, (x_TD.shape[1],), self.parameters[f"{prefix}.gain"], self.epsilon)

    def _qkv(self, prefix, x_TD, shape_BS):
        q, k, v = (
            (x_TD @ self.parameters[f"{prefix}.attn.{name}"]).view(*shape_BS, -1, self.head_dim).transpose(1, 2)
            for name in "qkv"
        )
        # Repeated, as the fused kernel for processors wants as many heads of each.
        sharing = q.shape[1] // k.shape[1]
        k, v = self._rotated(k).repeat_interleave(sharing, dim=1), v.repeat_interleave(sharing, dim=1)
        return self._rotated(q), k, v

    def _rotated(self, x_BHSC):
        """Rotates coordinate i of the first half with coordinate i of the second (arXiv 2104.09864)."""
        first, second = x_BHSC.chunk(2, dim=-1)
        turned = x_BHSC * self.cos_SC + torch.cat((-second, first), dim=-1) * self.sin_SC
        return turned.to(x_BHSC.dtype)
