#!/usr/bin/env python3
"""What keeps a small network from memorising, and what is augmentation worth? For the chapter on overfitting.

    python -m benchmarks.overfit

Trainings on one thread each, two at a time. Of the validation images, 1,000 drawn at random choose (the step
at which to stop), the others measure. Test images are not used. Stores records/overfit.json.
"""

import copy
import time
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.measure import machine, write_record
from cifar_cnn.augment import Augment, normalize, to_float
from cifar_cnn.data import load_data

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
SHIFT_AND_FLIP = Augment(flip=True, pixels=4)
SEEDS, BATCH, LEARNING_RATE = 5, 50, 1e-3
CURES = {  # one change each to 500 images, 24 channels, 600 steps of Adam and nothing else
    "nothing": {},
    "4 times the images": {"size": 2000},
    "augmentation": {"augment": True},
    "dropout": {"dropout": 0.5},
    "weight decay 0.1": {"weight_decay": 0.1},
    "weight decay 2": {"weight_decay": 2.0},
    "a network of 8 channels": {"width": 8},
    "label smoothing": {"smoothing": 0.1},
    "batch norm": {"norm": True},
    "augmentation, dropout, batch norm": {"augment": True, "dropout": 0.5, "norm": True},
}
SIZES, SIZE_SEEDS, SIZE_STEPS = (500, 1500, 5000, 15_000, 45_000), 3, 2000


def network(width: int = 24, dropout: float = 0.0, norm: bool = False) -> nn.Sequential:
    "Three 3×3 convolutions of stride 2 and one dense layer."
    layers, channels = [], 3
    for outputs in (width, 2 * width, 4 * width):
        layers += [nn.Conv2d(channels, outputs, 3, stride=2, padding=1)]
        layers += [nn.BatchNorm2d(outputs)] * norm + [nn.ReLU()]
        channels = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(4 * 4 * channels, 10))


def prepared(images: Tensor) -> Tensor:
    return normalize(to_float(images), MEAN, STD).contiguous(memory_format=torch.channels_last)


@cache
def parts() -> tuple:
    "The training images in a fixed random order; 1,000 validation images and the others."
    splits, generator = load_data("cifar10"), torch.Generator().manual_seed(0)
    train = splits.train[torch.randperm(len(splits.train), generator=generator)]
    shares = torch.randperm(len(splits.valid), generator=generator).split([1000, len(splits.valid) - 1000])
    return train, *((prepared(splits.valid.images[share]), splits.valid.labels[share]) for share in shares)


@torch.no_grad()
def judge(model: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    "Loss and accuracy in evaluation mode."
    model.eval()
    outputs = torch.cat([model(batch) for batch in images.split(500)])
    return F.cross_entropy(outputs, labels).item(), (outputs.argmax(1) == labels).double().mean().item()


def train(seed: int, size: int = 500, steps: int = 600, every: int = 20, decay: bool = False,
          augment: bool = False, dropout: float = 0.0, weight_decay: float = 0.0, width: int = 24,
          smoothing: float = 0.0, norm: bool = False) -> dict:
    "One training; `every` so many steps both losses are written down."
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    start, generator = time.perf_counter(), torch.Generator().manual_seed(seed)
    images, choosing, measuring = parts()
    images = images[:size]
    pixels, ready = to_float(images.images), prepared(images.images)
    model = network(width, dropout, norm).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=weight_decay, fused=True)
    history, best, step, order = [], None, 0, []
    while step < steps:
        if not len(order):
            order = torch.randperm(size, generator=generator)
        batch, order = order[:BATCH], order[BATCH:]
        inputs = normalize(SHIFT_AND_FLIP(pixels[batch], generator), MEAN, STD) if augment else ready[batch]
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (1 - step / steps if decay else 1)
        logits = model(inputs.contiguous(memory_format=torch.channels_last))
        loss = F.cross_entropy(logits, images.labels[batch], label_smoothing=smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        if step % every == 0 or step == steps:
            row = [step, *judge(model, ready[:500], images.labels[:500]), *judge(model, *choosing)]
            history.append([round(value, 4) for value in row])
            if best is None or row[3] < best[1]:  # what early stopping would have kept
                best = step, row[3], copy.deepcopy(model.state_dict())
    train_loss, train_accuracy = judge(model, ready[:5000], images.labels[:5000])
    loss, accuracy = judge(model, *measuring)
    model.load_state_dict(best[2])
    best_loss, best_accuracy = judge(model, *measuring)
    return {"seed": seed, "size": size, "augment": augment, "seconds": round(time.perf_counter() - start, 1),
            "train_loss": train_loss, "train_accuracy": train_accuracy,
            "valid_loss": loss, "valid_accuracy": accuracy, "best_step": best[0],
            "best_valid_loss": best_loss, "best_valid_accuracy": best_accuracy, "history": history}


def work(job: tuple) -> dict:
    name, arguments = job
    return {"name": name, **train(**arguments)}


def main():
    jobs = [(name, {"seed": seed, **changes}) for seed in range(SEEDS) for name, changes in CURES.items()]
    longer = {"steps": SIZE_STEPS, "every": 500, "decay": True}
    jobs += [("sizes", {"seed": seed, "size": size, "augment": augment, **longer})
             for seed in range(SIZE_SEEDS) for size in SIZES for augment in (False, True)]
    rows = []
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for row in pool.map(work, jobs):
            print({name: value for name, value in row.items() if name != "history"}, flush=True)
            rows.append(row)
    torch.set_num_threads(1)  # as each training had
    settings = {"network": "3 convolutions 3×3 of stride 2, width 24 48 96, 1 dense layer", "batch": BATCH,
                "optimizer": f"AdamW, learning rate {LEARNING_RATE}, constant in cures, linear to 0 in sizes",
                "augmentation": str(SHIFT_AND_FLIP), "valid_images": {"choose": 1000, "measure": 4000},
                "columns of history": [
                    "step", "train loss", "train accuracy", "valid loss", "valid accuracy"]}
    measured_on = {**machine(), "precision": "fp32"}
    write_record("overfit", {"machine": measured_on, "settings": settings, "cures": CURES,
                             "runs": [row for row in rows if row["name"] != "sizes"],
                             "sizes": [row for row in rows if row["name"] == "sizes"]})


if __name__ == "__main__":
    main()
