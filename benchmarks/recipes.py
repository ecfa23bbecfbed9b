"""Train a recipe with several seeds, each in a process of its own, and keep what came out.

    python -m benchmarks.recipes fast --seeds 5
    python -m benchmarks.recipes fast94 --seeds 3 --runs runs/bench
    python -m benchmarks.recipes simple compact mnist --seeds 3

Seconds are from images in memory to finished weights, everything included. The seed also draws the validation
images. With --runs, runs are kept there and resumed if they were interrupted. Stores records/recipes.json,
where other seeds of the same recipe stay; the README's table is made from it. --untimed leaves the seconds
out: for runs beside other work, whose accuracy counts and whose time does not. A resumed run has none
either: nobody timed its beginning. What the same seed took on the same machine before then stays. --device
cuda and --precision fp32 keep records of their own.
"""

import argparse
import dataclasses
import statistics
import time
from pathlib import Path

import torch.nn.functional as F

from benchmarks.measure import read_record, write_record
from cifar_cnn.evaluate import evaluate
from cifar_cnn.model import count_parameters
from cifar_cnn.networks.dimensions import dimensions
from cifar_cnn.train import Recipe, fit, get_recipe, load_recipe_data, make_checkpoint, plan, resume
from tests.support.processes import in_fresh_process


def train(name: str, seed: int, out: Path | None, device: str, precision: str | None) -> dict:
    recipe = get_recipe(name, seed=seed)
    splits, start = load_recipe_data(recipe), time.perf_counter()
    resumed = out is not None and (out / "last.pth").exists()
    planned = resume(out, splits=splits, recipe=recipe) if resumed else plan(splits, recipe, folder=out)
    run = fit(planned, device, precision)
    seconds = time.perf_counter() - start
    if run.interrupted:
        raise SystemExit("interrupted: the same command goes on")
    tested = evaluate(make_checkpoint(run), splits.test)
    table = dimensions(run.model, tuple(splits.test.images.shape[1:]))
    return {
        "seed": seed,
        "seconds": None if resumed else seconds,
        "resumed": resumed,
        "machine": run.environment,
        "parameters": count_parameters(run.model),
        "multiply_adds": int(table.multiply_adds.sum()),
        "images": [len(part) for part in (splits.train, splits.valid, splits.test)],
        "valid_accuracy": run.best.accuracy,
        "test_accuracy": tested.accuracy,
        "test_loss": F.nll_loss(tested.probabilities.log(), tested.labels).item(),
        "predictions": "".join(map(str, tested.predictions.tolist())),  # one digit for each test image
        "history": run.history.rows,
    }


def summarize(runs: list[dict]) -> dict:
    "Means, and standard deviations where there are two or more."
    summary = {"n": len(runs)}
    for measure in ("seconds", "valid_accuracy", "test_accuracy", "peak_memory_gb"):
        values = [run[measure] for run in runs if run[measure] is not None]
        summary[measure] = statistics.mean(values) if values else None
        summary[f"{measure}_std"] = statistics.stdev(values) if len(values) > 1 else None
    return summary


def same_recipe(record: dict, recipe: Recipe) -> bool:
    return "recipe" in record and Recipe.from_dict(record["recipe"]) == recipe


def measure(
    name: str, seeds: range, folder: Path | None, timed: bool, device: str, precision: str | None
) -> None:
    key = "-".join([name, *([] if device == "cpu" else [device]), *([precision] if precision else [])])
    recipe, before = get_recipe(name), read_record("recipes").get(key, {})
    runs = {run["seed"]: run for run in before["runs"]} if same_recipe(before, recipe) else {}
    for seed in seeds:
        out = folder and folder / f"{key}-{seed}"
        run, run["peak_memory_gb"] = in_fresh_process(train, name, seed, out, device, precision)
        took, earlier = "not timed", runs.get(seed, {})
        if timed and not run["resumed"]:
            took = f"{run['seconds']:.1f} s"
        else:
            run["seconds"] = earlier.get("seconds") if earlier.get("machine") == run["machine"] else None
        runs[seed] = run
        print(
            f"{key}, seed {seed}: {run['valid_accuracy']:.2%} validation, "
            f"{run['test_accuracy']:.2%} test, {took}, {run['peak_memory_gb']:.2f} GB",
            flush=True,
        )
        record = {
            **{key: run[key] for key in ("machine", "parameters", "multiply_adds")},
            **summarize(list(runs.values())),
            "recipe": dataclasses.asdict(recipe),
            "runs": list(runs.values()),
        }
        write_record("recipes", {**read_record("recipes"), key: record})
    print(
        f"mean of {record['n']}: {record['valid_accuracy']:.2%} validation, "
        f"{record['test_accuracy']:.2%} test"
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipes", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--runs", type=Path, help="keep the runs in this folder")
    parser.add_argument("--untimed", action="store_true", help="keep no seconds")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, …")
    parser.add_argument("--precision", choices=("bf16", "fp32"), help="default: what the device does best")
    options = parser.parse_args()
    seeds = range(options.first, options.first + options.seeds)
    for name in options.recipes:
        measure(name, seeds, options.runs, not options.untimed, options.device, options.precision)


if __name__ == "__main__":
    main()
