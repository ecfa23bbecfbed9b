"""Our server and the reports' own, on the same images over real sockets: throughput and latency.

    python -m benchmarks.serve [--quick] [--checkpoint FILE]

Needs wrk (apt-get install wrk). 100 test images as PNG files, 1, 8 and 64 connections, one server after the
other. Before the load, every answer is compared with the predictor's. Writes benchmarks/records/serve.json
(--quick: serve_quick.json).
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from PIL import Image

from benchmarks.measure import RECORDS, machine, write_record
from cifar_cnn.data import load_data
from cifar_cnn.predict import Predictor
from tests.support.processes import free_port

CONNECTIONS = (1, 8, 64)
REPORT = RECORDS / "report.pth"
PROGRAM = Path(sysconfig.get_path("scripts")) / "cifar-cnn"


def commands(checkpoint: str) -> dict[str, Callable[[int], list]]:
    "How to start each server on a port."
    return {"reports": lambda port: [sys.executable, "-m", "benchmarks.flask_server", port, checkpoint],
            "ours": lambda port: [PROGRAM, "serve", "--checkpoint", checkpoint, "--port", port]}


@contextlib.contextmanager
def running(command: Callable[[int], list]) -> Iterator[str]:
    "Start a server, wait until it answers, and stop it in the end."
    port = free_port()
    words = list(map(str, command(port)))
    # As users start them: with as many threads as the machine offers.
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    process = subprocess.Popen(words, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(1200):
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/health", timeout=60)
                break
            if process.poll() is not None:
                sys.exit(f"{' '.join(words)} did not start: see above")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(40)


def check_answers(url: str, files: list[Path], predictor: Predictor) -> float:
    "The largest difference of a probability among the top three from the predictor's own."
    largest = 0.0
    for path, expected in zip(files, predictor.predict(files)):
        answer = httpx.post(f"{url}/predict", files={"image": path.read_bytes()}, timeout=60).json()
        if answer["prediction"] != expected.label:
            sys.exit(f"{url} says {answer['prediction']} to {path.name}, the predictor {expected.label}")
        for top in answer["top3_predictions"]:
            largest = max(largest, abs(top["confidence"] - expected.probabilities[top["class"]]))
    return largest


def load(url: str, files: list[Path], connections: int, seconds: float) -> dict:
    "Keep so many connections busy, and measure."
    script = Path(__file__).with_name("post.lua")
    command = ["wrk", "--threads", "1", "--connections", connections, "--duration", f"{seconds:.0f}s",
               "--timeout", "30s", "--script", script, url, "--", *files]
    answer = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    result = json.loads(answer.splitlines()[-1])
    if result["errors"] or result["refused"]:
        sys.exit(f"{url}: {result['errors']} connections failed, {result['refused']} requests were refused")
    return {"requests_per_second": result["requests"] / result["seconds"],
            "p50_ms": result["p50_ms"], "p99_ms": result["p99_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few seconds each")
    parser.add_argument("--checkpoint", default=str(REPORT), help="default: the report's network")
    arguments = parser.parse_args()
    seconds, results, differences = 3 if arguments.quick else 15, [], {}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{i:03}.png" for i in range(100)]
        for path, image in zip(files, load_data("cifar10").test.images):
            Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
        predictor = Predictor(arguments.checkpoint)
        for server, command in commands(arguments.checkpoint).items():
            with running(command) as url:
                differences[server] = check_answers(url, files, predictor)
                for connections in CONNECTIONS:
                    load(url, files, connections, 1)  # warm-up
                    result = load(url, files, connections, seconds)
                    results.append({"server": server, "connections": connections, **result})
                    print(f"{server:8} {connections:3} connections: "
                          f"{result['requests_per_second']:6.0f} requests/s, "
                          f"p50 {result['p50_ms']:.1f} ms, p99 {result['p99_ms']:.1f} ms", flush=True)
    write_record("serve_quick" if arguments.quick else "serve", {
        "machine": machine(), "quick": arguments.quick, "seconds": seconds,
        "checkpoint": Path(arguments.checkpoint).name, "largest_difference": differences, "results": results})


if __name__ == "__main__":
    main()
