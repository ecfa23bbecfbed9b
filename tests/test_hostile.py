"""Hostile images (tests/support/hostile.py): the right answer or one sentence, in bounded time and memory."""

import io
import json
import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest

from cifar_cnn.data import ImageError
from cifar_cnn.pages.widget import PredictorWidget
from cifar_cnn.predict import Predictor, read_image
from tests.support import hostile

ROOT = Path(__file__).parent.parent
PROGRAM = Path(sysconfig.get_path("scripts")) / "cifar-cnn"
pytestmark = pytest.mark.filterwarnings(r"ignore::UserWarning:PIL\..*")  # pytest forgets ours

HANGS = 10   # seconds; each takes less than 2 on an idle machine, most a millisecond
MEMORY = 500  # MB above what Python needs with torch loaded


@pytest.fixture(scope="module")
def predictor():
    return Predictor()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    "All files of the corpus that are not cut off, written by a process of its own."
    folder = tmp_path_factory.mktemp("hostile")
    subprocess.run([sys.executable, "-m", "tests.support.hostile", folder], cwd=ROOT, check=True)
    return folder


def sentence_of(error):
    "The message of an error, which is one sentence that names the image."
    sentence = str(error)
    assert sentence.startswith("cannot read ") and ": " in sentence and sentence.isprintable(), repr(sentence)
    assert len(sentence) < 300, sentence
    return sentence


def fault(case, predictor):
    "What is wrong with the answer to a case, if anything."
    began = time.perf_counter()
    try:
        seen = read_image(case.content, case.name)
    except ImageError as error:
        sentence_of(error)
        return "" if case.pixels is None or case.may_refuse else f"{case.name}: {error}"
    finally:
        assert time.perf_counter() - began < HANGS, case.name
    if case.pixels is None:
        return "" if case.may_refuse else f"{case.name}: accepted"
    if seen.width * seen.height > 1_000_000:  # may have been thinned; each of these has a single colour
        assert {colour for _, colour in seen.getcolors()} == {tuple(case.pixels[0, 0].tolist())}, case.name
        tall = case.pixels.shape[0] > case.pixels.shape[1]
        return "" if tall == (seen.height > seen.width) else f"{case.name}: lies on its side"
    if (seen.height, seen.width) != case.pixels.shape[:2]:
        return f"{case.name}: {seen.size}"
    off = int(np.abs(np.asarray(seen).astype(int) - case.pixels).max())
    return f"{case.name}: off by {off}" if off > hostile.TOLERANCE else ""


@pytest.mark.parametrize("family", [*hostile.FAMILIES, hostile.truncated], ids=lambda family: family.__name__)
def test_right_pixels_or_one_sentence(family, predictor):
    faults = [found for case in family() if (found := fault(case, predictor))]
    assert not faults


def test_the_answer_is_that_of_the_upright_image(predictor):
    upright = predictor.predict(hostile.picture())
    for case in hostile.orientations():
        answer = predictor.predict(case.content)
        assert answer.label == upright.label and abs(answer.confidence - upright.confidence) < 0.05, case.name


@pytest.mark.parametrize("name", hostile.arrays())
def test_arrays_that_are_no_images(name, predictor):
    with pytest.raises(ImageError) as caught:
        predictor.predict(hostile.arrays()[name])
    assert sentence_of(caught.value)


PREDICT_ALL = """
import gc, os
from pathlib import Path
from tests.support.processes import peak_memory
from cifar_cnn.data import ImageError
from cifar_cnn.predict import Predictor

megabytes = lambda: round(2**10 * peak_memory())
predictor, answered = Predictor(), 0
predictor.predict("good.png")
before, open_files = megabytes(), len(os.listdir("/dev/fd"))
gc.disable()  # a file that only the garbage collector would close is a leak
for path in sorted(Path("hostile").iterdir()):
    try:
        predictor.predict(path)
        answered += 1
    except ImageError:
        pass
assert predictor.predict("good.png").label
print(before, megabytes(), len(os.listdir("/dev/fd")) - open_files, answered)
"""


def test_memory_and_open_files(folder, tmp_path):
    (tmp_path / "hostile").symlink_to(folder)
    hostile.picture().save(tmp_path / "good.png")
    result = subprocess.run([sys.executable, "-W", "error::ResourceWarning", "-c", PREDICT_ALL], cwd=tmp_path,
                            env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, capture_output=True)
    assert result.returncode == 0 and result.stderr == "", result.stderr
    before, most, left_open, answered = map(int, result.stdout.split())
    assert most - before < MEMORY, f"{most} MB, {before} MB without images"
    assert left_open == 0
    assert answered > 100


def test_program_answers_the_good_and_names_the_bad(folder, predictor):
    names = sorted(path.name for path in folder.iterdir() if not path.name.startswith("largest"))
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
    result = subprocess.run([PROGRAM, "predict", "--json", *(f"./{name}" for name in names)], cwd=folder,
                            env=environment, text=True, capture_output=True, timeout=300)
    assert result.returncode == 2, result.stderr
    answers = {answer["image"][2:]: answer for answer in json.loads(result.stdout)}
    refused = [answer["error"] for answer in answers.values() if "error" in answer]
    assert result.stderr.splitlines() == [f"cifar-cnn: {sentence_of(sentence)}" for sentence in refused]
    assert len(refused) > 50
    families = [family for family in hostile.FAMILIES if family is not hostile.largest]
    for case in (case for family in families for case in family()):
        if case.pixels is None:
            assert case.may_refuse or "error" in answers[case.name], case.name
        elif "error" in answers[case.name]:
            assert case.may_refuse, answers[case.name]
        else:
            expected = predictor.predict(case.pixels)
            given = answers[case.name]["probabilities"][expected.label]
            assert abs(given - expected.confidence) < 0.05, case.name


def test_the_widget_answers_or_says_why_and_goes_on():
    widget = PredictorWidget()
    families = [family for family in hostile.FAMILIES if family is not hostile.largest]
    for case in (case for family in families for case in family()):
        widget.show(case.content, case.name)
        assert ('role="alert"' in widget.message.value) == (widget.answer.value == ""), case.name
        if not case.may_refuse:
            assert (widget.answer.value == "") == (case.pixels is None), case.name
    widget.show(hostile.saved(hostile.picture(), "PNG"), "good.png")
    assert "good.png: " in widget.message.value


def test_a_file_that_is_no_file(predictor, tmp_path):
    for nothing in (tmp_path, tmp_path / "none.png", tmp_path / "none.png\0"):
        with pytest.raises(ImageError) as caught:
            predictor.predict(nothing)
        assert sentence_of(caught.value)
    with pytest.raises(ImageError):
        predictor.predict(io.BytesIO())
