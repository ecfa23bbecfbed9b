"""Keep the record of a full run for the notebooks; with --package, make its network the one in the package.

    cifar-cnn train --recipe report --out runs/report
    python -m benchmarks.ship runs/report
    cifar-cnn train --recipe fast94 --out runs/fast94
    python -m benchmarks.ship runs/fast94 --package --views 2

The package's network is stored in half precision: half the bytes. It says how many answers that changes.
"""

import argparse
import dataclasses
import sys
from pathlib import Path

import torch

from benchmarks.measure import RECORDS, write_record
from cifar_cnn.data import load_data
from cifar_cnn.evaluate import evaluate
from cifar_cnn.pages.report import summarize
from cifar_cnn.train import (
    Checkpoint,
    History,
    Recipe,
    Run,
    choose_precision,
    finish,
    load_checkpoint,
    make_checkpoint,
)
from cifar_cnn.training.runfolder import RunFolder

PACKAGED = RECORDS.parent.parent / "cifar_cnn" / "pretrained" / "cifar10.pth"


def with_views(checkpoint: Checkpoint, views: int) -> Checkpoint:
    "The same weights, predicting from so many views of an image; calibrated again on the validation images."
    recipe = dataclasses.replace(Recipe.from_dict(checkpoint.recipe), views=views)
    splits, device = load_data(checkpoint.data["source"], **checkpoint.data["options"]), torch.device("cpu")
    run = Run(splits, recipe, device, choose_precision(device))
    if not run.fingerprint.startswith(checkpoint.data["fingerprint"]):
        sys.exit("the images are not those that the network was trained on")
    run.best.weights = checkpoint.weights
    run.history = History(checkpoint.history)
    run.environment = checkpoint.environment
    run.stopping.waited = run.stopping.patience = 1  # it has finished
    return make_checkpoint(finish(run, RunFolder(None)))


def halved(checkpoint: Checkpoint) -> Checkpoint:
    "With its weights, as far as they are floating point, in 16 bits."
    shorter = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint.weights.items()
    }
    return dataclasses.replace(checkpoint, weights=shorter)


def ship(run: Path, views: int | None, package: bool) -> None:
    checkpoint = load_checkpoint(run)
    if views:
        checkpoint = with_views(checkpoint, views)
    name = checkpoint.recipe["name"]
    test = load_data(checkpoint.data["source"], **checkpoint.data["options"]).test
    evaluation = evaluate(checkpoint, test)
    predictions, summary = evaluation.predictions, summarize(checkpoint, evaluation)
    record = {"recipe": checkpoint.recipe, "environment": checkpoint.environment, "test": summary,
              "history": checkpoint.history, "predictions": "".join(map(str, predictions.tolist()))}
    write_record(name, record)
    print(f"{name}: {summary['test_accuracy']:.2%} of the test images, calibration error "
          f"{summary['calibration_error']:.2%}, temperature {checkpoint.temperature:.3f}")
    if not package:
        checkpoint.save(RECORDS / f"{name}.pth")
        return
    smaller = halved(checkpoint)
    changed = int((evaluate(smaller, test).predictions != predictions).sum())
    smaller.save(PACKAGED)
    print(f"{PACKAGED.name}: {PACKAGED.stat().st_size / 1e6:.1f} MB, "
          f"{changed} of {len(predictions):,} answers changed by rounding")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--views", type=int, choices=(1, 2, 6),
                        help="of an image; default: as the recipe has it")
    parser.add_argument("--package", action="store_true", help="ship it with the package")
    options = parser.parse_args()
    ship(options.run, options.views, options.package)


if __name__ == "__main__":
    main()
