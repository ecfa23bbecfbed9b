"""The report's training loop as anyone would write it, and ours, in turn, on the same images in the same run.

    python -m benchmarks.training            more steps of each, three times (about 6 minutes on two cores)
    python -m benchmarks.training --quick    some steps of each (under 3 minutes)

Prints images per second, seconds per epoch, seconds to 82.28% (the report's validation accuracy), peak memory,
and the fraction of what the machine's convolutions can do; stores records/training.json and records/training.png.
"""

import argparse
import statistics
import time

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision import transforms as T

from benchmarks.measure import (
    RECORDS,
    convolution_limit,
    in_fresh_process,
    machine,
    read_record,
    write_record,
)
from cifar_cnn.data import load_data
from cifar_cnn.model import build_model, dimensions, training_multiply_adds
from cifar_cnn.train import Run, choose_precision, fit, get_recipe, steps_per_epoch, train_step

TARGET = 0.8228  # the report's validation accuracy at the end
BATCH = 64


class Photographs(torch.utils.data.Dataset):
    "CIFAR-10 as torchvision serves it: PIL images, changed one at a time."

    bilinear = T.InterpolationMode.BILINEAR
    transform = T.Compose(
        [
            T.RandomHorizontalFlip(),
            T.RandomRotation(15, bilinear),
            T.RandomAffine(0, (0.1, 0.1), interpolation=bilinear),
            T.RandomResizedCrop(32, (0.9, 1.0)),
            T.ToTensor(),
            T.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )

    def __init__(self, images):
        self.pixels, self.labels = (
            images.images.permute(0, 2, 3, 1).contiguous().numpy(),
            images.labels.tolist(),
        )

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return self.transform(Image.fromarray(self.pixels[i])), self.labels[i]


def naive(steps: int, workers: int) -> list[float]:
    "Seconds of each step of a plain loop: DataLoader, fp32, Adam."
    torch.manual_seed(0)
    loader = torch.utils.data.DataLoader(
        Photographs(load_data("cifar10").train), BATCH, shuffle=True, num_workers=workers
    )
    model = build_model("cifar_cnn").train()
    optimizer, seconds, start = torch.optim.Adam(model.parameters(), 0.001), [], time.perf_counter()
    for images, labels in loader:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        loss.item()
        seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        if len(seconds) == steps:
            break
    return seconds


def ours(steps: int, recipe: str) -> list[float]:
    "Seconds of each step of our loop."
    device, seconds = torch.device("cpu"), []
    run = Run(load_data("cifar10"), get_recipe(recipe), device, choose_precision(device))
    for _ in range(min(steps, steps_per_epoch(run))):
        start = time.perf_counter()
        train_step(run)
        seconds.append(time.perf_counter() - start)
    return seconds


def whole(recipe: str) -> dict:
    "A whole training, from images in memory to finished weights."
    splits, start = load_data("cifar10"), time.perf_counter()
    run = fit(splits, get_recipe(recipe), device="cpu")
    return {"seconds": time.perf_counter() - start, "valid_accuracy": run.accuracy}


def measure(quick: bool) -> dict:
    splits = load_data("cifar10")  # fills the cache, so that no contender pays for it
    images, rounds, steps = len(splits.train), 2 if quick else 3, 60 if quick else 250
    contenders = {
        "naive": (naive, steps, 0, BATCH),
        "naive, 2 workers": (naive, steps, 2, BATCH),
        "report": (ours, steps, "report", BATCH),
        "fast": (ours, steps, "fast", get_recipe("fast").batch_size),
    }
    speeds, memory, limits = {name: [] for name in contenders}, {}, []
    for _ in range(rounds):
        limits.append(convolution_limit())
        for name, (work, *arguments, batch) in contenders.items():
            seconds, memory[name] = in_fresh_process(work, *arguments)
            speeds[name].append(batch / statistics.median(seconds[10:]))
            print(f"{name:18} {speeds[name][-1]:7,.0f} images/s", flush=True)
    result = {
        "machine": machine(),
        "quick": quick,
        "rounds": rounds,
        "steps": steps,
        "convolution_limit": statistics.median(limits),
        "contenders": {},
    }
    for name, values in speeds.items():
        speed = statistics.median(values)
        network = build_model("fast_cnn" if name == "fast" else "cifar_cnn")
        work = training_multiply_adds(dimensions(network))
        result["contenders"][name] = {
            "images_per_second": speed,
            "all": values,
            "seconds_per_epoch": images / speed,
            "peak_memory_gb": memory[name],
            "of_convolution_limit": speed * work / 1e9 / result["convolution_limit"],
        }
    result["fast, whole"], memory = in_fresh_process(whole, "fast")
    result["fast, whole"]["peak_memory_gb"] = memory
    return result


def report(result: dict) -> str:
    "The table that is printed."
    history = read_record("report")["history"]
    epochs = next(row["epoch"] for row in history if row["valid_accuracy"] >= TARGET)
    rows, whole, machine = result["contenders"], result["fast, whole"], result["machine"]
    lines = [
        f"{machine['processor']}, {machine['threads']} threads; convolutions in {machine['precision']}: "
        f"{result['convolution_limit']:,.0f} billion multiply-adds/s",
        "",
        f"{'':18} images/s    ×    epoch  of the limit   memory   to {TARGET:.2%}",
    ]
    for name, row in rows.items():
        seconds = whole["seconds"] if name == "fast" else epochs * row["seconds_per_epoch"]
        times = row["images_per_second"] / rows["naive"]["images_per_second"]
        lines.append(
            f"{name:18} {row['images_per_second']:8,.0f} {times:4.1f} {row['seconds_per_epoch']:6.0f} s "
            f"{row['of_convolution_limit']:12.0%} {row['peak_memory_gb']:6.1f} GB {seconds:9,.0f} s"
        )
    lines += [
        "",
        f"fast, a whole run: {whole['seconds']:.1f} s, {whole['valid_accuracy']:.2%} validation; for the others "
        f"it is the epochs of the report's stored run ({epochs}) × seconds per epoch",
    ]
    longer = read_record("recipes")["fast94"]
    time = f" in {longer['seconds']:,.0f} s" if longer["seconds"] else ""
    accuracy = f"{longer['test_accuracy']:.2%} test accuracy"
    lines.append(f"fast94: {accuracy}{time} (mean of {longer['n']}, stored record)")
    return "\n".join(lines)


def draw(result: dict):
    "Images per second, as bars."
    figure, ax = plt.subplots(figsize=(7, 2.4), layout="constrained")
    rows = result["contenders"]
    bars = ax.barh(
        list(rows)[::-1],
        [row["images_per_second"] for row in rows.values()][::-1],
        hatch="/",
        edgecolor="white",
    )
    ax.bar_label(bars, fmt="{:,.0f}", padding=3)
    ax.set(
        xlabel="training images per second",
        title=f"{result['machine']['processor']}, {result['machine']['threads']} threads",
        xlim=(0, 1.15 * max(row["images_per_second"] for row in rows.values())),
    )
    return figure


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="under 3 minutes; does not replace the stored record"
    )
    quick = parser.parse_args().quick
    result = measure(quick)
    print(f"\n{report(result)}")
    name = "training_quick" if quick else "training"
    write_record(name, result)
    draw(result).savefig(RECORDS / f"{name}.png", dpi=150)
    print(f"stored: benchmarks/records/{name}.json and .png")


if __name__ == "__main__":
    main()
