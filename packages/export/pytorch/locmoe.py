"""The locmoe language model in plain PyTorch: the forward pass outside training, with any router.

It interprets `architecture` of config.json, which describes what is computed with which tensors: blocks of attention, of
feed-forward networks and of experts, and the rule by which a router decides. Tensors have the names and shapes of
locmoe's own checkpoints; matrices are [in, out] and stand to the right of activations.

Shapes: B sequences, S positions of the input, P >= S positions with those of the cache, T = B S tokens, d hidden size,
h size of a head, V vocabulary, E experts of a layer, G experts that a token's domain may use.
"""

import json
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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


class Tokens(NamedTuple):
    """What layers know of the tokens beside their activations."""

    # [B, S]
    positions: Tensor
    # Whether a query (S) sees a key (P): [B, 1, S, P].
    sees: Tensor
    # Keys and values of earlier positions, or None.
    cache: object
    # Of the tokens, and of those 1, 2, .. before, or else the first of the text: [T] each.
    ids: list
    # Where the entries of the domain begin in a table of all, [D V]: [T].
    first: Tensor
    # Ids of the experts that the token's domain may use, ascending: [T, G].
    experts: Tensor


class Part(nn.Module):
    """A module with tensors of the description. They are zero until a state dict is loaded."""

    def __init__(self, *tensors):
        super().__init__()
        for tensor in filter(None, tensors):
            self.register_parameter(own_name(tensor), nn.Parameter(torch.zeros(tensor["shape"])))

    def __getitem__(self, tensor):
        return getattr(self, tensor["name"].rpartition(".")[2])


def own_name(tensor):
    """`w_in` of `layers.0.ffn.w_in`."""
    return tensor["name"].rpartition(".")[2]


def module_name(tensor):
    """`ffn` of `layers.0.ffn.w_in`."""
    return tensor["name"].split(".")[-2]


class Locmoe(Part):
    """The whole model."""

    def __init__(self, config):
        architecture = config.architecture
        is_tied = architecture["head"] == architecture["tokens"]
        super().__init__(None if is_tied else architecture["head"])
        self.config = config
        self.embed = Part(architecture["tokens"], architecture["positions"])
        layers = groupby(architecture["blocks"], lambda block: block["layer"])
        layers = {name: Layer(list(blocks), index) for index, (name, blocks) in enumerate(layers)}
        self.num_layers = len(layers)
        self.num_before = max([each["before"] for each in parts_in(architecture["blocks"], "before")], default=0)
        # PanGu's query layer (arXiv 2303.10845, section 3): its queries are learned, one for each position.
        self.query = layers.pop("query", None)
        self.layers = nn.ModuleList(layers.values())
        self.ln_final = Norm(architecture["norm"])

    def forward(self, input_ids, domain_ids, attention_mask=None, cache=None):
        """Logits of the next token at every position: [B, S] -> [B, S, V].

        domain_ids: [B], positions in config.domains; they decide which experts a sequence may use.
        attention_mask: [B, P], 0 for padding, which stands on the left.
        cache: keeps keys and values, with `update(keys, values, layer)` and `get_seq_length()` as the caches
        of transformers have them.
        """
        architecture = self.config.architecture
        num_new = input_ids.shape[1]
        length = num_new + (0 if cache is None else cache.get_seq_length())
        if length > architecture["seqLen"]:
            raise ValueError(f"{length} tokens: the model takes {architecture['seqLen']} at most")
        known = self.config.domains
        if ((domain_ids < 0) | (domain_ids >= len(known))).any():
            raise ValueError(f"domain ids {domain_ids.tolist()}: the model knows {len(known)} ({', '.join(known)})")
        if attention_mask is None:
            attention_mask = torch.ones(len(input_ids), length, dtype=torch.long, device=input_ids.device)
        positions = (attention_mask.cumsum(1) - 1).clamp(min=0)[:, -num_new:]
        domains = domain_ids.repeat_interleave(num_new, 0)
        first = architecture["vocabSize"] * domains
        experts = torch.tensor(architecture["expertsOfDomain"], device=input_ids.device)[domains]
        ids = self.ids_before(input_ids, positions, cache)
        tokens = Tokens(positions, seen(attention_mask, num_new), cache, ids, first, experts)

        x = self.embed[architecture["tokens"]][input_ids]
        if architecture["positions"] is not None:
            x = x + self.embed[architecture["positions"]][positions]
        for layer in self.layers:
            x = layer(x, tokens)
        if self.query is not None:
            x = self.query(x, tokens)
        head = self.embed if architecture["head"] == architecture["tokens"] else self
        return self.ln_final(x) @ head[architecture["head"]].T

    def ids_before(self, input_ids, positions, cache):
        """Ids 0, 1, .. tokens before, or else the first of the text: [B, S] each -> [T] each."""
        ids, num_new, before = input_ids, input_ids.shape[1], [input_ids]
        if self.num_before > 0 and cache is not None:
            # The cache keeps the ids as those of a further layer: [B, 1, P, 1].
            ids = ids[:, None, :, None]
            ids = cache.update(ids, ids, self.num_layers)[0][:, 0, :, 0]
        for i in range(1, self.num_before + 1):
            before.append(torch.where(positions >= i, F.pad(ids, (i, 0))[:, -num_new - i : -i], before[-1]))
        return [each.flatten() for each in before]


def seen(attention_mask, num_new):
    """Whether each of the last S positions sees a key: itself, and those before it that are no padding.

    [B, P] -> [B, 1, S, P]
    """
    key = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    query = key[-num_new:, None]
    return (key < query) & attention_mask[:, None, None, :].bool() | (key == query)


class Layer(Part):
    """Blocks, each of which gives x + operation(norm(x)): [B, S, d] -> [B, S, d]."""

    def __init__(self, blocks, index):
        attentions = [block["operation"] for block in blocks if block["operation"]["op"] == "attention"]
        rows = [projection["of"] for attention in attentions for projection in attention["projections"]]
        super().__init__(*[of for of in rows if of != "input"])
        self.blocks = blocks
        for block in blocks:
            operation = block["operation"]
            self.add_module(module_name(block["norm"]["gain"]), Norm(block["norm"]))
            if operation["op"] == "attention":
                self.add_module(module_name(operation["out"]), Attention(operation, index))
            elif operation["op"] == "feedForward":
                self.add_module(module_name(operation["out"]), FeedForward(operation))
            else:
                held, shared = operation["held"], operation["shared"]
                ids = range(held["first"], held["first"] + held["count"])
                self.router = Router(operation)
                self.experts = nn.ModuleDict((str(expert), FeedForward(operation["network"])) for expert in ids)
                # Experts that every token passes through (DeepSeekMoE, arXiv 2401.06066, eq. 9), as one network.
                self.shared = shared and FeedForward(shared["network"], shared["gate"])

    def forward(self, x, tokens):
        for block in self.blocks:
            operation = block["operation"]
            y = getattr(self, module_name(block["norm"]["gain"]))(x)
            if operation["op"] == "experts":
                x = x + self.mixture(y.flatten(0, 1), tokens).view_as(x)
            elif operation["op"] == "attention":
                x = x + getattr(self, module_name(operation["out"]))(y, tokens, self)
            else:
                x = x + getattr(self, module_name(operation["out"]))(y)
        return x

    def mixture(self, x, tokens):
        """The sum over i of R_i(x) E_i(x) (LocMoE, arXiv 2401.13920, eq. 1): [T, d] -> [T, d]."""
        weights = self.router(x, tokens).to(x.dtype)  # [T, E]
        mixed = torch.zeros_like(x) if self.shared is None else self.shared(x)
        for name, expert in self.experts.items():
            weight = weights[:, int(name)]
            chosen = weight.nonzero().squeeze(1)
            # In training experts without tokens have gradients too, which are zero.
            if len(chosen) > 0 or torch.is_grad_enabled():
                mixed = mixed.index_add(0, chosen, weight[chosen, None] * expert(x[chosen]))
        return mixed


class Attention(Part):
    """softmax(q k^T / sqrt(h)) v of each head, over the keys that are seen: [B, S, d] -> [B, S, d]."""

    def __init__(self, attention, index):
        projections = attention["projections"]
        super().__init__(*[each[kind] for each in projections for kind in ("weight", "bias")], attention["out"])
        self.attention, self.index = attention, index
        for norm in filter(None, [projection["headNorm"] for projection in projections]):
            self.add_module(module_name(norm["gain"]), Norm(norm))

    def forward(self, x, tokens, layer):
        attention, heads = self.attention, {}
        for projection in attention["projections"]:
            of, bias, norm = projection["of"], projection["bias"], projection["headNorm"]
            columns = (x if of == "input" else layer[of][tokens.positions]) @ self[projection["weight"]]
            if bias is not None:
                columns = columns + self[bias]
            counts = [attention["numHeads" if part == "queries" else "numKeyValueHeads"] for part in projection["gives"]]
            parts = columns.unflatten(-1, (-1, attention["headDim"])).transpose(1, 2).split(counts, 1)  # [B, heads, S, h]
            for name, part in zip(projection["gives"], parts):
                heads[name] = part if norm is None else getattr(self, module_name(norm["gain"]))(part)
        q, k, v = heads["queries"], heads["keys"], heads["values"]
        if attention["rotation"] is not None:
            q, k = rotated([q, k], torch.tensor(attention["rotation"], device=x.device), tokens.positions)
        if tokens.cache is not None:
            k, v = tokens.cache.update(k, v, self.index)
        if k.shape[1] < q.shape[1]:
            # Heads of keys and values serve several heads of queries each (GQA, arXiv 2305.13245).
            k, v = (part.repeat_interleave(q.shape[1] // k.shape[1], 1) for part in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=tokens.sees)
        return y.transpose(1, 2).flatten(2) @ self[attention["out"]]


def rotated(parts, frequencies, positions):
    """Rotary positions (RoFormer, arXiv 2104.09864, section 3.2.2) of coordinates i and i + h / 2: [B, heads, S, h] each."""
    angles = positions[:, None, :, None] * frequencies  # [B, 1, S, h / 2]
    cos, sin = angles.cos(), angles.sin()
    for part in parts:
        a, b = part.chunk(2, -1)
        yield torch.cat([a * cos - b * sin, b * cos + a * sin], -1).to(part.dtype)


class FeedForward(Part):
    """W_out GELU(W_in x), with the tanh form of GELU, or W_out (SiLU(W_gate x) * W_in x) (SwiGLU, arXiv 2002.05202,
    eq. 6), times sigmoid(x gate) if there is a gate: [.., d] -> [.., d]."""

    def __init__(self, network, gate=None):
        super().__init__(*network["into"], network["out"], gate)
        self.network, self.open = network, gate

    def forward(self, x):
        into = self.network["into"]
        y = x @ self[into[0]]
        y = F.silu(y) * (x @ self[into[1]]) if self.network["activation"] == "swiglu" else F.gelu(y, approximate="tanh")
        y = y @ self[self.network["out"]]
        return y if self.open is None else (x @ self[self.open]).sigmoid() * y


class Norm(Part):
    """Layer norm, or RMS norm (arXiv 1910.07467, eq. 4), which has no bias."""

    def __init__(self, norm):
        super().__init__(norm["gain"], norm.get("bias"))
        self.norm = norm

    def forward(self, x):
        gain, epsilon = self[self.norm["gain"]], self.norm["epsilon"]
        if self.norm["op"] == "rmsNorm":
            return F.rms_norm(x, gain.shape, gain, epsilon)
        return F.layer_norm(x, gain.shape, gain, self[self.norm["bias"]], epsilon)


# Routing. Level 1: a token may use the experts of its domain. Level 2: a router chooses among these. This is routing
# outside training: no expert has a capacity that could be full, and a token's experts depend on no token after it.


class Router(Part):
    """Gives the weight R of each expert for each token, 0 where the token does not go, by a rule in three parts.

    choose: the candidates of a token are the experts with the highest scores.
    keep: an expert refuses candidates whose scores are below its threshold. In training it takes the best tokens of the
    whole batch (expert choice, arXiv 2202.09368, section 3.2; LocMoE+, arXiv 2406.00023, eq. 6). That is not causal, so
    the threshold takes its place: the least score that the expert took, averaged over training steps.
    weigh: R is a score, or its share in the sum over the candidates.
    """

    def __init__(self, experts):
        super().__init__(*parts_in(experts["rule"], "shape"))
        self.num_experts = experts["numExperts"]
        # Each score once, after those of which it is computed, which it names by their indices here.
        self.steps = []
        parts = {name: experts["rule"][name] for name in ("choose", "keep", "weigh")}
        self.rule = {name: part and self.with_steps(part) for name, part in parts.items()}
        # Gradients do not change this state. Indices of experts stay integers in a model that is loaded as bfloat16.
        keep = self.rule["keep"]
        tables = list(parts_in(self.rule["choose"].get("tables", []), "shape"))
        state = [step["table"] for step in self.steps if step["op"] == "ofId"]
        for tensor in filter(None, [*state, *tables, keep and keep["threshold"]]):
            delattr(self, own_name(tensor))
            zeros = torch.zeros(tensor["shape"], dtype=torch.long if tensor in tables else None)
            self.register_buffer(own_name(tensor), zeros)

    def with_steps(self, part):
        """A part of the rule with scores replaced by their indices in the steps."""
        return {key: self.step_of(value) if key in SCORES else value for key, value in part.items()}

    def step_of(self, scores):
        step = self.with_steps(scores)
        if step not in self.steps:
            self.steps.append(step)
        return self.steps.index(step)

    def forward(self, x, tokens):
        """Activations after the norm, [T, d] -> [T, E]"""
        x, scores = x.float(), []
        for step in self.steps:
            scores.append(self.score(step, scores, x, tokens))
        candidates = self.candidates(scores, tokens)
        keep, weigh = self.rule["keep"], self.rule["weigh"]
        weights = scores[weigh["by"]]
        if weigh["share"]:
            weights = weights / weights.masked_fill(~candidates, 0).sum(1, keepdim=True)
        if keep is not None:
            candidates = candidates & (scores[keep["scores"]] >= self[keep["threshold"]].float()[tokens.experts])
        weights = weights.masked_fill(~candidates, 0)
        return weights.new_zeros(len(x), self.num_experts).scatter(1, tokens.experts, weights)

    def score(self, step, scores, x, tokens):
        """Scores of the experts that each token may use: [T, G]"""
        op = step["op"]
        if op in FUNCTIONS:
            return FUNCTIONS[op](*(scores[step[name]] for name in ("of", "left", "right") if name in step))
        if op == "number":
            return x.new_full(tokens.experts.shape, step["value"])
        if op == "parameter":
            return self[step["parameter"]].float().flatten().expand(self.num_experts)[tokens.experts]
        if op == "ofId":
            of_all = self[step["table"]].view(-1, self.num_experts)[tokens.ids[0]].float()
        elif op in ("linear", "cosine"):
            weight = self[step["weight"]].float()
            of_all = x @ weight
            if op == "cosine":
                of_all = of_all / (magnitude(x, 1) * magnitude(weight, 0))
        else:
            # Grouped average pooling (GrAP; LocMoE, arXiv 2401.13920, eq. 4): gate w_i is 1 on the i-th group of d / E
            # coordinates and 0 elsewhere. The score is x . w_i / |w_i|, or its cosine (LocMoE+, arXiv 2406.00023, eq. 4).
            factors = None if step["factors"] is None else self[step["factors"]].float()
            of_all = self.by_group(x if factors is None else x * factors)
            of_all = of_all.mean(2) * of_all.shape[2] ** 0.5
            if op == "groupedCosine":
                of_all = of_all / magnitude(x, 1)
                if factors is not None:
                    of_all = of_all / (self.by_group(factors).square().mean(1) + LEAST_SQUARED_NORM).sqrt()
        return of_all.gather(1, tokens.experts)

    def by_group(self, x):
        """[.., d] -> [.., E, d / E]"""
        return x.unflatten(-1, (self.num_experts, -1))

    def candidates(self, scores, tokens):
        """Whether an expert is a candidate of the token: bool [T, G]"""
        choose = self.rule["choose"]
        if choose["op"] == "table":
            tables = [self[each["experts"]][tokens.first + tokens.ids[each["before"]]] for each in choose["tables"]]
            experts = torch.stack(tables, 1)  # [T, K]
            return (tokens.experts[..., None] == experts[:, None]).any(2) & (experts[:, :1] >= 0)
        by, count = scores[choose["by"]], choose["count"]
        if choose["op"] == "topP":
            # The fewest that sum to a threshold (LocMoE+, arXiv 2406.00023, eq. 5).
            return best(by, count, choose["sum"])
        if choose["op"] == "topOfGroups":
            # The same number of each device group (MoGE; Pangu Pro MoE, arXiv 2505.21411, eq. 5 to 7).
            return best(by.unflatten(1, (choose["groups"], -1)), count // choose["groups"]).flatten(1)
        if choose["limit"] is not None:
            # Only of the device groups whose best scores sum to the most (DeepSeek-V3, arXiv 2412.19437, section 2.1.2).
            groups, most = choose["limit"]["groups"], choose["limit"]["open"]
            parts = by.unflatten(1, (groups, -1))
            sums = parts.topk(count // most, 2).values.sum(2)
            by = parts.masked_fill(~best(sums, most)[..., None], -torch.inf).flatten(1)
        return best(by, count)


# Where a part of a rule has scores.
SCORES = {"by", "scores", "of", "left", "right"}

FUNCTIONS = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "softmax": lambda scores: scores.softmax(1),
}


def best(scores, count, total=None):
    """Whether a score is among the best `count`, and those above it sum to less than `total`: [.., G] -> bool [.., G].

    Ties go to the lower id.
    """
    ordered, order = scores.sort(dim=-1, descending=True, stable=True)
    taken = True if total is None else F.pad(ordered.double().cumsum(-1)[..., :-1], (1, 0))[..., :count] < total
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, order[..., :count], taken)


def magnitude(x, dim):
    return (x.square().sum(dim, keepdim=True) + LEAST_SQUARED_NORM).sqrt()


def parts_in(part, key):
    """All parts of a description, or of a list of parts, that have the key."""
    if key in part:
        yield part
    for inner in part.values() if isinstance(part, dict) else part:
        if isinstance(inner, (dict, list)):
            yield from parts_in(inner, key)
