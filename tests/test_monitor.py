"""The monitor with a server: what it counts and writes, what Prometheus sees, what the dashboard asks for.

What each function does is tested beside the code, in nbs/reference/loop/monitor.ipynb. The figures on real
pictures are those of `python -m benchmarks.drift`.
"""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from cifar_cnn.images.pixels import to_png
from cifar_cnn.loop.monitor import read_traffic, windows_of
from cifar_cnn.loop.store import LocalStore
from cifar_cnn.predictor import Predictor
from cifar_cnn.serving.limits import Settings
from cifar_cnn.serving.server import create_app
from cifar_cnn.serving.shadow import Shadow
from cifar_cnn.serving.traffic import Traffic
from cifar_cnn.train import load_checkpoint
from tests.support.processes import wait_until

ROOT = Path(__file__).resolve().parent.parent
CHECKPOINT = load_checkpoint()


def png(seed: int) -> bytes:
    return to_png(np.random.default_rng(seed).integers(256, size=(32, 32, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    "A folder that two servers have written to, what they answered, and the numbers of one for Prometheus."
    folder, answers = tmp_path_factory.mktemp("traffic"), []
    for server in range(2):
        traffic = Traffic(LocalStore(folder))
        with TestClient(create_app(CHECKPOINT, Settings(), traffic=traffic)) as client:
            for seed in range(10):
                answers.append(client.post("/predict", files={"image": png(10 * server + seed)}).json())
            batch = [("images", png(99)), ("images", b"no picture")]
            told = client.post("/predict/batch", files=batch).json()["predictions"]
            answers += [answer for answer in told if answer["success"]]
            metrics = client.get("/metrics").text
    return folder, answers, metrics


def test_counts_of_two_servers_add_up(answered):
    folder, answers, _ = answered
    hours = read_traffic(LocalStore(folder))
    assert {hour.model for hour in hours} == {CHECKPOINT.digest()}
    window, = windows_of(hours, CHECKPOINT.digest(), len(answers))
    counts = window.counts
    assert counts.answers == sum(counts.bins) == sum(counts.classes) == len(answers) == 22
    for name, count in zip(CHECKPOINT.classes, counts.classes):
        assert count == sum(answer["prediction"] == name for answer in answers)
    assert abs(counts.confidence - sum(answer["confidence"] for answer in answers)) < 1e-3
    assert counts.unfamiliar == sum(not answer["in_distribution"] for answer in answers)


def test_no_picture_and_no_address_is_kept(answered):
    folder, _, _ = answered
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert 2 <= len(files) <= 4 and all(path.parent.name == "traffic" for path in files)
    for path in files:
        assert path.stat().st_size < 1500
        assert set(json.loads(path.read_text())) == {"counts", "hour", "model", "server", "seal"}
        assert "testclient" not in path.read_text()


def test_the_dashboard_asks_for_numbers_that_there_are(answered):
    _, answers, metrics = answered
    dashboard = json.loads((ROOT / "docker" / "grafana.json").read_text())
    asked = {name for panel in dashboard["panels"] for target in panel["targets"]
             for name in re.findall(r"cifar_cnn_\w+", target["expr"])}
    known = set(re.findall(r"^(cifar_cnn_\w+)", metrics, re.MULTILINE))
    known |= set(re.findall(r"^# TYPE (cifar_cnn_\w+)", metrics, re.MULTILINE))
    assert len(asked) > 8 and asked <= known, asked - known
    shown = float(re.search(r"^cifar_cnn_estimated_accuracy (\S+)", metrics, re.MULTILINE)[1])
    assert abs(shown - np.mean([answer["confidence"] for answer in answers[11:]])) < 1e-4
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]]
    assert len(places) == len(set(places))


def test_a_shadow_counts_and_never_answers():
    "The shadow turns the classes round: the answers stay the champion's, and it agrees with none."
    rows = [name for name, tensor in CHECKPOINT.weights.items() if tensor.shape[:1] == (10,)]
    turned = dataclasses.replace(CHECKPOINT, weights={
        name: tensor.roll(1, 0) if name in rows else tensor for name, tensor in CHECKPOINT.weights.items()})
    alone, predictor = Shadow(turned), Predictor(CHECKPOINT)
    with TestClient(create_app(CHECKPOINT, Settings(), shadow=alone)) as client:
        for seed in range(5):
            answer = client.post("/predict", files={"image": png(seed)}).json()
            assert answer["prediction"] == predictor.predict(png(seed)).label
        counted = lambda: re.findall(r'^cifar_cnn_shadow_answers_total{agrees="(\w+)",.*} (\S+)',
                                     client.get("/metrics").text, re.MULTILINE)
        wait_until(lambda: sum(float(count) for _, count in counted()) == 5)
        assert {agrees for agrees, _ in counted()} == {"no"}
