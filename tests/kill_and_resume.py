"""Kill training with SIGKILL at random moments, resume it, and compare it with a run that nobody disturbed.

    python -m tests.kill_and_resume --times 100

Each of the 100 times is a run of four epochs on `digits` that saves after every step. It is killed one to
three times and resumed after each; whatever it had saved must be readable after each kill; and when it has
finished, every weight, the optimizer's state and the whole history must equal those of the undisturbed run,
bit for bit.
"""

import argparse
import ctypes
import json
import multiprocessing
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections import Counter
from dataclasses import dataclass, fields
from multiprocessing.sharedctypes import RawValue
from pathlib import Path
from random import Random

import torch
from tqdm import tqdm

from cifar_cnn import train
from cifar_cnn.data import load_data
from cifar_cnn.train import CheckpointError, fit, get_recipe, load_checkpoint, plan
from cifar_cnn.train import resume as resume_run
from cifar_cnn.training import checkpoint

# With so large a learning rate not every epoch is the best so far, and best and current weights differ.
RECIPE = get_recipe("report", epochs=4, batch_size=128, learning_rate=0.01, plateau_patience=0)
STEPS_PER_EPOCH = 11  # of 1,295 images; the last batch has 15
TOTAL_STEPS = RECIPE.epochs * STEPS_PER_EPOCH
FILES = ("best_model.pth", "last.pth")
HANGS = 120  # seconds after which a process that does not end counts as hanging

# Importing torch takes seconds, so a server imports it once and forks every process that is to be killed. The
# server computes nothing: threads that torch had started would be missing in its children, which would hang.
PRELOADED = ["cifar_cnn.train", "torch._dynamo"]
processes = multiprocessing.get_context("forkserver")

SAVING = ("writing a file", "flushing a file", "renaming a file")
PHASES = ("starting", "between two steps", "in a step", "validating", *SAVING)


class Progress(ctypes.Structure):
    "How far a process is, in memory that outlives it."
    _fields_ = [("steps", ctypes.c_int), ("phase_number", ctypes.c_int)]

    @property
    def phase(self) -> str:
        return PHASES[self.phase_number]


@dataclass(frozen=True)
class Moment:
    "When to kill: as soon as so many steps are done and the process is in that phase."
    steps: int         # of the whole run, not only since it was resumed
    phase: str = ""    # one of `PHASES`; empty for any
    pause: float = 0   # seconds to wait after that
    exactly: str = ""  # "before" or "after" that phase's call: the process then kills itself right there
    file: str = ""     # which file is renamed, one of `FILES`; empty for any

    def has_come(self, progress: Progress) -> bool:
        return progress.steps >= self.steps and self.phase in ("", progress.phase)


# -- the process that is killed


def train_in_child(out, resume, progress, moment, recipe, save_seconds):
    "`fit`, noting in `progress` how far it is."
    sys.stdout = open(os.devnull, "w")
    warnings.filterwarnings("error", message="resuming with another")
    torch.set_num_threads(1)
    tqdm.set_lock(threading.RLock())  # its own would be a semaphore that outlives the process

    def note(module, name, phase):
        "Replace a function by one that does the same and notes it."
        function = getattr(module, name)

        def noting(*arguments, **options):
            around, progress.phase_number = progress.phase_number, PHASES.index(phase)
            die_if_it_is_time("before", arguments)
            result = function(*arguments, **options)
            progress.steps += name == "train_step"
            die_if_it_is_time("after", arguments)
            progress.phase_number = around
            return result

        setattr(module, name, noting)

    def die_if_it_is_time(side, arguments):
        if moment and moment.exactly == side and moment.has_come(progress):
            if not moment.file or Path(arguments[-1]).name == moment.file:
                os.kill(os.getpid(), signal.SIGKILL)

    note(train, "train_step", "in a step")
    note(train, "end_epoch", "validating")
    note(checkpoint, "save_atomically", "writing a file")
    note(os, "fsync", "flushing a file")
    note(os, "replace", "renaming a file")
    splits = load_data("digits")
    progress.phase_number = PHASES.index("between two steps")
    planned = resume_run(out, splits=splits, recipe=recipe) if resume else plan(splits, recipe, folder=out)
    fit(planned, save_seconds=save_seconds)


def start(out: Path, moment: Moment | None = None, recipe=RECIPE, save_seconds: float = 0):
    "Start training in `out`, or resume what is there. Gives the process and its progress."
    resume, progress = (out / "last.pth").exists(), RawValue(Progress, saved_steps(out), 0)
    arguments = (out, resume, progress, moment, recipe, save_seconds)
    process = processes.Process(target=train_in_child, args=arguments)
    process.start()
    return process, progress


def wait_for(moment: Moment, process, progress: Progress) -> bool:
    "Whether the moment has come; False if the process ended before."
    deadline = time.monotonic() + HANGS
    while not moment.has_come(progress):
        if not process.is_alive():
            return False
        if time.monotonic() > deadline:
            process.kill()
            raise TimeoutError(f"training did not reach {moment} within {HANGS} s")
        time.sleep(0.0005)
    time.sleep(moment.pause)
    return True


def exit_code(process) -> int:
    "That of a process that ends by itself, or has been killed."
    process.join(HANGS)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"training did not end within {HANGS} s")
    return process.exitcode


def train_until(out: Path, moment: Moment | None = None, **options) -> Progress | None:
    "Train, or resume, and kill at the moment. Gives the progress at the kill, None if there was none."
    process, progress = start(out, moment, **options)
    if moment and not moment.exactly and wait_for(moment, process, progress):
        process.kill()
    code = exit_code(process)
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"training ended with exit code {code}: standard error says why")
    return progress if code else None


# -- what it leaves


def whole_files(out: Path) -> list[str]:
    "The checkpoints of a run. Raises `CheckpointError` if one of them cannot be read to its last weight."
    found = [name for name in FILES if (out / name).exists()]
    for name in found:
        load_checkpoint(out / name).network
    return found


def saved_steps(out: Path) -> int:
    "The steps after which a resumed run goes on."
    if not (out / "last.pth").exists():
        return 0
    last = load_checkpoint(out / "last.pth")
    return last.epoch * STEPS_PER_EPOCH + last.training["position"]["step"]


def differences(ours, theirs, where=""):
    "Every place where two checkpoints differ in a bit, except for how many seconds something took."
    if type(ours) is not type(theirs):
        yield f"{where} is a {type(ours).__name__}, not a {type(theirs).__name__}"
    elif isinstance(ours, torch.Tensor):
        if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
            yield f"{where} is {ours.dtype} {tuple(ours.shape)}, not {theirs.dtype} {tuple(theirs.shape)}"
        elif not torch.equal(bits(ours), bits(theirs)):
            yield f"{where} differs in {(ours != theirs).sum()} of {ours.numel()} values"
    elif isinstance(ours, dict):
        if ours.keys() != theirs.keys():
            yield f"{where} has {sorted(map(str, ours))}, not {sorted(map(str, theirs))}"
        for key in sorted(ours.keys() & theirs.keys() - {"seconds"}):
            yield from differences(ours[key], theirs[key], f"{where} {key}")
    elif isinstance(ours, (list, tuple)):
        if len(ours) != len(theirs):
            yield f"{where} has {len(ours)} entries, not {len(theirs)}"
        for number, (one, other) in enumerate(zip(ours, theirs)):
            yield from differences(one, other, f"{where} {number}")
    elif ours != theirs:
        yield f"{where} is {ours!r}, not {theirs!r}"


def fields_of(checkpoint) -> dict:
    "What a checkpoint's file holds; not the network that was built of it."
    return {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}


def bits(tensor: torch.Tensor) -> torch.Tensor:
    "The bytes of a tensor: −0 equals 0 and no NaN equals itself, but their bytes tell."
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def compare(out: Path, undisturbed: Path) -> list[str]:
    "What a run's folder has that the undisturbed run's has not, or otherwise; nothing, if all is well."
    found = [f"{path.name} was left behind" for path in sorted(out.iterdir()) if path.name not in FILES]
    for name in FILES:
        if not (out / name).exists():
            found.append(f"{name} is missing")
            continue
        ours, theirs = load_checkpoint(out / name), load_checkpoint(undisturbed / name)
        found += differences(fields_of(ours), fields_of(theirs), name)
    return found


# -- many times


def draw_moment(random: Random, steps: int, pace: float) -> Moment:
    "After so many steps, anywhere or where it is most delicate; `pace` is the seconds that a step takes."
    step = random.randrange(min(steps, TOTAL_STEPS - 1), TOTAL_STEPS)
    pause = random.uniform(0, pace)
    delicate = [
        Moment(step, "validating", exactly="after"),  # the history has a row more than any file
        Moment(step, "flushing a file", exactly="before"),
        Moment(step, "flushing a file", exactly="after"),
        Moment(step, "renaming a file", exactly="after"),
        Moment(step, "renaming a file", exactly="after", file="best_model.pth"),  # last.pth is older then
    ]
    writing = Moment(step, "writing a file", pause)
    return random.choice([Moment(step, pause=pause)] * 5 + [writing] * 2 + [random.choice(delicate)])


def kill(out: Path, moment: Moment, say=print) -> Progress | None:
    "`train_until`; then see that what was saved is whole, and say where the kill hit."
    hit = train_until(out, moment)
    if hit is None:
        say("finished before it could be killed")
        return None
    whole = " and ".join(whole_files(out)) or "nothing"
    torn = "".join(f", {path.stat().st_size:,} bytes of an unfinished file" for path in out.glob("*.tmp"))
    say(f"killed in epoch {hit.steps // STEPS_PER_EPOCH + 1}, batch {hit.steps % STEPS_PER_EPOCH + 1}, "
        f"{hit.phase}: {whole} saved and whole{torn}, steps to repeat: {hit.steps - saved_steps(out)}")
    return hit


def kill_at_random(out: Path, random: Random, pace: float, say=print) -> list[Progress]:
    "One to three kills, each after a resume, and then the rest of the run. Gives where they hit."
    hits = [kill(out, draw_moment(random, saved_steps(out), pace), say) for _ in range(random.randint(1, 3))]
    train_until(out)
    return [hit for hit in hits if hit]


def train_undisturbed(out: Path) -> float:
    "The run to compare with. Gives the seconds that a step of it took, saving included."
    process, progress = start(out)
    wait_for(Moment(1), process, progress)
    began = time.monotonic()
    if exit_code(process) != 0:
        raise RuntimeError("the undisturbed run failed: standard error says why")
    return (time.monotonic() - began) / (TOTAL_STEPS - 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--times", type=int, default=100, help="how many runs to kill and compare (100)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--only", type=int, help="repeat this one of the times")
    parser.add_argument("--record", type=Path, help="write the result to this JSON file")
    options = parser.parse_args()
    processes.set_forkserver_preload(PRELOADED)
    numbers = [options.only] if options.only else range(1, options.times + 1)

    began, equal, hits = time.monotonic(), 0, []
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, again = Path(folder) / "undisturbed", Path(folder) / "again"
        pace = train_undisturbed(undisturbed)
        train_until(again)
        if found := compare(again, undisturbed):
            sys.exit("two undisturbed runs differ, so nothing can be compared: " + "; ".join(found[:5]))
        for number in numbers:
            out, random = Path(folder) / str(number), Random(f"{options.seed} {number}")
            say = lambda line: print(f"{number:3}/{options.times}  {line}", flush=True)
            try:
                while not (struck := kill_at_random(out, random, pace, say)):
                    shutil.rmtree(out)  # every kill came too late: that was no test
                hits += struck
                found = compare(out, undisturbed)
            except (CheckpointError, RuntimeError, TimeoutError) as error:
                found = [str(error)]
            equal += not found
            if found:
                say(f"NOT EQUAL (again: --seed {options.seed} --only {number}): " + "; ".join(found[:5]))
            shutil.rmtree(out, ignore_errors=True)
        environment = load_checkpoint(undisturbed / "last.pth").environment

    seconds, phases = round(time.monotonic() - began), Counter(hit.phase for hit in hits)
    if options.record:
        moments = {
            "in the middle of an epoch": sum(hit.steps % STEPS_PER_EPOCH > 0 for hit in hits),
            "during a save": sum(phases[phase] for phase in SAVING),
        }
        record = {
            "times": len(numbers), "equal": equal, "kills": len(hits),
            "seed": options.seed, "seconds": seconds,
            "moments": moments | {phase: phases[phase] for phase in PHASES},
            "environment": environment | {"python": platform.python_version(), "system": platform.system()},
        }
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    counts = ", ".join(f"{count} {phase}" for phase, count in phases.most_common())
    print(f"{len(hits)} kills in {seconds} s: {counts}\n{equal} of {len(numbers)} equal")
    sys.exit(equal != len(numbers))


if __name__ == "__main__":
    main()
