"""Processes of their own: to measure memory, to find a free port, to wait for something."""

import multiprocessing
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path


def free_port() -> int:
    "A port of this machine at which nobody listens."
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    "Come back when it holds; fail if it does not in time."
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not after {seconds:g} s"
        time.sleep(0.02)


def peak_memory() -> float:
    "The most memory that this process has held, in GB; without its children's."
    status = Path("/proc/self/status")
    if status.exists():  # Linux's `ru_maxrss` is inherited from the process that started this one
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)


def _call(work: Callable, arguments: tuple, results) -> None:
    results.put((work(*arguments), peak_memory()))


def in_fresh_process(work: Callable, *arguments) -> tuple:
    "What the function returns, and the peak memory of a process that did nothing else, in GB."
    context = multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    process = context.Process(target=_call, args=(work, arguments, results))
    process.start()
    before = signal.signal(signal.SIGTERM, lambda *_: process.terminate())  # it would go on alone
    while process.is_alive() and results.empty():
        time.sleep(0.05)
    signal.signal(signal.SIGTERM, before)
    if results.empty():
        sys.exit(f"{work.__name__} failed: see above")
    result_and_memory = results.get()
    process.join()
    return result_and_memory


def private_gigabytes() -> float:
    "Anonymous memory of this process, now."
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 2**20


class Peak(threading.Thread):
    "Watches `private_gigabytes` and keeps the highest."

    def __init__(self):
        super().__init__(daemon=True)
        self.highest, self.before = 0.0, private_gigabytes()
        self.start()

    def run(self):
        while True:
            self.highest = max(self.highest, private_gigabytes())
            time.sleep(0.02)
