"""Kill `loop run` with SIGKILL, at named points and at random moments, start it again, and compare.

    python -m tests.kill_the_loop --times 200 --record benchmarks/records/kill_the_loop.json

A store has a champion on `digits` and twelve accepted corrections. A run makes a version of them, trains,
judges and promotes. Each time a copy of that store is worked on by a process that is killed, once at each of
the named points and then so many times at random moments. Another process goes on. Afterwards every step has
one outcome, the journal one entry more, the network the same weights to the bit as without a kill; every file
is whole, and nothing is left behind.
"""

import argparse
import json
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import torch
from tqdm import tqdm

from cifar_cnn.data import load_data
from cifar_cnn.loop.checks import Rules
from cifar_cnn.loop.feedback import decide, vote
from cifar_cnn.loop.registry import SERVED, champion, history
from cifar_cnn.loop.retrain import Settings, run
from cifar_cnn.loop.store import LocalStore, digest
from cifar_cnn.loop.upkeep import verify
from cifar_cnn.training.checkpoint import load_checkpoint

# As in tests/kill_and_resume.py: a server that computes nothing itself forks every process that is killed.
PRELOADED = ["cifar_cnn.loop.retrain", "torch._dynamo"]
processes = multiprocessing.get_context("forkserver")
HANGS = 120  # seconds after which a process that does not end counts as hanging

RULES = Rules(margin=0.1, class_margin=0.3, corrections=0, held_out=0, controls=0.9, calibration=0.2,
              calibration_loss=0.2, cost=1000)
SETTINGS = Settings("fast", {"epochs": 3}, rules=RULES)

POINTS = [
    *(f"{moment}:{kind}" for kind in ("notes", "versions", "steps", "models", "promotions", "serving")
      for moment in ("written", "named", "created")),
    "version:before", "version:noted", "train:finished",
    *(f"step:{step}:{moment}" for step in ("begin", "train", "gate", "register", "run")
      for moment in ("before", "done", "written")),
    "registry:checked", "registry:before", "registry:recorded", "registry:served",
]  # fmt: skip


# -- the process that is killed


def work(folder: Path, point: str) -> None:
    "Run the loop; die at a point, if one is named."
    os.environ["CIFAR_CNN_CRASH_AT"] = point
    sys.stdout = open(os.devnull, "w")
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore that outlives the process
    run(LocalStore(folder), load_data("digits"), SETTINGS, "Ada")


def run_until(folder: Path, point: str = "", seconds: float | None = None) -> bool:
    "Run the loop in a process; kill it at a point or after some seconds. Whether it was killed."
    process = processes.Process(target=work, args=(folder, point))
    process.start()
    process.join(HANGS if seconds is None else seconds)
    if process.is_alive() and seconds is None:
        process.kill()
        raise TimeoutError(f"the loop did not end within {HANGS} s")
    process.kill()
    process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"the loop ended with exit code {process.exitcode}: standard error says why")
    return process.exitcode != 0


# -- what it works on, and what it leaves


def prepare_store(folder: Path) -> None:
    "A champion, and twelve accepted votes of as many users."
    if run_until(folder):
        raise RuntimeError("the first network was not trained")
    store, noise = LocalStore(folder), np.random.default_rng(0)
    classes = load_data("digits").classes
    for number in range(12):
        pixels = noise.integers(256, size=(8, 8, 3), dtype=np.uint8)
        proved = {"answer": {"3": 0.9, "5": 0.1}, "model": "ab" * 16, "hour": 0}
        key = vote(store, pixels, "5", classes, f"user {number}", proved, now=1e9 + number)
        decide(store, key, "accept", "Eve")


def outcome(folder: Path) -> dict:
    "What must be the same with and without kills."
    left = [path.name for path in folder.rglob("*.tmp")]  # before a store is opened, which sweeps
    store = LocalStore(folder)
    steps = Counter(json.loads(store.fetch(name))["step"] for name in store.names("steps"))
    entries, damaged = history(store)
    return {
        "steps": dict(sorted(steps.items())),
        "versions": store.names("versions"),
        "notes": len(store.names("notes")),
        "journal": [(entry.number, entry.kind, entry.why) for entry in entries],
        "weights": [load_checkpoint(store.path(f"models/{entry.after}.pth")).digest() for entry in entries],
        "served": digest(store.fetch(SERVED)) == champion(store) == entries[-1].after,
        "wrong": [*damaged.values(), *verify(store).values()],
        "left": left,
    }


def differences(folder: Path, undisturbed: dict) -> list[str]:
    "Where a store differs from the one that nobody disturbed."
    found = outcome(folder)
    return [f"{name} is {found[name]}, not {value}" for name, value in undisturbed.items()
            if found[name] != value]  # fmt: skip


def try_once(before: Path, folder: Path, undisturbed: dict, point: str, seconds: float | None) -> tuple:
    "Kill, go on, compare. Gives whether the kill came in time, and the differences."
    shutil.copytree(before, folder)
    killed = run_until(folder, point, seconds)
    run_until(folder)
    found = differences(folder, undisturbed)
    shutil.rmtree(folder)
    return killed, found


def set_the_stage(scratch: Path) -> tuple[Path, dict, float]:
    "The store to begin with, what a run without kills makes of it, and how many seconds that took."
    processes.set_forkserver_preload(PRELOADED)
    before, calm = scratch / "before", scratch / "calm"
    prepare_store(before)
    shutil.copytree(before, calm)
    start = time.monotonic()
    run_until(calm)
    seconds, found = time.monotonic() - start, outcome(calm)
    if [kind for _, kind, _ in found["journal"]] != ["promote"] * 2 or found["wrong"] or found["left"]:
        raise RuntimeError(f"nothing can be compared with a run that ends so: {found}")
    return before, found, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=200, help="kills at random moments (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--record", type=Path, help="write the result to this JSON file")
    options = parser.parse_args()
    random, failed, hits, began = Random(options.seed), [], Counter(), time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        before, undisturbed, seconds = set_the_stage(Path(scratch))
        trials = [(point, None) for point in POINTS]
        trials += [("", random.uniform(0, 1.1 * seconds)) for _ in range(options.times)]
        for number, (point, pause) in enumerate(trials, 1):
            killed, found = try_once(before, Path(scratch, str(number)), undisturbed, point, pause)
            where = point or f"after {pause:.2f} s"
            kind = "named points" if point else "random moments"
            hits[kind] += killed
            failed += [f"{where}: {'; '.join(found)}"] if found or point and not killed else []
            print(f"{number:3}/{len(trials)}  {where}: {'killed' if killed else 'not killed'}, "
                  f"{'; '.join(found) or 'the same'}", flush=True)  # fmt: skip
    record = {
        "named_points": len(POINTS), "random_moments": options.times, "killed": dict(hits),
        "the_same_afterwards": len(trials) - len(failed), "trials": len(trials), "failed": failed,
        "seconds_of_a_run": round(seconds, 2), "seconds": round(time.monotonic() - began),
        "seed": options.seed, "python": platform.python_version(), "torch": torch.__version__,
        "system": platform.system(),
    }  # fmt: skip
    if options.record:
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=1))
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
