"""What several benchmarks need: the machine, its limit, the records."""

import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from cifar_cnn.base.files import save_atomically
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
