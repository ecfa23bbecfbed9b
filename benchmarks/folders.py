"""Folders such as people have: what `cifar-cnn train` does with them, beside what else one would try.

    pip install scikit-image
    python -m benchmarks.folders --seeds 0 1 2

Each method trains and answers in a process of its own, on the same pictures, one after the other. The seed
draws the pictures. Seconds are from files to the answers to all test pictures, decoding and features too.
Stores records/folders.json, and prints its table.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.made import FOLDERS
from benchmarks.measure import machine, read_record, write_record
from cifar_cnn.data import ImageSet, load_data
from tests.support.processes import in_fresh_process

DEFAULT = ("photos150", "photos500", "unbalanced450", "glyphs700", "digits1000", "small2000")


def parts(folder: Path, size: int) -> tuple[ImageSet, ImageSet]:
    "Training and test pictures as other programs would load them: no validation part."
    splits = load_data(folder / "pictures", folder / f"cache{size}", image_size=size)
    train = ImageSet(torch.cat([splits.train.images, splits.valid.images]),
                     torch.cat([splits.train.labels, splits.valid.labels]), splits.classes)
    return train, splits.test


def ours(folder: Path, seed: int):
    "What `cifar-cnn train --data FOLDER` does."
    from cifar_cnn.evaluate import evaluate
    from cifar_cnn.train import fit, make_checkpoint, plan
    from cifar_cnn.training.choose import choose_recipe

    choice = choose_recipe(folder / "pictures")
    planned = plan(folder / "pictures", choice.recipe, changes={**choice.changes, "seed": seed},
                   root=folder / "ours", **choice.options)
    checkpoint = make_checkpoint(fit(planned, "cpu"))
    return evaluate(checkpoint, planned.splits.test).predictions, planned.splits.test.labels, choice.recipe


def scratch(folder: Path, seed: int):
    "The fast recipe, from scratch."
    from cifar_cnn.evaluate import evaluate
    from cifar_cnn.train import fit, get_recipe, make_checkpoint, plan

    planned = plan(folder / "pictures", get_recipe("fast", seed=seed), root=folder / "scratch")
    checkpoint = make_checkpoint(fit(planned, "cpu"))
    return evaluate(checkpoint, planned.splits.test).predictions, planned.splits.test.labels, "fast"


def linear(folder: Path, seed: int):
    "scikit-learn's logistic regression as it comes, on the same public features."
    from sklearn.linear_model import LogisticRegression

    from cifar_cnn.networks.lite import public_backbone
    from cifar_cnn.training.features import cached_features

    backbone = public_backbone(224)
    train, test = parts(folder, 224)
    features = lambda images: cached_features(backbone, images, (0.5,) * 3, (0.5,) * 3).numpy()
    fitted = LogisticRegression(max_iter=3000).fit(features(train.images), train.labels)
    return torch.from_numpy(fitted.predict(features(test.images))), test.labels, "LogisticRegression"


def hog(folder: Path, seed: int):
    "A support vector machine on histograms of gradients and coarse colours."
    from skimage.feature import hog as gradients
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    train, test = parts(folder, 64)

    def describe(images):
        colours = F.adaptive_avg_pool2d(images.float(), 8).flatten(1).numpy()
        edges = [gradients(image.float().mean(0).numpy(), pixels_per_cell=(8, 8)) for image in images]
        return np.concatenate([np.stack(edges), colours / 255], axis=1)
    fitted = make_pipeline(StandardScaler(), SVC(C=10)).fit(describe(train.images), train.labels)
    return torch.from_numpy(fitted.predict(describe(test.images))), test.labels, "SVC"


def pixels(folder: Path, seed: int):
    "A random forest on pixels."
    from sklearn.ensemble import RandomForestClassifier

    train, test = parts(folder, 32)
    fitted = RandomForestClassifier(300, random_state=seed).fit(train.images.flatten(1), train.labels)
    return torch.from_numpy(fitted.predict(test.images.flatten(1))), test.labels, "RandomForest"


def resnet(folder: Path, seed: int):
    "torchvision's ResNet-18 from scratch: Adam, flips, 64 pixels, 20 epochs, the last one."
    from torchvision.models import resnet18

    train, test = parts(folder, 64)
    torch.manual_seed(seed)
    model = resnet18(num_classes=len(train.classes)).to(memory_format=torch.channels_last)
    steps = 20 * (len(train) // 32)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(20):
        for index in torch.randperm(len(train)).split(32)[:len(train) // 32]:
            images = train.images[index].float() / 127.5 - 1
            images = torch.where(torch.rand(len(index), 1, 1, 1) < 0.5, images.flip(3), images)
            loss = F.cross_entropy(model(images.contiguous(memory_format=torch.channels_last)),
                                   train.labels[index])
            optimizer.zero_grad(), loss.backward(), optimizer.step(), schedule.step()
    model.eval()
    with torch.inference_mode():
        answers = torch.cat([model(chunk.float() / 127.5 - 1) for chunk in test.images.split(100)])
    return answers.argmax(1), test.labels, "resnet18"


METHODS = {"ours": ours, "linear": linear, "hog": hog, "pixels": pixels, "resnet": resnet, "scratch": scratch}


def measured(method: str, folder: Path, seed: int) -> dict:
    "Train, answer, and count."
    start = time.perf_counter()
    predicted, labels, what = METHODS[method](folder, seed)
    right = predicted == labels
    recalls = [right[labels == label].double().mean().item() for label in labels.unique()]
    return {"method": method, "what": what, "seed": seed, "accuracy": right.double().mean().item(),
            "recall": statistics.mean(recalls), "seconds": time.perf_counter() - start,
            "test_images": len(labels)}


def table(rows: list[dict]) -> None:
    "Print mean and spread of each folder and method, in percent; seconds; the most memory."
    for folder in dict.fromkeys(row["folder"] for row in rows):
        for method in METHODS:
            found = [row for row in rows if (row["folder"], row["method"]) == (folder, method)]
            if found:
                shares = [100 * row["accuracy"] for row in found]
                spread = f"± {statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
                print(f"{folder:14} {method:8} {found[0]['what']:18} {statistics.mean(shares):5.1f} "
                      f"{spread:6} n = {len(found)}  "
                      f"{statistics.median(row['seconds'] for row in found):5.0f} s  "
                      f"{max(row['peak_memory_gb'] for row in found):.1f} GB")


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folders", nargs="+", default=DEFAULT, choices=FOLDERS)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options = parser.parse_args()
    rows = read_record("folders").get("runs", [])
    for seed in options.seeds:
        for name in options.folders:
            with tempfile.TemporaryDirectory() as root:
                folder = Path(root) / name
                FOLDERS[name](folder / "pictures", seed)
                for method in options.methods:
                    row, memory = in_fresh_process(measured, method, folder, seed)
                    key = (name, method, seed)
                    rows = [old for old in rows if (old["folder"], old["method"], old["seed"]) != key]
                    rows.append({"folder": name, **row, "peak_memory_gb": memory})
                    print(rows[-1], flush=True)
                    write_record("folders", {"machine": machine(), "runs": rows})
    table(rows)


if __name__ == "__main__":
    main()
