"""The server as a process, over real sockets: start and stop, hostile clients, load, a new model, kill -9.

What needs no process, every endpoint and status, is tested beside the code, in nbs/13_serve.ipynb and
nbs/reference/serving.
"""

import contextlib
import dataclasses
import itertools
import json
import multiprocessing
import multiprocessing.forkserver
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import httpx
import numpy as np
import pytest
from fastapi.testclient import TestClient

from cifar_cnn import cli
from cifar_cnn.base.machine import listen
from cifar_cnn.data import load_data
from cifar_cnn.images.pixels import to_png
from cifar_cnn.pages.widget import PredictorWidget
from cifar_cnn.predict import Predictor, largest_difference
from cifar_cnn.serve import load
from cifar_cnn.serving.limits import Settings
from cifar_cnn.serving.server import create_app, http_server
from cifar_cnn.train import load_checkpoint
from tests.support import hostile
from tests.support.processes import wait_until

SCRIPTS = Path(sysconfig.get_path("scripts"))


def png(seed: int = 0) -> bytes:
    "Noise, that differs by its seed."
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    return to_png(pixels)


def start_program(arguments: list, log) -> None:
    "Run in a process that is forked from one that has imported torch already: what `cifar-cnn` does."
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    sys.argv = ["cifar-cnn", *arguments]
    cli.main()


@pytest.fixture(scope="module", autouse=True)
def fork_server():
    "The process that the servers are forked from. Importing torch in each would take most of the time."
    multiprocessing.get_context("forkserver").set_forkserver_preload(["cifar_cnn.cli",
                                                                      "cifar_cnn.serving.server"])
    with mock.patch.dict(os.environ, OMP_NUM_THREADS="1"):
        multiprocessing.forkserver.ensure_running()


class Server:
    "`cifar-cnn serve` in a process of its own, on a free port."

    def __init__(self, *options):
        with tempfile.NamedTemporaryFile(delete=False) as file:
            self.file = Path(file.name)
        arguments = ["serve", "--port", "0", *map(str, options)]
        self.process = multiprocessing.get_context("forkserver").Process(
            target=start_program, args=(arguments, self.file), daemon=True)
        self.process.start()
        end = time.monotonic() + 120
        while not (address := re.search(r"http://127.0.0.1:(\d+)", self.file.read_text())):
            assert self.process.is_alive() and time.monotonic() < end, self.log
            time.sleep(0.05)
        self.url, self.port = address[0], int(address[1])

    @property
    def log(self) -> list[str]:
        return self.file.read_text().splitlines()

    def ask(self, content: bytes, name: str = "image.png", **options) -> httpx.Response:
        return httpx.post(f"{self.url}/predict", files={"image": (name, content)}, timeout=30, **options)

    def memory(self) -> int:
        "The most that the process has held, in bytes."
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    def stop(self, how=signal.SIGTERM) -> int:
        os.kill(self.process.pid, how)
        return self.exit_code()

    def exit_code(self) -> int:
        self.process.join(60)
        return self.process.exitcode


@pytest.fixture(scope="module")
def server():
    "One that most tests share: none of them may harm it."
    running = Server()
    yield running
    answer = running.ask(png())
    assert running.stop() == 0 and answer.status_code == 200
    assert len(running.log) == 1, running.log


@contextlib.contextmanager
def started(*options):
    "A server of the test's own."
    running = Server(*options)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.join()


def app(**limits):
    "The application in this process, with limits of the test's own."
    return TestClient(create_app(settings=Settings(**limits)))


def refused(answer: httpx.Response, status: int, *words: str) -> None:
    "One sentence with these words."
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert set(told) == {"success", "error"} and told["success"] is False
    assert "\n" not in told["error"] and 10 < len(told["error"]) < 300
    for word in words:
        assert word in told["error"]


def same(answer: dict, prediction, within: float = 1e-5) -> bool:
    probabilities = answer["probabilities"]
    return all(abs(probabilities[name] - share) < within for name, share in prediction.probabilities.items())


# --- Answers ---


def test_answer_is_the_predictors(server):
    def in_one_batch(contents):
        uploads = [("images", content) for content in contents]
        answer = httpx.post(f"{server.url}/predict/batch", files=uploads, timeout=60)
        return [told["probabilities"] for told in answer.json()["predictions"]]

    ways = {"one by one": lambda contents: [server.ask(content).json()["probabilities"]
                                            for content in contents],
            "in one batch": in_one_batch}
    assert max(largest_difference(load(), [png(seed) for seed in range(5)], ways).values()) < 1e-6
    predictor = Predictor()
    for seed in range(5):
        answer = server.ask(png(seed)).json()
        prediction = predictor.predict(png(seed))
        assert answer["success"] and answer["prediction"] == prediction.label and same(answer, prediction)
        assert answer["top3_predictions"] == [{"class": name, "confidence": answer["probabilities"][name]}
                                              for name, _ in prediction.top]


@pytest.mark.cifar10
def test_every_test_image_is_answered_as_the_predictor_does(server):
    "The 10,000 over HTTP, and every hundredth of them through the widget."
    images = load_data("cifar10").test.images
    files = [to_png(image) for image in images]
    expected, told, widget = Predictor().classify(list(images)), [], PredictorWidget()
    for first in range(0, len(files), 64):
        uploads = {"files": [("images", file) for file in files[first:first + 64]]}
        told += httpx.post(f"{server.url}/predict/batch", **uploads, timeout=60).json()["predictions"]
    for answer, prediction in zip(told, expected, strict=True):
        assert answer["prediction"] == prediction.label and same(answer, prediction, within=1e-4)
    for number in range(0, len(files), 100):
        widget.show(files[number], "image.png")
        answer = expected[number]
        label, percent = re.search(r"image\.png: (\w+), ([\d.]+)%", widget.message.value).groups()
        # one image alone and 10,000 in batches: the last digit may round the other way
        assert label == answer.label and abs(float(percent) - 100 * answer.confidence) < 0.06


@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
def test_curl_as_the_reports_use_it(server, tmp_path):
    (tmp_path / "cat.png").write_bytes(png())
    command = ["curl", "--silent", "-X", "POST", "-F", "image=@cat.png", f"{server.url}/predict"]
    answer = json.loads(subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout)
    assert answer["success"] is True and len(answer["top3_predictions"]) == 3


def test_simultaneous_requests_share_batches():
    predictor = Predictor()
    with app() as client:
        with ThreadPoolExecutor(16) as threads:
            contents = [png(seed) for seed in range(64)]
            uploads = [{"image": content} for content in contents]
            answers = list(threads.map(lambda files: client.post("/predict", files=files), uploads))
        numbers = client.get("/metrics").text
    for answer, content in zip(answers, contents, strict=True):
        assert same(answer.json(), predictor.predict(content))
    batches = float(re.search(r"cifar_cnn_batch_images_count (\S+)", numbers)[1])
    assert float(re.search(r"cifar_cnn_batch_images_sum (\S+)", numbers)[1]) == 64 > batches


def test_page_and_its_neighbours(server):
    for path in ("/", "/docs"):
        answer = httpx.get(server.url + path)
        assert answer.headers["content-type"].startswith("text/html")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r"(src|href)=.https?://", answer.text)
    assert "/predict" in httpx.get(f"{server.url}/docs").text
    assert httpx.get(f"{server.url}/health").json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/model").json()["classes"] == load_checkpoint().classes
    assert "process_resident_memory_bytes" in httpx.get(f"{server.url}/metrics").text


# --- Limits ---


def test_queue_full(monkeypatch):
    with app(waiting=2) as client:
        predictor, go = client.app.state.service.predictor, threading.Event()
        original = predictor.classify
        monkeypatch.setattr(predictor, "classify", lambda images: go.wait(30) and original(images))
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(client.post, "/predict", files={"image": png()}) for _ in range(2)]
            wait_until(lambda: client.app.state.service.waiting == 2)
            answer = client.post("/predict", files={"image": png()})
            refused(answer, 503, "try again")
            assert answer.headers["retry-after"] == "1"
            refused(client.get("/ready"), 503)
            assert client.get("/health").status_code == 200
            go.set()
            assert [request.result().status_code for request in waiting] == [200, 200]
        assert client.get("/ready").status_code == 200


def test_a_network_that_fails_fails_its_batch_only(monkeypatch):
    client = TestClient(create_app(), raise_server_exceptions=False)
    with client:
        with monkeypatch.context() as patch:
            patch.setattr(client.app.state.service.predictor, "classify", lambda images: 1 / 0)
            refused(client.post("/predict", files={"image": png()}), 500, "log")
        assert client.post("/predict", files={"image": png()}).status_code == 200


def test_heads_and_tails_without_end():
    "Headers, and what follows the last chunk of a body: fast, and without end."
    chunked = b"Transfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n0\r\n"
    with started_with(upload_seconds=600) as url:  # bytes close the connection, not time
        for more in (b"", chunked):
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])),
                                          timeout=30) as connection:
                connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n" + more + b"A: ")
                with pytest.raises(OSError):
                    for _ in range(10_000):
                        connection.sendall(b"b" * 10_000)
        assert httpx.get(f"{url}/health").status_code == 200


def test_api_key():
    with app(api_key="sesame") as client:
        for headers in ({}, {"X-API-Key": "open"}, {"X-API-Key": "sésame".encode()}):
            refused(client.post("/predict", files={"image": png()}, headers=headers), 401, "X-API-Key")
            refused(client.get("/metrics", headers=headers), 401)
        assert client.post("/predict", files={"image": png()},
                           headers={"X-API-Key": "sesame"}).status_code == 200
        for path in ("/", "/docs", "/health", "/ready", "/openapi.json"):
            assert client.get(path).status_code == 200
        for path in ("/metrics%0A", "/model%0A", "/metrics/", "/%6Detrics/"):  # no other spelling is let in
            refused(client.get(path), 404)
        refused(client.post("/predict%0A", files={"image": png()}), 404)


def test_rate_limit():
    with app(rate_limit=3) as client:
        answers = [client.post("/predict", files={"image": png()}) for _ in range(8)]
        assert client.get("/health").status_code == 200
    codes = [answer.status_code for answer in answers]
    assert codes.count(200) in (3, 6) and set(codes) == {200, 429}  # 6 if a minute began meanwhile
    refused(answers[codes.index(429)], 429, "wait")
    assert 1 <= int(answers[codes.index(429)].headers["retry-after"]) <= 60


def test_too_many_images_and_too_much_memory():
    with app(images=2, held_bytes=10_000) as client:
        refused(client.post("/predict/batch", files=[("images", png()[:10])] * 3), 413, "at most 2")
        refused(client.post("/predict", files={"image": bytes(20_000)}), 503, "memory")
        assert client.app.state.service.held_bytes == 0


# --- Hostile clients ---

MULTIPART = "Content-Type: multipart/form-data; boundary=x"
PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'


def answers(server) -> bool:
    "Whether it takes connections."
    with contextlib.suppress(httpx.TransportError):
        httpx.get(f"{server.url}/health")
        return True
    return False


def connect(server, *headers: str, method: str = "POST", path: str = "/predict") -> socket.socket:
    "A connection on which a request's headers were sent."
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    connection.sendall("\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "",
                                    ""]).encode())
    return connection


def read_all(connection: socket.socket) -> str:
    "What comes until the other side closes."
    received = b""
    with connection, contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            received += piece
    return received.decode()


def test_upload_that_says_that_it_is_too_large(server):
    answer = read_all(connect(server, MULTIPART, "Content-Length: 99999999999"))
    assert answer.startswith("HTTP/1.1 413") and "10 MB" in answer and "connection: close" in answer.lower()


def test_upload_that_claims_to_be_short(server):
    """What follows the promised bytes is not part of the request.

    It must not be kept, nor answered as another one.
    """
    connection = connect(server, MULTIPART, "Content-Length: 200")
    connection.sendall(PART + png() * 100)
    answer = read_all(connection)
    assert answer.startswith("HTTP/1.1 4") and '"success":true' not in answer


def test_endless_upload(server):
    "Chunked, so that nothing says how long it will be: the answer comes after 10 MB."
    connection, sent = connect(server, MULTIPART, "Transfer-Encoding: chunked"), 0
    chunk = PART + bytes(1_000_000)
    with contextlib.suppress(ConnectionError, TimeoutError):
        connection.settimeout(5)
        while sent < 1_000_000_000:
            connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            sent += len(chunk)
            chunk = bytes(1_000_000)
            if sent > 12_000_000:
                time.sleep(0.05)
    assert sent < 1_000_000_000
    assert server.memory() < 1e9


def test_too_large_upload_that_listens_gets_its_answer(server):
    answer = httpx.post(f"{server.url}/predict", files={"image": bytes(30_000_000)}, timeout=30)
    refused(answer, 413, "10 MB")
    pieces = (PART if i == 0 else bytes(1_000_000) for i in range(30))
    answer = httpx.post(f"{server.url}/predict", content=pieces, timeout=30,
                        headers={"Content-Type": "multipart/form-data; boundary=x"})
    refused(answer, 413, "10 MB")


def test_slow_client():
    "Its upload never ends; the others do not wait for it."
    with started_with(upload_seconds=1) as url:
        port = int(url.rpartition(":")[2])
        slow = socket.create_connection(("127.0.0.1", port), timeout=30)
        slow.sendall(f"POST /predict HTTP/1.1\r\n{MULTIPART}\r\nContent-Length: 1000\r\n\r\n".encode() + PART)
        assert httpx.post(f"{url}/predict", files={"image": png()}).status_code == 200
        answer = read_all(slow)
        assert answer.startswith("HTTP/1.1 408") and "within 1 seconds" in answer


@contextlib.contextmanager
def started_with(**limits):
    "A server on a real socket, in a thread, with limits of the test's own."
    with listen("127.0.0.1", 0) as listener:
        server = http_server(settings=Settings(**limits))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            wait_until(lambda: server.started)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize("body, status", [
    (b"", 422), (b"--x", 422), (b"no boundary at all", 400), (PART, 422), (PART + b"\r\n--x--\r\n", 415),
    (b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--x--\r\n', 422),
    (b"--x--\r\n", 422), (b"--x\r\n" + b"A: b\r\n" * 10_000, 400),
])
def test_broken_multipart(server, body, status):
    answer = httpx.post(f"{server.url}/predict", content=body,
                        headers={"Content-Type": "multipart/form-data; boundary=x"}, timeout=30)
    refused(answer, status)


def test_odd_file_names(server):
    for name in ("../../etc/passwd", "<script>alert(1)</script>", "a" * 500, "naïve 猫.png", "\\ud800"):
        refused(server.ask(b"nothing", name), 415)
    body = PART.replace(b"a.png", b"\\ud800.png") + b"nothing\r\n--x--\r\n"
    answer = httpx.post(f"{server.url}/predict", content=body,
                        headers={"Content-Type": "multipart/form-data; boundary=x; charset=unicode_escape"})
    refused(answer, 415)


def test_unfinished_headers():
    "Silence, and headers that never end, are cut off; who takes the time for an image only is not."
    with started_with(upload_seconds=1.5) as url:
        address = "127.0.0.1", int(url.rpartition(":")[2])
        silent, endless, idle = (socket.create_connection(address, timeout=30) for _ in range(3))
        idle.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in idle.recv(1000)
        idle.sendall(b"\r\n")  # belongs to no request
        endless.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n")
        began = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began < 20:
                endless.sendall(b"A: b\r\n")
                time.sleep(0.1)
        assert time.monotonic() - began < 20
        assert read_all(silent) == ""
        assert "HTTP" not in read_all(idle)
        with httpx.Client(base_url=url) as client:  # one connection, used again after a pause
            for _ in range(3):
                assert client.get("/health").status_code == 200
                time.sleep(1)


def test_more_connections_than_open_files():
    "They wait, with one line in the log; when they go, the server answers again."
    with started() as server:
        files = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (files + 20, files + 20))
        silent = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(100)]
        time.sleep(2)
        for connection in silent:
            connection.close()
        assert server.ask(png()).status_code == 200
        assert len([line for line in server.log
                    if "ulimit" in line]) in (1, 2) and len(server.log) < 5, server.log


def test_garbage_instead_of_http(server):
    for garbage in (b"\x16\x03\x01\x02\x00" + bytes(range(200)), b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)


def test_hostile_images(server):
    "Each gives the right answer or one sentence, in time; afterwards the server still answers."
    # which takes seconds each
    families = [family for family in hostile.FAMILIES if family is not hostile.largest]
    for case in itertools.chain.from_iterable(family() for family in families):
        answer = server.ask(case.content, case.name)
        if answer.status_code != 200:
            assert answer.status_code in (413, 415, 422), case.name
            refused(answer, answer.status_code)
        if not case.may_refuse:
            assert (answer.status_code == 200) == (case.pixels is not None), (case.name, answer.text)
    assert server.ask(png()).status_code == 200


def test_largest_images(server):
    "Those that need most memory, several at a time: answered, refused, or asked to come back."
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # its peak begins anew
    before = server.memory()
    with ThreadPoolExecutor(4) as threads:
        for answer in threads.map(lambda case: server.ask(case.content, case.name), hostile.largest()):
            assert answer.status_code in (200, 413, 503), answer.text
    assert server.ask(png()).status_code == 200
    assert server.memory() - before < 900e6  # one at a time is decoded: 700 MB; four would take twice that


def test_truncated_images(server):
    "Cut off at every length: in each place of the batch there is the right answer or a sentence."
    cases = hostile.truncated()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        while several := list(itertools.islice(cases, 64)):
            uploads = [("images", (case.name, case.content)) for case in several]
            answer = client.post("/predict/batch", files=uploads)
            assert answer.status_code == 200, answer.text
            for case, told in zip(several, answer.json()["predictions"], strict=True):
                if told["success"]:
                    assert case.pixels is not None, case.name
                else:
                    assert told["error"].startswith("cannot read ") and len(told["error"]) < 300, told
    assert server.ask(png()).status_code == 200


def test_openapi_description_holds(server, tmp_path):
    "schemathesis makes requests from the description, well formed and not: none may make the server fail."
    command = ["schemathesis", "run", f"{server.url}/openapi.json", "--checks", "not_a_server_error",
               "--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "0", "--no-color"]
    command[0] = SCRIPTS / command[0]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout[-3000:]


# --- Start and stop ---


def fails_to_start(*options, words: tuple = ()) -> None:
    "One sentence with these words, and exit code 2."
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("forkserver").Process(
            target=start_program, args=(["serve", "--port", "0", *map(str, options)], Path(folder) / "log"))
        process.start()
        process.join(60)
        said = (Path(folder) / "log").read_text()
    assert process.exitcode == 2, said
    assert len(said.splitlines()) == 1 and said.startswith("cifar-cnn: "), said
    for word in words:
        assert str(word) in said


def test_port_taken(server):
    fails_to_start("--port", server.port, words=("cannot listen on 127.0.0.1", server.port, "--port"))


def test_host_that_does_not_exist():
    fails_to_start("--host", "nowhere.invalid", words=("nowhere.invalid", "--host"))
    fails_to_start("--host", "", words=("--host",))


def test_checkpoint_missing_or_broken(tmp_path):
    (tmp_path / "broken.pth").write_bytes(b"nothing")
    fails_to_start("--checkpoint", tmp_path / "broken.pth", words=("broken.pth", "damaged"))
    fails_to_start("--checkpoint", tmp_path / "none.pth", words=("none.pth", "there is no checkpoint"))


def test_without_the_extra():
    "As if FastAPI were not installed."
    code = ("import sys; sys.modules['fastapi'] = None; sys.argv = ['cifar-cnn', 'serve']; "
            "from cifar_cnn.cli import main; main()")
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 2 and 'pip install ".[serve]"' in result.stderr
    assert len(result.stderr.splitlines()) == 1, result.stderr


class Load:
    "Threads that ask one thing after the other, and keep what they hear."

    def __init__(self, server: Server, threads: int = 4):
        self.server, self.answers, self.errors, self.stopped = server, [], [], False
        self.content = png()
        self.threads = [threading.Thread(target=self._ask) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _ask(self):
        with httpx.Client(timeout=60) as client:
            while not self.stopped:
                try:
                    answer = client.post(f"{self.server.url}/predict", files={"image": self.content})
                    self.answers.append((answer.status_code, answer.json()))
                except httpx.TransportError as error:
                    self.errors.append(error)
                    time.sleep(0.05)

    def wait_for(self, count: int):
        "Until so many more answers have come."
        count += len(self.answers)
        wait_until(lambda: len(self.answers) >= count)

    def stop(self):
        self.stopped = True
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_graceful_shutdown_finishes_what_was_accepted(how):
    "An upload is under way when the signal comes, and its second half follows: it is answered."
    with started() as server:
        body = PART + png() + b"\r\n--x--\r\n"
        connection = connect(server, MULTIPART, f"Content-Length: {len(body)}")
        connection.sendall(body[:100])
        assert httpx.get(f"{server.url}/health").status_code == 200  # who came first was taken first
        os.kill(server.process.pid, how)
        wait_until(lambda: not answers(server))
        with pytest.raises(httpx.TransportError):
            server.ask(png())
        connection.sendall(body[100:])
        answer = read_all(connection)
        assert answer.startswith("HTTP/1.1 200") and '"success":true' in answer
        assert server.exit_code() == 0
        assert len(server.log) == 1, server.log


def changed(checkpoint, epoch: int):
    "A checkpoint that gives other answers."
    weights = {name: -weight if weight.ndim == 2 else weight for name, weight in checkpoint.weights.items()}
    return dataclasses.replace(checkpoint, weights=weights, epoch=epoch)


def test_new_model_under_load_drops_no_request(tmp_path):
    path, first = tmp_path / "best_model.pth", load_checkpoint()
    second = changed(first, epoch=1000)
    first.save(path)
    with started("--checkpoint", path, "--reload-model", 0.2) as server:
        load = Load(server)
        load.wait_for(20)
        path.write_bytes(b"half a file")
        wait_until(lambda: any("damaged" in line for line in server.log))
        load.wait_for(20)
        second.save(path)
        wait_until(lambda: httpx.get(f"{server.url}/model").json()["epoch"] == 1000)
        load.wait_for(20)
        load.stop()
        assert sum("damaged" in line for line in server.log) == 1
        assert server.stop() == 0
    expected = [Predictor(checkpoint).predict(load.content) for checkpoint in (first, second)]
    assert expected[0].label != expected[1].label and not load.errors
    turns = []
    for status, answer in load.answers:
        assert status == 200
        turns += [[same(answer, prediction) for prediction in expected]]
    assert turns[0] == [True, False] and turns[-1] == [False, True] and [False, False] not in turns


def test_kill_under_load_and_start_again(tmp_path):
    "Clients see errors only while nobody answers, and nothing on disk is harmed."
    path = tmp_path / "best_model.pth"
    load_checkpoint().save(path)
    before = path.read_bytes()
    with started("--checkpoint", path) as server:
        load = Load(server)
        load.wait_for(20)
        assert not load.errors
        server.stop(signal.SIGKILL)
        server.__init__("--checkpoint", path, "--port", server.port)
        load.wait_for(20)
        errors = len(load.errors)
        load.wait_for(20)
        load.stop()
    assert len(load.errors) == errors > 0, "none after the restart"
    assert all(status == 200 for status, _ in load.answers)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
