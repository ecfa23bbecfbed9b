"""Training is killed, or asked to stop, and resumed: the result equals the undisturbed run's to the bit.

`python -m tests.kill_and_resume --times 100` does the same many times.
"""

import json
import os
import shutil
import signal
import subprocess
import sysconfig
import time
from multiprocessing import forkserver
from pathlib import Path
from random import Random

import pytest
import torch
from kill_and_resume import (
    FILES,
    PRELOADED,
    RECIPE,
    TOTAL_STEPS,
    Moment,
    compare,
    differences,
    exit_code,
    fields_of,
    kill,
    processes,
    saved_steps,
    start,
    train_undisturbed,
    train_until,
    wait_for,
    whole_files,
)

from cifar_cnn.data import load_data
from cifar_cnn.train import RECIPES, RunError, choose_compiled, fit, get_recipe, load_checkpoint, plan, resume
from cifar_cnn.training.recipe import change_recipe

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor fork")

PROGRAM = Path(sysconfig.get_path("scripts")) / "cifar-cnn"
SEED = os.environ.get("KILL_SEED", str(time.time_ns() % 10**6))


@pytest.fixture(scope="module", autouse=True)
def fork_server():
    "A server of our own: one that other tests have started may have another environment, and lack modules."
    forkserver._forkserver._stop()  # nothing public does this
    processes.set_forkserver_preload(PRELOADED)
    yield
    forkserver._forkserver._stop()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    "The folder of a run that nobody disturbed."
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    train_undisturbed(folder)
    return folder


@pytest.fixture
def random(request):
    "Random numbers that are others each time; a failure tells how to repeat them."
    print(f"repeat these moments with KILL_SEED={SEED}")
    return Random(f"{SEED} {request.node.name}")


def test_undisturbed_run_shows_what_it_should(undisturbed):
    "Otherwise the comparisons below would compare little."
    last, best = (load_checkpoint(undisturbed / name) for name in ("last.pth", "best_model.pth"))
    accuracies = [row["valid_accuracy"] for row in last.history]
    assert len(accuracies) == RECIPE.epochs and saved_steps(undisturbed) == TOTAL_STEPS
    assert accuracies[-1] > 0.2, "it learned nothing"
    assert any(later <= earlier for earlier, later in zip(accuracies, accuracies[1:])), "it only rose"
    assert not list(differences(best.weights, last.training["best"]["weights"]))


def test_a_difference_of_one_bit_is_found(undisturbed):
    ours, theirs = (fields_of(load_checkpoint(undisturbed / "last.pth")) for _ in range(2))
    assert not list(differences(ours, theirs))
    weight = ours["training"]["optimizer"]["state"][3]["exp_avg"]
    weight.view(-1).view(torch.int32)[5] ^= 1
    assert [*differences(ours, theirs)] == [" training optimizer state 3 exp_avg differs in 1 of 32 values"]
    ours["history"][1]["valid_loss"] += 1e-15
    assert len(list(differences(ours, theirs))) == 2


# -- killed without warning


def test_killed_at_random_moments(undisturbed, random, tmp_path):
    for earliest, latest in ((1, 12), (12, 24), (24, 40)):
        moment = Moment(random.randint(earliest, latest), pause=random.uniform(0, 0.05))
        assert kill(tmp_path / "run", moment), "training finished too early"
    train_until(tmp_path / "run")
    assert not compare(tmp_path / "run", undisturbed)


def test_killed_during_saves(undisturbed, random, tmp_path):
    moments = [
        Moment(random.randint(1, 6), "writing a file", pause=random.uniform(0, 0.02)),
        Moment(random.randint(8, 15), "flushing a file", exactly="before"),
        Moment(random.randint(16, 24), "renaming a file", exactly="before"),
        Moment(random.randint(25, 32), "renaming a file", exactly="after", file="last.pth"),
        Moment(33, "renaming a file", exactly="after", file="best_model.pth"),  # last.pth is a step older
    ]
    for moment in moments:
        hit = kill(tmp_path / "run", moment)
        assert hit, "training finished too early"
        assert not moment.exactly or hit.phase == moment.phase
    train_until(tmp_path / "run")
    assert not compare(tmp_path / "run", undisturbed)


def test_killed_in_the_first_save(undisturbed, tmp_path):
    "There is nothing to resume yet, so the same command is given again, as a new run."
    assert kill(tmp_path / "run", Moment(0, "renaming a file", exactly="before"))
    assert not whole_files(tmp_path / "run") and list((tmp_path / "run").iterdir())
    with pytest.raises(RunError, match="no run to resume"):
        fit(resume(tmp_path / "run", splits=load_data("digits"), recipe=RECIPE))
    train_until(tmp_path / "run")
    assert not compare(tmp_path / "run", undisturbed)


def test_killed_while_resuming_a_finished_run(undisturbed, tmp_path):
    shutil.copytree(undisturbed, tmp_path / "run")
    assert kill(tmp_path / "run", Moment(0, "flushing a file", exactly="before"))
    train_until(tmp_path / "run")
    assert not compare(tmp_path / "run", undisturbed)


def test_program_killed_and_resumed(random, tmp_path):
    "The installed program, from start to end, as a person would use it."
    settings = {"epochs": 6, "batch_size": 128, "learning_rate": 0.01}
    train_until(tmp_path / "undisturbed", recipe=get_recipe("report", **settings))
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

    command = [PROGRAM, "train", "--data", "digits", "--recipe", "report", "--out", tmp_path / "run",
               *options]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    said = next((line for line in process.stderr if line.startswith("epoch  1/6")), "")
    time.sleep(random.uniform(0, 0.5))
    process.kill()
    said += process.communicate()[1]
    assert "epoch  1/6" in said and "epoch  6/6" not in said, f"it was not killed in the middle: {said}"

    command = [PROGRAM, "train", "--resume", tmp_path / "run", "--json"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "epoch  6/6" in result.stderr and "epoch  1/6" not in result.stderr
    assert "another" not in result.stderr, "nothing is different when it is resumed"
    for name in FILES:
        ours, theirs = (load_checkpoint(tmp_path / run / name) for run in ("run", "undisturbed"))
        assert not list(differences(fields_of(ours), fields_of(theirs), name))
    assert json.loads(result.stdout)["valid_accuracy"] == load_checkpoint(tmp_path / "run").accuracy
    assert not list((tmp_path / "run").glob("*.tmp"))


# compact's network needs larger images than digits has; all that decides its training is in others, too.
# photos solves for its head and has no epoch to go on with.
@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ("compact", "photos")])
def test_every_recipe_resumes_exactly(name, random, tmp_path):
    recipe = get_recipe(name)
    # The settings decide how a training goes on; the network may be smaller.
    smaller = {"resnet18": {"side": 32}, "fast_cnn": {"widths": (16, 24, 32)}}.get(recipe.model, {})
    recipe = change_recipe(recipe, epochs=2, batch_size=128,
                           model_arguments={**recipe.model_arguments, **smaller})
    assert train_until(tmp_path / "undisturbed", recipe=recipe) is None
    for earliest, latest in ((1, 10), (12, 19)):
        moment = Moment(random.randint(earliest, latest), pause=random.uniform(0, 0.02))
        assert train_until(tmp_path / "run", moment, recipe=recipe), "training finished too early"
    train_until(tmp_path / "run", recipe=recipe)
    assert not compare(tmp_path / "run", tmp_path / "undisturbed")


def test_killed_while_writing_the_report(undisturbed, tmp_path):
    "What the program writes beside the checkpoints may be unfinished, too."
    shutil.copytree(undisturbed, tmp_path / "run")
    (tmp_path / "run" / "summary.html.12345.tmp").write_text("<p>half a")
    train_until(tmp_path / "run")
    assert not compare(tmp_path / "run", undisturbed)


# -- asked to stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_stopped_by_signal(number, undisturbed, random, tmp_path):
    "The step it was in is finished and saved; nothing is left to repeat."
    out = tmp_path / "run"
    process, progress = start(out, save_seconds=1000)
    wait_for(Moment(random.randint(1, 30), "in a step", pause=random.uniform(0, 0.02)), process, progress)
    os.kill(process.pid, number)
    assert exit_code(process) == 0
    assert sorted(path.name for path in out.iterdir()) in (["best_model.pth", "last.pth"], ["last.pth"])
    assert whole_files(out) and 0 < saved_steps(out) == progress.steps < TOTAL_STEPS
    train_until(out)
    assert not compare(out, undisturbed)


# -- resumed otherwise than it ran


def test_resuming_a_finished_run_changes_nothing(undisturbed, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(undisturbed, out)
    process, progress = start(out)
    assert exit_code(process) == 0
    assert progress.steps == TOTAL_STEPS and progress.phase != "in a step"
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert not compare(out, undisturbed)
    assert load_checkpoint(out).history == load_checkpoint(undisturbed).history, "not even the seconds change"


def test_resuming_with_another_number_of_threads_warns(tmp_path):
    "The result cannot be the same to the bit, and that is said. Processes forked above fail on the warning."
    assert train_until(tmp_path / "run", Moment(40, "in a step"))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.warns(UserWarning, match=r"resuming with another threads \(1 before, 2 now\)") as warned:
            run = fit(resume(tmp_path / "run", splits=load_data("digits"), recipe=RECIPE))
    finally:
        torch.set_num_threads(threads)
    assert sum("resuming" in str(warning.message) for warning in warned) == 1, "the rest is as it was"
    assert run.finished
    assert load_checkpoint(tmp_path / "run" / "last.pth").environment["threads"] == "2"


def test_compiled_run(tmp_path):
    "It is compiled again, without being asked, and computes the same."
    if not choose_compiled(torch.device("cpu"), asked=True):
        pytest.skip("PyTorch cannot compile on this machine")
    digits, recipe = load_data("digits"), get_recipe("simple", epochs=2)
    whole = fit(plan(digits, recipe), device="cpu", compiled=True)
    stopped = fit(plan(digits, recipe, folder=tmp_path / "run"), device="cpu", compiled=True,
                  on_epoch=lambda history: signal.raise_signal(signal.SIGINT))
    torch.compiler.reset()
    resumed = fit(resume(tmp_path / "run", splits=digits), device="cpu")
    assert stopped.interrupted and resumed.finished and resumed.environment["compiled"] == "yes"
    for name, tensor in whole.model.state_dict().items():
        assert tensor.equal(resumed.model.state_dict()[name]), name


def test_a_run_of_an_earlier_version_goes_on(tmp_path):
    "Its history does not say which epoch was kept: the most accurate one was."
    digits, recipe = load_data("digits"), get_recipe("simple", epochs=2)
    fit(plan(digits, recipe, folder=tmp_path / "run"), "cpu")
    last = torch.load(tmp_path / "run" / "last.pth", weights_only=True)
    for row in last["history"]:
        del row["kept"]
    for setting in ("head", "balanced"):
        del last["recipe"][setting]
    torch.save(last, tmp_path / "run" / "last.pth")
    run = fit(resume(tmp_path / "run", epochs=4, splits=digits), "cpu")
    assert len(run.history) == 4 and run.history.kept["epoch"] in (1, 2, 3, 4)
    assert load_checkpoint(tmp_path / "run").accuracy == run.history.kept["valid_accuracy"]
