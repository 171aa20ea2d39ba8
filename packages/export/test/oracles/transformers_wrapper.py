"""Tests what modeling_locmoe.py adds to locmoe.py, in the folder given as argument. Debian has no package of
transformers, so a stub provides the few names that are used. Prints `good`."""

import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch


class PretrainedConfig:
    def __init__(self, **fields):
        vars(self).update(fields)


class PreTrainedModel(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config

    def post_init(self):
        pass


transformers = ModuleType("transformers")
transformers.PretrainedConfig, transformers.PreTrainedModel = PretrainedConfig, PreTrainedModel
transformers.GenerationMixin = type("GenerationMixin", (), {})
outputs = ModuleType("transformers.modeling_outputs")
outputs.CausalLMOutputWithPast = SimpleNamespace
sys.modules.update({"transformers": transformers, "transformers.modeling_outputs": outputs})

folder = Path(sys.argv[1])
sys.path[:0] = [str(folder), str(folder.parent)]
import json  # noqa: E402

from locmoe import load  # noqa: E402

modeling = importlib.import_module(f"{folder.name}.modeling_locmoe")
config = modeling.LocmoeConfig(**json.loads((folder / "config.json").read_text()))
assert config.num_hidden_layers == len(config.architecture["blocks"]) // 2
plain = load(folder)
model = modeling.LocmoeForCausalLM(config)
model.load_state_dict({f"model.{name}": tensor for name, tensor in plain.state_dict().items()})

ids = torch.arange(20).view(2, 10)
first, second = config.domains[:2]
with torch.no_grad():
    # The domain is given by name for all sequences, by config.json, and by id for each sequence.
    for given, domain_ids in [
        ({"domain": second}, [1, 1]),
        ({}, [0, 0]),
        ({"domain_ids": torch.tensor([1, 0])}, [1, 0]),
    ]:
        assert model(ids, **given).logits.equal(plain(ids, torch.tensor(domain_ids)))
    loss = model(ids, labels=ids, domain=first).loss
    log_probabilities = plain(ids, torch.tensor([0, 0])).log_softmax(-1)[:, :-1]
    torch.testing.assert_close(loss, -log_probabilities.gather(2, ids[:, 1:, None]).mean())
try:
    model(ids, domain="none such")
except ValueError as error:
    assert str(error) == f"domain 'none such': the model knows {', '.join(config.domains)}"
else:
    raise AssertionError("took a domain that it does not know")

cache = SimpleNamespace(get_seq_length=lambda: 9)
inputs = model.prepare_inputs_for_generation(ids, past_key_values=cache)
assert inputs["input_ids"].equal(ids[:, 9:]) and inputs["past_key_values"] is cache
long = torch.zeros(1, config.max_position_embeddings + 3, dtype=torch.long)
inputs = model.prepare_inputs_for_generation(long, torch.ones_like(long), past_key_values=cache)
assert inputs["input_ids"].shape == inputs["attention_mask"].shape == (1, config.max_position_embeddings)
assert inputs["past_key_values"] is None
print("good")
