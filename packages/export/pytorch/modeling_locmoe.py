"""The model of locmoe.py for transformers' `AutoModelForCausalLM`, with `trust_remote_code=True`."""

import torch
from torch.nn import functional as F
from transformers import GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from .configuration_locmoe import LocmoeConfig
from .locmoe import Locmoe


class LocmoeForCausalLM(PreTrainedModel, GenerationMixin):
    config_class = LocmoeConfig
    base_model_prefix = "model"
    _no_split_modules = ["Layer"]
    _supports_sdpa = True

    def __init__(self, config):
        super().__init__(config)
        self.model = Locmoe(config)
        self.post_init()

    def forward(
        self,
        input_ids,
        attention_mask=None,
        past_key_values=None,
        domain=None,
        domain_ids=None,
        labels=None,
        **_,
    ):
        """Logits [B, S, V], and with labels the loss: mean cross-entropy, without the trainer's losses for balance
        and locality of experts.

        input_ids: [B, S].
        domain: name of the domain of all sequences, config.domain by default.
        domain_ids: in place of it the domain of each, [B], positions in config.domains.
        labels: [B, S], the input ids, -100 where there is no loss.
        """
        if domain_ids is None:
            known = self.config.domains
            name = self.config.domain if domain is None else domain
            if name not in known:
                raise ValueError(f"domain {name!r}: the model knows {', '.join(known)}")
            domain_ids = torch.full_like(input_ids[:, 0], known.index(name))
        logits = self.model(input_ids, domain_ids, attention_mask, past_key_values)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten())
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=past_key_values)

    def prepare_inputs_for_generation(
        self, input_ids, attention_mask=None, past_key_values=None, domain=None, domain_ids=None, **_
    ):
        """A text longer than the model's window goes on from its last tokens, without the cache."""
        window = self.config.max_position_embeddings
        if input_ids.shape[1] > window:
            past_key_values = None
            input_ids = input_ids[:, -window:]
            attention_mask = None if attention_mask is None else attention_mask[:, -window:]
        elif past_key_values is not None:
            input_ids = input_ids[:, past_key_values.get_seq_length() :]
        return {
            "input_ids": input_ids,
            "attention_mask": attention_mask,
            "past_key_values": past_key_values,
            "domain": domain,
            "domain_ids": domain_ids,
        }
