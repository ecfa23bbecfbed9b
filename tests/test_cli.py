"""The command line as a process, as a person or a script uses it: its answers, and what it says to bad input.

A program that imports torch takes seconds to start. So the installed program is started (`fresh`) where a
command does its work, or where a signal or a pipe matters; the many refusals are tested in processes that are
forked from one that has imported torch already (`warm`). Both give an `Answer`, and one test compares them.
"""

import ctypes
import json
import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import re
import resource
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import tarfile
import time
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from PIL import Image

from cifar_cnn import __version__, cli
from cifar_cnn.data import load_data
from cifar_cnn.train import load_checkpoint, load_run

PROGRAM = Path(sysconfig.get_path("scripts")) / "cifar-cnn"
UNUSUAL = {
    "GITHUB_ACTIONS", "FORCE_COLOR", "PY_COLORS",  # each would put colour codes into messages
    "PYTHONUNBUFFERED",                            # would hide errors of the last flush
    "PYTHONDONTWRITEBYTECODE",                     # could make every start compile torch anew
}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in UNUSUAL} | {
    "CIFAR_CNN_DATA": "downloads",           # in the folder that the program runs in
    "http_proxy": "http://127.0.0.1:9",      # nobody listens there, so that no test reaches the network
    "https_proxy": "http://127.0.0.1:9",
    "PYTHONIOENCODING": "utf-8",             # as strict as in most terminals, in the C locale too
    "COLUMNS": "200",                        # wide enough for every usage message
    "OMP_NUM_THREADS": "1",                  # the images are tiny
}
SMALL = ["--epochs", "1", "--batch-size", "4", "--image-size", "8"]  # a training that takes a moment


# --- Running the program ---


@dataclass
class Answer:
    "What the program said, and the folder that it ran in."
    code: int
    out: str
    err: str
    folder: Path

    def json(self):
        assert self.code == 0, self
        return json.loads(self.out)


def fresh(*arguments, cwd, **options):
    "Start the installed program."
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": ENVIRONMENT, **options}
    result = subprocess.run([PROGRAM, *arguments], cwd=cwd, text=True, timeout=120, **options)
    return Answer(result.returncode, result.stdout, result.stderr, cwd)


def warm(*arguments, cwd, prepare=None):
    "Call `prepare`, then the program's `main`, in a process of its own that has imported torch already."
    out, err = (cwd.with_name(f"{cwd.name}.{stream}") for stream in ("out", "err"))
    process = multiprocessing.get_context("forkserver").Process(
        target=_main, args=([str(argument) for argument in arguments], cwd, out, err, prepare))
    process.start()
    process.join(120)
    process.kill()
    return Answer(process.exitcode, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"), cwd)


def _main(arguments, cwd, out, err, prepare):
    os.chdir(cwd)
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.dup2(os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    if prepare:
        prepare()
    sys.argv = ["cifar-cnn", *arguments]
    cli.main()


@pytest.fixture(scope="module", autouse=True)
def fork_server():
    "The process that the `warm` ones are forked from."
    preload = ["pytest", "typer.rich_utils", "cifar_cnn.cli", "cifar_cnn.evaluate", "cifar_cnn.predict"]
    multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
    with mock.patch.dict(os.environ, ENVIRONMENT, clear=True):
        multiprocessing.forkserver.ensure_running()


@pytest.fixture
def start(tmp_path):
    "`fresh` in the test's own folder."
    return partial(fresh, cwd=tmp_path)


@pytest.fixture
def run(tmp_path):
    "`warm` in the test's own folder."
    return partial(warm, cwd=tmp_path)


def refused(answer, *words):
    "The program said no as it should: one sentence with these words, exit code 2, nothing half-written."
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.count("cifar-cnn: ") == 1, answer.err
    sentence = answer.err.partition("cifar-cnn: ")[2]
    for word in words:
        assert str(word) in sentence
    nothing_broken(answer)


def misused(answer, *words):
    "The arguments were not understood: the usage and a reason with these words, exit code 2."
    assert answer.code == 2, answer
    assert answer.out == ""
    assert "Usage: cifar-cnn" in answer.err
    for word in words:
        assert word in answer.err.lower()
    nothing_broken(answer)


def nothing_broken(answer):
    "No traceback, no warning from the inside, no file that was not finished, no run folder by default."
    for noise in ("Traceback", "Warning", "Exception ignored"):
        assert noise not in answer.err
    assert [path for path in answer.folder.rglob("*") if path.suffix in (".tmp", ".part")] == []
    assert not (answer.folder / "runs").exists()


# --- Material ---


def picture(path, seed=0, size=12, tint=0):
    "A small PNG file of noise around one brightness."
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 100, (size, size, 3)) + tint
    Image.fromarray(noise.astype(np.uint8)).save(path, "PNG")
    return path


def image_folder(folder, **counts):
    "A folder of images with so many of each class, such as cat=6, dog=6; a class's brightness gives it away."
    for label, (name, count) in enumerate(counts.items()):
        for i in range(count):
            picture(folder / name / f"{i}.png", seed=i, tint=155 * label // len(counts))
    return folder


def bomb():
    "A PNG file of a few bytes that claims to have 100 million pixels."
    def chunk(kind, content):
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    "The answer to two epochs on digits; the run's folder is `trained.folder / 'run'`, which no test changes."
    folder = tmp_path_factory.mktemp("trained")
    options = ["--recipe", "report", "--epochs", "2", "--batch-size", "32", "--out", "run", "--json"]
    return fresh("train", "--data", "digits", *options, cwd=folder)


@pytest.fixture
def checkpoint(trained):
    "The best checkpoint of the run on digits."
    return trained.folder / "run" / "best_model.pth"


@pytest.fixture
def own_run(trained, tmp_path):
    "A copy of the run on digits, for a test to change."
    return shutil.copytree(trained.folder / "run", tmp_path / "run")


def checkpoints_of(folder):
    "The bytes of a run's checkpoints, which are also loaded, so that they are whole."
    assert load_checkpoint(folder).epoch == load_run(folder).epoch
    return [(folder / name).read_bytes() for name in ("best_model.pth", "last.pth")]


def rewritten(path, **changes):
    "A checkpoint with other content in some of its fields."
    torch.save({**torch.load(path, weights_only=True), **changes}, path)
    return path


# --- What each command answers ---


def test_version_and_help(start):
    assert start("--version").out == f"cifar-cnn {__version__}\n"
    answer = start("--help")
    assert answer.code == 0
    for command in ("data", "train", "evaluate", "predict", "dimensions"):
        assert command in answer.out
    assert "cifar-cnn train --data digits" in answer.out, "help should say what to try first"


@pytest.mark.parametrize("command, options", [
    ("data", ["data digits", "data show --help", "version", "checkout"]),
    ("data show", ["--root", "--skip-bad", "--json", "--out"]),
    ("train", ["--resume", "--recipe", "--epochs", "--device"]),
    ("evaluate", ["--data", "--split", "--out"]),
    ("predict", ["--checkpoint", "--top-k"]),
    ("explain", ["--checkpoint", "--label", "--out"]),
    ("dimensions", ["--classes", "--json"]),
])
def test_help_of_a_command(run, command, options):
    answer = run(*command.split(), "--help")
    assert answer.code == 0 and answer.err == ""
    for option in options:
        assert option in answer.out


def test_data(start, tmp_path):
    facts = start("data", "digits", "--json", "--out", "figures").json()
    assert facts["source"] == "digits" and facts["shape"] == [1, 8, 8] and facts["skipped"] == []
    assert {part: sum(counts.values()) for part, counts in facts["images"].items()} == {
        "train": 1295, "valid": 143, "test": 359}
    assert list(facts["images"]["test"]) == list("0123456789")
    assert 0 < facts["mean"][0] < 1
    for figure in ("class_counts", "examples", "pixels", "class_means"):
        assert Image.open(tmp_path / "figures" / f"{figure}.png").width > 100


def test_data_for_people(run):
    answer = run("data", "digits")
    assert answer.code == 0 and answer.err == ""
    assert "1,295 / 143 / 359" in answer.out
    assert len(answer.out.splitlines()) == 1 + 10


def test_train_leaves_a_run(trained):
    summary, run = trained.json(), trained.folder / "run"
    assert {path.name for path in run.iterdir()} == {
        "best_model.pth", "last.pth", "history.json", "summary.json", "summary.html", "history.png",
        "classes.png", "confusion.png", "confusion_rates.png", "calibration.png", "mistakes.png"}
    assert summary == json.loads((run / "summary.json").read_text())
    assert summary["data"] == "digits" and summary["epochs"] == 2 and summary["test_images"] == 359
    low, high = summary["test_accuracy_95_interval"]
    assert 0.2 < low < summary["test_accuracy"] < high < 1
    history = json.loads((run / "history.json").read_text())
    assert [row["epoch"] for row in history] == [1, 2]
    best = max(row["valid_accuracy"] for row in history)
    assert load_checkpoint(run).accuracy == summary["valid_accuracy"] == best


def test_train_tells_progress_on_stderr(trained):
    assert len(trained.out.splitlines()) == 1, "standard output should hold the result and nothing else"
    first, last, kept = re.findall(r"^(?:epoch|kept:).*$", trained.err, re.MULTILINE)
    assert re.match(r"epoch +1/2 .*\d s, .* left$", first) and re.match(r"epoch +2/2 .*\d s$", last)
    assert kept == f"kept: epoch 2, valid {trained.json()['valid_accuracy']:.2%}"
    assert "run" in trained.err and "Warning" not in trained.err


def test_summary_is_one_page_with_figures(trained):
    page = (trained.folder / "run" / "summary.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 6
    assert "http" not in page, "the page should need nothing from elsewhere"
    assert f"{trained.json()['test_accuracy']:.2%}" in page


def test_evaluate(start, checkpoint, trained, tmp_path):
    answer = start("evaluate", checkpoint, "--json", "--out", "report")
    assert answer.json() == trained.json()
    for name in ("summary.html", "summary.json", "confusion.png"):
        assert (tmp_path / "report" / name).stat().st_size > 500


def test_evaluate_for_people(run, trained):
    answer = run("evaluate", trained.folder / "run", "--split", "valid")
    assert answer.code == 0 and answer.err == ""
    assert "of 143 images right; 95% interval" in answer.out
    assert list(answer.folder.iterdir()) == [], "without --out, evaluate should write nothing"


def test_predict(start, checkpoint, tmp_path):
    names = [picture(tmp_path / f"{i} of 2.png", seed=i).name for i in (1, 2)]
    answers = start("predict", *names, "--checkpoint", checkpoint, "--json").json()
    assert [answer["image"] for answer in answers] == names
    for answer in answers:
        probabilities = answer["probabilities"]
        assert list(probabilities) == list("0123456789")
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert answer["confidence"] == probabilities[answer["label"]] == max(probabilities.values())


def test_predict_for_people(run, checkpoint, tmp_path):
    picture(tmp_path / "digit.png")
    answer = run("predict", "digit.png", "--checkpoint", checkpoint, "--top-k", "2")
    assert answer.code == 0 and answer.err == ""
    assert re.fullmatch(r"digit.png  \d \d+\.\d%, \d \d+\.\d%(  \(unlike the training images\))?\n",
                        answer.out)


def test_predict_folders_and_patterns_as_a_table(run, checkpoint, tmp_path):
    image_folder(tmp_path / "pets", cat=2, dog=1)
    (tmp_path / "pets" / "notes.txt").write_text("not an image, and not asked about")
    answer = run("predict", "pets", "pets/cat/*.png", "--checkpoint", checkpoint, "--csv")
    assert answer.code == 0 and answer.err == ""
    header, *lines = [line.split(",") for line in answer.out.splitlines()]
    assert header == ["image", "label", "confidence", "in_distribution", *"0123456789", "error"]
    assert [line[0] for line in lines] == ["pets/cat/0.png", "pets/cat/1.png", "pets/dog/0.png"] + [
        "pets/cat/0.png", "pets/cat/1.png"]
    assert all(sum(map(float, line[4:14])) == pytest.approx(1, abs=1e-5) for line in lines)
    answer = run("predict", "pets/*.bmp", "pets/dog", "--checkpoint", checkpoint, "--csv")
    assert answer.code == 2 and "cannot read pets/*.bmp: no such file" in answer.err
    assert answer.out.count("\n") == 3


def test_explain_draws_a_picture(run, checkpoint, tmp_path):
    photo = Image.linear_gradient("L").resize((90, 60)).convert("RGB")
    photo.save(tmp_path / "a photo.jpg")
    answer = run("explain", "a photo.jpg", "--checkpoint", checkpoint, "--label", "7", "--out", "map.png",
                 "--json").json()
    assert (answer["image"], answer["label"], answer["map"]) == ("a photo.jpg", "7", "map.png")
    assert 0 <= answer["probability"] <= 1
    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.format == "PNG" and min(drawn.size) > 200


def test_explain_that_cannot(run, checkpoint, tmp_path):
    picture(tmp_path / "digit.png")
    given = ("explain", "digit.png", "--checkpoint", checkpoint)
    refused(run(*given, "--label", "cat"), "does not know the class 'cat'", "choose one of 0, 1")
    refused(run(*given, "--out", "nowhere/map.png"), "nowhere/map.png", "another folder")
    refused(run("explain", "no.png", "--checkpoint", checkpoint), "no.png", "no such file")
    misused(run(*given, "--out", "map.pdf"), "map.pdf", ".png")
    assert list(tmp_path.glob("*.p[dn][fg]")) == [tmp_path / "digit.png"]


def test_export_is_checked_and_written(run, own_run):
    written = run("export", "run", "--out", "new/model.onnx", "--json").json()
    assert written["check"]["changed_labels"] == 0 and written["check"]["images"] > 0
    assert (own_run.parent / "new" / "model.onnx").stat().st_size == written["bytes"]
    assert "not checked" in run("export", "run", "--out", "other.onnx", "--no-check").out
    refused(run("export", "run", "--format", "tflite"), "tflite", "choose onnx or web")
    for folder in (".", "new"):
        refused(run("export", "run", "--out", folder), "is a folder", "model.onnx")
    refused(run("export", "nowhere"), "nowhere", "no checkpoint")


def test_dimensions(start):
    layers = start("dimensions", "--json").json()
    assert sum(layer["parameters"] for layer in layers) == 847_402
    assert layers[-1]["output"] == [10]


def test_dimensions_for_people(run):
    answer = run("dimensions", "--classes", "100")
    assert answer.code == 0 and answer.err == ""
    assert f"{847_402 + 90 * 129:,} parameters" in answer.out


def test_training_goes_on_with_one_class_more(run, tmp_path):
    "By the checkpoint's own recipe, unless another is named; what it began with is on record."
    image_folder(tmp_path / "pets", cat=8, dog=8)
    assert run("train", "--data", "pets", "--recipe", "report", *SMALL, "--out", "two").code == 0
    image_folder(tmp_path / "pets", rabbit=8)
    before = checkpoints_of(tmp_path / "two")
    grown = run("train", "--data", "pets", "--from", "two", "--epochs", "1", "--out", "three")
    assert grown.code == 0 and "began with " in grown.err and "kept: cat, dog" in grown.err
    refused(run("train", "--data", "pets", "--from", "two", "--image-size", "64"), "--image-size", "--from")
    grown = load_checkpoint(tmp_path / "three")
    assert grown.classes == ["cat", "dog", "rabbit"] and grown.recipe["name"] == "report"
    assert grown.data["parent"]["kept"] == ["cat", "dog"] and checkpoints_of(tmp_path / "two") == before
    refused(run("train", "--data", "pets", "--from", "two", "--model", "resnet18"), "--from", "leave out")
    refused(run("train", "--data", "pets", "--from", "nowhere"), "nowhere", "no checkpoint")


def test_weights_without_internet(run, tmp_path):
    "One sentence that says what works instead, and nothing is left behind."
    answer = run("train", "--data", "digits", "--model", "resnet18", "--weights", "DEFAULT", "--out", "run",
                 prepare=offline)
    assert answer.code == 1 and "could not download" in answer.err and "--from" in answer.err
    assert "Traceback" not in answer.err and not (tmp_path / "run").exists()


def offline():
    "Nothing was downloaded before, and nobody listens where downloads would come from."
    os.environ |= {"TORCH_HOME": "no-torch-home", "http_proxy": "http://127.0.0.1:9",
                   "https_proxy": "http://127.0.0.1:9"}


def test_folder_with_unusual_names(run, tmp_path):
    names = ["50% off", "a 'b' & <c>", "naïve 猫", "$\\frac$", "_hidden_"]
    image_folder(tmp_path / "my <data> 100%", **{name: 5 for name in names})
    answer = run("train", "--data", "my <data> 100%", *SMALL, "--out", "a run", "--json")
    assert sorted(answer.json()["classes"]) == sorted(names)
    page = (tmp_path / "a run" / "summary.html").read_text(encoding="utf-8")
    assert "my &lt;data&gt; 100%" in page and "<data>" not in page
    answer = run("predict", "my <data> 100%/naïve 猫/0.png", "--checkpoint", "a run", "--top-k", "5")
    assert answer.code == 0
    for name in names:
        assert name in answer.out


def test_class_name_that_is_not_unicode(run, tmp_path):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    try:
        os.rename(tmp_path / "pets" / "cat", os.fsencode(tmp_path / "pets") + b"/caf\xe9")
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    answer = run("data", "pets")
    assert answer.code in (0, 2), answer
    assert "caf" in (answer.out if answer.code == 0 else answer.err)


# --- Signals and pipes ---


def test_ctrl_c_saves_and_the_named_command_goes_on(start, tmp_path):
    with open(tmp_path / "messages", "w") as messages:
        process = subprocess.Popen(
            [PROGRAM, "train", "--data", "digits", "--recipe", "report", "--epochs", "1000000", "--out",
             "my run"],
            cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=messages, text=True)
        try:
            end = time.monotonic() + 120
            while "\nepoch" not in (tmp_path / "messages").read_text() and process.poll() is None:
                assert time.monotonic() < end
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        finally:
            process.kill()
    said = (tmp_path / "messages").read_text()
    assert process.returncode == 130, said
    assert out == "" and "Traceback" not in said

    stopped = load_run(tmp_path / "my run")
    assert stopped.epoch >= 1
    program, *command = shlex.split(said.rpartition("go on with: ")[2])
    assert program == "cifar-cnn"
    assert start(*command, "--epochs", str(stopped.epoch + 1), "--json").json()["epochs"] == stopped.epoch + 1
    resumed = load_run(tmp_path / "my run")
    assert resumed.history[:-1] == stopped.history


def test_resume_command_names_what_resuming_needs(run, tmp_path):
    "A run whose data lie under --root cannot go on without it."
    answer = run("train", "--data", "digits", "--root", "my root", "--out", "run", prepare=interrupt_soon)
    assert answer.code == 130, answer
    command = shlex.split(answer.err.rpartition("go on with: ")[2])
    assert command[:2] == ["cifar-cnn", "train"] and command[command.index("--resume") + 1] == "run"
    assert command[command.index("--root") + 1] == "my root"


def interrupt_soon():
    "Have this process interrupted when it draws the progress bar: just before the first batch."
    from cifar_cnn import train

    progress_bar = train.progress_bar

    def interrupting(*arguments, **options):
        os.kill(os.getpid(), signal.SIGINT)
        return progress_bar(*arguments, **options)
    train.progress_bar = interrupting


def test_reader_that_has_seen_enough(start, checkpoint, tmp_path):
    "`cifar-cnn predict … | head`, when head has gone before the answer comes."
    picture(tmp_path / "digit.png")
    reading, writing = os.pipe()
    os.close(reading)
    answer = start("predict", "digit.png", "--checkpoint", checkpoint, stdout=writing)
    os.close(writing)
    assert answer.err == ""


def test_closed_outputs():
    "As services and some schedulers start programs."
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        command = ["sh", "-c", f"'{PROGRAM}' --version {closed}"]
        answer = subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT)
        assert answer.returncode == 0 and answer.stderr == "", (closed, answer)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_to_a_full_disk(start):
    with open("/dev/full", "w") as full:
        answer = start("data", "digits", stdout=full)
    assert answer.code in (1, 2)
    assert answer.err.startswith("cifar-cnn: ") and "space" in answer.err
    assert len(answer.err.splitlines()) == 1


# --- Bad input: data ---


def test_warm_says_what_the_program_says(start, run, tmp_path):
    answer = start("data", "nowhere")
    refused(answer, tmp_path / "nowhere", "no folder", "digits")
    assert answer == run("data", "nowhere")


@pytest.mark.parametrize("command", [("data", "nowhere"), ("train", "--data", "nowhere")])
def test_missing_data_folder(run, tmp_path, command):
    refused(run(*command), tmp_path / "nowhere", "sub-folder")


def test_file_where_a_data_folder_is_expected(run, tmp_path):
    picture(tmp_path / "cat.png")
    refused(run("train", "--data", "cat.png"), tmp_path / "cat.png", "folder")


def test_class_folder_without_images(run, tmp_path):
    (image_folder(tmp_path / "pets", cat=5, dog=5) / "parrot").mkdir()
    (tmp_path / "pets" / "parrot" / "notes.txt").write_text("none yet")
    refused(run("train", "--data", "pets"), tmp_path / "pets" / "parrot", "no images", "remove the folder")


@pytest.fixture
def pets_with_bad_images(tmp_path):
    "Twelve good images, and bad ones, each with the word that its reason should have."
    folder = image_folder(tmp_path / "pets", cat=6, dog=6)
    whole = (folder / "cat" / "0.png").read_bytes()
    Image.open(folder / "cat" / "0.png").resize((64, 64)).save(tmp_path / "whole.jpg")
    bad = {
        "cat/truncated.png": (whole[:len(whole) // 2], "damaged"),
        "cat/text.png": (b"This is no image.\n", "not an image"),
        "dog/empty.png": (b"", "empty"),
        "dog/half.jpg": ((tmp_path / "whole.jpg").read_bytes()[:700], "damaged"),
        "dog/bomb.png": (bomb(), "million pixels")}
    for name, (content, _) in bad.items():
        (folder / name).write_bytes(content)
    return {str(folder / name): reason for name, (_, reason) in bad.items()}


def test_bad_images_are_all_named_before_training(run, pets_with_bad_images, tmp_path):
    for attempt in range(2):  # the second reads the cache
        answer = run("train", "--data", "pets", "--out", "run")
        refused(answer, tmp_path / "pets", "5 of 17 images", "--skip-bad")
        for path, reason in pets_with_bad_images.items():
            (line,) = [line for line in answer.err.splitlines() if path in line]
            assert reason in line
        assert not (tmp_path / "run").exists()


def test_skip_bad_trains_on_the_rest_and_lists_what_was_left_out(run, pets_with_bad_images):
    facts = run("data", "pets", "--skip-bad", "--json").json()
    assert {path for path, reason in facts["skipped"]} == set(pets_with_bad_images)
    assert [sum(counts[name] for counts in facts["images"].values()) for name in ("cat", "dog")] == [6, 6]

    answer = run("train", "--data", "pets", "--skip-bad", *SMALL, "--out", "run", "--json")
    assert answer.json()["epochs"] == 1
    assert "left out 5" in answer.err
    for path, reason in pets_with_bad_images.items():
        (line,) = [line for line in answer.err.splitlines() if path in line]
        assert reason in line


def test_class_whose_images_are_all_bad(run, tmp_path):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    picture(tmp_path / "pets" / "parrot" / "0.png").write_bytes(b"")
    refused(run("train", "--data", "pets", "--skip-bad"), "parrot", "remove the class")


def test_link_to_an_image_that_is_gone(run, tmp_path):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    (tmp_path / "pets" / "cat" / "gone.png").symlink_to("nothing")
    refused(run("train", "--data", "pets"), tmp_path / "pets" / "cat" / "gone.png", "--skip-bad")


def test_class_that_is_not_there(run):
    refused(run("data", "digits:3,cat"), "'cat'", "choose among", "9")


def test_one_class_only(run, tmp_path):
    image_folder(tmp_path / "pets", cat=5)
    refused(run("train", "--data", "pets"), tmp_path / "pets", "at least two")


def test_folder_of_images_without_classes(run, tmp_path):
    picture(tmp_path / "pets" / "cat.png")
    refused(run("train", "--data", "pets"), tmp_path / "pets", "at least two")


@pytest.mark.parametrize("images", [1, 2])
def test_class_with_too_few_images_to_split(run, tmp_path, images):
    image_folder(tmp_path / "pets", cat=5, parrot=images)
    refused(run("train", "--data", "pets"), "parrot", f"{images} image", "3")


def test_parts_with_other_classes(run, tmp_path):
    image_folder(tmp_path / "pets" / "train", cat=5, dog=5)
    image_folder(tmp_path / "pets" / "test", cat=5, horse=5)
    refused(run("train", "--data", "pets"), tmp_path / "pets" / "test", "horse", "dog")


def test_unpacked_folder_with_a_wrong_checksum(run, tmp_path):
    folder = tmp_path / "root" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"something else")
    refused(run("train", "--root", "root"), "root/cifar-10-batches-py/data_batch_1", "checksum", "delete")
    assert (folder / "data_batch_1").read_bytes() == b"something else", "a user's file is not ours to delete"


def test_archive_with_a_wrong_checksum(run, tmp_path):
    archive = tmp_path / "root" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(picture(tmp_path / "cat.png"), "cifar-10-batches-py/data_batch_1")
    refused(run("train", "--root", "root"), "root/cifar-10-python.tar.gz", "checksum", "delete")
    assert list((tmp_path / "root").iterdir()) == [archive], "nothing should be unpacked from it"


def test_root_that_is_a_file(run, tmp_path):
    picture(tmp_path / "cat.png")
    image_folder(tmp_path / "pets", cat=5, dog=5)
    refused(run("data", "pets", "--root", "cat.png"), "cat.png")
    refused(run("data", "cifar10", "--root", "cat.png"), "cat.png")


# --- Bad input: settings ---


@pytest.mark.parametrize("option, value, words", [
    ("--epochs", "0", ["epochs", "at least 1"]),
    ("--epochs", "-3", ["epochs", "at least 1"]),
    ("--batch-size", "-8", ["batch_size", "at least 2"]),
    ("--batch-size", "1", ["batch_size", "at least 2"]),
    ("--learning-rate", "nan", ["learning_rate", "positive"]),
    ("--learning-rate", "inf", ["learning_rate", "positive"]),
    ("--learning-rate", "-0.1", ["learning_rate", "positive"]),
    ("--recipe", "cake", ["recipe", "choose one of", "report"]),
    ("--valid-fraction", "0", ["valid_fraction", "between 0 and 1"]),
    ("--valid-fraction", "1", ["valid_fraction", "between 0 and 1"]),
    ("--valid-fraction", "nan", ["valid_fraction", "between 0 and 1"]),
    ("--seed", "99999999999999999999", ["seed"]),
    ("--body-rate", "2", ["body_rate", "between 0"]),
    ("--crop-pct", "1.5", ["crop_pct", "at most 1"]),
    ("--model", "resnet9000", ["resnet9000", "choose one of", "fast_cnn", "torchvision"]),
    ("--weights", "DEFAULT", ["weights", "fast_cnn", "resnet18"]),
    ("--device", "abacus", ["device", "choose", "cpu"]),
    ("--precision", "fp8", ["precision", "bf16 or fp32"]),
])
def test_setting_out_of_range(run, tmp_path, option, value, words):
    "Refused before the data are read: they cannot be downloaded here, which would be another message."
    refused(run("train", option, value, "--out", "run"), value, *words)
    assert not (tmp_path / "run").exists() and not (tmp_path / "downloads").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_device_that_is_not_there(run, checkpoint, tmp_path):
    refused(run("train", "--data", "digits", "--device", "cuda", "--out", "run"), "cuda", "choose", "cpu")
    refused(run("evaluate", checkpoint, "--device", "cuda"), "cuda", "choose", "cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size, least", [("0", "at least 1"), ("-8", "at least 1"), ("3", "4 pixels")])
def test_image_size_that_is_too_small(run, tmp_path, size, least):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    answer = run("train", "--data", "pets", "--recipe", "fast", "--image-size", size, "--out", "run")
    refused(answer, "image_size", size, least)
    assert not (tmp_path / "run").exists()


def test_unknown_model(run):
    refused(run("dimensions", "resnet9000"), "resnet9000", "choose one of", "cifar_cnn")


def test_learning_rate_that_makes_training_diverge(run, tmp_path):
    answer = run("train", "--data", "digits", "--learning-rate", "1e30", "--epochs", "1", "--out", "run")
    refused(answer, "learning rate", "1e+30")
    assert load_run(tmp_path / "run").epoch == 0


@pytest.mark.parametrize("arguments, words", [
    (["trian"], ["trian"]),
    (["train", "--epoch", "3"], ["--epoch"]),
    (["train", "--epochs", "many"], ["--epochs", "integer"]),
    (["predict"], ["missing argument", "images"]),
    (["predict", "cat.png", "--top-k", "0"], ["--top-k", "1"]),
    (["dimensions", "--image-size", "0"], ["--image-size", "1"]),
    (["dimensions", "--classes", "-1"], ["--classes", "1"]),
])
def test_command_line_that_is_not_understood(run, arguments, words):
    misused(run(*arguments), *words)


def test_debugging_shows_where(run, tmp_path):
    answer = run("data", "nowhere", prepare=debug)
    assert answer.code == 1 and "Traceback" in answer.err and "nowhere" in answer.err


def debug():
    "Ask the program for tracebacks."
    os.environ["CIFAR_CNN_DEBUG"] = "1"


# --- Bad input: checkpoints ---


class Mischief:
    "Pickles as a program that makes a file."

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def use_checkpoint(run, path, tmp_path):
    "The answers of all commands that read a checkpoint."
    (tmp_path / "resumed").mkdir(exist_ok=True)
    shutil.copy(path, tmp_path / "resumed" / "last.pth")
    picture(tmp_path / "digit.png")
    yield path.name, run("evaluate", path, "--out", "report")
    yield path.name, run("predict", "digit.png", "--checkpoint", path)
    yield "resumed/last.pth", run("train", "--resume", "resumed")


def test_checkpoint_that_holds_a_program(run, tmp_path, trained):
    content = torch.load(trained.folder / "run" / "last.pth", weights_only=True)
    torch.save({**content, "history": Mischief(tmp_path / "harm")}, tmp_path / "zipped.pth")
    torch.save({**content, "history": Mischief(tmp_path / "harm")}, tmp_path / "old.pth",
               _use_new_zipfile_serialization=False)
    (tmp_path / "pickled.pth").write_bytes(pickle.dumps(Mischief(tmp_path / "harm")))
    pickle.loads((tmp_path / "pickled.pth").read_bytes()).close()
    assert (tmp_path / "harm").exists(), "the program works, where it is let"
    (tmp_path / "harm").unlink()
    for name, reason in {"zipped.pth": "program", "old.pth": "use", "pickled.pth": "use"}.items():
        for used, answer in use_checkpoint(run, tmp_path / name, tmp_path):
            refused(answer, used, reason)
            assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "report").exists()


def test_checkpoint_that_is_damaged(run, tmp_path, trained):
    whole = (trained.folder / "run" / "last.pth").read_bytes()
    for size in (len(whole) - 1000, len(whole) // 2, 100, 0):
        (tmp_path / "cut.pth").write_bytes(whole[:size])
        for used, answer in use_checkpoint(run, tmp_path / "cut.pth", tmp_path):
            refused(answer, used, "damaged", "train again")
            assert (tmp_path / used).read_bytes() == whole[:size]
    assert not (tmp_path / "report").exists()


def test_checkpoint_with_a_flipped_bit(run, tmp_path, own_run):
    "In the middle of the weights, where only a checksum can tell."
    content = bytearray((own_run / "best_model.pth").read_bytes())
    content[len(content) // 2] ^= 1
    (own_run / "best_model.pth").write_bytes(content)
    refused(run("evaluate", "run"), "run/best_model.pth", "damaged")


def test_checkpoint_of_another_format_version(run, tmp_path, own_run):
    rewritten(own_run / "last.pth", format=99)
    for used, answer in use_checkpoint(run, own_run / "last.pth", tmp_path):
        refused(answer, used, "format 99", "reads formats 1 and 2", "install")


def test_checkpoint_of_something_else(run, tmp_path):
    torch.save({"state_dict": {"weight": torch.zeros(3)}}, tmp_path / "other.pth")
    for used, answer in use_checkpoint(run, tmp_path / "other.pth", tmp_path):
        refused(answer, used, "not a checkpoint")
    picture(tmp_path / "image.pth")
    for used, answer in use_checkpoint(run, tmp_path / "image.pth", tmp_path):
        refused(answer, used, "not a checkpoint")


@pytest.mark.parametrize("changes, words", [
    ({"model": "resnet9000"}, ["resnet9000", "cifar_cnn"]),
    ({"weights": {"weight": torch.zeros(3)}}, ["weights do not fit"]),
    ({"model_arguments": {"num_classes": 10, "in_channels": 1, "image_size": 8, "depth": 3}}, ["depth"]),
    ({"model_arguments": None}, []),
    ({"classes": ["only one"]}, []),
    ({"data": None}, []),
])
def test_checkpoint_with_unusable_content(run, own_run, changes, words):
    rewritten(own_run / "best_model.pth", **changes)
    refused(run("evaluate", "run", "--data", "digits"), "run/best_model.pth", *words)


def test_missing_checkpoint(run, tmp_path):
    picture(tmp_path / "empty folder" / "cat.png")
    for name in ("nowhere.pth", "empty folder"):
        for command in (["evaluate", name], ["predict", "empty folder/cat.png", "--checkpoint", name]):
            refused(run(*command), name, "no checkpoint", "cifar-cnn train")


def test_evaluate_on_data_with_other_classes(run, checkpoint, tmp_path):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    answer = run("evaluate", checkpoint, "--data", "pets", "--out", "report")
    refused(answer, "0, 1, 2", "cat, dog", "trained on")
    assert not (tmp_path / "report" / "summary.json").exists()


def test_evaluate_grey_network_on_colour_images(run, checkpoint, tmp_path):
    image_folder(tmp_path / "digits in colour", **{str(digit): 12 for digit in range(10)})
    answer = run("evaluate", checkpoint, "--data", "digits in colour")
    refused(answer, "1×8×8", "3×8×8")
    assert "--image-size" not in answer.err, "that option would not help, and evaluate does not have it"


def test_evaluate_on_an_unknown_split(run, checkpoint):
    refused(run("evaluate", checkpoint, "--split", "train"), "train", "test or valid", "all")


def test_evaluate_when_the_data_have_gone(run, tmp_path):
    pets = image_folder(tmp_path / "pets", cat=5, dog=5)
    run("train", "--data", "pets", *SMALL, "--out", "run", "--json").json()
    shutil.rmtree(pets)
    refused(run("evaluate", "run"), pets, "no folder")
    refused(run("train", "--resume", "run", "--epochs", "2"), pets, "no folder")


# --- Bad input: runs ---


def test_resume_without_a_run(run, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("no folder")
    for name in ("nowhere", "empty", "file"):
        refused(run("train", "--resume", name), name, "no run to resume", "without --resume")
    assert not (tmp_path / "nowhere").exists() and list((tmp_path / "empty").iterdir()) == []


def test_resume_from_a_checkpoint_without_the_state_of_training(run, own_run):
    shutil.copy(own_run / "best_model.pth", own_run / "last.pth")
    refused(run("train", "--resume", "run"), "run/last.pth", "state of training")


@pytest.mark.parametrize("option, value", [
    ("--data", "digits"), ("--recipe", "report"), ("--batch-size", "64"), ("--seed", "1"),
    ("--from", "elsewhere"), ("--model", "resnet18"), ("--body-rate", "0.5"), ("--crop-pct", "0.5"),
    ("--out", "elsewhere"), ("--valid-fraction", "0.5"), ("--image-size", "16"), ("--precision", "fp32"),
    ("--skip-bad", None)])
def test_resume_with_a_setting_that_the_run_has_already(run, own_run, option, value):
    "None may be ignored in silence."
    before = checkpoints_of(own_run)
    refused(run("train", "--resume", "run", *filter(None, [option, value])), option, "leave out")
    assert checkpoints_of(own_run) == before


def test_resume_with_other_data(run, tmp_path):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    run("train", "--data", "pets", "--recipe", "report", *SMALL, "--out", "run", "--json").json()
    before = checkpoints_of(tmp_path / "run")
    picture(tmp_path / "pets" / "cat" / "new.png", seed=99)
    refused(run("train", "--resume", "run", "--epochs", "2"), "run", "other images", "same data")
    assert checkpoints_of(tmp_path / "run") == before


def test_resume_with_other_epochs_than_the_schedule_was_made_for(run, tmp_path):
    run("train", "--data", "digits", "--epochs", "1", "--out", "run", "--json").json()
    before = checkpoints_of(tmp_path / "run")
    refused(run("train", "--resume", "run", "--epochs", "2"), "run", "epochs = 1, not 2", "another folder")
    assert checkpoints_of(tmp_path / "run") == before


def test_new_run_in_a_folder_that_holds_one(run, own_run):
    before = checkpoints_of(own_run)
    refused(run("train", "--data", "digits", "--epochs", "1", "--out", "run"), "run", "--resume run", "--out")
    assert checkpoints_of(own_run) == before


@pytest.mark.parametrize("command", [
    ("train", "--data", "digits"), ("data", "digits"), ("evaluate", "run")], ids=lambda command: command[0])
def test_output_folder_that_is_a_file(run, own_run, tmp_path, command):
    (tmp_path / "file").write_text("precious")
    refused(run(*command, "--out", "file"), "file", "choose another")
    assert (tmp_path / "file").read_text() == "precious"


# --- Bad input: disks and permissions ---


def full_disk():
    "Let this process write only 4 kB to a file: to the program, the disk is full."
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def test_new_run_on_a_full_disk(run, tmp_path):
    answer = run("train", "--data", "digits", "--out", "run", prepare=full_disk)
    refused(answer, "run/last.pth", "cannot write", "space")
    assert not (tmp_path / "run").exists() or list((tmp_path / "run").iterdir()) == []


def test_full_disk_in_the_middle_of_a_run(run, own_run):
    before = checkpoints_of(own_run)
    answer = run("train", "--resume", "run", "--epochs", "3", prepare=full_disk)
    refused(answer, "run/", ".pth", "cannot write", "space")
    assert checkpoints_of(own_run) == before
    assert run("train", "--resume", "run", "--epochs", "3", "--json").json()["epochs"] == 3


@pytest.mark.parametrize("command, file", [
    (("data", "digits", "--out", "figures"), "figures/class_counts.png"),
    (("evaluate", "run", "--out", "figures"), "figures/history.png"),
    (("data", "pets"), "downloads/cache/pets"),
], ids=["figures", "report", "cache"])
def test_full_disk_for(run, own_run, tmp_path, command, file):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    refused(run(*command, prepare=full_disk), file, "cannot write", "space")


def obey_permissions():
    "Give up root's power to pass over file permissions, so that `chmod` binds this process too."
    if os.geteuid() != 0:
        return
    system = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    sets = (ctypes.c_uint32 * 6)()                 # effective, permitted, inheritable; then the higher bits
    assert system.capget(header, sets) == 0
    for i in range(3):
        sets[i] &= ~0b110                          # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert system.capset(header, sets) == 0


@pytest.fixture
def lock():
    "Take permissions from a file or folder, until the test ends."
    if sys.platform != "linux" and os.geteuid() == 0:
        pytest.skip("root passes over permissions here")
    locked = {}

    def change(path, mode):
        locked[path] = path.stat().st_mode
        path.chmod(mode)
    yield change
    for path, mode in locked.items():
        path.chmod(mode)


@pytest.mark.parametrize("command", [
    ("train", "--data", "digits"), ("data", "digits"), ("evaluate", "run")], ids=lambda command: command[0])
def test_read_only_output_folder(run, own_run, tmp_path, lock, command):
    (tmp_path / "shelf").mkdir()
    lock(tmp_path / "shelf", 0o555)
    for out in ("shelf", "shelf/new"):
        answer = run(*command, "--out", out, prepare=obey_permissions)
        refused(answer, out, "denied", "choose another")
    assert list((tmp_path / "shelf").iterdir()) == []


def test_run_folder_that_became_read_only(run, own_run, lock):
    before = checkpoints_of(own_run)
    lock(own_run, 0o555)
    refused(run("train", "--resume", "run", "--epochs", "3", prepare=obey_permissions), "run/", "denied")
    assert checkpoints_of(own_run) == before


@pytest.mark.parametrize("name", ["downloads", "downloads/cache"])
def test_read_only_root(run, tmp_path, lock, name):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    (tmp_path / name).mkdir(parents=True)
    lock(tmp_path / name, 0o555)
    refused(run("data", "pets", prepare=obey_permissions), name, "denied", "--root")


@pytest.mark.parametrize("name", ["pets", "pets/cat"])
def test_data_that_may_not_be_read(run, tmp_path, lock, name):
    image_folder(tmp_path / "pets", cat=5, dog=5)
    lock(tmp_path / name, 0)
    refused(run("data", "pets", prepare=obey_permissions), tmp_path / name, "denied")


def test_checkpoint_that_may_not_be_read(run, own_run, lock):
    lock(own_run / "best_model.pth", 0)
    refused(run("evaluate", "run", prepare=obey_permissions), "run/best_model.pth", "denied")


def test_checkpoint_in_a_folder_that_may_not_be_entered(run, own_run, lock):
    lock(own_run, 0)
    refused(run("evaluate", "run/best_model.pth", prepare=obey_permissions), "run/best_model.pth")


# --- Bad input: images to predict ---


def test_predict_answers_for_the_good_images_and_names_the_bad(run, checkpoint, tmp_path):
    picture(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:200])
    (tmp_path / "text.png").write_bytes(b"This is no image.\n")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "bomb.png").write_bytes(bomb())
    (tmp_path / "folder.png").mkdir()
    reasons = {"cut.png": "damaged", "text.png": "not an image", "empty.png": "empty",
               "bomb.png": "million pixels", "folder.png": "is a directory", "nowhere.png": "no such file",
               "x" * 300 + ".png": "name too long"}
    answer = run("predict", "good.png", *reasons, "--checkpoint", checkpoint, "--json")
    assert answer.code == 2
    assert len(answer.err.splitlines()) == len(reasons), answer.err
    first, *others = json.loads(answer.out)
    assert first["image"] == "good.png" and first["confidence"] > 0
    for other, line, (name, reason) in zip(others, answer.err.splitlines(), reasons.items(), strict=True):
        assert line.startswith(f"cifar-cnn: cannot read {name}: ") and reason in line
        assert other["image"] == name and reason in other["error"]


def test_predict_names_a_folder_that_may_not_be_read(run, checkpoint, tmp_path, lock):
    picture(tmp_path / "good.png")
    image_folder(tmp_path / "pets", cat=1, dog=1)
    lock(tmp_path / "pets" / "dog", 0)
    answer = run("predict", "pets", "good.png", "--checkpoint", checkpoint, "--json",
                 prepare=obey_permissions)
    assert answer.code == 2 and len(answer.err.splitlines()) == 1
    assert "pets/dog: permission denied" in answer.err
    locked, good = json.loads(answer.out)
    assert locked["image"] == "pets" and "permission denied" in locked["error"] and good["confidence"] > 0


def test_predict_the_same_image_twice(run, checkpoint, tmp_path):
    picture(tmp_path / "digit.png")
    answer = run("predict", "digit.png", "digit.png", "--checkpoint", checkpoint)
    assert answer.code == 0 and len(answer.out.splitlines()) == 2


# --- Bad input: the server ---


def test_server_options_that_would_not_do_what_they_say(run):
    misused(run("serve", "--api-key", ""), "--api-key", "everybody")
    for key in ("sesame\n", " sesame", "sésame"):
        misused(run("serve", "--api-key", key), "--api-key", "another key")
    misused(run("serve", "--reload-model", "1"), "--reload-model", "--checkpoint")


# --- Bad input: the web app ---


@pytest.fixture
def port():
    "A port that is taken."
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def test_app_at_a_port_that_is_taken(run, port):
    refused(run("app", "--port", port), str(port), "already in use", "--port")


def test_app_at_an_address_of_another_machine(run):
    refused(run("app", "--host", "192.0.2.1"), "192.0.2.1", "--host")


def test_app_with_a_broken_checkpoint(run, own_run):
    (own_run / "best_model.pth").write_bytes(b"broken")
    refused(run("app", "--checkpoint", "run"), "best_model.pth")


def hide_voila():
    sys.modules["voila"] = None


def test_app_without_its_extra(run):
    refused(run("app", prepare=hide_voila), 'pip install ".[app]"')


# --- Real CIFAR-10 ---


@pytest.fixture
def real(tmp_path):
    "`fresh` with the machine's own data and threads."
    return partial(fresh, cwd=tmp_path, env=dict(os.environ))


@pytest.mark.cifar10
def test_cifar10_splits(real):
    images = real("data", "cifar10", "--json").json()["images"]
    for part, of_each_class in {"train": 4500, "valid": 500, "test": 1000}.items():
        assert set(images[part].values()) == {of_each_class} and len(images[part]) == 10


@pytest.mark.cifar10
def test_packaged_checkpoint_on_cifar10(real, tmp_path):
    summary = real("evaluate", "--json").json()
    assert (summary["data"], summary["test_images"], summary["recipe"]) == ("cifar10", 10_000, "fast94")
    assert summary["test_accuracy"] > 0.939 and summary["calibration_error"] < 0.015

    test = load_data("cifar10").test
    names = []
    for label, name in enumerate(test.classes):
        for i, image in enumerate(test.images[test.labels == label][:10]):
            names.append(f"{name}-{i}.png")
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / names[-1])
    answers = real("predict", *names, "--json").json()
    right = sum(answer["image"].startswith(f"{answer['label']}-") for answer in answers)
    assert right >= 82, "of 100 images; 94 are expected"


@pytest.mark.cifar10
def test_the_default_reaches_the_reports_accuracy_in_little_memory(tmp_path):
    "The command that the README begins with."
    program = subprocess.Popen([PROGRAM, "train", "--json", "--out", "run"], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    answer = json.loads(program.stdout.read())
    _, status, usage = os.wait4(program.pid, 0)
    assert status == 0 and answer["recipe"] == "fast"
    assert answer["valid_accuracy"] > 0.815 and answer["test_accuracy"] > 0.81  # 82.28% is claimed of a mean
    assert usage.ru_maxrss * 1024 < 2e9
