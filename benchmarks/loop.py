"""Seconds that fifty corrections take on CIFAR-10, from the votes to the verdict, step by step.

    python -m benchmarks.loop

Five thousand training images are held back: they are what users send. The champion is trained on the others
by the recipe fast. Ten users vote on fifty of its mistakes. The loop makes a version, trains by the same
recipe from the champion, and asks the gate. Stores records/loop.json.
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


def hold_back(splits, count: int = 5000):
    "CIFAR-10 without some of its training images; and these."
    chosen = torch.zeros(len(splits.train), dtype=torch.bool)
    chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))[:count]] = True
    base = replace(splits, train=splits.train[~chosen], source=f"cifar10 without {count:,} training images")
    return base, splits.train[chosen]


def correct(store, world) -> int:
    "Vote for the right class of fifty mistakes, and accept the votes. Gives how many mistakes there were."
    model = champion(store)
    answers = Predictor(model_file(store, model)).classify(list(world.images))
    truth = [world.classes[label] for label in world.labels]
    wrong = [number for number, answer in enumerate(answers) if answer.label != truth[number]]
    for turn, number in enumerate(wrong[:CORRECTIONS]):
        proof = {"answer": answers[number].probabilities, "model": model, "hour": 0}
        pixels, who = as_rgb(world.images[number].numpy()), f"user {turn % 10}"
        key = vote(store, pixels, truth[number], world.classes, who, proof, now=3600.0 * turn)
        decide(store, key, "accept", "a reviewer")
    return len(wrong)


def main():
    (base, world), seconds = hold_back(load_data("cifar10")), {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(sys.stderr):
        store = LocalStore(Path(scratch) / "loop")
        with timed(seconds, "champion"):
            run(store, base, SETTINGS, "the loop")
        before = champion(store)
        with timed(seconds, "votes"):
            wrong = correct(store, world)
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
        "corrections": CORRECTIONS, "mistakes": wrong, "images_sent": len(world), "seconds": seconds,
        "seconds_from_votes_to_decision": round(total, 1), "decision": decision, "checks": checks,
        "settings": SETTINGS.as_dict(), "machine": machine(),
    })  # fmt: skip


if __name__ == "__main__":
    main()
