"""How OpenMP's threads wait: spinning, as they do by default, or passively, as `cifar-cnn` tells them to.

    python -m benchmarks.waiting --repeats 3

The same training of the digits in turn, on two threads; with --busy beside as many processes that only
count. The losses must be the same. Stores records/waiting.json, where the other case stays.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from benchmarks.measure import machine, read_record, write_record

TRAIN = """
import torch
from cifar_cnn.train import fit, get_recipe, plan
run = fit(plan("digits", get_recipe("fast", epochs=4)), "cpu")
print([row["train_loss"] for row in run.history.rows])
"""
COUNT = "while True: pass"


def train(policy: str | None) -> dict:
    "Train once in a process of its own."
    known = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    environment = {**known, "OMP_NUM_THREADS": "2", **({"OMP_WAIT_POLICY": policy} if policy else {})}
    start, before = time.perf_counter(), os.times()
    done = subprocess.run([sys.executable, "-c", TRAIN], env=environment, capture_output=True, text=True,
                          check=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return {"policy": policy or "default", "seconds": time.perf_counter() - start, "cpu_seconds": cpu,
            "losses": json.loads(done.stdout.splitlines()[-1]), "load": os.getloadavg()[0]}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--busy", type=int, default=0, help="so many processes that count beside it")
    options = parser.parse_args()
    others = [subprocess.Popen([sys.executable, "-c", COUNT]) for _ in range(options.busy)]
    try:
        rows = [train(policy) for _ in range(options.repeats) for policy in (None, "PASSIVE")]
    finally:
        for other in others:
            other.kill()
    for policy in ("default", "PASSIVE"):
        found = [row for row in rows if row["policy"] == policy]
        print(f"{policy:8} n = {len(found)}: {statistics.median(row['seconds'] for row in found):.1f} s, "
              f"{statistics.median(row['cpu_seconds'] for row in found):.1f} s of processor time, load "
              f"{statistics.median(row['load'] for row in found):.1f}")
    same = all(row["losses"] == rows[0]["losses"] for row in rows)
    print("the losses are the same" if same else "the losses differ")
    write_record("waiting", {**read_record("waiting"), f"{options.busy} busy processes": {
        "machine": machine(), "same_losses": same, "runs": rows}})


if __name__ == "__main__":
    main()
