"""Cats and dogs from few images: a network that knows eight other classes, against the same one from scratch.

    python -m benchmarks.transfer --seeds 2
    python -m benchmarks.transfer --public --seeds 5

The body is trained on CIFAR-10 without its cats and dogs. With `--public` it is EfficientNet-Lite0 with
public weights, which knows the photographs of ImageNet, on images enlarged to 160 pixels; frozen under a new
head, or trained on. That needs the extra `photos`. Stores records/transfer.json.
"""

import argparse
import dataclasses
import statistics
import time
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import machine, read_record, write_record
from cifar_cnn.data import Splits, load_data
from cifar_cnn.evaluate import evaluate
from cifar_cnn.images.prepare import prepare
from cifar_cnn.networks.inference import predict_features, predict_logits
from cifar_cnn.networks.lite import EfficientNetLite, public_weights
from cifar_cnn.train import Checkpoint, fit, get_recipe, make_checkpoint, plan
from cifar_cnn.training.head import solve_head

OTHERS = "cifar10:airplane,automobile,bird,deer,frog,horse,ship,truck"
HALF = (0.5, 0.5, 0.5)  # mean and deviation with which the public weights were made
WAYS = {"from scratch": 1.0, "fine-tuned": 0.1, "head only": 0.0}  # the body's learning rate, relative


def first_indices(splits: Splits, count: int, seed: int) -> Tensor:
    "As many training images of each class, drawn at random."
    order = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(seed))
    labels = splits.train.labels[order]
    each = count // len(splits.classes)
    return torch.cat([order[labels == label][:each] for label in range(len(splits.classes))])


def first(splits: Splits, count: int, seed: int) -> Splits:
    "The splits with so many training images."
    return dataclasses.replace(splits, train=splits.train[first_indices(splits, count, seed)])


def accuracy(splits: Splits, way: str, seed: int, body: Checkpoint) -> dict:
    recipe = get_recipe("fast", seed=seed, body_rate=WAYS[way])
    start = time.perf_counter()
    run = fit(plan(splits, recipe, initial=None if way == "from scratch" else body), device="cpu")
    seconds = time.perf_counter() - start
    return {"images": len(splits.train), "way": way, "seed": seed, "seconds": seconds,
            "valid_accuracy": run.best.accuracy,
            "test_accuracy": evaluate(make_checkpoint(run), splits.test).accuracy}


def backbone(head: tuple[Tensor, Tensor] | None = None) -> EfficientNetLite:
    "Build the public backbone for two classes, with a head if there is one."
    model = EfficientNetLite(2, image_size=32, side=160)
    model.load_state_dict(public_weights(), strict=False)
    if head is not None:
        model.head.weight.data, model.head.bias.data = (tensor.clone() for tensor in head)
    return model.to(memory_format=torch.channels_last)


def tune(model: EfficientNetLite, splits: Splits, steps: int, seed: int) -> None:
    "Train all layers on: AdamW, batches of 25, mirrored at random, the learning rate falling from 1e-4 to 0."
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0, steps)
    mirrored = lambda images: torch.where(
        torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5, images, images.flip(3))
    for _ in range(steps):
        chosen = torch.randint(0, len(splits.train), (25,), generator=generator)
        outputs = model.train()(prepare(splits.train.images[chosen], HALF, HALF, mirrored))
        optimizer.zero_grad()
        F.cross_entropy(outputs, splits.train.labels[chosen]).backward()
        optimizer.step()
        schedule.step()


def right(model: EfficientNetLite, splits: Splits) -> float:
    logits = predict_logits(model, splits.test.images, HALF, HALF)
    return (logits.argmax(1) == splits.test.labels).double().mean().item()


def public_rows(seeds: int, tuned_seeds: int, steps: int) -> list[dict]:
    "Measure the public backbone: frozen for every number of images, trained on for few."
    whole, rows = load_data("cifar10:cat,dog", valid_fraction=0.02), []
    start = time.perf_counter()
    test, train = (predict_features(backbone(), part.images, HALF, HALF, batch_size=32)[1]
                   for part in (whole.test, whole.train))
    spent = (time.perf_counter() - start) / (len(test) + len(train))
    print(f"features: {1000 * spent:.1f} ms an image", flush=True)
    for seed in range(seeds):
        for count in (100, 1000, 9800) if seed == 0 else (100, 1000):  # 9,800 are all of them
            start, chosen = time.perf_counter(), first_indices(whole, count, seed)
            part = dataclasses.replace(whole, train=whole.train[chosen])
            head = solve_head(train[chosen], part.train.labels, 2)
            seconds = time.perf_counter() - start + spent * len(chosen)
            said = (test @ head.weight.T + head.bias).argmax(1)
            rows.append({"images": len(chosen), "way": "public, frozen", "seed": seed, "seconds": seconds,
                         "test_accuracy": (said == whole.test.labels).double().mean().item()})
            print(rows[-1], flush=True)
            if count > 1000 or seed >= tuned_seeds:
                continue
            start, model = time.perf_counter(), backbone((head.weight, head.bias))
            tune(model, part, steps if count == 1000 else steps // 4, seed)
            seconds += time.perf_counter() - start
            rows.append({"images": len(chosen), "way": "public, fine-tuned", "seed": seed, "seconds": seconds,
                         "test_accuracy": right(model, whole)})
            print(rows[-1], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--public", action="store_true", help="measure the public weights, and them alone")
    parser.add_argument("--tuned-seeds", type=int, default=2, help="of those that are trained on")
    parser.add_argument("--steps", type=int, default=160, help="for 1,000 images; a quarter for 100")
    options = parser.parse_args()
    if options.public:
        rows = public_rows(options.seeds, options.tuned_seeds, options.steps)
        facts = {"machine": machine(), "side": 160, "steps": options.steps, "runs": rows}
        write_record("transfer", {**read_record("transfer"), "public": facts})
        return
    body = make_checkpoint(fit(plan(OTHERS, get_recipe("fast", epochs=6)), device="cpu"))
    print(f"body: {body.accuracy:.2%} validation on the eight classes")
    pets, rows = partial(load_data, "cifar10:cat,dog", valid_fraction=0.02), []
    for seed in range(options.seeds):
        for count in (100, 1000, 9800) if seed == 0 else (100, 1000):  # 9,800 are all of them
            for way in WAYS:
                rows.append(accuracy(first(pets(seed=seed), count, seed), way, seed, body))
                print(rows[-1], flush=True)
    for count in sorted({row["images"] for row in rows}):
        for way in WAYS:
            found = [row["test_accuracy"] for row in rows if (row["images"], row["way"]) == (count, way)]
            print(f"{count:6,} images, {way:12}: {statistics.mean(found):.2%} test, n = {len(found)}")
    body_facts = {"valid_accuracy": body.accuracy, "epochs": body.epoch, "data": OTHERS}
    measured = {"machine": machine(), "body": body_facts, "runs": rows}
    write_record("transfer", {**read_record("transfer"), **measured})


if __name__ == "__main__":
    main()
