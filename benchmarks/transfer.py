"""Cats and dogs from few images: a network that knows eight other classes, against the same one from scratch.

    python -m benchmarks.transfer --seeds 3

The body is trained on CIFAR-10 without its cats and dogs. Stores records/transfer.json.
"""

import argparse
import dataclasses
import statistics
import time
from functools import partial

import torch

from benchmarks.measure import machine, write_record
from cifar_cnn.data import Splits, load_data
from cifar_cnn.evaluate import evaluate
from cifar_cnn.train import Checkpoint, fit, get_recipe, make_checkpoint, plan

OTHERS = "cifar10:airplane,automobile,bird,deer,frog,horse,ship,truck"
WAYS = {"from scratch": 1.0, "fine-tuned": 0.1, "head only": 0.0}  # the body's learning rate, relative


def first(splits: Splits, count: int, seed: int) -> Splits:
    "As many training images of each class, drawn at random."
    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(seed))
    labels = splits.train.labels[order]
    each = count // len(splits.classes)
    chosen = torch.cat([order[labels == label][:each] for label in range(len(splits.classes))])
    return dataclasses.replace(splits, train=splits.train[chosen])


def accuracy(splits: Splits, way: str, seed: int, body: Checkpoint) -> dict:
    recipe = get_recipe("fast", seed=seed, body_rate=WAYS[way])
    start = time.perf_counter()
    run = fit(plan(splits, recipe, initial=None if way == "from scratch" else body), device="cpu")
    seconds = time.perf_counter() - start
    return {"images": len(splits.train), "way": way, "seed": seed, "seconds": seconds,
            "valid_accuracy": run.best.accuracy,
            "test_accuracy": evaluate(make_checkpoint(run), splits.test).accuracy}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    body = make_checkpoint(fit(plan(OTHERS, get_recipe("fast", epochs=6)), device="cpu"))
    print(f"body: {body.accuracy:.2%} validation on the eight classes")
    pets, rows = partial(load_data, "cifar10:cat,dog", valid_fraction=0.02), []
    for seed in range(options.seeds):
        for count in (100, 1000, 9800):
            for way in WAYS:
                rows.append(accuracy(first(pets(seed=seed), count, seed), way, seed, body))
                print(rows[-1], flush=True)
    for count in sorted({row["images"] for row in rows}):
        for way in WAYS:
            found = [row["test_accuracy"] for row in rows if (row["images"], row["way"]) == (count, way)]
            print(f"{count:6,} images, {way:12}: {statistics.mean(found):.2%} test, n = {len(found)}")
    body_facts = {"valid_accuracy": body.accuracy, "epochs": body.epoch, "data": OTHERS}
    write_record("transfer", {"machine": machine(), "body": body_facts, "runs": rows})


if __name__ == "__main__":
    main()
