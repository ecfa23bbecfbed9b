"""Seconds that fifty corrections take on CIFAR-10, from the votes to the verdict, step by step.

    python -m benchmarks.loop

The data set has fifty wrong labels among its training images; fifty votes of ten users correct them. The
champion was trained on it by the recipe fast. The loop makes a version, trains by the same recipe from the
champion, and asks the gate. Stores records/loop.json.
"""

import contextlib
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.measure import machine, write_record
from cifar_cnn.data import load_data
from cifar_cnn.loop.feedback import decide, vote
from cifar_cnn.loop.prepare import collect_votes, prepare
from cifar_cnn.loop.registry import champion
from cifar_cnn.loop.retrain import Settings, judged, model_file, planned, promoted, run, train
from cifar_cnn.loop.store import LocalStore
from cifar_cnn.loop.versions import as_rgb
from cifar_cnn.predictor import Predictor

SETTINGS = Settings("fast")
CORRECTIONS = 50


@contextlib.contextmanager
def timed(seconds: dict, name: str):
    "Note how long something took, by the clock."
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 1)
    print(f"{name}: {seconds[name]} s", flush=True)


def wrongly_labelled(splits):
    "CIFAR-10 with fifty wrong labels among its training images, and where they are."
    chosen = torch.randperm(len(splits.train), generator=torch.Generator().manual_seed(0))[:CORRECTIONS]
    labels = splits.train.labels.clone()
    labels[chosen] = (labels[chosen] + 1) % 10
    return replace(splits, train=replace(splits.train, labels=labels)), chosen.tolist()


def correct(store, splits, base, chosen) -> None:
    "Vote for the right label of each, and accept the votes."
    images = splits.train.images[chosen]
    answers = Predictor(model_file(store, champion(store))).classify(list(images))
    for turn, (number, answer) in enumerate(zip(chosen, answers)):
        label = splits.classes[splits.train.labels[number]]
        proof = {"answer": answer.probabilities, "model": champion(store), "hour": 0}
        pixels, who = as_rgb(splits.train.images[number].numpy()), f"user {turn % 10}"
        key = vote(store, pixels, label, base.classes, who, proof, now=3600.0 * turn)
        decide(store, key, "accept", "a reviewer")


def main():
    splits, seconds = load_data("cifar10"), {}
    base, chosen = wrongly_labelled(splits)
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        store = LocalStore(Path(scratch) / "loop")
        with timed(seconds, "champion"):
            run(store, base, SETTINGS, "the loop")
        before = champion(store)
        with timed(seconds, "votes"):
            correct(store, splits, base, chosen)
        with timed(seconds, "version"):
            version = collect_votes(store, base)
        with timed(seconds, "prepare"):
            material = prepare(store, version, base)
        with timed(seconds, "train"):
            trained = train(store, planned(store, material, SETTINGS, before), before)
        with timed(seconds, "gate"):
            verdict = judged(store, material, trained, before, SETTINGS.rules)
        with timed(seconds, "promote"):
            decision = promoted(store, trained["model"], verdict, before, "the loop", "fifty corrections")
    checks = {check.name: {"says": check.decision, "because": check.sentence} for check in verdict.checks}
    total = sum(took for name, took in seconds.items() if name not in ("champion", "votes"))
    print(verdict, f"\n{total:.0f} s from the accepted votes to the decision", flush=True)
    write_record("loop", {
        "corrections": CORRECTIONS, "seconds": seconds, "seconds_from_votes_to_decision": round(total, 1),
        "decision": decision, "checks": checks, "settings": SETTINGS.as_dict(), "machine": machine(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
