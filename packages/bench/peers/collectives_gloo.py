"""The collectives of `locmoe bench collectives` in Gloo of PyTorch, under the same rules: each case is
verified, warmed up, timed a few times to agree on a number of repetitions, then repeated; rank 0 prints its
durations in ms.

    collectives_gloo.py RANK WORLD STORE CASE_MS LEAST_REPETITIONS MOST_REPETITIONS
        COLLECTIVE:BYTES:WARM_UPS...

STORE is the rendezvous file of the ranks. BYTES are per pair of ranks (all-to-all) or of the vector
(all-reduce), float32. One line of JSON per case.
"""

import datetime
import json
import statistics
import sys
import time

import torch
import torch.distributed as dist

TRIALS = 3
TIMEOUT = datetime.timedelta(seconds=60)


def element(source, destination, count):
    """What `source` sends to `destination`; exact in float32."""
    return source * 32 + destination + (torch.arange(count) % 1021).float() / 1024


def prepare_all_to_all(rank, world, count):
    sends = torch.cat([element(rank, to, count) for to in range(world)])
    receives = torch.zeros(world * count)

    def run():
        dist.all_to_all_single(receives, sends)

    run()
    expected = torch.cat([element(source, rank, count) for source in range(world)])
    if not torch.equal(receives, expected):
        raise RuntimeError(f"rank {rank}: all-to-all is wrong")
    return run


def prepare_all_reduce(rank, world, count):
    pattern = 1 + (torch.arange(count) % 13).float()
    data = (rank + 1) * pattern

    def run():
        dist.all_reduce(data)

    run()
    if not torch.equal(data, world * (world + 1) / 2 * pattern):
        raise RuntimeError(f"rank {rank}: all-reduce is wrong")
    # Zeros, so that repeated sums do not overflow.
    data.zero_()
    return run


PREPARE = {"all-to-all": prepare_all_to_all, "all-reduce": prepare_all_reduce}


def timed_ms(run):
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1000


def agree_on_count(run, case_ms, least, most):
    each_ms = statistics.median(timed_ms(run) for _ in range(TRIALS))
    count = torch.tensor([min(most, max(least, int(case_ms / each_ms)))])
    dist.broadcast(count, 0)
    return int(count)


def main():
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    case_ms, least, most = float(sys.argv[4]), int(sys.argv[5]), int(sys.argv[6])
    torch.set_num_threads(1)
    store = f"file://{sys.argv[3]}"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world, timeout=TIMEOUT)
    for case in sys.argv[7:]:
        collective, num_bytes, warm_ups = case.split(":")
        run = PREPARE[collective](rank, world, int(num_bytes) // 4)
        for _ in range(int(warm_ups)):
            run()
        count = agree_on_count(run, case_ms, least, most)
        dist.barrier()
        times = [timed_ms(run) for _ in range(count)]
        if rank == 0:
            print(json.dumps({"collective": collective, "bytes": int(num_bytes), "ms": times}), flush=True)
    dist.destroy_process_group()


main()
