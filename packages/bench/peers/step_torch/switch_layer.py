"""A Switch layer (arXiv 2101.03961) over ranks.

T tokens of this rank, d hidden size, E experts, W ranks, L = E / W. Rank r owns experts [r L, (r + 1) L).
Ties go to the first expert. An expert takes at most ceil(factor * tokens of all ranks / E) tokens, the first
ones by global token index; the rest are dropped.
"""

import math

import torch
import torch.distributed as dist

from feed_forward import feed_forward


class AllToAll(torch.autograd.Function):
    """All-to-all of rows, with its gradient. `sent` and `received` are numbers of rows per rank."""

    @staticmethod
    def forward(ctx, rows, sent, received, clock):
        ctx.splits = (sent, received, clock)
        return exchange(rows, sent, received, clock)

    @staticmethod
    def backward(ctx, gradient):
        sent, received, clock = ctx.splits
        return exchange(gradient, received, sent, clock), None, None, None


def exchange(rows, sent, received, clock):
    rows = rows.contiguous()
    if len(sent) == 1:
        return rows.view_as(rows)
    result = rows.new_empty(sum(received), rows.shape[1])
    with clock.measure("exchange"):
        dist.all_to_all_single(result, rows, received, sent)
    return result


def wire_type(tensor):
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else tensor.dtype


class SwitchLayer:
    def __init__(self, parameters, prefix, moe, rank, world_size, clock):
        self.weight_DE = parameters[f"{prefix}.router.weight"]
        self.num_experts = moe["numExperts"]
        self.local = self.num_experts // world_size
        self.experts = [
            feed_forward(parameters, f"{prefix}.experts.{e}")
            for e in range(rank * self.local, (rank + 1) * self.local)
        ]
        self.factor = moe["capacityFactor"]
        self.loss_weight = moe["auxiliaryLossWeight"]
        self.rank, self.world_size, self.clock = rank, world_size, clock

    def forward(self, x_TD):
        """The weighted outputs [T, d], zero for dropped tokens, and the balance loss (eq. 4)."""
        probs_TE = torch.softmax(x_TD @ self.weight_DE, dim=1)
        weight_T, chosen_T = probs_TE.max(dim=1)
        routed_WE = self._counts(torch.bincount(chosen_T, minlength=self.num_experts))
        kept_WE = self._kept(routed_WE, x_TD.shape[0])
        rows_N = self._kept_rows(chosen_T, routed_WE[self.rank], kept_WE[self.rank])

        kept_WWL = kept_WE.view(self.world_size, self.world_size, self.local)
        sent = kept_WWL[self.rank].sum(dim=1).tolist()
        from_WL = kept_WWL[:, self.rank]
        received = from_WL.sum(dim=1).tolist()
        # Half the bytes under autocast, whose products round their operands anyway.
        x_TD = x_TD.to(wire_type(x_TD))
        rows_RD = AllToAll.apply(x_TD.index_select(0, rows_N), sent, received, self.clock)
        outputs_ND = AllToAll.apply(self._experts(rows_RD, from_WL), received, sent, self.clock)

        weighted_ND = outputs_ND * weight_T.index_select(0, rows_N)[:, None]
        y_TD = weighted_ND.new_zeros(x_TD.shape).index_copy(0, rows_N, weighted_ND)
        share_E = routed_WE.sum(dim=0) / routed_WE.sum()
        balance = self.loss_weight * self.num_experts * torch.sum(share_E * probs_TE.mean(dim=0))
        return y_TD, balance

    def _counts(self, routed_E):
        """Choices per expert of every rank, [W, E]."""
        if self.world_size == 1:
            return routed_E[None]
        counts = routed_E.new_empty(self.world_size * self.num_experts)
        with self.clock.measure("exchange"):
            dist.all_gather_into_tensor(counts, routed_E)
        return counts.view(self.world_size, self.num_experts)

    def _kept(self, routed_WE, num_tokens):
        """Kept choices per expert of every rank, [W, E]."""
        if self.factor is None:
            return routed_WE
        capacity = math.ceil(self.factor * num_tokens * self.world_size / self.num_experts)
        before_WE = routed_WE.cumsum(dim=0) - routed_WE
        return torch.minimum(routed_WE, (capacity - before_WE).clamp(min=0))

    def _kept_rows(self, chosen_T, routed_E, kept_E):
        """Kept tokens, sorted by expert, then by token."""
        order_T = chosen_T.argsort(stable=True)
        expert_T = chosen_T[order_T]
        place_T = torch.arange(len(order_T)) - (routed_E.cumsum(0) - routed_E)[expert_T]
        return order_T[place_T < kept_E[expert_T]]

    def _experts(self, rows_RD, from_WL):
        """Runs every local expert on its rows; rows and outputs lie by source rank, then by expert."""
        pieces = rows_RD.split(from_WL.flatten().tolist())
        outputs = [None] * len(pieces)
        for i, expert in enumerate(self.experts):
            of_sources = pieces[i :: self.local]
            sizes = [len(piece) for piece in of_sources]
            if sum(sizes) == 0:
                outputs[i :: self.local] = [piece.to(wire_type(piece)) for piece in of_sources]
                continue
            rows = of_sources[0] if len(of_sources) == 1 else torch.cat(of_sources)
            outputs[i :: self.local] = expert(rows).split(sizes)
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)
