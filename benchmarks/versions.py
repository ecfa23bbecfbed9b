"""Seconds to record data versions of 10,000 images: new ones, known ones, renamed ones.

    python -m benchmarks.versions

In a fresh store in a temporary folder, with the images of CIFAR-10's test part. Stores records/versions.json.
"""

import tempfile
import time
from pathlib import Path

import torch

from benchmarks.measure import machine, write_record
from cifar_cnn.data import load_data
from cifar_cnn.images.pixels import to_png
from cifar_cnn.loop.folders import checkout, version_folder
from cifar_cnn.loop.store import LocalStore
from cifar_cnn.loop.upkeep import copy, verify
from cifar_cnn.loop.versions import read_version


def timed(seconds: dict, name: str, work, *arguments):
    "Seconds by the clock, and of the processor: beside other work, the clock says little."
    start, processor = time.perf_counter(), time.process_time()
    result = work(*arguments)
    took, computed = time.perf_counter() - start, time.process_time() - processor
    seconds[name] = {"clock": round(took, 2), "processor": round(computed, 2)}
    print(f"{name}: {took:.2f} s, of which {computed:.2f} s of the processor", flush=True)
    return result


def write_images(folder: Path) -> int:
    "The test part of CIFAR-10 as PNG files."
    test = load_data("cifar10").test
    for number, (image, label) in enumerate(zip(test.images, test.labels)):
        place = folder / test.classes[label] / f"{number:05}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(to_png(image))
    return len(test)


def main():
    torch.set_num_threads(1)
    seconds = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch) / "images", Path(scratch) / "scan.json"
        store = LocalStore(Path(scratch) / "loop")

        def record(cache=cache):
            return version_folder(store, folder, "ten thousand", cache=cache)

        images = write_images(folder)
        first = timed(seconds, "new", record)
        assert timed(seconds, "known", record) == first
        assert timed(seconds, "known, but not to this machine", record, Path(scratch) / "other.json") == first
        objects = store.names("objects")
        for file in list(folder.glob("*/*.png"))[:1000]:
            file.rename(file.with_name(f"renamed-{file.name}"))
        renamed = timed(seconds, "1,000 renamed", record)
        assert store.names("objects") == objects and renamed != first
        assert read_version(store, renamed).content == read_version(store, first).content
        timed(seconds, "checkout", checkout, store, renamed, Path(scratch) / "out")
        timed(seconds, "copy", copy, store, LocalStore(Path(scratch) / "copy"))
        assert not timed(seconds, "verify", verify, store)
    write_record("versions", {"machine": machine(), "images": images, "seconds": seconds})


if __name__ == "__main__":
    main()
