"""`loop run` and `loop watch` as processes: killed and started again, two at once, no lock left behind."""

import json
import multiprocessing
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest
import typer.main

from cifar_cnn import cli
from cifar_cnn.base.errors import UserError
from cifar_cnn.loop.registry import SERVED, history
from cifar_cnn.loop.steps import all_steps
from cifar_cnn.loop.store import LocalStore, LoopError
from cifar_cnn.loop.upkeep import verify
from cifar_cnn.loop.watch import store_lock
from tests.kill_the_loop import differences, processes, run_until, set_the_stage, try_once, work

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor fork")


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    "A store with a champion and accepted corrections, and what a run makes of it."
    return set_the_stage(tmp_path_factory.mktemp("loop"))


# All forty and many random moments: python -m tests.kill_the_loop
@pytest.mark.parametrize("point", [
    "named:versions", "train:finished", "created:models", "registry:recorded", "named:serving",
    "step:run:done",
])
def test_a_killed_loop_does_each_thing_once(stage, tmp_path, point):
    before, undisturbed, _ = stage
    assert try_once(before, tmp_path / "loop", undisturbed, point, None) == (True, [])


@pytest.mark.parametrize("seed", range(2))
def test_a_loop_killed_at_a_random_moment_does_each_thing_once(stage, tmp_path, seed):
    before, undisturbed, seconds = stage
    moment = Random(seed).uniform(0, seconds)
    assert try_once(before, tmp_path / "loop", undisturbed, "", moment)[1] == []


def run_on_a_full_disk(folder, size):
    "Run the loop where no file may have more bytes than that; ends with 2 for an error that is explained."
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        work(folder, "")
    except UserError:
        sys.exit(2)


@pytest.mark.parametrize("size", [700, 300_000])
def test_a_full_disk_stops_the_loop_with_a_sentence_and_harms_nothing(stage, tmp_path, size):
    before, undisturbed, _ = stage
    shutil.copytree(before, tmp_path / "loop")
    served = LocalStore(tmp_path / "loop").fetch(SERVED)
    process = processes.Process(target=run_on_a_full_disk, args=(tmp_path / "loop", size))
    process.start()
    process.join(120)
    assert process.exitcode == 2 and LocalStore(tmp_path / "loop").fetch(SERVED) == served
    run_until(tmp_path / "loop")
    assert differences(tmp_path / "loop", undisturbed) == []


def test_a_flipped_byte_in_an_outcome_is_found_and_named(stage, tmp_path):
    shutil.copytree(stage[0], tmp_path / "loop")
    store, random = LocalStore(tmp_path / "loop"), Random(0)
    names = [*store.names("steps"), *store.names("promotions")]
    for name in names:
        whole = store.fetch(name)
        place, bit = random.randrange(len(whole)), 1 << random.randrange(8)
        store.path(name).write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1:])
        with pytest.raises(LoopError, match=name):
            all_steps(store, "run")
            raise LoopError("; ".join(history(store)[1]))
        assert list(verify(store)) == [name]
        store.path(name).write_bytes(whole)
    assert len(names) > 4 and not verify(store)


def hold(folder, held):
    with store_lock(LocalStore(folder)):
        held.set()
        time.sleep(600)


def test_a_killed_watcher_leaves_no_lock(tmp_path):
    forked = multiprocessing.get_context("fork")
    held = forked.Event()
    holder = forked.Process(target=hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(60)
    with pytest.raises(LoopError, match="another process"):
        with store_lock(LocalStore(tmp_path)):
            pass
    holder.kill()
    holder.join(60)
    with store_lock(LocalStore(tmp_path)):
        pass


def test_two_watchers_train_once(tmp_path):
    command = [sys.executable, "-c", "from cifar_cnn.cli import main; main()", "loop", "watch", "--once",
               "--data", "digits", "--epochs", "2", "--loop", str(tmp_path / "loop")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)]
    said = [watcher.communicate(timeout=120) for watcher in both]
    codes = sorted(watcher.returncode for watcher in both)
    # the other one was told that somebody works, or came when all was done
    assert codes in ([0, 1], [0, 3]), said
    assert sum(err.count("epoch  2/2") for _, err in said) == 1
    assert LocalStore(tmp_path / "loop").names("promotions") == ["promotions/000001.json"]


def test_what_the_loop_trained_can_be_measured_and_exported(stage, tmp_path):
    "Its data are a version of the store; who asks elsewhere for them is told so."
    shutil.copytree(stage[0], tmp_path / "loop")
    served = str(tmp_path / "loop" / SERVED)
    def run(*command):
        code = [sys.executable, "-m", "cifar_cnn", *command]
        return subprocess.run(code, capture_output=True, text=True, cwd=tmp_path, timeout=120,
                              env=os.environ | {"CIFAR_CNN_LOOP": str(tmp_path / "loop")})
    measured = run("monitor", "reference", served, "--json")
    assert measured.returncode == 0 and 0 < json.loads(measured.stdout)["accuracy"] <= 1, measured.stderr
    exported = run("export", served, "--json")
    assert exported.returncode == 0 and json.loads(exported.stdout)["check"]["changed_labels"] == 0
    refused = run("evaluate", served)
    assert refused.returncode == 2 and "in a store of the loop" in refused.stderr
    assert run("evaluate", served, "--data", "digits").returncode == 0


def test_every_command_that_a_message_names_exists():
    commands = typer.main.get_command(cli.app).commands
    groups = {name: group.commands for name, group in commands.items() if hasattr(group, "commands")}
    texts = [file.read_text(encoding="utf-8") for file in Path(cli.__file__).parent.rglob("*.py")]
    whole = " ".join(re.sub(r'"\s+f?"', "", text) for text in texts)  # a message may go over two lines
    named = set(re.findall(rf"cifar-cnn ({'|'.join(groups)}) ([a-z]+)", whole)) - {("data", "digits")}
    assert len(named) > 10
    assert not [f"{group} {name}" for group, name in sorted(named) if name not in groups[group]]
