"""Folders of pictures such as people have, made of what Python packages ship and of CIFAR-10.

Each maker fills `folder/train/<class>` and `folder/test/<class>`; the seed draws the pictures.
The test pictures are many, so that an accuracy on them means something. Needs `pip install scikit-image`.
"""

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from cifar_cnn.data import ImageSet, load_data, read_digits

PHOTOS = ("cat", "dog", "horse", "ship", "truck")


def drawn(images: ImageSet, per_class: dict[str, int], seed: int) -> dict[str, list[Image.Image]]:
    "So many pictures of each class, drawn at random."
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    labels, found = images.labels[order], {}
    for name, count in per_class.items():
        members = order[labels == images.classes.index(name)][:count]
        pixels = images.images[members].permute(0, 2, 3, 1).squeeze(-1).numpy()
        found[name] = [Image.fromarray(each) for each in pixels]
    return found


def save(folder: Path, part: str, pictures: dict[str, list[Image.Image]], ending: str = "png") -> None:
    for name, images in pictures.items():
        target = folder / part / name
        target.mkdir(parents=True)
        for number, image in enumerate(images):
            image.save(target / f"{number:04}.{ending}", quality=85)


def distorted(pictures: dict[str, list[Image.Image]], seed: int) -> dict[str, list[Image.Image]]:
    "The same pictures at 32 to 640 pixels, some in other shapes, each once through a JPEG."
    random, found = np.random.default_rng(seed), {}
    for name, images in pictures.items():
        found[name] = []
        for image in images:
            side = int(2 ** random.uniform(5, 9.3))
            size = (side, int(side * random.uniform(0.75, 1.34)))
            image.convert("RGB").resize(size, Image.Resampling.BICUBIC).save(
                file := io.BytesIO(), "JPEG", quality=int(random.integers(60, 95)))
            found[name].append(Image.open(file).copy())
    return found


def cifar(folder: Path, seed: int, train: dict[str, int], test: int, mixed: bool = False) -> None:
    splits = load_data("cifar10")
    parts = {"train": drawn(splits.train, train, seed),
             "test": drawn(splits.test, dict.fromkeys(train, test), 0)}
    for part, pictures in parts.items():
        save(folder, part, distorted(pictures, seed) if mixed else pictures, "jpg" if mixed else "png")


def photos500(folder: Path, seed: int) -> None:
    "5 classes of 100 JPEG files of mixed sizes."
    cifar(folder, seed, dict.fromkeys(PHOTOS, 100), 200, mixed=True)


def photos150(folder: Path, seed: int) -> None:
    "5 classes of 30 JPEG files of mixed sizes."
    cifar(folder, seed, dict.fromkeys(PHOTOS, 30), 200, mixed=True)


def unbalanced450(folder: Path, seed: int) -> None:
    "Vehicles, 15 to 1: PNG files of 32 pixels."
    cifar(folder, seed, {"airplane": 300, "automobile": 90, "ship": 40, "truck": 20}, 200)


def small2000(folder: Path, seed: int) -> None:
    "10 classes of 200 PNG files of 32 pixels."
    names = load_data("cifar10").classes
    cifar(folder, seed, dict.fromkeys(names, 200), 80)


def small5000(folder: Path, seed: int) -> None:
    "10 classes of 500 PNG files of 32 pixels."
    names = load_data("cifar10").classes
    cifar(folder, seed, dict.fromkeys(names, 500), 100)


def digits1000(folder: Path, seed: int) -> None:
    "scikit-learn's handwritten digits, 1,000 to learn and the rest to test, in grey, 8 pixels."
    images = read_digits()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    for part, index in (("train", order[:1000]), ("test", order[1000:])):
        save(folder, part, drawn(images[index], dict.fromkeys(images.classes, 1000), 0))


def faces160(folder: Path, seed: int) -> None:
    "scikit-image's subset of Labeled Faces in the Wild, 100 faces and 100 other things, in grey, 25 pixels."
    from skimage import data

    images = np.round(data.lfw_subset() * 255).astype(np.uint8)
    labelled = ImageSet(torch.from_numpy(images)[:, None], torch.arange(200) // 100, ("face", "other"))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(seed))
    for part, index in (("train", order[:100]), ("test", order[100:])):
        save(folder, part, drawn(labelled[index], {"face": 100, "other": 100}, 0))


GLYPHS = "ABCDEFGHJKLMNPQRSTUVXYZ23456789&%$?!@#abdeghnqrty+"  # 50, none another's mirror or capital


def glyph(letter: str, font: Path, random: np.random.Generator) -> Image.Image:
    "A letter in a font, turned, on a noisy ground of another colour, at 48 to 96 pixels."
    side = int(random.integers(48, 96))
    ground, ink = random.integers(0, 256, 3), random.integers(0, 256, 3)
    if abs(int(ground.sum()) - int(ink.sum())) < 200:
        ink = 255 - ground if abs(int(ground.sum()) - 382) > 100 else np.zeros(3, int)
    image = Image.new("RGB", (side, side), tuple(map(int, ground)))
    draw = ImageDraw.Draw(image)
    chosen = ImageFont.truetype(str(font), int(side * random.uniform(0.45, 0.75)))
    draw.text((side / 2, side / 2), letter, tuple(map(int, ink)), chosen, anchor="mm")
    image = image.rotate(random.uniform(-20, 20), Image.Resampling.BICUBIC, fillcolor=tuple(map(int, ground)))
    noisy = np.asarray(image) + random.normal(0, 12, (side, side, 3))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def glyphs700(folder: Path, seed: int) -> None:
    "50 classes of 14 letters and signs: fonts of matplotlib's, colours and angles as they come."
    fonts = sorted(Path(matplotlib.get_data_path()).glob("fonts/ttf/DejaVuS*.ttf"))
    fonts = [font for font in fonts if "Display" not in font.name]
    random = np.random.default_rng(seed)
    for part, count in (("train", 14), ("test", 16)):
        drawn_now = {f"sign{number:02}": [glyph(letter, fonts[int(random.integers(len(fonts)))], random)
                                          for _ in range(count)] for number, letter in enumerate(GLYPHS)}
        save(folder, part, drawn_now)


FOLDERS: dict[str, Callable[[Path, int], None]] = {
    make.__name__: make
    for make in (photos150, photos500, unbalanced450, small2000, small5000, digits1000, faces160, glyphs700)}
