"""How long the hostile images of the tests keep a predictor busy, and how much memory they take.

    python -m benchmarks.hostile

Every image of tests/support/hostile.py, those that are cut off included, is read and classified once. Another
process makes the larger ones, which needs more memory than reading them. Stores records/hostile.json.
"""

import subprocess
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

from benchmarks.measure import machine, write_record
from cifar_cnn.data import ImageError
from cifar_cnn.predict import Predictor
from tests.support import hostile
from tests.support.processes import in_fresh_process, peak_memory


def measure(folder: Path) -> dict:
    predictor, times, refused = Predictor(), {}, 0
    predictor.predict(hostile.picture())
    before = peak_memory()
    cut_off = ((case.name, case.content) for case in hostile.truncated())
    for name, image in chain(((path.name, path) for path in folder.iterdir()), cut_off):
        start = time.perf_counter()
        try:
            predictor.predict(image)
        except ImageError:
            refused += 1
        times[name] = time.perf_counter() - start
    slowest = dict(sorted(times.items(), key=lambda item: -item[1])[:10])
    return {"images": len(times), "refused": refused, "memory_gb_before": before, "slowest_seconds": slowest}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        subprocess.run([sys.executable, "-m", "tests.support.hostile", name], check=True)
        result, peak = in_fresh_process(measure, Path(name))
    write_record("hostile", {"machine": machine(), **result, "peak_memory_gb": peak})
    print("{images:,} images, {refused:,} refused; {memory_gb_before:.2f} GB before".format(**result)
          + f", {peak:.2f} GB at the peak")
    for name, seconds in result["slowest_seconds"].items():
        print(f"{seconds:5.2f} s  {name}")


if __name__ == "__main__":
    main()
