"""Promotions under real processes: two at once, kills between the journal and the served file, a server."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cifar_cnn.images.pixels import to_png
from cifar_cnn.loop.agreement import agreement, form_of
from cifar_cnn.loop.checks import Check, Rules, combine
from cifar_cnn.loop.registry import SERVED, champion, history, promote, replay, rollback, served_digest
from cifar_cnn.loop.store import LocalStore, LoopError, digest
from cifar_cnn.loop.upkeep import verify
from cifar_cnn.predictor import Predictor
from cifar_cnn.training.checkpoint import load_checkpoint
from tests.support.loop import killed_at, race
from tests.support.processes import free_port, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor fork")


def model(folder, text):
    "A file that stands for a checkpoint: the registry does not look inside."
    path = folder / f"{text}.pth"
    path.write_text(text)
    return path


def accepted(before, after):
    check = Check("all", "PROMOTE", "for this test", {})
    models = {"champion": digest(before.encode()), "challenger": digest(after.encode())}
    return combine([check], Rules(), models)


@pytest.fixture
def store(tmp_path):
    "A store in which `first` is in production."
    store = LocalStore(tmp_path / "loop")
    promote(store, model(tmp_path, "first"), None, "Ada")
    return store


POINTS = [
    "written:models", "named:models", "created:models", "registry:checked", "registry:before",
    "written:promotions", "named:promotions", "created:promotions", "registry:recorded", "written:serving",
    "named:serving", "created:serving", "registry:served",
]  # fmt: skip


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_promotion_is_done_once(tmp_path, store, point):
    path = model(tmp_path, "second")
    assert killed_at(point, lambda: promote(store, path, accepted("first", "second"), "Ada"))
    restarted = LocalStore(tmp_path / "loop")
    served, problems = replay(restarted)
    assert not problems and served == champion(restarted) == digest(restarted.fetch(SERVED))
    verdict = None if served == digest(b"second") else accepted("first", "second")
    promote(restarted, path, verdict, "Ada")
    assert [entry.number for entry in history(restarted)[0]] == [1, 2]
    assert restarted.fetch(SERVED) == b"second" and not verify(restarted)
    assert not list((restarted.folder / "tmp").iterdir())


@pytest.mark.parametrize("point", ["registry:before", "registry:recorded", "written:serving",
                                   "registry:served"])
def test_a_killed_rollback_is_done(tmp_path, store, point):
    promote(store, model(tmp_path, "second"), accepted("first", "second"), "Ada")
    assert killed_at(point, lambda: rollback(store, "Bob", "too slow"))
    replay(store)
    if champion(store) != digest(b"first"):
        rollback(store, "Bob", "too slow")
    assert store.fetch(SERVED) == b"first" and [entry.number for entry in history(store)[0]] == [1, 2, 3]


def try_to_promote(number, turn, folder):
    store = LocalStore(folder / "loop")
    before = (store.fetch(SERVED)).decode()
    text = f"{turn}-{number}"
    try:
        promote(store, model(folder, text), accepted(before, text), str(number))
        return text
    except LoopError:
        return None


def test_of_two_promotions_at_once_at_most_one_is_made(tmp_path, store):
    found = race(try_to_promote, tmp_path, writers=2, rounds=30)
    entries, damaged = history(store)
    assert not damaged and [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    for before, after in zip(entries, entries[1:]):
        assert after.before == before.after, "somebody promoted on a verdict about another champion"
        assert after.gate["models"]["champion"] == before.after
    assert all(any(turn.values()) for turn in found) and store.fetch(SERVED) == replay_text(store)


def replay_text(store):
    replay(store)
    return store.fetch(f"models/{champion(store)}.pth")


@contextlib.contextmanager
def serving(path):
    "`cifar-cnn serve` as it watches a checkpoint; gives its address."
    port = free_port()
    server = subprocess.Popen([sys.executable, "-c", "from cifar_cnn.cli import main; main()", "serve",
                               "--port", str(port), "--checkpoint", path, "--reload-model", "0.2"])
    try:
        wait_until(lambda: served_digest(f"http://127.0.0.1:{port}") is not None, 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def test_a_promotion_waits_for_the_server_and_is_taken_back_without_it(tmp_path):
    store, first = LocalStore(tmp_path / "loop"), load_checkpoint()
    paths = [tmp_path / f"{number}.pth" for number in range(3)]
    for path, temperature in zip(paths, (1.0, 1.5, 2.0)):
        dataclasses.replace(first, temperature=temperature).save(path)
    files = [digest(path.read_bytes()) for path in paths]

    def verdict(before, after):
        passed = Check("all", "PROMOTE", "for this test", {})
        return combine([passed], Rules(), {"champion": files[before], "challenger": files[after]})

    promote(store, paths[0], None, "Ada")
    with serving(store.path(SERVED)) as url:
        promote(store, paths[1], verdict(0, 1), "Ada", loaded=lambda: served_digest(url), pause=0.1)
        assert champion(store) == files[1] and served_digest(url) == load_checkpoint(paths[1]).digest()
    with pytest.raises(LoopError, match="did not load"):
        promote(store, paths[2], verdict(1, 2), "Ada", loaded=lambda: served_digest(url), patience=1)
    assert champion(store) == files[1] == digest(store.fetch(SERVED))


def test_a_promotion_and_a_rollback_under_load_lose_no_request(tmp_path):
    store, first = LocalStore(tmp_path / "loop"), load_checkpoint()
    networks = [dataclasses.replace(first, temperature=temperature) for temperature in (1.0, 3.0)]
    for number, network in enumerate(networks):
        network.save(tmp_path / f"{number}.pth")
    images = torch.randint(0, 256, (4, 3, 32, 32), generator=torch.Generator().manual_seed(0)).byte()
    confidences = [Predictor(network).classify([images[0]])[0].confidence for network in networks]
    body, kind = form_of([to_png(images[0])], "image")
    stop, seen = threading.Event(), []

    def ask(url):
        while not stop.is_set():
            request = urllib.request.Request(f"{url}/predict", body, {"Content-Type": kind})
            with urllib.request.urlopen(request, timeout=30) as response:
                said = json.load(response)["confidence"]
            which = [abs(said - confidence) < 1e-3 for confidence in confidences]
            assert sum(which) == 1, f"{said} is neither of {confidences}"
            seen.append(which.index(True))

    promote(store, tmp_path / "0.pth", None, "Ada")
    with serving(store.path(SERVED)) as url, ThreadPoolExecutor(8) as clients:
        asking = [clients.submit(ask, url) for _ in range(8)]
        try:
            wait_until(lambda: len(seen) > 20, 60)
            promote(store, tmp_path / "1.pth", None, "Ada", "for this test", override=True,
                    loaded=lambda: served_digest(url), pause=0.1)
            found = agreement(networks[1], images, url)["server"]
            assert found["changed_labels"] == 0 and found["largest_difference"] < 1e-4
            rollback(store, "Bob", "for this test")
            wait_until(lambda: served_digest(url) == networks[0].digest(), 30)
            so_far = len(seen)
            wait_until(lambda: len(seen) > so_far + 20, 60)
        finally:
            stop.set()
        for client in asking:
            client.result(60)  # raises what went wrong for it
    assert set(seen[:20]) == {0} and 1 in seen and seen[-1] == 0
