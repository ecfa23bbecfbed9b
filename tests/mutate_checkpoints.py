"""Change a checkpoint at random, in its bytes or in what it declares, and load it: it is refused in a
sentence, or it answers.

    python -m tests.mutate_checkpoints --times 1000 [--seed 0]
"""

import argparse
import copy
import math
import multiprocessing
import random
import resource
import tempfile
from pathlib import Path

import torch

from cifar_cnn.base.errors import CheckpointError
from cifar_cnn.train import load_checkpoint

NONSENSE = (None, -1, 0, 1e-300, 1e300, 2**31, 2**70, math.nan, math.inf, True, "", "../../etc/passwd",
            "x" * 100_000, [], {}, [0] * 1000, [1e9] * 3, {"num_classes": 10},
            torch.zeros(0), torch.full((10, 7), math.nan))


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    "Flip, cut, double or zero a piece."
    start = draw.randrange(len(content))
    end = min(len(content), start + draw.choice((1, 8, 512, 65_536)))
    piece = content[start:end]
    return draw.choice((
        content[:start] + bytes(byte ^ 1 << draw.randrange(8) for byte in piece) + content[end:],
        content[:start],
        content[:end] + piece + content[end:],
        content[:start] + bytes(len(piece)) + content[end:]))


def mutated_entries(content: dict, draw: random.Random) -> dict:
    "Put nonsense into an entry, one of the network's arguments, one of the weights, or leave it out."
    content = copy.copy(content)
    name = draw.choice(list(content))
    inner = content[name]
    if isinstance(inner, dict) and inner and draw.random() < 0.7:
        key = draw.choice(list(inner))
        content[name] = {**inner, key: draw.choice(NONSENSE)}
    elif isinstance(inner, list) and inner and draw.random() < 0.7:
        place = draw.randrange(len(inner))
        content[name] = [*inner[:place], draw.choice(NONSENSE), *inner[place + 1:]]
    elif draw.random() < 0.2:
        del content[name]
    else:
        content[name] = draw.choice(NONSENSE)
    return content


def survive(times: int, seed: int) -> dict:
    "Load so many changed checkpoints; count what came of them, and the memory it took in bytes."
    draw = random.Random(seed)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = {"refused": 0, "answered": 0}
    with tempfile.TemporaryDirectory() as name:
        original, path = Path(name) / "original.pth", Path(name) / "changed.pth"
        shipped = load_checkpoint()
        shipped.save(original)
        plain = torch.load(original, weights_only=True)
        blank = torch.zeros(1, len(shipped.mean), 32, 32)
        for _ in range(times):
            if draw.random() < 0.5:
                path.write_bytes(mutated_bytes(original.read_bytes(), draw))
            else:
                torch.save(mutated_entries(plain, draw), path)
            try:
                answer = load_checkpoint(path).network(blank)
                assert answer.isfinite().all()
                outcomes["answered"] += 1
            except CheckpointError as error:
                assert len(str(error)) < 1000, "a sentence, not the file"
                outcomes["refused"] += 1
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {**outcomes, "bytes": 1024 * (after - before)}


def survive_alone(times: int, seed: int) -> dict:
    "Do it in a process of its own, whose memory is only this."
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(survive, (times, seed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(survive_alone(options.times, options.seed))
