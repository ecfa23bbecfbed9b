"""Keep the record of a full run for the notebooks; with --package, make its network the one in the package.

    cifar-cnn train --recipe report --out runs/report
    python -m benchmarks.ship runs/report
    cifar-cnn train --recipe fast94 --seed 1 --out runs/fast94
    python -m benchmarks.ship runs/fast94 --package

The package's network is stored in half precision: half the bytes. It says how many answers that changes.
"""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from cifar_cnn.data import load_data
from cifar_cnn.evaluate import evaluate
from cifar_cnn.train import Checkpoint, load_checkpoint

ROOT = Path(__file__).resolve().parent.parent
RECORDS, PACKAGED = ROOT / "benchmarks" / "records", ROOT / "cifar_cnn" / "pretrained" / "cifar10.pth"


def halved(checkpoint: Checkpoint) -> Checkpoint:
    "With its weights, as far as they are floating point, in 16 bits."
    shorter = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in checkpoint.weights.items()
    }
    return dataclasses.replace(checkpoint, weights=shorter)


def ship(run: Path, package: bool) -> None:
    checkpoint = load_checkpoint(run)
    name = checkpoint.recipe["name"]
    summary = json.loads((run / "summary.json").read_text())
    if checkpoint.epoch != summary["epochs"]:
        sys.exit(f"{run}: summary.json is of another state; first: cifar-cnn evaluate {run} --out {run}")
    test = load_data(checkpoint.data["source"], **checkpoint.data["options"]).test
    predictions = evaluate(checkpoint, test).predictions
    record = {"recipe": checkpoint.recipe, "environment": checkpoint.environment, "test": summary,
              "history": checkpoint.history, "predictions": "".join(map(str, predictions.tolist()))}
    (RECORDS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
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
    parser.add_argument("--package", action="store_true", help="ship it with the package")
    options = parser.parse_args()
    ship(options.run, options.package)


if __name__ == "__main__":
    main()
