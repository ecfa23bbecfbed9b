"""A folder of ordinary photographs: seconds and memory to decode, split and train one epoch's batches from
it.

    python -m benchmarks.photos --photos 25000

The photographs are made here, 500×375 pixels, in a temporary folder; a few hundred distinct ones under many
names. Memory is what the process cannot give back (anonymous pages); pages of mapped files are the system's
to drop. Stores records/photos.json. Linux only.
"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.measure import machine, write_record
from tests.support.photos import load, make_photos
from tests.support.processes import in_fresh_process


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
