"""What several benchmarks need: fresh processes, peak memory, the machine's limit, the records."""

import json
import multiprocessing
import resource
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from cifar_cnn.data import save_atomically
from cifar_cnn.train import choose_precision, describe_environment

RECORDS = Path(__file__).resolve().parent / "records"


def read_record(name: str) -> dict:
    path = RECORDS / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def write_record(name: str, record: dict) -> None:
    save_atomically((json.dumps(record, indent=1) + "\n").encode(), RECORDS / f"{name}.json")


def machine() -> dict[str, str]:
    "Processor, threads, precision and torch."
    device = torch.device("cpu")
    return describe_environment(device, choose_precision(device))


def peak_memory() -> float:
    "The most memory that this process has held, in GB; without its children's."
    status = Path("/proc/self/status")
    if status.exists():  # Linux's `ru_maxrss` is inherited from the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)


def _call(work: Callable, arguments: tuple, results) -> None:
    results.put((work(*arguments), peak_memory()))


def in_fresh_process(work: Callable, *arguments) -> tuple:
    "What the function returns, and the peak memory of a process that did nothing else, in GB."
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=_call, args=(work, arguments, results))
    process.start()
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())  # it would go on alone
    while process.is_alive() and results.empty():
        time.sleep(0.05)
    signal.signal(signal.SIGTERM, before)
    if results.empty():
        sys.exit(f"{work.__name__} failed: see above")
    result_and_memory = results.get()
    process.join()
    return result_and_memory


def convolution_limit(repeats: int = 15) -> float:
    "Billions of multiply-adds per second of a 3×3 convolution 64→128 at 16×16, channels last, both ways."
    dtype = torch.bfloat16 if machine()["precision"] == "bf16" else torch.float32
    tensors = [torch.randn(64, 64, 16, 16), torch.randn(128, 64, 3, 3), torch.randn(64, 128, 16, 16)]
    images, kernel, gradient = (t.to(dtype, memory_format=torch.channels_last) for t in tensors)
    images.requires_grad_(), kernel.requires_grad_()
    seconds = []
    for _ in range(repeats + 2):
        start = time.perf_counter()
        torch.autograd.grad(F.conv2d(images, kernel, padding=1), (images, kernel), gradient)
        seconds.append(time.perf_counter() - start)
    return 3 * 64 * 128 * 64 * 9 * 16 * 16 / statistics.median(seconds[2:]) / 1e9
