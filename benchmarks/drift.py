"""Does the monitor keep quiet while nothing changes, and speak soon when the pictures do?

    python -m benchmarks.drift

The network of the package answers the 10,000 test images of CIFAR-10: as they are, with noise, and blurred,
at five strengths. Days of 2,000 requests are drawn from these answers and written to a store hour by hour, as
servers write them; then the monitor reads them. No answer is made up. Stores records/drift.json.
"""

import tempfile
import time

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from benchmarks.measure import write_record
from cifar_cnn.data import load_data
from cifar_cnn.images.imageset import ImageSet
from cifar_cnn.loop.monitor import (
    Rules,
    count,
    find_alarms,
    measure_reference,
    read_traffic,
    windows_of,
    write_traffic,
)
from cifar_cnn.loop.store import LocalStore
from cifar_cnn.predictor import Predictor

DAYS, REQUESTS, SEEDS = 10, 2000, 20
NOISE = (0.01, 0.015, 0.02, 0.03, 0.04)  # standard deviation, of pixels in 0–1
BLUR = (0.4, 0.5, 0.6, 0.8, 1.0)         # standard deviation, in pixels
CATS = "half cats"


def noisy(images: Tensor, strength: float) -> Tensor:  # N×C×H×W uint8
    "Add Gaussian noise to every pixel."
    generator = torch.Generator().manual_seed(0)
    noise = 255 * strength * torch.randn(images.shape, generator=generator)
    return (images + noise).round().clamp(0, 255).to(torch.uint8)


def blurred(images: Tensor, strength: float) -> Tensor:  # N×C×H×W uint8
    "Blur each image with a Gaussian of that width in pixels."
    return gaussian_blur(images, 7, strength)


class Answers:
    "What the network said of some images, and whether it was right."

    def __init__(self, predictor: Predictor, images: Tensor, labels: Tensor):
        start = time.perf_counter()
        parts = [predictor.engine(chunk) for chunk in images.split(1000)]
        probabilities, familiar = (torch.cat(part) for part in zip(*parts))
        confidence, said = probabilities.double().max(1)
        self.said, self.confidence, self.familiar = said.numpy(), confidence.numpy(), familiar.numpy()
        self.right, self.classes = (said == labels).numpy(), len(predictor.classes)
        print(f"{len(images)} images answered in {time.perf_counter() - start:.0f} s", flush=True)

    def summary(self) -> dict:
        return {"accuracy": float(self.right.mean()), "estimated": float(self.confidence.mean()),
                "unfamiliar": float((~self.familiar).mean())}


def write_day(store, model, day: int, answers: Answers, drawn: np.ndarray, random) -> None:
    "A day of requests, spread over its hours as chance will have it."
    hours = random.integers(24, size=len(drawn))
    for hour in range(24):
        of = drawn[hours == hour]
        if len(of):
            counts = count(answers.said[of], answers.confidence[of], answers.familiar[of], answers.classes)
            write_traffic(store, 24 * day + hour, "server", model, counts)


def alarms_by_window(hours, reference) -> list[tuple[int, set[str]]]:
    "For each window its last hour, and the alarms that stand when it ends."
    windows = windows_of(hours, reference.model)
    return [(window.last, {alarm.measure for alarm in find_alarms(windows[:end], reference)})
            for end, window in enumerate(windows, 1)]


def begun(rows: list[tuple[int, set[str]]]) -> list[tuple[int, str]]:
    "The alarms that were raised: the number of the window, and the measure."
    before, found = set(), []
    for number, (_, standing) in enumerate(rows):
        found += [(number, measure) for measure in sorted(standing - before)]
        before = standing
    return found


def written(model: str, days: dict[int, np.ndarray], answers: Answers, random) -> list:
    "Days of requests, as a server writes them and the monitor reads them."
    with tempfile.TemporaryDirectory() as folder:
        store = LocalStore(folder)
        for day, drawn in days.items():
            write_day(store, model, day, answers, drawn, random)
        return read_traffic(store)


def simulate(seed: int, cat: int, reference, answers: dict[str, Answers], labels: np.ndarray) -> dict:
    "Ten clean days; and the same ten, followed by two of each change."
    random, clean, result = np.random.default_rng(seed), answers["clean"], {}
    days = {day: random.integers(len(labels), size=REQUESTS) for day in range(DAYS)}
    errors = [abs(clean.confidence[drawn].mean() - clean.right[drawn].mean()) for drawn in days.values()]
    before = written(reference.model, days, clean, random)
    result["clean"] = {"false": len(begun(alarms_by_window(before, reference))), "error": float(max(errors))}
    for name in (*answers, CATS):
        after = {day: random.integers(len(labels), size=REQUESTS) for day in (DAYS, DAYS + 1)}
        if name == CATS:
            for drawn in after.values():
                drawn[::2] = random.choice(np.flatnonzero(labels == cat), REQUESTS // 2)
        if name != "clean":
            hours = before + written(reference.model, after, answers.get(name, clean), random)
            rows = alarms_by_window(hours, reference)
            first = next(number for number, (last, _) in enumerate(rows) if last >= 24 * DAYS)
            raised = [(number - first + 1, measure) for number, measure in begun(rows) if number >= first]
            result[name] = {"window": min(number for number, _ in raised) if raised else None,
                            "measures": sorted({measure for _, measure in raised})}
    return result


def main():
    torch.set_num_threads(1)
    splits, predictor = load_data("cifar10"), Predictor()
    options = {**predictor.checkpoint.data["options"]}
    valid: ImageSet = load_data("cifar10", **options).valid
    reference = measure_reference(predictor, valid)
    images, labels = splits.test.images, splits.test.labels
    answers = {"clean": Answers(predictor, images, labels)}
    levels = {"clean": answers["clean"].summary(), "noise": [], "blur": []}
    for name, strengths, change in (("noise", NOISE, noisy), ("blur", BLUR, blurred)):
        for strength in strengths:
            key = f"{name} {strength}"
            answers[key] = Answers(predictor, change(images, strength), labels)
            levels[name].append({"strength": strength, **answers[key].summary()})
            print(name, levels[name][-1], flush=True)
    cat = predictor.classes.index("cat")
    runs = [simulate(seed, cat, reference, answers, labels.numpy()) for seed in range(SEEDS)]
    changes = [name for name in (*answers, CATS) if name != "clean"]
    record = {
        "rules": vars(Rules()), "requests_a_day": REQUESTS, "days": DAYS, "seeds": SEEDS,
        "images": len(labels),
        "reference": {"images": len(valid), "accuracy": reference.accuracy,
                      "estimated": reference.counts.estimated_accuracy,
                      "unfamiliar": reference.counts.unfamiliar_share},
        "levels": levels,
        "false_alarms_in_ten_clean_days": [run["clean"]["false"] for run in runs],
        "largest_error_of_the_estimate_in_a_clean_day": max(run["clean"]["error"] for run in runs),
        "changes": {name: {"alarm_in_window": [run[name]["window"] for run in runs],
                           "measures": sorted({measure for run in runs for measure in run[name]["measures"]})}
                    for name in changes},
    }
    for name in ("reference", "false_alarms_in_ten_clean_days",
                 "largest_error_of_the_estimate_in_a_clean_day", "changes"):
        print(name, record[name])
    write_record("drift", record)


if __name__ == "__main__":
    main()
