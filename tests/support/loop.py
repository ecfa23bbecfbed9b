"""What the tests of the loop share: processes that are killed at a named point, and processes that race."""

import os
import signal
from collections.abc import Callable
from multiprocessing import get_context

processes = get_context("fork")  # a fresh interpreter would import torch each time


def _run(work: Callable, arguments: tuple, crash_at: str) -> None:
    os.environ["CIFAR_CNN_CRASH_AT"] = crash_at
    work(*arguments)


def killed_at(point: str, work: Callable, *arguments) -> bool:
    "Run in a process of its own that is killed at a point; whether it came there."
    process = processes.Process(target=_run, args=(work, arguments, point))
    process.start()
    process.join(60)
    assert process.exitcode in (0, -signal.SIGKILL), f"{point}: the process ended with {process.exitcode}"
    return process.exitcode == -signal.SIGKILL


def _race(start, results, work: Callable, number: int, rounds: int, arguments: tuple) -> None:
    for turn in range(rounds):
        start.wait(60)
        results.put((turn, number, work(number, turn, *arguments)))
        start.wait(60)


def race(work: Callable, *arguments, writers: int, rounds: int, between: Callable = lambda turn: None):
    """Let processes do the same at the same moment, many times; `between` is called after each time.

    Returns a list: for each time, what `work(number, turn, *arguments)` gave each process, by its number.
    """
    start, results = processes.Barrier(writers + 1), processes.SimpleQueue()
    running = [
        processes.Process(target=_race, args=(start, results, work, number, rounds, arguments), daemon=True)
        for number in range(writers)
    ]
    for process in running:
        process.start()
    found = [{} for _ in range(rounds)]
    for turn in range(rounds):
        start.wait(60)
        for _ in range(writers):
            when, number, value = results.get()
            found[when][number] = value
        between(turn)
        start.wait(60)
    for process in running:
        process.join(60)
        assert process.exitcode == 0
    return found
