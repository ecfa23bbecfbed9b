"""Keep the record of a full run for the notebooks, and make its network the one that the package ships.

    cifar-cnn train --recipe report --out runs/report
    python -m benchmarks.ship runs/report
"""

import json
import sys
from pathlib import Path

from cifar_cnn.data import load_data
from cifar_cnn.evaluate import evaluate
from cifar_cnn.train import load_checkpoint

ROOT = Path(__file__).resolve().parent.parent


def ship(run: Path) -> None:
    checkpoint = load_checkpoint(run)
    name = checkpoint.recipe["name"]
    summary = json.loads((run / "summary.json").read_text())
    if checkpoint.epoch != summary["epochs"]:
        sys.exit(f"{run}: summary.json is of another state; first: cifar-cnn evaluate {run} --out {run}")
    splits = load_data(checkpoint.data["source"], **checkpoint.data["options"])
    predictions = "".join(map(str, evaluate(checkpoint, splits.test).predictions.tolist()))
    record = {"recipe": checkpoint.recipe, "environment": checkpoint.environment, "test": summary,
              "history": checkpoint.history, "predictions": predictions}
    (ROOT / "benchmarks" / "records" / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    checkpoint.save(ROOT / "cifar_cnn" / "pretrained" / f"{name}.pth")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    ship(Path(sys.argv[1]))
