from transformers import PretrainedConfig


class LocmoeConfig(PretrainedConfig):
    """Fields of config.json beside those that transformers reads.

    architecture: what the model computes with which tensors; locmoe.py interprets it.
    domains: names of the domains that the model was trained on, in the order of their ids.
    domain: that of a text where the caller names none, by name.
    """

    model_type = "locmoe"
    keys_to_ignore_at_inference = ["past_key_values"]
