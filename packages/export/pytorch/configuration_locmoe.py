from transformers import PretrainedConfig


class LocmoeConfig(PretrainedConfig):
    """Sizes of the model, its domains and its router.

    domains: names of the domains that the model was trained on, in the order of their ids.
    moe_intermediate_size: hidden size of an expert; that of a dense layer if None.
    n_shared_experts: experts that every token passes through, beside those of the router.
    domain: that of a text where the caller names none, by name.
    expert_group: the one group of experts that the sub-model of a domain has; None for a whole model.
    router: `hash`, `switch`, `expert-choice`, `locmoe`, `locmoe-plus`, `moge` or `deepseek`; the fields after it are
    those of one router or some.
    """

    model_type = "locmoe"
    keys_to_ignore_at_inference = ["past_key_values"]

    def __init__(
        self,
        vocab_size=2048,
        hidden_size=128,
        num_attention_heads=4,
        num_dense_layers=2,
        num_sparse_layers=2,
        query_layer=True,
        intermediate_size=512,
        max_position_embeddings=64,
        domains=("en",),
        domain="en",
        num_experts=8,
        moe_intermediate_size=None,
        n_shared_experts=0,
        expert_groups=1,
        expert_group=None,
        router="locmoe-plus",
        token_preference=False,
        experts_per_token=1,
        candidates_per_token=None,
        learned_groups=False,
        gate_scale=0.5,
        router_temperature=1.0,
        selection="both",
        affinity_threshold=0.9,
        max_experts_per_token=4,
        choice_weights="softmax",
        device_groups=2,
        choices_per_device_group=1,
        max_device_groups=None,
        **kwargs,
    ):
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_attention_heads = num_attention_heads
        self.num_dense_layers = num_dense_layers
        self.num_sparse_layers = num_sparse_layers
        self.query_layer = query_layer
        # What the caches of transformers count.
        self.num_hidden_layers = num_dense_layers + num_sparse_layers + int(query_layer)
        self.intermediate_size = intermediate_size
        self.max_position_embeddings = max_position_embeddings
        self.domains = list(domains)
        self.domain = domain
        self.num_experts = num_experts
        self.moe_intermediate_size = intermediate_size if moe_intermediate_size is None else moe_intermediate_size
        self.n_shared_experts = n_shared_experts
        self.expert_groups = expert_groups
        self.expert_group = expert_group
        self.router = router
        self.token_preference = token_preference
        self.experts_per_token = experts_per_token
        self.candidates_per_token = candidates_per_token
        self.learned_groups = learned_groups
        self.gate_scale = gate_scale
        self.router_temperature = router_temperature
        self.selection = selection
        self.affinity_threshold = affinity_threshold
        self.max_experts_per_token = max_experts_per_token
        self.choice_weights = choice_weights
        self.device_groups = device_groups
        self.choices_per_device_group = choices_per_device_group
        self.max_device_groups = max_device_groups
        kwargs.pop("num_hidden_layers", None)
        super().__init__(**kwargs)
