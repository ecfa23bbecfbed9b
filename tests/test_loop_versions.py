"""Data versions under real processes: two writers at once, kills, and nothing of a photograph but its pixels.

The same with 10,000 images: `python -m benchmarks.versions`.
"""

import os

import numpy as np
import pytest
from PIL import Image

from cifar_cnn.loop.folders import checkout, version_folder
from cifar_cnn.loop.history import merge
from cifar_cnn.loop.pictures import part_of, put_picture
from cifar_cnn.loop.store import LocalStore
from cifar_cnn.loop.upkeep import copy, verify
from cifar_cnn.loop.versions import Row, change, head, heads, read_version
from tests.support.loop import killed_at, race

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor fork")


def noise(seed):
    return np.random.default_rng(seed).integers(256, size=(8, 8, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    "Two classes of five images."
    for name in ("cat", "dog"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(5):
            image = Image.fromarray(noise([number, ord(name[0])]))
            image.save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


def add(number, turn, folder):
    "What a writer does: an image more. Every ten turns have a store of their own, so that none grows long."
    store = LocalStore(folder / f"loop-{turn // 10}")
    image = put_picture(store, noise([number, turn]))
    change(store, {image: Row(f"writer {number}", part_of(image))}, author=str(number))
    return image


def test_two_writers_at_once_lose_nothing(tmp_path):
    met = []

    def join(turn):
        store = LocalStore(tmp_path / f"loop-{turn // 10}")
        found = heads(store)
        met.append(len(found))
        if len(found) == 2:
            merge(store, *found)

    found = race(add, tmp_path, writers=2, rounds=100, between=join)
    assert set(met) <= {1, 2} and 2 in met, "they never met: this shows nothing"
    for number in range(10):
        store = LocalStore(tmp_path / f"loop-{number}")
        images = {image for turn in found[10 * number:10 * number + 10] for image in turn.values()}
        assert len(images) == 20 and set(read_version(store, head(store)).rows) == images
        assert not verify(store) and not list((store.folder / "tmp").iterdir())


POINTS = [
    "written:objects", "named:objects", "created:objects", "version:scanned", "version:before",
    "written:notes", "named:notes", "created:notes", "version:noted",
    "written:versions", "named:versions", "created:versions",
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_version_is_recorded_once(tmp_path, folder, point):
    def record(where):
        return version_folder(LocalStore(where), folder, "ten images", "Ada", cache=tmp_path / "scan.json")

    undisturbed = record(tmp_path / "undisturbed")
    (tmp_path / "scan.json").unlink()
    assert killed_at(point, record, tmp_path / "loop")
    assert record(tmp_path / "loop") == undisturbed
    store = LocalStore(tmp_path / "loop")
    assert heads(store) == [undisturbed] and not verify(store) and not list((store.folder / "tmp").iterdir())
    assert len(store.names("notes")) == 1 and len(store.names("objects")) == 10


@pytest.mark.parametrize("point", ["created:objects", "copy:pictures", "created:notes", "created:versions"])
def test_a_killed_copy_goes_on(tmp_path, folder, point):
    source = LocalStore(tmp_path / "loop")
    version_folder(source, folder, cache=tmp_path / "scan.json")
    assert killed_at(point, lambda: copy(source, LocalStore(tmp_path / "copy")))
    target = LocalStore(tmp_path / "copy")
    assert not verify(target), "what is there is whole"
    copy(source, target)
    for kind in ("objects", "notes", "versions"):
        assert target.names(kind) == source.names(kind)


def test_a_new_name_costs_nothing(tmp_path, folder):
    store, cache = LocalStore(tmp_path / "loop"), tmp_path / "scan.json"
    first = version_folder(store, folder, cache=cache)
    objects = store.names("objects")
    for file in (folder / "cat").iterdir():
        file.rename(file.with_name(f"tom-{file.name}"))
    second = version_folder(store, folder, cache=cache)
    assert store.names("objects") == objects and first != second
    assert read_version(store, first).content == read_version(store, second).content
    checkout(store, second, tmp_path / "out")
    assert version_folder(store, tmp_path / "out", cache=tmp_path / "other.json") == second


def test_nothing_of_a_photograph_but_its_pixels(tmp_path, folder):
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    exif[0x010E], exif[0x0112] = "my garden", 6  # description; turned by 90 degrees
    Image.fromarray(np.full((40, 2000, 3), 200, np.uint8)).save(folder / "cat" / "photo.jpg", exif=exif)
    store = LocalStore(tmp_path / "loop")
    version_folder(store, folder, cache=tmp_path / "scan.json")
    contents = [store.fetch(name) for name in store.names("objects")]
    told = [word for word in (b"garden", b"Exif", b"eXIf") if any(word in content for content in contents)]
    assert len(contents) == 11 and not told
    checkout(store, head(store), tmp_path / "out")
    with Image.open(tmp_path / "out" / "cat" / "photo.png") as image:
        assert image.size == (20, 1024), "upright, and at most 1,024 pixels long"


@pytest.mark.parametrize("seed", range(3))
def test_two_machines_agree(tmp_path, folder, seed):
    order = np.random.default_rng(seed).permutation(10)
    files = sorted(folder.rglob("*.png"))
    for position in order:  # the files arrive in another order, at another time, elsewhere
        place = tmp_path / "other" / files[position].relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(files[position].read_bytes())
    ids = set()
    for name in ("images", "other"):
        store = LocalStore(tmp_path / f"loop-{name}")
        ids.add(version_folder(store, tmp_path / name, name, cache=tmp_path / f"{name}.json"))
    assert len(ids) == 1
