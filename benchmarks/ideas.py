"""From the report's loop to the fast recipe, one idea after the other: what each brings.

    python -m benchmarks.ideas              three seeds of each (about 10 minutes on two cores)
    python -m benchmarks.ideas --seeds 2    as in the record

The first ideas make the same training faster: images per second of the report's network, measured in turn.
The others make a short training better: validation accuracy after the fast recipe's epochs. Stores
records/ideas.json.
"""

import argparse
import dataclasses
import statistics
import time

import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.measure import machine, write_record
from benchmarks.training import Photographs
from cifar_cnn.augment import REPORT_AUGMENT, normalize, to_float
from cifar_cnn.data import load_data
from cifar_cnn.model import FastCNN, build_model, register_model
from cifar_cnn.train import choose_precision, fit, get_recipe, plan
from tests.support.processes import in_fresh_process


class Unwhitened(FastCNN):
    "The fast network with a first layer that is trained like any other."

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.whiten.requires_grad_(True)

    def init_whitening(self, images):
        "Keep the random filters."


register_model("unwhitened", Unwhitened)


def report_steps(rounds: int) -> dict[str, float]:
    "Median seconds of a step of 64 images of the report's network, with one idea more each time."
    images, labels = (
        t[:6400] for t in (load_data("cifar10").train.images, load_data("cifar10").train.labels)
    )
    order, half, generator = torch.randperm(len(images)), (0.5,) * 3, torch.Generator().manual_seed(0)
    native = choose_precision(torch.device("cpu")) == "bf16"
    # name: augmentation by the batch, channels last, bf16
    ideas = {
        "PIL, image by image": (False, False, False),
        "augmentation by the batch": (True, False, False),
        "channels last": (True, True, False),
        "bf16": (True, True, native),
    }
    models = {name: build_model("cifar_cnn").train() for name in ideas}
    optimizers = {name: torch.optim.Adam(model.parameters(), 0.001) for name, model in models.items()}
    seconds = {name: [] for name in ideas}
    for step in range(rounds):
        index = order[step % 100 * 64 :][:64]
        for name, (by_batch, channels_last, bf16) in ideas.items():
            layout = torch.channels_last if channels_last else torch.contiguous_format
            model = models[name].to(memory_format=layout)
            start = time.perf_counter()
            if by_batch:
                batch = normalize(REPORT_AUGMENT(to_float(images[index]), generator), half, half)
            else:
                arrays = images[index].permute(0, 2, 3, 1).numpy()
                batch = torch.stack([Photographs.transform(Image.fromarray(array)) for array in arrays])
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                logits = model(batch.contiguous(memory_format=layout))
            optimizers[name].zero_grad()
            F.cross_entropy(logits.float(), labels[index]).backward()
            optimizers[name].step()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values[3:]) for name, values in seconds.items()}


def variants() -> dict[str, dict]:
    "Settings of the fast recipe, from the network alone to all of it."
    fast = get_recipe("fast")
    by_chance = dataclasses.replace(fast.augment, alternate=False)
    plain = {
        "model": "unwhitened",
        "views": 1,
        "augment": by_chance,
        "label_smoothing": 0.0,
        "optimizer": "adam",
        "optimizer_arguments": {},
        "learning_rate": 0.004,
    }
    muon = {
        "optimizer": "muon",
        "optimizer_arguments": fast.optimizer_arguments,
        "learning_rate": fast.learning_rate,
    }
    additions = {
        "the network, Adam": plain,
        "whitening": {"model": "fast_cnn"},
        "Muon": muon,
        "label smoothing": {"label_smoothing": fast.label_smoothing},
        "alternating flips": {"augment": fast.augment},
        "two views": {"views": fast.views},
    }
    settings, result = {}, {}
    for name, change in additions.items():
        settings = {**settings, **change}
        result[name] = settings
    assert get_recipe("fast", **settings) == fast
    return result


def train(name: str, seed: int) -> tuple[float, float]:
    "Seconds and validation accuracy of the fast recipe with the ideas up to this one."
    splits, recipe = load_data("cifar10", seed=seed), get_recipe("fast", seed=seed, **variants()[name])
    start = time.perf_counter()
    run = fit(plan(splits, recipe), device="cpu")
    return time.perf_counter() - start, run.best.accuracy


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    seeds = parser.parse_args().seeds
    steps, _ = in_fresh_process(report_steps, 60)
    for name, seconds in steps.items():
        print(f"{name:26} {64 / seconds:6,.0f} images/s", flush=True)
    runs = {name: [] for name in variants()}
    for seed in range(seeds):  # in turn, so that a busy moment hits all alike
        for name in runs:
            runs[name].append(in_fresh_process(train, name, seed)[0])
            print(f"{name:26} {runs[name][-1][1]:.2%} in {runs[name][-1][0]:.1f} s", flush=True)
    write_record(
        "ideas",
        {
            "machine": machine(),
            "images_per_second": {name: 64 / seconds for name, seconds in steps.items()},
            "short": {
                name: {"seconds": [r[0] for r in values], "valid_accuracy": [r[1] for r in values]}
                for name, values in runs.items()
            },
        },
    )
    for name, values in runs.items():
        print(f"{name:26} {statistics.mean(r[1] for r in values):.2%} validation, mean of {seeds}")


if __name__ == "__main__":
    main()
