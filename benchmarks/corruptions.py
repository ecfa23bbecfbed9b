"""How much accuracy do noise, blur, weather and files cost, and does the network notice?

    python -m benchmarks.corruptions

Three networks answer test images of CIFAR-10, damaged in 14 ways at five severities: the network of the
package, the report's, and one that is trained here by the recipe `fast`. Then the network of the package
answers all 10,000 as people's files have them, and says how sure it is and which it calls unlike the training
images. Stores records/corruptions.json.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from benchmarks.measure import RECORDS, machine, write_record
from cifar_cnn.data import load_data
from cifar_cnn.evaluate import accuracy_interval
from cifar_cnn.images.corrupt import CORRUPTIONS, corrupt, damage, gaussian_noise, jpeg
from cifar_cnn.predictor import Predictor
from cifar_cnn.train import fit, load_checkpoint, make_checkpoint, plan


def resized(images: Tensor, side: int, _) -> Tensor:
    "Enlarge, and reduce again as the predictor does."
    enlarged = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
    return F.interpolate(enlarged, images.shape[2:], mode="bilinear", antialias=True)


def lit(images: Tensor, factor: float, _) -> Tensor:
    "Multiply every value."
    return images * factor


def blurred(images: Tensor, deviation: float, _) -> Tensor:
    "Blur with a Gaussian of that deviation in pixels."
    return gaussian_blur(images, 7, deviation)


EVERYDAY: dict[str, tuple[Callable, object]] = {
    "as they are": (lit, 1.0),
    "JPEG 75": (jpeg, 75), "JPEG 50": (jpeg, 50), "JPEG 25": (jpeg, 25),
    "enlarged to 64, reduced": (resized, 64), "enlarged to 224, reduced": (resized, 224),
    "half as bright": (lit, 0.5), "a quarter as bright": (lit, 0.25),
    "1.5 times as bright": (lit, 1.5),
    "blurred, 0.5 pixels": (blurred, 0.5), "blurred, 1 pixel": (blurred, 1.0),
    "noise, 4%": (gaussian_noise, 0.04), "noise, 8%": (gaussian_noise, 0.08)}


def ask(predictor: Predictor, images: Tensor, labels: Tensor) -> dict:
    "Count what is right, and measure confidence and doubt."
    probabilities, familiar = predictor.engine(images)
    confidence, said = probabilities.max(1)
    correct = said == labels
    low, high = accuracy_interval(correct)
    return {"images": len(labels), "accuracy": correct.double().mean().item(), "low": low, "high": high,
            "confidence": confidence.double().mean().item(),
            "unfamiliar": 1 - familiar.double().mean().item()}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000, help="of the test part, drawn at random")
    options = parser.parse_args()
    start, splits = time.perf_counter(), load_data("cifar10")
    order = torch.randperm(len(splits.test), generator=torch.Generator().manual_seed(0))
    test = splits.test[order[:options.images]]
    networks = {"shipped": load_checkpoint(), "report": load_checkpoint(RECORDS / "report.pth"),
                "fast": make_checkpoint(fit(plan(splits, "fast"), device="cpu"))}
    predictors = {name: Predictor(checkpoint) for name, checkpoint in networks.items()}
    rows = []
    tell = partial(print, flush=True)
    for kind, severity in [("clean", 0)] + [(kind, s) for kind in CORRUPTIONS for s in range(1, 6)]:
        damaged = corrupt(test.images, kind, severity) if severity else test.images
        for name, predictor in predictors.items():
            rows.append({"network": name, "kind": kind, "severity": severity,
                         **ask(predictor, damaged, test.labels)})
            tell(f"{name:8} {kind:15} {severity}  {rows[-1]['accuracy']:.2%}")
    everyday = []
    for name, (function, strength) in EVERYDAY.items():
        seen = damage(splits.test.images, function, strength)
        everyday.append({"what": name, **ask(predictors["shipped"], seen, splits.test.labels)})
        tell(name, everyday[-1])
    facts = {name: {"recipe": c.recipe["name"], "views": c.views, "epochs": c.epoch} for name,
             c in networks.items()}
    write_record("corruptions", {"machine": machine(), "seconds": time.perf_counter() - start,
                                 "networks": facts, "corruptions": rows, "everyday": everyday})


if __name__ == "__main__":
    main()
