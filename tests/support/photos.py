"""Folders of ordinary photographs, made of smooth random pixels, and what loading one takes."""

import os
import time
from pathlib import Path

import torch
from PIL import Image

from cifar_cnn.data import load_data
from tests.support.processes import Peak

CLASSES = ("cat", "dog")


def make_photos(folder: Path, count: int, distinct: int = 200) -> None:
    "So many JPEG files of 500×375 smooth random pixels, in two class folders."
    generator = torch.Generator().manual_seed(0)
    for number in range(count):
        name = CLASSES[number % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        path = folder / name / f"{number}.jpg"
        if number < distinct:
            coarse = torch.randint(0, 256, (24, 32, 3), generator=generator, dtype=torch.uint8)
            Image.fromarray(coarse.numpy()).resize((500, 375), Image.Resampling.BICUBIC).save(path,
                                                                                              quality=90)
        else:
            original = number % distinct
            os.link(folder / CLASSES[original % 2] / f"{original}.jpg", path)


def load(folder: Path, cache: Path, image_size: int) -> dict:
    peak, start = Peak(), time.perf_counter()
    splits = load_data(folder, root=cache, image_size=image_size, crop_pct=0.875)
    first = time.perf_counter() - start
    start = time.perf_counter()
    load_data(folder, root=cache, image_size=image_size, crop_pct=0.875)
    again = time.perf_counter() - start
    parts = (splits.train, splits.valid, splits.test)
    start, batches = time.perf_counter(), torch.randperm(len(splits.train)).split(32)
    for index in batches:
        splits.train.images[index].float()
    return {"images": sum(map(len, parts)), "seconds_first": first,
            "seconds_from_cache": again, "seconds_an_epoch_of_batches": time.perf_counter() - start,
            "gigabytes_of_pixels": sum(part.images.numel() for part in parts) / 2**30,
            "private_gigabytes_before": peak.before, "private_gigabytes_peak": peak.highest}
