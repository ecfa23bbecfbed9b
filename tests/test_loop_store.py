"""The store under real processes: races, kills, full and read-only disks, flipped bytes."""

import errno
import os
import random
import subprocess
from pathlib import Path

import numpy as np
import pytest

from cifar_cnn.images.pixels import to_png
from cifar_cnn.loop.pictures import image_digest, object_name
from cifar_cnn.loop.store import DamagedError, LocalStore, LoopError, canonical, digest, seal
from cifar_cnn.loop.upkeep import DECODERS, verify
from cifar_cnn.loop.versions import Manifest, Row
from tests.support.loop import killed_at, race

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor fork")


def write_own(number, turn, folder):
    return LocalStore(folder).create(f"objects/{turn}.txt", f"{number}".encode() * 10_000)


def check_one_winner(tmp_path, rounds=100):
    found = race(write_own, tmp_path, writers=4, rounds=rounds)
    store = LocalStore(tmp_path)
    for turn, won in enumerate(found):
        (winner,) = [number for number, created in won.items() if created]
        assert store.fetch(f"objects/{turn}.txt") == f"{winner}".encode() * 10_000
    assert not list((tmp_path / "tmp").iterdir())


def test_one_of_four_processes_wins(tmp_path):
    check_one_winner(tmp_path)


def test_one_wins_where_there_are_no_hard_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EOPNOTSUPP, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    check_one_winner(tmp_path, 30)


def create(folder):
    LocalStore(folder).put("objects", b"a horse" * 1000, ".txt")


def exchange(folder):
    LocalStore(folder).replace("serving/best_model.pth", b"new" * 1000)


@pytest.mark.parametrize("point", ["written:objects", "named:objects", "created:objects"])
def test_a_killed_create_leaves_nothing_or_all(tmp_path, point):
    assert killed_at(point, create, tmp_path)
    store = LocalStore(tmp_path)  # opening sweeps
    assert not list((tmp_path / "tmp").iterdir()) and not verify_texts(store)
    name = store.put("objects", b"a horse" * 1000, ".txt")
    assert store.read(name) == b"a horse" * 1000 and store.names("objects") == [name]


def verify_texts(store):
    return [name for name in store.names("objects") if digest(store.fetch(name)) != Path(name).stem]


@pytest.mark.parametrize("point", ["written:serving", "named:serving", "created:serving"])
def test_a_killed_exchange_leaves_the_old_or_the_new(tmp_path, point):
    LocalStore(tmp_path).replace("serving/best_model.pth", b"old")
    assert killed_at(point, exchange, tmp_path)
    store = LocalStore(tmp_path)
    expected = b"old" if point == "written:serving" else b"new" * 1000
    assert store.fetch("serving/best_model.pth") == expected and not list((tmp_path / "tmp").iterdir())


PIXELS = np.random.default_rng(0).integers(256, size=(16, 16, 3), dtype=np.uint8)
IMAGE = image_digest(PIXELS)
MANIFEST = Manifest({IMAGE: Row("cat", "train", "1.png")}, ("cat", "dog"))
NOTE = canonical({"author": "Ada", "message": "one cat", "time": 1.5})
FILES = {
    object_name(IMAGE): to_png(PIXELS),
    f"versions/{MANIFEST.id}.jsonl": MANIFEST.to_bytes(),
    f"notes/{MANIFEST.id}/{digest(NOTE)}.json": NOTE,
    f"models/{digest(b'weights' * 50)}.pth": b"weights" * 50,
    "promotions/000001.json": seal({"number": 1, "who": "Ada"}),
    f"forgotten/{'0' * 32}.json": seal({"image": "0" * 32, "who": "Ada"}),
    "steps/abcd.json": seal({"step": "train"}),
    f"feedback/2026-11-24/{'1' * 32}.json": seal({"vote": "wrong"}),
}


def damages(content, count=300):
    "A bit flipped, truncated, empty, longer, swapped for something else."
    draw = random.Random(0)
    for _ in range(count):
        position = draw.randrange(len(content))
        flipped = content[position] ^ 1 << draw.randrange(8)
        yield content[:position] + bytes([flipped]) + content[position + 1:]
    yield from (content[:-1], content[: len(content) // 2], b"", content + b"\0", b"\x1f\x8b" + content)
    yield b"[" * 10_000


@pytest.mark.parametrize("name", FILES)
def test_every_damage_is_noticed(name):
    decode, content = DECODERS[name.split("/")[0]], FILES[name]
    decode(content, name)
    for damaged in damages(content):
        with pytest.raises(ValueError):
            decode(damaged, name)


def test_verify_names_each_damaged_file(tmp_path):
    store = LocalStore(tmp_path)
    for name, content in FILES.items():
        store.create(name, content)
    assert not verify(store)
    for name, content in FILES.items():
        store.path(name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert set(verify(store)) == set(FILES)
    assert set(store.names("promotions")) == {"promotions/000001.json"}, "the journal keeps its place"
    with pytest.raises(LoopError):
        store.read(object_name(IMAGE))


def test_a_damaged_file_in_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)
    name = store.put("objects", b"a horse", ".txt")
    store.path(name).write_bytes(b"a house")

    def refuse(*_):
        raise LoopError("read-only")

    monkeypatch.setattr(LocalStore, "create", refuse)
    with pytest.raises(DamagedError, match=f"{name}.*where it is"):
        store.read(name)


@pytest.fixture
def small_disk(tmp_path):
    "A file system of 256 kB."
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk]).returncode:
        pytest.skip("a file system can be mounted only by root")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_named_and_a_retry_succeeds(small_disk):
    store = LocalStore(small_disk / "loop")
    first = store.put("objects", b"small", ".txt")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(200_000))
    for write in (store.create, store.replace):
        with pytest.raises(LoopError, match="No space left"):
            write("models/large.pth", bytes(100_000))
    assert store.read(first) == b"small" and not store.names("models")
    assert not list((store.folder / "tmp").iterdir())
    filler.unlink()
    assert store.create("models/large.pth", bytes(100_000))


def test_a_read_only_disk_is_named_and_can_be_read(small_disk):
    name = LocalStore(small_disk / "loop").put("objects", b"small", ".txt")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    store = LocalStore(small_disk / "loop")
    with pytest.raises(LoopError, match="[Rr]ead-only"):
        store.put("objects", b"another", ".txt")
    assert store.read(name) == b"small" and store.put("objects", b"small", ".txt") == name
