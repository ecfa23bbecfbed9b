"""Which epoch to keep: the most accurate on validation, as it was, or as `is_better` and `keeps_last` say.

    python -m benchmarks.kept --seeds 4

Both are taken from the same runs, so that nothing else differs, and judged on test pictures that were
never trained on. Stores records/kept.json.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from benchmarks.made import FOLDERS
from benchmarks.measure import machine, read_record, write_record
from cifar_cnn.networks.inference import predict_logits
from cifar_cnn.train import Run, end_epoch, get_recipe, load_recipe_data, train_step
from cifar_cnn.training.run import steps_per_epoch


def follow(folder: Path, name: str, seed: int) -> dict:
    "Train once; test the first of the most accurate epochs, the one that is kept now, and the last."
    recipe = get_recipe(name, seed=seed)
    splits = load_recipe_data(recipe, folder / "pictures", folder)
    run = Run(splits, recipe, torch.device("cpu"), "fp32")
    weights = {}
    while not run.finished:
        train_step(run)
        if run.position.step == steps_per_epoch(run) and end_epoch(run):
            weights["most accurate"] = {name: each.clone() for name, each in run.model.state_dict().items()}
    weights |= {"kept": run.best.weights, "last": run.model.state_dict()}
    epochs = {"most accurate": run.history.best["epoch"], "kept": run.history.kept["epoch"],
              "last": len(run.history)}
    row = {"folder": folder.name, "recipe": name, "seed": seed, "validation_images": len(splits.valid),
           "test_images": len(splits.test), "epochs": epochs, "accuracy": {}}
    weights["last"] = {name: each.clone() for name, each in weights["last"].items()}
    for rule, chosen in weights.items():
        run.model.load_state_dict(chosen)
        logits = predict_logits(run.model, splits.test.images, run.mean, run.std, views=recipe.views)
        row["accuracy"][rule] = (logits.argmax(1) == splits.test.labels).double().mean().item()
    return row


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", nargs="+", default=["photos150", "photos500"], choices=FOLDERS)
    parser.add_argument("--recipes", nargs="+", default=["fast"])
    parser.add_argument("--seeds", type=int, default=4)
    options = parser.parse_args()
    rows = read_record("kept").get("runs", [])
    for seed in range(options.seeds):
        for name in options.folders:
            with tempfile.TemporaryDirectory() as root:
                folder = Path(root) / name
                FOLDERS[name](folder / "pictures", seed)
                for recipe in options.recipes:
                    rows = [row for row in rows if (row["folder"], row["recipe"], row["seed"])
                            != (name, recipe, seed)] + [follow(folder, recipe, seed)]
                    print(rows[-1], flush=True)
                    write_record("kept", {"machine": machine(), "runs": rows})
    for name, recipe in dict.fromkeys((row["folder"], row["recipe"]) for row in rows):
        found = [row["accuracy"] for row in rows if (row["folder"], row["recipe"]) == (name, recipe)]
        means = {rule: statistics.mean(each[rule] for each in found) for rule in found[0]}
        print(f"{name:14} {recipe:8} n = {len(found)}: most accurate {means['most accurate']:.2%}, "
              f"kept {means['kept']:.2%} ({100 * (means['kept'] - means['most accurate']):+.2f}), "
              f"last {means['last']:.2%}")


if __name__ == "__main__":
    main()
