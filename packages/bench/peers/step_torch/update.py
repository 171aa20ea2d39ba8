"""Sums gradients over ranks, clips and applies them: src/worker/gradient-sync.ts and optimizer.ts."""

import math

import torch
import torch.distributed as dist


def learning_rate(step, train):
    """Linear warm-up, then half a cosine (src/worker/lr-schedule.ts); steps count from 1."""
    if step < train["warmupSteps"]:
        return train["learningRate"] * step / train["warmupSteps"]
    if step >= train["steps"]:
        return train["endLearningRate"]
    progress = (step - train["warmupSteps"]) / (train["steps"] - train["warmupSteps"])
    span = train["learningRate"] - train["endLearningRate"]
    return train["endLearningRate"] + 0.5 * span * (1 + math.cos(math.pi * progress))


def has_decay(name):
    """Weight decay applies to matrices, not to gains, biases and position embeddings."""
    return not name.endswith((".gain", ".bias")) and name != "embed.positions"


def square(tensor):
    """Squared L2 norm, by the BLAS."""
    flat = tensor.flatten()
    return float(torch.dot(flat, flat))


class Updater:
    """Fused AdamW; one flat gradient buffer for shared parameters, so that one call sums them."""

    def __init__(self, shared, expert, train, world_size, clock):
        self.train, self.world_size, self.clock = train, world_size, clock
        self.shared, self.expert = list(shared.values()), list(expert.values())
        self.flat = torch.zeros(sum(p.numel() for p in self.shared))
        pieces = self.flat.split([p.numel() for p in self.shared])
        self.views = [piece.view_as(p) for piece, p in zip(pieces, self.shared)]
        decayed = {"weight_decay": train["weightDecay"]}
        groups = [
            {"params": [p for name, p in shared.items() if has_decay(name)], **decayed},
            {"params": [p for name, p in shared.items() if not has_decay(name)], "weight_decay": 0.0},
            {"params": self.expert, "eps": train["expertEpsilon"], **decayed},
        ]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            betas=(train["beta1"], train["beta2"]),
            eps=train["epsilon"],
            fused=True,
        )

    def apply(self, step):
        """Applies and clears the gradients; returns their norm over all parameters of the model."""
        norm = self._sync()
        with self.clock.measure("optimizer"):
            # The fused kernel divides gradients by this, so that clipping needs no extra pass.
            is_clipped = norm > self.train["clipNorm"]
            self.optimizer.grad_scale = torch.tensor(norm / self.train["clipNorm"]) if is_clipped else None
            self.optimizer.found_inf = torch.tensor(0.0) if is_clipped else None
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate(step, self.train)
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
        return norm

    def _sync(self):
        torch.cat([p.grad.flatten() for p in self.shared], out=self.flat)
        for p, view in zip(self.shared, self.views):
            p.grad = view
        for p in self.expert:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        self._all_reduce(self.flat)
        of_experts = torch.tensor([sum(square(p.grad) for p in self.expert)])
        self._all_reduce(of_experts)
        return math.sqrt(square(self.flat) + float(of_experts))

    def _all_reduce(self, tensor):
        if self.world_size == 1:
            return
        with self.clock.measure("allReduce"):
            dist.all_reduce(tensor)
