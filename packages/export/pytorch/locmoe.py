"""The locmoe language model in plain PyTorch: the forward pass, with every router as it is outside training.

A PanGu-Sigma style decoder (arXiv 2303.10845): dense Transformer layers, layers of experts above them, the
query layer on top, and the softmax tied to the token embedding. Parameters have the names and shapes of
locmoe's own checkpoints; matrices are [in, out] and stand to the right of activations.

Shapes: B sequences, S positions of the input, P >= S positions with those of the cache, T = B S tokens,
d hidden size, F feed-forward size, V vocabulary, H heads, E experts of a layer, G groups of experts.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LAYER_NORM_EPSILON = 1e-5
# Keeps the cosine of a zero vector finite.
LEAST_SQUARED_NORM = 1e-12


def load(folder):
    """The model of an exported folder, for inference, without transformers; `config` is its config.json."""
    from safetensors.torch import load_file

    folder = Path(folder)
    config = SimpleNamespace(**json.loads((folder / "config.json").read_text()))
    tensors = {}
    for file in sorted(folder.glob("model*.safetensors")):
        tensors.update((name.removeprefix("model."), tensor) for name, tensor in load_file(file).items())
    with torch.device("meta"):
        model = Locmoe(config)
    model.load_state_dict(tensors, assign=True)
    return model.eval()


class Place(NamedTuple):
    """Where the tokens of the input stand."""

    # [B, S]
    positions: Tensor
    # Whether a query (S) sees a key (P): [B, 1, S, P].
    sees: Tensor
    # Keys and values of earlier positions, or None.
    cache: object


class Locmoe(nn.Module):
    """The whole model. Parameters are zero until a state dict is loaded."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.embed = nn.ParameterDict(
            {
                "tokens": matrix(config.vocab_size, config.hidden_size),
                "positions": matrix(config.max_position_embeddings, config.hidden_size),
            }
        )
        kinds = [DenseLayer] * config.num_dense_layers + [SparseLayer] * config.num_sparse_layers
        self.layers = nn.ModuleList(kind(config, layer) for layer, kind in enumerate(kinds))
        self.query = QueryLayer(config, len(kinds)) if config.query_layer else None
        self.ln_final = LayerNorm(config.hidden_size)

    def forward(self, input_ids, domain_ids, attention_mask=None, cache=None):
        """Logits of the next token at every position: [B, S] -> [B, S, V].

        domain_ids: [B], positions in config.domains; they decide which experts a sequence may use.
        attention_mask: [B, P], 0 for padding, which stands on the left.
        cache: keeps keys and values, with `update(keys, values, layer)` and `get_seq_length()` as the caches
        of transformers have them.
        """
        num_new = input_ids.shape[1]
        length = num_new + (0 if cache is None else cache.get_seq_length())
        most = self.config.max_position_embeddings
        if length > most:
            raise ValueError(f"{length} tokens: the model takes {most} at most")
        known = self.config.domains
        if ((domain_ids < 0) | (domain_ids >= len(known))).any():
            raise ValueError(f"domain ids {domain_ids.tolist()}: the model knows {len(known)} ({', '.join(known)})")
        if attention_mask is None:
            attention_mask = torch.ones(len(input_ids), length, dtype=torch.long, device=input_ids.device)
        positions = (attention_mask.cumsum(1) - 1).clamp(min=0)[:, -num_new:]
        place = Place(positions, seen(attention_mask, num_new), cache)

        x = self.embed["tokens"][input_ids] + self.embed["positions"][positions]
        for layer in self.layers:
            x = layer(x, place, input_ids, domain_ids)
        if self.query is not None:
            x = self.query(x, place)
        return self.ln_final(x) @ self.embed["tokens"].T


def seen(attention_mask, num_new):
    """Whether each of the last S positions sees a key: itself, and those before it that are no padding.

    [B, P] -> [B, 1, S, P]
    """
    key = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    query = key[-num_new:, None]
    return (key < query) & attention_mask[:, None, None, :].bool() | (key == query)


class DecoderLayer(nn.Module):
    """x + attention(layer norm(x)), then x + f(layer norm(x)): [B, S, d] -> [B, S, d]."""

    def __init__(self, config, layer):
        super().__init__()
        self.ln_attn = LayerNorm(config.hidden_size)
        self.attn = Attention(config, layer)
        self.ln_ffn = LayerNorm(config.hidden_size)

    def forward(self, x, place, input_ids, domain_ids):
        x = x + self.attn(self.ln_attn(x), place)
        return x + self.feed_forward(self.ln_ffn(x), input_ids, domain_ids)


class DenseLayer(DecoderLayer):
    def __init__(self, config, layer):
        super().__init__(config, layer)
        self.ffn = FeedForward(config, config.intermediate_size)

    def feed_forward(self, x, input_ids, domain_ids):
        return self.ffn(x)


class SparseLayer(DecoderLayer):
    """f is a mixture of experts (LocMoE, arXiv 2401.13920, eq. 1): the sum over i of R_i(x) E_i(x)."""

    def __init__(self, config, layer):
        super().__init__(config, layer)
        self.config = config
        self.router = ROUTERS[config.router](config)
        width = config.moe_intermediate_size
        self.experts = nn.ModuleDict((str(expert), FeedForward(config, width)) for expert in held_experts(config))
        # Experts that every token passes through (DeepSeekMoE, arXiv 2401.06066, eq. 9), as one network.
        self.shared = FeedForward(config, config.n_shared_experts * width) if config.n_shared_experts else None

    def feed_forward(self, x, input_ids, domain_ids):
        rows = x.flatten(0, 1)  # [T, d]
        domain_ids = domain_ids.repeat_interleave(x.shape[1], 0)  # [T]
        allowed = in_group(domain_ids, self.config)  # [T, E]
        weights = self.router(rows, input_ids.flatten(), allowed, domain_ids).to(x.dtype)  # [T, E]
        mixed = torch.zeros_like(rows) if self.shared is None else self.shared(rows)
        for name, expert in self.experts.items():
            weight = weights[:, int(name)]
            chosen = weight.nonzero().squeeze(1)
            mixed = mixed.index_add(0, chosen, weight[chosen, None] * expert(rows[chosen]))
        return mixed.view_as(x)


class QueryLayer(nn.Module):
    """PanGu's query layer (arXiv 2303.10845, section 3): its queries are learned, one for each position."""

    def __init__(self, config, layer):
        super().__init__()
        self.positions = matrix(config.max_position_embeddings, config.hidden_size)
        self.ln_attn = LayerNorm(config.hidden_size)
        self.attn = QueryAttention(config, layer)
        self.ln_ffn = LayerNorm(config.hidden_size)
        self.ffn = FeedForward(config, config.intermediate_size)

    def forward(self, x, place):
        x = x + self.attn(self.positions[place.positions], self.ln_attn(x), place)
        return x + self.ffn(self.ln_ffn(x))


class Attention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.layer = layer
        self.num_heads = config.num_attention_heads
        self.qkv = matrix(config.hidden_size, 3 * config.hidden_size)
        self.out = matrix(config.hidden_size, config.hidden_size)

    def forward(self, x, place):
        q, k, v = (x @ self.qkv).chunk(3, -1)
        return attend(q, k, v, self.num_heads, place, self.layer) @ self.out


class QueryAttention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        self.layer = layer
        self.num_heads = config.num_attention_heads
        self.q = matrix(config.hidden_size, config.hidden_size)
        self.kv = matrix(config.hidden_size, 2 * config.hidden_size)
        self.out = matrix(config.hidden_size, config.hidden_size)

    def forward(self, queries, x, place):
        k, v = (x @ self.kv).chunk(2, -1)
        return attend(queries @ self.q, k, v, self.num_heads, place, self.layer) @ self.out


def attend(q, k, v, num_heads, place, layer):
    """softmax(q k^T / sqrt(d / H)) v of each head, over the keys that are seen: [B, S, d] x 3 -> [B, S, d]."""
    q, k, v = (x.unflatten(-1, (num_heads, -1)).transpose(1, 2) for x in (q, k, v))  # [B, H, S, d / H]
    if place.cache is not None:
        k, v = place.cache.update(k, v, layer)  # [B, H, P, d / H]
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=place.sees)
    return y.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """W_out GELU(W_in x): [.., d] -> [.., d], with the tanh form of GELU."""

    def __init__(self, config, width):
        super().__init__()
        self.w_in = matrix(config.hidden_size, width)
        self.w_out = matrix(width, config.hidden_size)

    def forward(self, x):
        return F.gelu(x @ self.w_in, approximate="tanh") @ self.w_out


class LayerNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, x):
        return F.layer_norm(x, self.gain.shape, self.gain, self.bias, LAYER_NORM_EPSILON)


def matrix(rows, columns):
    return nn.Parameter(torch.zeros(rows, columns))


# Routers. Level 1: a sequence may use the experts of its domain's group. Level 2: a router chooses among
# these. It gets the tokens after the layer norm, [T, d], their vocabulary ids, [T], and the experts that level 1
# allows, [T, E]; it gives the weight R of each expert for each token, [T, E], 0 where the token does not go.
# This is routing outside training: no expert has a capacity that could be full, and a token's experts depend on
# no token after it.


def in_group(domain_ids, config):
    """Level 1: experts form G groups of consecutive ids; domain i uses group i mod G: [B] -> bool [B, E].

    All domains of a sub-model use its one group.
    """
    experts = torch.arange(config.num_experts, device=domain_ids.device)
    size = config.num_experts // config.expert_groups
    only = config.expert_group
    group = domain_ids % config.expert_groups if only is None else torch.full_like(domain_ids, only)
    return experts // size == group[:, None]


def held_experts(config):
    """Ids of the experts that the model has: all, or those of a sub-model's group."""
    if config.expert_group is None:
        return range(config.num_experts)
    size = config.num_experts // config.expert_groups
    return range(config.expert_group * size, (config.expert_group + 1) * size)


class HashRouter(nn.Module):
    """A table from the domain and the token id to the expert, -1 for none; weight 1 (PanGu-Sigma, arXiv 2303.10845, section 3)."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.register_buffer("table", torch.zeros(len(config.domains), config.vocab_size, dtype=torch.long))

    def forward(self, x, token_ids, allowed, domain_ids):
        experts = torch.arange(self.config.num_experts, device=x.device)
        return self.table[domain_ids, token_ids][:, None] == experts


class LearnedRouter(nn.Module):
    """What learned gates share: a fixed preference of each token id for experts, where there is one."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        numbers = torch.zeros(config.vocab_size * config.num_experts) if config.token_preference else None
        self.register_buffer("preference", numbers)

    def with_preference(self, scores, token_ids):
        if self.preference is None:
            return scores
        return scores + self.preference.view(-1, self.config.num_experts)[token_ids].float()


class DenseRouter(LearnedRouter):
    """Routers with a learned gate W: [d, E]."""

    def __init__(self, config):
        super().__init__(config)
        self.weight = matrix(config.hidden_size, config.num_experts)

    def logits(self, x):
        return x.float() @ self.weight.float()


class SwitchRouter(DenseRouter):
    """Switch (arXiv 2101.03961, eq. 1 and 2): top-k of p = softmax(x W), weighted by their p."""

    def forward(self, x, token_ids, allowed, domain_ids):
        probs = group_softmax(self.with_preference(self.logits(x), token_ids), allowed)
        return top_weights(probs, probs, allowed, self.config.experts_per_token)


class ExpertChoiceRouter(DenseRouter):
    """Expert choice (arXiv 2202.09368, section 3.2): each expert takes tokens by p = softmax(x W), weighted by their p.

    In training it takes the best of the whole batch. That is not causal, so here it takes those that reach its
    threshold: the least p that it took, averaged over training steps.
    """

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("threshold", torch.zeros(config.num_experts))

    def forward(self, x, token_ids, allowed, domain_ids):
        probs = group_softmax(self.with_preference(self.logits(x), token_ids), allowed)
        most = self.config.candidates_per_token
        candidates = allowed if most is None else likeliest(probs, allowed, most)
        return probs * candidates * (probs >= self.threshold.float())


class MogeRouter(DenseRouter):
    """MoGE (Pangu Pro MoE, arXiv 2505.21411, eq. 5 to 7): p = softmax(x W), top K' of each device group by p.

    The experts of a domain are cut into device groups, so all experts into these of every domain.
    """

    def forward(self, x, token_ids, allowed, domain_ids):
        probs = group_softmax(self.with_preference(self.logits(x), token_ids), allowed)
        parts = probs.unflatten(1, (self.config.expert_groups * self.config.device_groups, -1))
        order = parts.sort(dim=2, descending=True, stable=True).indices
        best = order[:, :, : self.config.choices_per_device_group]
        return probs * torch.zeros_like(parts).scatter(2, best, 1).flatten(1)


class DeepseekRouter(DenseRouter):
    """DeepSeek-V3 (arXiv 2412.19437, eq. 13 to 16): top-k of s + bias, s = sigmoid(x W), weighted by their s.

    A token may be limited to the device groups with the highest sums of their best scores.
    """

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("bias", torch.zeros(config.num_experts))

    def forward(self, x, token_ids, allowed, domain_ids):
        k, most = self.config.experts_per_token, self.config.max_device_groups
        sigmoid = self.logits(x).sigmoid()
        scores = self.with_preference(sigmoid + self.bias.float(), token_ids).masked_fill(~allowed, -1e9)
        if most is not None:
            parts = scores.unflatten(1, (self.config.expert_groups * self.config.device_groups, -1))
            sums = parts.topk(k // most, dim=2).values.sum(2)
            order = sums.sort(dim=1, descending=True, stable=True).indices
            is_open = torch.zeros_like(sums).scatter(1, order[:, :most], 1).bool()
            scores = parts.masked_fill(~is_open[:, :, None], -1e9).flatten(1)
        return top_weights(sigmoid, scores, allowed, k)


class GrapRouter(LearnedRouter):
    """The gates that LocMoE and LocMoE+ share: grouped average pooling (GrAP; arXiv 2401.13920, eq. 4).

    Gate w_i is E/d on the i-th group of d/E coordinates and 0 elsewhere: w_i . x is the mean of the group.
    With learned groups each coordinate has a factor (`blocks`).
    """

    def __init__(self, config):
        super().__init__(config)
        self.blocks = nn.Parameter(torch.ones(config.hidden_size)) if config.learned_groups else None

    def projection(self, x):
        """x . w_i / |w_i| with the gates before learning: [T, d] -> [T, E]."""
        weighted = x.float() if self.blocks is None else x.float() * self.blocks.float()
        by_group = weighted.unflatten(1, (self.config.num_experts, -1))
        return by_group.mean(2) * by_group.shape[2] ** 0.5


class LocmoeRouter(GrapRouter):
    """LocMoE (arXiv 2401.13920): top-k of p = softmax(ReLU(s w_i . x / |w_i| + e_i)), weighted by their p.

    Where ReLU zeroes a whole group, the greatest argument wins.
    """

    def __init__(self, config):
        super().__init__(config)
        self.bias = nn.Parameter(torch.zeros(config.num_experts))

    def forward(self, x, token_ids, allowed, domain_ids):
        argument = self.projection(x) * self.config.gate_scale + self.bias.float()
        probs = group_softmax(self.with_preference(argument.relu(), token_ids), allowed)
        scores = self.with_preference(argument, token_ids)
        return top_weights(probs, scores, allowed, self.config.experts_per_token)


class LocmoePlusRouter(GrapRouter):
    """LocMoE+ (arXiv 2406.00023): tokens choose experts (eq. 5) by affinity cos(x, w_i) (eq. 4), then experts
    choose among these tokens.

    In training an expert takes the tokens of greatest affinity in the whole batch (eq. 6). That is not
    causal, so here it takes those that reach its threshold: the least affinity that it took, averaged over
    training steps. A choice weighs as its share of p, or by its margin above the threshold.
    """

    def __init__(self, config):
        super().__init__(config)
        self.register_buffer("threshold", torch.zeros(config.num_experts))

    def forward(self, x, token_ids, allowed, domain_ids):
        affinity = self.with_preference(self.affinity(x), token_ids)
        sharpness = x.shape[1] ** 0.5 / self.config.router_temperature
        probs = group_softmax(affinity * sharpness, allowed)
        candidates = self.token_choice(probs, allowed)
        if self.config.choice_weights == "margin":
            return candidates * ((affinity - self.threshold.float()) * sharpness).relu().tanh()
        chosen = probs * candidates
        weights = chosen / chosen.sum(1, keepdim=True)
        return weights if self.config.selection == "tcr" else weights * (affinity >= self.threshold.float())

    def affinity(self, x):
        """cos(x_t, w_i): [T, d] -> [T, E]."""
        cosine = self.projection(x) / (x.float().square().sum(1, keepdim=True) + LEAST_SQUARED_NORM).sqrt()
        if self.blocks is None:
            return cosine
        squares = self.blocks.float().square().unflatten(0, (self.config.num_experts, -1)).mean(1)
        return cosine / (squares + LEAST_SQUARED_NORM).sqrt()

    def token_choice(self, probs, allowed):
        """The fewest best experts whose p sum to a threshold, l at most: [T, E] -> bool [T, E].

        With expert choice alone (ecr) a token takes all that level 1 allows.
        """
        if self.config.selection == "ecr":
            return allowed
        return likeliest(probs, allowed, self.config.max_experts_per_token, self.config.affinity_threshold)


def group_softmax(logits, allowed):
    """Softmax over the allowed experts, 0 for the others: [T, E] -> [T, E]."""
    return logits.masked_fill(~allowed, -1e9).softmax(1)


def top_weights(probs, scores, allowed, k):
    """p of the k allowed experts with the greatest scores, over their sum with k > 1; ties go to the lower id."""
    order = scores.masked_fill(~allowed, -torch.inf).sort(dim=1, descending=True, stable=True).indices
    chosen = probs * torch.zeros_like(probs).scatter(1, order[:, :k], 1)
    return chosen if k == 1 else chosen / chosen.sum(1, keepdim=True)


def likeliest(probs, allowed, most, threshold=torch.inf):
    """The fewest likeliest allowed experts whose p sum to a threshold, `most` at most: [T, E] -> bool [T, E]."""
    best, experts = probs.masked_fill(~allowed, -1).sort(dim=1, descending=True, stable=True)
    sum_before = F.pad(best.double().cumsum(1)[:, :-1], (1, 0))
    rank = torch.arange(probs.shape[1], device=best.device)
    taken = (sum_before < threshold) & (rank < most)
    return torch.zeros_like(allowed).scatter(1, experts, taken) & allowed


ROUTERS = {
    "expert-choice": ExpertChoiceRouter,
    "hash": HashRouter,
    "switch": SwitchRouter,
    "locmoe": LocmoeRouter,
    "locmoe-plus": LocmoePlusRouter,
    "moge": MogeRouter,
    "deepseek": DeepseekRouter,
}
