"""A folder of ordinary photographs: seconds and memory to decode, split and train one epoch's batches from it.

    python -m benchmarks.photos --photos 25000

The photographs are made here, 500×375 pixels, in a temporary folder; a few hundred distinct ones under many names.
Memory is what the process cannot give back (anonymous pages); pages of mapped files are the system's to drop.
Stores records/photos.json. Linux only.
"""

import argparse
import os
import tempfile
import threading
import time
from pathlib import Path

import torch
from PIL import Image

from benchmarks.measure import in_fresh_process, machine, write_record
from cifar_cnn.data import load_data

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
            Image.fromarray(coarse.numpy()).resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
        else:
            original = number % distinct
            os.link(folder / CLASSES[original % 2] / f"{original}.jpg", path)


def private_gigabytes() -> float:
    "Anonymous memory of this process, now."
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 2**20


class Peak(threading.Thread):
    "Watches `private_gigabytes` and keeps the highest."

    def __init__(self):
        super().__init__(daemon=True)
        self.highest, self.before = 0.0, private_gigabytes()
        self.start()

    def run(self):
        while True:
            self.highest = max(self.highest, private_gigabytes())
            time.sleep(0.02)


def load(folder: Path, cache: Path, image_size: int) -> dict:
    peak, start = Peak(), time.perf_counter()
    splits = load_data(folder, root=cache, image_size=image_size, crop=0.875)
    first = time.perf_counter() - start
    start = time.perf_counter()
    load_data(folder, root=cache, image_size=image_size, crop=0.875)
    again = time.perf_counter() - start
    parts = (splits.train, splits.valid, splits.test)
    start, batches = time.perf_counter(), torch.randperm(len(splits.train)).split(32)
    for index in batches:
        splits.train.images[index].float()
    return {"images": sum(map(len, parts)), "seconds_first": first,
            "seconds_from_cache": again, "seconds_an_epoch_of_batches": time.perf_counter() - start,
            "gigabytes_of_pixels": sum(part.images.numel() for part in parts) / 2**30,
            "private_gigabytes_before": peak.before, "private_gigabytes_peak": peak.highest}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=int, default=25_000)
    parser.add_argument("--image-size", type=int, default=224)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        make_photos(Path(scratch) / "photos", options.photos)
        folders = Path(scratch) / "photos", Path(scratch) / "cache"
        result, peak = in_fresh_process(load, *folders, options.image_size)
    for name, value in result.items():
        print(f"{name:28} {value:.2f}")
    write_record("photos", {"machine": machine(), "resident_gigabytes_peak": peak, **result})


if __name__ == "__main__":
    main()
