"""One rank of the peer of `locmoe bench step --peer torch`: the same training in PyTorch and Gloo.

Started by packages/bench/src/step/torch-peer.ts, which also sets the threads. Writes JSON: a record per step.
"""

import argparse
import ctypes
import datetime
import json
import os
import re
import signal
import time
from pathlib import Path

import torch
import torch.distributed as dist

from inputs import TensorFile
from llama import Llama
from model import Model
from stopwatch import Stopwatch
from update import Updater

TIMEOUT = datetime.timedelta(seconds=60)
PR_SET_PDEATHSIG = 1


def die_with_parent(parent):
    """Makes the kernel kill this process when its parent dies, in whatever way."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SystemExit("the command that started this rank has ended")


def own_parameters(weights, experts_per_rank, rank):
    """Shared parameters and those of this rank's experts, by name."""
    shared, expert = {}, {}
    for name in weights.names:
        of_expert = re.search(r"\.experts\.(\d+)\.", name)
        if of_expert and int(of_expert[1]) // experts_per_rank != rank:
            continue
        (expert if of_expert else shared)[name] = weights.read(name).requires_grad_()
    return shared, expert


def train(config, weights, batches, rank, world_size, mode):
    """Trains; returns a record per step."""
    clock = Stopwatch()
    shared, expert = own_parameters(weights, config["moe"]["numExperts"] // world_size, rank)
    family = Llama if config["model"]["family"] == "llama" else Model
    model = family(config, {**shared, **expert}, rank, world_size, clock)
    if mode == "compiled":
        model.compile()
    updater = Updater(shared, expert, config["train"], world_size, clock)
    tokens, targets = (batches.read(f"{rank}.{kind}").long() for kind in ("tokens", "targets"))
    for step in range(1, config["train"]["steps"] + 1):
        clock.take()
        started = time.perf_counter()
        with clock.measure("forward"), torch.autocast("cpu", torch.bfloat16, enabled=mode == "bfloat16"):
            cross_entropy, auxiliary = model.loss(tokens[step - 1], targets[step - 1])
            loss = float(cross_entropy)
        with clock.measure("backward"):
            ((cross_entropy + auxiliary) / world_size).backward()
        norm = updater.apply(step)
        yield {
            "loss": loss,
            "gradientNorm": norm,
            "stepMs": 1000 * (time.perf_counter() - started),
            "endedAtMs": 1000 * time.time(),
            "partsMs": clock.take(),
        }


def main():
    parser = argparse.ArgumentParser()
    for name in ("config", "weights", "batches", "store", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--mode", choices=("float32", "bfloat16", "compiled"), default="float32")
    for name in ("parent", "rank", "world-size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    args = parser.parse_args()
    die_with_parent(args.parent)
    torch.set_num_threads(1)
    # Flush denormals, as ours does: they would slow the optimizer down a hundredfold.
    torch.set_flush_denormal(True)
    if args.world_size > 1:
        dist.init_process_group(
            "gloo", f"file://{args.store}", rank=args.rank, world_size=args.world_size, timeout=TIMEOUT
        )
    config = json.loads(Path(args.config).read_text())
    files = TensorFile(args.weights), TensorFile(args.batches)
    records = list(train(config, *files, args.rank, args.world_size, args.mode))
    Path(args.out).write_text(json.dumps({"steps": records}))
    if args.world_size > 1:
        dist.barrier()
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
