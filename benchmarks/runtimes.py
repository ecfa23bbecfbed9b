"""Which runtime answers fastest, and how far its probabilities are from PyTorch's in fp32.

    python -m benchmarks.runtimes [--quick] [--checkpoint FILE]

One process, one thread, real test images, batches of 1, 8 and 64. Writes benchmarks/records/runtimes.json
(--quick: runtimes_quick.json).
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.measure import RECORDS, machine, write_record
from cifar_cnn.data import load_data
from cifar_cnn.export import OnnxEngine
from cifar_cnn.train import load_checkpoint, predict_logits

BATCHES = (1, 8, 64)
REPORT = RECORDS / "report.pth"


def runtimes(checkpoint: str) -> dict[str, Callable[[Tensor], Tensor]]:
    "Functions from images, N×C×H×W uint8, to probabilities, N×classes; the first is the reference."
    loaded = load_checkpoint(checkpoint)

    def pytorch(precision: str, compiled: bool = False):
        model = load_checkpoint(checkpoint).network
        if compiled:
            model.compile(dynamic=False)
        answer = lambda images: predict_logits(
            model, images, loaded.mean, loaded.std, precision, loaded.views)
        return lambda images: (answer(images) / loaded.temperature).softmax(1)

    onnx = OnnxEngine(loaded, threads=1)
    return {
        "PyTorch fp32": pytorch("fp32"),
        "PyTorch bf16": pytorch("bf16"),
        "PyTorch fp32, compiled": pytorch("fp32", compiled=True),
        "PyTorch bf16, compiled": pytorch("bf16", compiled=True),
        "ONNX Runtime fp32": lambda images: onnx(images)[0],
    }


def images_per_second(runtime: Callable[[Tensor], Tensor], images: Tensor, seconds: float) -> float:
    "From the median processor time of a batch, to which other programs add nothing."
    for _ in range(3):  # compiles, fills caches
        runtime(images)
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        start = time.thread_time()
        runtime(images)
        times.append(time.thread_time() - start)
    return len(images) / statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter, less exact")
    parser.add_argument("--checkpoint", default=str(REPORT), help="default: the report's network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    test = load_data("cifar10").test.images
    compared = test[:256] if arguments.quick else test[:9984]  # both whole batches of 64
    rows, reference = [], None
    for name, runtime in runtimes(arguments.checkpoint).items():
        answers = torch.cat([runtime(chunk) for chunk in compared.split(64)])
        reference = answers if reference is None else reference
        difference = float((answers - reference).abs().max())
        changed = int((answers.argmax(1) != reference.argmax(1)).sum())
        for batch in BATCHES:
            speed = images_per_second(runtime, test[:batch], 0.5 if arguments.quick else 5)
            rows.append({"runtime": name, "batch": batch, "images_per_second": speed,
                         "difference": difference,
                         "labels_changed": changed})
            print(f"{name:30} batches of {batch:2}: {speed:7.0f} images/s, largest difference "
                  f"{difference:.1e}, "
                  f"{changed} of {len(compared):,} labels changed", flush=True)
    write_record("runtimes_quick" if arguments.quick else "runtimes", {
        "machine": machine(), "quick": arguments.quick, "checkpoint": Path(arguments.checkpoint).name,
        "images": len(compared), "runtimes": rows})


if __name__ == "__main__":
    main()
