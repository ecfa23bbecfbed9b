"""The predictor in the browser against Python: bytes, milliseconds a picture, labels, the largest difference.

    python -m benchmarks.browser

500 test images of CIFAR-10, 120 parts of photographs and 80 enlarged test images, in Chromium and in Firefox;
one picture in every format. It needs `npm ci --ignore-scripts` in site/ once. Stores records/browser.json.
"""

import gzip
import statistics
import tempfile
from pathlib import Path

from benchmarks.measure import machine, write_record
from cifar_cnn.images.load import load_data
from cifar_cnn.pages.browser import export_web
from cifar_cnn.predictor import Predictor
from tests.support import browsers

VERSION = "() => navigator.userAgent"


def groups() -> dict[str, dict[str, bytes]]:
    "The pictures: name of the group → file name → content."
    test, photo = load_data("cifar10").test, browsers.photographs()["china"].crop((100, 50, 420, 300))
    return {"cifar10": browsers.cifar(test, 500),
            "photographs": dict(browsers.crops(120)) | browsers.cifar(test, 80, side=224, seed=1),
            "formats": browsers.every_kind(photo)}


def summary(rows: list[dict]) -> dict:
    "What a table says of one group in one browser."
    return {"pictures": len(rows), "same_labels": sum(row["same_label"] for row in rows),
            "same_familiarity": sum(row["same_familiar"] for row in rows),
            "same_pixels": sum(row["pixel_difference"] == 0 for row in rows),
            "largest_difference": max(row["difference"] for row in rows),
            "milliseconds_median": statistics.median(row["milliseconds"] for row in rows),
            "milliseconds_fastest": min(row["milliseconds"] for row in rows)}


def main():
    pictures, predictor, record = groups(), Predictor(), {"machine": machine(), "browsers": {}}
    with tempfile.TemporaryDirectory() as folder:
        web = Path(folder)
        export_web(None, web, browsers.RUNTIME)
        sizes = {path.name: [path.stat().st_size, len(gzip.compress(path.read_bytes()))]
                 for path in sorted(web.rglob("*")) if path.is_file()}
        record["bytes_and_gzipped"] = sizes
        for name, (size, packed) in sizes.items():
            print(f"{name:32} {size:10,} bytes {packed:10,} gzipped")
        for browser, (_, driver) in browsers.BROWSERS.items():
            with browsers.serving(web) as (address, _), driver() as driven:
                driven.open(f"{address}/")
                found = {group: summary(browsers.compare(driven, predictor, web, files))
                         for group, files in pictures.items()}
                record["browsers"][browser] = {"version": driven.call(VERSION), **found}
            for group, row in found.items():
                shown = (f"{key} {value:.4g}" for key, value in row.items())
                print(f"{browser:9} {group:12}", *shown, sep="  ")
    write_record("browser", record)


if __name__ == "__main__":
    main()
