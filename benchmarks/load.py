"""Mixed good and bad requests for ten minutes, with the checkpoint swapped every minute.

    python -m benchmarks.load [--minutes 10] [--checkpoint FILE]

64 connections send good images, files that are none, uploads that are too large and uploads that stop
half-way. Every good image must get the answer of one of the two checkpoints, every bad one its refusal; the
record holds the server's memory over time.
Writes benchmarks/records/load.json; the exit code is 1 if anything went wrong.
"""

import argparse
import asyncio
import dataclasses
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from benchmarks.measure import machine, write_record
from benchmarks.serve import PROGRAM, running
from cifar_cnn.data import load_data
from cifar_cnn.images.pixels import to_png
from cifar_cnn.predict import Predictor
from cifar_cnn.train import Checkpoint, load_checkpoint

CONNECTIONS = 64


def other(checkpoint: Checkpoint) -> Checkpoint:
    "One that gives other answers."
    weights = {name: -weight if weight.ndim == 2 else weight for name, weight in checkpoint.weights.items()}
    return dataclasses.replace(checkpoint, weights=weights, epoch=checkpoint.epoch + 1)


def bad_uploads(good: bytes) -> dict[bytes, int]:
    "What must be refused, and how."
    return {b"": 415, b"<html>no image</html>": 415, good[:len(good) // 2]: 422, b"P6 50000 50000 255\n": 413,
            bytes(11_000_000): 413}


@dataclasses.dataclass
class Counts:
    "What came of the requests."
    kinds: Counter = dataclasses.field(default_factory=Counter)
    wrong: list = dataclasses.field(default_factory=list)
    dropped: list = dataclasses.field(default_factory=list)


async def ask_good(client: httpx.AsyncClient, content: bytes, expected: list, counts: Counts) -> None:
    answer = await client.post("/predict", files={"image": content})
    told = answer.json()
    fits = [answer.status_code == 200 and all(abs(told["probabilities"][name] - share) < 1e-4
                                              for name, share in prediction.probabilities.items())
            for prediction in expected]
    counts.kinds["first model" if fits[0] else "second model" if fits[1] else "wrong"] += 1
    if answer.status_code in (429, 503):
        counts.dropped.append(answer.text)
    elif not any(fits):
        counts.wrong.append(answer.text)


async def ask_bad(client: httpx.AsyncClient, content: bytes, status: int, counts: Counts) -> None:
    answer = await client.post("/predict", files={"image": content})
    counts.kinds[f"refused with {answer.status_code}"] += 1
    if answer.status_code != status or answer.json()["success"]:
        counts.wrong.append(answer.text)


async def give_up(url: str, counts: Counts) -> None:
    "Begin an upload and go away."
    host, _, port = url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
                 b"Content-Length: 5000\r\n\r\n--x\r\n")
    await writer.drain()
    writer.close()
    counts.kinds["left half-way"] += 1


async def connection(url: str, good: list, expected: list, end: float, seed: int, counts: Counts) -> None:
    chance, bad = random.Random(seed), bad_uploads(good[0])
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while time.monotonic() < end:
            try:
                draw = chance.random()
                if draw < 0.8:
                    i = chance.randrange(len(good))
                    await ask_good(client, good[i], [answers[i] for answers in expected], counts)
                elif draw < 0.97:
                    content = chance.choices(list(bad), [10, 10, 10, 10, 1])[0]
                    await ask_bad(client, content, bad[content], counts)
                else:
                    await give_up(url, counts)
            except httpx.TransportError as error:
                counts.dropped.append(repr(error))


async def watch(url: str, path: Path, checkpoints: list[Checkpoint], end: float, samples: list[dict]) -> None:
    "Swap the checkpoint every minute, and look at the server's memory every five seconds."
    start, swaps = time.monotonic(), 0
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:
        while time.monotonic() < end:
            await asyncio.sleep(5)
            seconds = time.monotonic() - start
            if seconds // 60 > swaps:
                swaps += 1
                checkpoints[swaps % 2].save(path)
            numbers = (await client.get("/metrics")).text
            memory = float(re.search(r"^process_resident_memory_bytes (\S+)", numbers, re.M)[1])
            samples.append({"seconds": round(seconds), "megabytes": round(memory / 1e6), "swaps": swaps})
            print(samples[-1], flush=True)


async def load(
    url: str, path: Path, checkpoints: list[Checkpoint], minutes: float
) -> tuple[Counts, list[dict]]:
    images = load_data("cifar10").test.images[:200].permute(0, 2, 3, 1).numpy()
    expected = [Predictor(checkpoint).predict(list(images)) for checkpoint in checkpoints]
    counts, samples, end = Counts(), [], time.monotonic() + 60 * minutes
    clients = [connection(url, [to_png(image) for image in images], expected, end, seed, counts)
               for seed in range(CONNECTIONS)]
    await asyncio.gather(*clients, watch(url, path, checkpoints, end, samples))
    return counts, samples


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--checkpoint", help="default: the one in the package")
    arguments = parser.parse_args()
    first = load_checkpoint(arguments.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "best_model.pth"
        first.save(path)
        command = [PROGRAM, "serve", "--checkpoint", path, "--reload-model", "1", "--port"]
        with running(lambda port: [*command, port]) as url:
            counts, samples = asyncio.run(load(url, path, [first, other(first)], arguments.minutes))
    record = {"machine": machine(), "minutes": arguments.minutes, "connections": CONNECTIONS,
              "requests": sum(counts.kinds.values()), "kinds": dict(sorted(counts.kinds.items())),
              "wrong": len(counts.wrong), "dropped": len(counts.dropped), "memory": samples}
    write_record("load", record)
    print(f"{record['requests']:,} requests, {record['wrong']} wrong, {record['dropped']} dropped")
    print(record["kinds"])
    if counts.wrong or counts.dropped:
        sys.exit(f"for example: {[*counts.wrong, *counts.dropped][0][:300]}")


if __name__ == "__main__":
    main()
