"""The report's augmentation image by image with torchvision and PIL, and ours by the batch, in turn.

    python -m benchmarks.augmentation [--quick]

Prints images per second on one thread and on all, and stores records/augmentation.json.
"""

import argparse
import statistics
import time

import torch
from PIL import Image

from benchmarks.measure import machine, write_record
from benchmarks.training import Photographs
from cifar_cnn.augment import REPORT_AUGMENT, normalize, to_float
from cifar_cnn.data import load_data
from cifar_cnn.train import get_recipe


def by_image(pixels):
    return torch.stack([Photographs.transform(Image.fromarray(array)) for array in pixels])


def by_batch(augment):
    generator = torch.Generator().manual_seed(0)
    return lambda images: normalize(augment(to_float(images), generator), (0.5,) * 3, (0.5,) * 3)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    rounds = 20 if parser.parse_args().quick else 200
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
            print(
                f"{threads} threads  {name:22} {speed:9,.0f} images/s  ×{speed / speeds['report, PIL']:.1f}"
            )
    write_record("augmentation", record)


if __name__ == "__main__":
    main()
