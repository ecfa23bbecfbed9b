"""The report's augmentation image by image with torchvision and PIL, and ours by the batch, in turn.

    python -m benchmarks.augmentation            200 rounds (a minute on two cores)
    python -m benchmarks.augmentation --quick    20 rounds; leaves the stored record alone

Prints images per second on one thread and on all; stores records/augmentation.json and
records/augmentation.png. """

import argparse
import statistics
import time

import matplotlib.pyplot as plt
import torch
from PIL import Image

from benchmarks.measure import RECORDS, machine, write_record
from benchmarks.training import Photographs
from cifar_cnn.augment import REPORT_AUGMENT, normalize, to_float
from cifar_cnn.data import load_data
from cifar_cnn.train import get_recipe


def by_image(pixels):
    return torch.stack([Photographs.transform(Image.fromarray(array)) for array in pixels])


def by_batch(augment):
    generator = torch.Generator().manual_seed(0)
    return lambda images: normalize(augment(to_float(images), generator), (0.5,) * 3, (0.5,) * 3)


def draw(record: dict):
    "Bars: images per second, by threads."
    figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
    speeds, width = record["images_per_second"], 0.8 / len(record["images_per_second"])
    for number, (threads, by_name) in enumerate(speeds.items()):
        places = [place + number * width for place in range(len(by_name))]
        bars = ax.barh(places, by_name.values(), width, label=threads, hatch="/x"[number % 2],
                       edgecolor="white")
        ax.bar_label(bars, fmt="{:,.0f}", padding=3)
    ax.set_yticks([place + (len(speeds) - 1) * width / 2 for place in range(len(by_name))], list(by_name))
    ax.set(xscale="log", xlabel="augmented images per second", title=record["machine"]["processor"])
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.legend()
    return figure


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rounds, stored = (20, "augmentation_quick") if quick else (200, "augmentation")
    batch = load_data("cifar10").train.images[:64]
    arrays = batch.permute(0, 2, 3, 1).contiguous().numpy()
    contenders = {
        "report, PIL": (by_image, arrays),
        "report, by the batch": (by_batch(REPORT_AUGMENT), batch),
        "fast, by the batch": (by_batch(get_recipe("fast").augment), batch),
    }
    record = {"machine": machine(), "rounds": rounds, "images_per_second": {}}
    every = torch.get_num_threads()
    for threads in (1, every):
        torch.set_num_threads(threads)
        seconds = {name: [] for name in contenders}
        for _ in range(rounds + 3):
            for name, (work, images) in contenders.items():
                start = time.perf_counter()
                work(images)
                seconds[name].append(time.perf_counter() - start)
        speeds = {name: len(batch) / statistics.median(values[3:]) for name, values in seconds.items()}
        record["images_per_second"][f"{threads} threads"] = speeds
        for name, speed in speeds.items():
            times = speed / speeds["report, PIL"]
            print(f"{threads} threads  {name:22} {speed:9,.0f} images/s  ×{times:.1f}")
    write_record(stored, record)
    draw(record).savefig(RECORDS / f"{stored}.png", dpi=150)
    print(f"stored: benchmarks/records/{stored}.json and .png")


if __name__ == "__main__":
    main()
