"""Feed-forward networks, of a layer or of an expert. Matrices are [in, out], and no product has a bias."""

import torch.nn.functional as F


def feed_forward(parameters, prefix):
    """The network of these parameters as a function of rows: GELU, or SwiGLU if it has the matrix of a gate."""
    w_in, w_out = parameters[f"{prefix}.w_in"], parameters[f"{prefix}.w_out"]
    w_gate = parameters.get(f"{prefix}.w_gate")
    if w_gate is None:
        return lambda rows: F.gelu(rows @ w_in, approximate="tanh") @ w_out
    return lambda rows: (F.silu(rows @ w_gate) * (rows @ w_in)) @ w_out
