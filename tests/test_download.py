"""CIFAR-10 and MNIST by way of the official archives: downloaded, checked, resumed, unpacked, read.

The archives here have the official format and a few hundred random images; a server on localhost sends them,
and torchvision's addresses and checksums are set to theirs.
"""

import contextlib
import fcntl
import gzip
import hashlib
import io
import json
import os
import pickle
import re
import signal
import socket
import struct
import subprocess
import sys
import sysconfig
import tarfile
import termios
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from cifar_cnn.data import DataError, DownloadError, load_cifar10, load_data

ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
PROGRAM = Path(sysconfig.get_path("scripts")) / "cifar-cnn"


# -- a small archive of the official format


class Python2Pickler(pickle._Pickler):  # the one in Python, because the one in C cannot be changed
    "Pickles bytes as Python 2 pickled its strings, in which the official archive was written."
    def save_python2_string(self, value):
        self.write(pickle.BINSTRING + struct.pack("<i", len(value)) + value)
        self.memoize(value)

    dispatch = pickle._Pickler.dispatch | {bytes: save_python2_string}


def python2_pickle(value) -> bytes:
    Python2Pickler(file := io.BytesIO(), protocol=2).dump(value)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")  # its name at that time


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@dataclass
class Part:
    images: np.ndarray  # N×3×32×32 or N×28×28 uint8
    labels: np.ndarray  # N

    def __getitem__(self, where) -> "Part":
        return Part(self.images[where], self.labels[where])

    def by_image(self, classes) -> dict[bytes, str]:
        return {image.tobytes(): classes[label] for image, label in zip(self.images, self.labels)}


def random_part(count, shape, seed) -> Part:
    random = np.random.default_rng(seed)
    return Part(random.integers(256, size=(count, *shape), dtype=np.uint8), random.permutation(count) % 10)


@dataclass
class Official:
    "What the official site would offer, and what is in it."
    files: dict[str, bytes]   # by name
    known: dict[str, object]  # attributes of torchvision's class: names and checksums
    train: Part
    test: Part


@pytest.fixture(scope="module")
def cifar10() -> Official:
    train, test = random_part(400, (3, 32, 32), seed=1), random_part(100, (3, 32, 32), seed=2)
    batches = {f"data_batch_{number}": train[80 * number - 80:80 * number] for number in range(1, 6)}
    members = {name: python2_pickle({
        b"batch_label": name.encode(), b"labels": part.labels.tolist(),
        b"data": part.images.reshape(-1, 3072), b"filenames": [b"image.png"] * len(part.labels),
    }) for name, part in {**batches, "test_batch": test}.items()}
    members["batches.meta"] = python2_pickle({
        b"num_cases_per_batch": 80, b"label_names": [name.encode() for name in CLASSES], b"num_vis": 3072})
    members["readme.html"] = b"<p>The format is described here.</p>"
    with tarfile.open(fileobj=(file := io.BytesIO()), mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(f"{FOLDER}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    sums = {name: md5(content) for name, content in members.items()}
    known = {
        "tgz_md5": md5(file.getvalue()), "train_list": [[name, sums[name]] for name in batches],
        "test_list": [["test_batch", sums["test_batch"]]],
        "meta": {"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]}}
    return Official({ARCHIVE: file.getvalue()}, known, train, test)


@pytest.fixture(scope="module")
def mnist() -> Official:
    train, test = random_part(200, (28, 28), seed=3), random_part(50, (28, 28), seed=4)
    files = {}
    for name, part in (("train", train), ("t10k", test)):
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, len(part.labels)) + part.labels.astype(np.uint8).tobytes()
        images = struct.pack(">BBBBIII", 0, 0, 8, 3, *part.images.shape) + part.images.tobytes()
        files[f"{name}-images-idx3-ubyte.gz"] = gzip.compress(images)
        files[f"{name}-labels-idx1-ubyte.gz"] = gzip.compress(labels)
    known = {"resources": [(name, md5(content)) for name, content in files.items()]}
    return Official(files, known, train, test)


# -- a server on localhost


@dataclass
class Request:
    path: str
    range: str | None  # what the client asked for
    status: int
    length: int        # of what the server meant to send


@dataclass
class Server:
    files: dict[str, bytes]
    ranges: bool = True      # whether it can send the rest of a file
    lengths: bool = True     # whether it says how long its answer is, or sends chunks
    failures: list = field(default_factory=list)  # of the next requests: see `Handler.fail` and `send`
    log: list[Request] = field(default_factory=list)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server, name = self.server.settings, self.path.lstrip("/")
        failure = server.failures.pop(0) if server.failures else None
        content, status, wanted = server.files.get(name, b""), 200, self.headers["Range"]
        if name not in server.files:
            status = 404
        elif wanted and server.ranges:
            begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
            content, status = content[begin:], 206 if begin < len(content) else 416
        server.log.append(Request(name, wanted, status, len(content)))
        self.close_connection = True
        if failure == "hangs up":
            return
        if failure == "says nonsense":
            self.wfile.write(b"This is the wifi of your hotel.\r\n\r\n")
            return
        self.send_response(status)
        if status == 206:
            whole = len(server.files[name])
            self.send_header("Content-Range", f"bytes {whole - len(content)}-{whole - 1}/{whole}")
        self.send(content, failure)

    def send(self, content, failure):
        "Send the content; as a failure only (so many bytes, and then the connection is closed or reset)."
        count, ending = failure or (len(content), "closed")
        if self.server.settings.lengths:
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:count])
        else:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for begin in range(0, count, 65536):
                chunk = content[begin:min(begin + 65536, count)]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            if failure is None:
                self.wfile.write(b"0\r\n\r\n")
        if ending == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()

    def log_message(self, *_):
        pass


def serve(monkeypatch, files):
    "A server of these files, until the test ends."
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.settings = Server(dict(files), url=f"http://127.0.0.1:{http.server_port}/")
    threading.Thread(target=http.serve_forever, args=[0.01], daemon=True).start()  # its end is seen so soon
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return http


@pytest.fixture
def root(tmp_path):
    "Where the downloads go. It does not exist yet."
    return tmp_path / "root"


@pytest.fixture
def server(cifar10, monkeypatch):
    "A server of the small archive, and a torchvision that believes it to be CIFAR-10."
    http = serve(monkeypatch, cifar10.files)
    known = {**cifar10.known, "url": http.settings.url + ARCHIVE}
    for name, value in known.items():
        monkeypatch.setattr(datasets.CIFAR10, name, value)
    yield http.settings
    http.shutdown()
    http.server_close()


@pytest.fixture
def mnist_server(mnist, monkeypatch):
    "The same for MNIST."
    http = serve(monkeypatch, mnist.files)
    for name, value in {**mnist.known, "mirrors": [http.settings.url]}.items():
        monkeypatch.setattr(datasets.MNIST, name, value)
    yield http.settings
    http.shutdown()
    http.server_close()


def names_in(folder: Path) -> list[str]:
    "But for the locks, which stay."
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock") if folder.exists() else []


def same(splits, official: Official) -> bool:
    "Whether every image is there, pixel for pixel, with its class; and none that should not be."
    def by_image(*parts):
        return {image.numpy().tobytes(): part.classes[label] for part in parts
                for image, label in zip(part.images, part.labels)}
    learned, classes = by_image(splits.train, splits.valid), splits.classes
    return (len(splits.train) + len(splits.valid) == len(official.train.labels) == len(learned)
            and learned == official.train.by_image(classes)
            and len(splits.test) == len(official.test.labels)
            and by_image(splits.test) == official.test.by_image(classes))


# -- downloading


def test_download(server, cifar10, root):
    splits = load_data("cifar10", root)
    assert same(splits, cifar10) and splits.classes == CLASSES
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (360, 40, 100)
    assert set(splits.valid.counts().values()) == {4}
    assert names_in(root) == [FOLDER, ARCHIVE]
    assert server.log == [Request(ARCHIVE, None, 200, len(cifar10.files[ARCHIVE]))]

    again = load_data("cifar10", root)
    assert again.fingerprint() == splits.fingerprint() and len(server.log) == 1, "it was downloaded twice"


def test_many_at_once(server, cifar10, root):
    "A class that shares a folder: one downloads and unpacks, the others wait for it."
    together = threading.Barrier(4)

    def load():
        together.wait()
        return load_data("cifar10", root)

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(load) for _ in range(4)]
    assert all(same(splits.result(), cifar10) for splits in found)
    assert len(server.log) == 1 and names_in(root) == [FOLDER, ARCHIVE]


def test_images_keep_the_order_of_the_archive(server, cifar10, root):
    parts, _ = load_cifar10(root)
    for ours, theirs in ((parts["train"], cifar10.train), (parts["test"], cifar10.test)):
        assert np.array_equal(ours.images, theirs.images) and np.array_equal(ours.labels, theirs.labels)


def test_download_goes_where_the_environment_says(server, cifar10, root, monkeypatch):
    monkeypatch.setenv("CIFAR_CNN_DATA", str(root))
    assert same(load_data("cifar10"), cifar10) and names_in(root) == [FOLDER, ARCHIVE]


def test_wrong_checksum(server, root, monkeypatch):
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", "0" * 32)
    with pytest.raises(DataError, match=f"{server.url}{ARCHIVE} arrived with a wrong checksum .*{'0' * 32}"):
        load_data("cifar10", root)
    assert names_in(root) == []


@pytest.mark.parametrize("ending", ["closed", "reset"])
def test_connection_cut_then_resumed(server, cifar10, root, ending):
    whole = len(cifar10.files[ARCHIVE])
    server.failures = [(whole // 4, ending), (whole // 2, ending)]
    have = 0
    for _ in range(2):
        with pytest.raises(DownloadError, match="Run the same command again to resume") as caught:
            load_data("cifar10", root)
        assert "--data digits" in str(caught.value) and "--data FOLDER" in str(caught.value)
        assert names_in(root) == [f"{ARCHIVE}.part"]
        before, have = have, (root / f"{ARCHIVE}.part").stat().st_size
        if ending == "closed":  # a reset may lose what was under way
            assert have == before + (whole // 2 if before else whole // 4)
            assert f"{have:,} of {whole:,} bytes" in str(caught.value)
    assert same(load_data("cifar10", root), cifar10)
    assert names_in(root) == [FOLDER, ARCHIVE]
    assert server.log[0] == Request(ARCHIVE, None, 200, whole)
    rest = (f"bytes={have}-", 206) if have else (None, 200)
    assert server.log[-1] == Request(ARCHIVE, *rest, whole - have)


def test_connection_cut_without_a_stated_length(server, cifar10, root):
    "Chunks tell by themselves where the answer ends, and so that it has not."
    whole = len(cifar10.files[ARCHIVE])
    server.lengths, server.failures = False, [(whole * 3 // 4, "closed")]
    with pytest.raises(DownloadError, match="to resume"):
        load_data("cifar10", root)
    assert set(names_in(root)) <= {f"{ARCHIVE}.part"}
    assert same(load_data("cifar10", root), cifar10)


def test_rest_without_a_stated_length(server, cifar10, root):
    whole = len(cifar10.files[ARCHIVE])
    server.failures = [(whole // 2, "closed")]
    with pytest.raises(DownloadError):
        load_data("cifar10", root)
    server.lengths = False
    assert same(load_data("cifar10", root), cifar10)
    assert server.log[1] == Request(ARCHIVE, f"bytes={whole // 2}-", 206, whole - whole // 2)


def test_server_that_cannot_resume(server, cifar10, root):
    whole = len(cifar10.files[ARCHIVE])
    server.ranges, server.failures = False, [(whole // 2, "closed")]
    with pytest.raises(DownloadError):
        load_data("cifar10", root)
    assert same(load_data("cifar10", root), cifar10)
    assert server.log[1] == Request(ARCHIVE, f"bytes={whole // 2}-", 200, whole)  # it sent all again


def test_killed_between_the_last_byte_and_the_check(server, cifar10, root):
    root.mkdir()
    (root / f"{ARCHIVE}.part").write_bytes(cifar10.files[ARCHIVE])
    assert same(load_data("cifar10", root), cifar10)
    assert [request.status for request in server.log] == [416]  # nothing is missing


@pytest.mark.parametrize("size", ["shorter", "longer"])
def test_part_of_something_else(server, cifar10, root, size):
    "It cannot be told from a good one before the end; then it is deleted, and the next try begins anew."
    root.mkdir()
    (root / f"{ARCHIVE}.part").write_bytes(bytes(1000 if size == "shorter" else 10_000_000))
    with pytest.raises(DataError, match="wrong checksum"):
        load_data("cifar10", root)
    assert names_in(root) == []
    assert same(load_data("cifar10", root), cifar10)


def test_file_that_the_server_has_not(server, root):
    server.files.clear()
    with pytest.raises(DownloadError, match=rf"could not download {server.url}{ARCHIVE} \(Not Found\)"):
        load_data("cifar10", root)
    assert names_in(root) == []


@pytest.mark.parametrize("failure", ["hangs up", "says nonsense"])
def test_server_that_breaks_the_protocol(server, cifar10, root, failure):
    server.failures = [failure]
    with pytest.raises(DownloadError, match=f"could not download {server.url}{ARCHIVE}.*--data digits"):
        load_data("cifar10", root)
    assert names_in(root) == []
    assert same(load_data("cifar10", root), cifar10)


def test_no_server(server, root, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(datasets.CIFAR10, "url", f"http://127.0.0.1:{port}/{ARCHIVE}")
    with pytest.raises(DownloadError, match="refused.*--data digits .*--data FOLDER"):
        load_data("cifar10", root)
    assert names_in(root) == []


# -- what is there already


@pytest.fixture
def filled(server, cifar10, root):
    "A root that holds the archive and its unpacked folder; the server has forgotten that it was asked."
    load_data("cifar10", root)
    server.log.clear()
    return root


def write_image_folder(folder: Path, official: Official):
    for name, part in (("train", official.train), ("test", official.test)):
        for number, (image, label) in enumerate(zip(part.images, part.labels)):
            path = folder / name / CLASSES[label] / f"{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(path)


def test_archive_is_used(server, cifar10, root):
    root.mkdir()
    (root / ARCHIVE).write_bytes(cifar10.files[ARCHIVE])
    assert same(load_data("cifar10", root), cifar10)
    assert server.log == [] and names_in(root) == [FOLDER, ARCHIVE]


def test_damaged_archive(server, cifar10, root):
    "It may be the user's own copy, so it is named and not touched."
    root.mkdir()
    damaged = cifar10.files[ARCHIVE][:-1000]
    (root / ARCHIVE).write_bytes(damaged)
    with pytest.raises(DataError, match=f"{root / ARCHIVE} has the wrong checksum: delete it"):
        load_data("cifar10", root)
    assert server.log == [] and names_in(root) == [ARCHIVE] and (root / ARCHIVE).read_bytes() == damaged
    (root / ARCHIVE).unlink()  # as the message says
    assert same(load_data("cifar10", root), cifar10)


def test_unpacked_folder_is_used(server, cifar10, filled):
    (filled / ARCHIVE).unlink()
    assert same(load_data("cifar10", filled), cifar10)
    assert server.log == [] and names_in(filled) == [FOLDER]


@pytest.mark.parametrize("name", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("damage", ["one bit", "missing"])
def test_unpacked_folder_with_a_damaged_file(server, cifar10, filled, name, damage):
    path = filled / FOLDER / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content) if damage == "one bit" else path.unlink()
    with pytest.raises(DataError, match=rf"{path} .*delete the folder {filled / FOLDER} "):
        load_data("cifar10", filled)
    assert server.log == []
    for file in (filled / FOLDER).iterdir():  # as the message says
        file.unlink()
    (filled / FOLDER).rmdir()
    assert same(load_data("cifar10", filled), cifar10)


def test_image_folder_is_used(server, cifar10, root):
    write_image_folder(root / "cifar10", cifar10)
    splits = load_data("cifar10", root)
    assert same(splits, cifar10) and splits.classes == CLASSES
    assert server.log == [] and names_in(root) == ["cache", "cifar10"]
    assert same(load_data("cifar10", root), cifar10), "the cache holds something else"


def test_order_of_precedence(server, cifar10, filled):
    "Unpacked folder, archive, image folder, download. Each shows by what is wrong with it."
    black = Official({}, {}, *(Part(0 * part.images, part.labels) for part in (cifar10.train, cifar10.test)))
    write_image_folder(filled / "cifar10", black)
    (filled / ARCHIVE).write_bytes(b"damaged")
    assert same(load_data("cifar10", filled), cifar10), "the unpacked folder is the first to look at"

    for file in (filled / FOLDER).iterdir():
        file.unlink()
    (filled / FOLDER).rmdir()
    with pytest.raises(DataError, match=f"{filled / ARCHIVE} has the wrong checksum"):
        load_data("cifar10", filled)

    (filled / ARCHIVE).unlink()
    assert not load_data("cifar10", filled).train.images.any(), "the image folder comes before a download"
    assert server.log == []

    (filled / "cifar10" / "train").rename(filled / "cifar10" / "training")
    assert same(load_data("cifar10", filled), cifar10) and len(server.log) == 1


# -- unpacking


def stop_unpacking(monkeypatch, how):
    "Have `how` called when the third file is unpacked, half of which is written then."
    makefile, unpacked = tarfile.TarFile.makefile, []

    def stopping(self, member, path):
        unpacked.append(path)
        makefile(self, member, path)
        if len(unpacked) == 3:
            os.truncate(path, member.size // 2)
            how()
    monkeypatch.setattr(tarfile.TarFile, "makefile", stopping)


def interrupt():
    raise KeyboardInterrupt


def test_unpacking_interrupted(server, cifar10, root, monkeypatch):
    with monkeypatch.context() as patch:
        stop_unpacking(patch, interrupt)
        with pytest.raises(KeyboardInterrupt):
            load_data("cifar10", root)
    assert names_in(root) == [ARCHIVE]
    assert same(load_data("cifar10", root), cifar10)
    assert len(server.log) == 1, "the archive was there already"


def test_unpacking_killed(server, cifar10, root, monkeypatch):
    "What the killed process has left does not stop the next one, which cleans it up."
    root.mkdir()
    (root / ARCHIVE).write_bytes(cifar10.files[ARCHIVE])
    with monkeypatch.context() as patch:
        stop_unpacking(patch, lambda: os.kill(os.getpid(), signal.SIGKILL))
        child = os.fork()  # torch computes nothing in it, so it needs no threads, which a fork lacks
        if child == 0:
            try:
                load_data("cifar10", root)
            finally:
                os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert ARCHIVE in names_in(root) and FOLDER not in names_in(root)
    assert same(load_data("cifar10", root), cifar10)
    assert names_in(root) == [FOLDER, ARCHIVE]


# -- MNIST


def test_mnist(mnist_server, mnist, root):
    splits = load_data("mnist", root)
    assert same(splits, mnist) and splits.classes == tuple("0123456789")
    assert splits.train.images.shape[1:] == (1, 28, 28)
    assert [request.path for request in mnist_server.log] == list(mnist.files)
    assert same(load_data("mnist", root), mnist) and len(mnist_server.log) == 4, "it was downloaded twice"
    assert not list(root.rglob("*.part"))


def test_mnist_wrong_checksum(mnist_server, mnist, root, monkeypatch):
    first, (second, _), *rest = datasets.MNIST.resources
    monkeypatch.setattr(datasets.MNIST, "resources", [first, (second, "0" * 32), *rest])
    with pytest.raises(DataError, match=f"{mnist_server.url}{second} arrived with a wrong checksum"):
        load_data("mnist", root)
    assert not list((root / "MNIST" / "raw").glob("train-labels*"))


def test_mnist_connection_cut_then_resumed(mnist_server, mnist, root):
    mnist_server.failures = [None, None, (1000, "closed")]
    third = list(mnist.files)[2]
    with pytest.raises(DownloadError, match=f"{third}.*1,000 of .*--data digits"):
        load_data("mnist", root)
    assert f"{third}.part" in names_in(root / "MNIST" / "raw")
    assert same(load_data("mnist", root), mnist)
    rest = len(mnist.files[third]) - 1000
    assert mnist_server.log[3] == Request(third, "bytes=1000-", 206, rest) and len(mnist_server.log) == 5


def test_mnist_without_a_server(mnist_server, root):
    mnist_server.files.clear()
    with pytest.raises(DownloadError, match=r"\(Not Found\).*--data digits .*--data FOLDER"):
        load_data("mnist", root)
    assert names_in(root / "MNIST" / "raw") == []


def test_mnist_unpacked_files_are_used(mnist_server, mnist, root):
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in mnist.files.items():
        (raw / name).with_suffix("").write_bytes(gzip.decompress(content))
    assert same(load_data("mnist", root), mnist) and mnist_server.log == []


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("size", [0, 30])
def test_mnist_damaged_unpacked_file(mnist_server, mnist, root, name, size):
    "It is named, or replaced."
    load_data("mnist", root)
    for archive in (root / "MNIST" / "raw").glob("*.gz"):
        archive.unlink()
    os.truncate(root / "MNIST" / "raw" / name, size)
    try:
        splits = load_data("mnist", root)
    except DataError as error:
        assert str(root / "MNIST" / "raw" / name) in str(error)
    else:
        assert same(splits, mnist)


def test_mnist_damaged_archive_is_downloaded_again(mnist_server, mnist, root):
    name = "train-images-idx3-ubyte.gz"
    (root / "MNIST" / "raw").mkdir(parents=True)
    (root / "MNIST" / "raw" / name).write_bytes(mnist.files[name][:500])
    assert same(load_data("mnist", root), mnist)


def test_mnist_unpacking_interrupted(mnist_server, mnist, root, monkeypatch):
    "No half of a file passes for a whole one afterwards, the last one neither."
    calls = []

    def interrupted(function):
        def call(*arguments):
            calls.append(function)
            return interrupt() if len(calls) == 4 else function(*arguments)
        return call

    with monkeypatch.context() as patch:
        patch.setattr(gzip.GzipFile, "read", interrupted(gzip.GzipFile.read))
        patch.setattr(gzip, "decompress", interrupted(gzip.decompress))
        with pytest.raises(KeyboardInterrupt):
            load_data("mnist", root)
    assert same(load_data("mnist", root), mnist)


# -- as a process


# Nothing listens at that address: there is no internet.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"} | {
    "OMP_NUM_THREADS": "1", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}


def test_program_without_internet(root):
    command = [PROGRAM, "train", "--root", root, "--out", root.with_name("run")]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 1 and result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"cifar-cnn: could not download https://www.cs.toronto.edu/~kriz/{ARCHIVE} (")
    assert "--data digits" in line and "--data FOLDER" in line
    assert names_in(root) == [] and not root.with_name("run").exists()


def test_progress_bar_in_a_terminal(server, cifar10, root):
    "The program, but with the small archive's address and checksums."
    known = {**cifar10.known, "url": datasets.CIFAR10.url}
    program = f"""
        import sys
        from torchvision import datasets
        for name, value in {known!r}.items():
            setattr(datasets.CIFAR10, name, value)
        from cifar_cnn.cli import main
        sys.argv = ["cifar-cnn", "data", "--root", {str(root)!r}, "--json"]
        main()"""
    ours, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # lines, columns
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, stderr=terminal,
        env=ENVIRONMENT | {"no_proxy": "127.0.0.1"})
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
        while chunk := os.read(ours, 4096):
            shown += chunk
    out = process.communicate()[0]
    assert process.returncode == 0, shown.decode()
    assert sum(json.loads(out)["images"]["train"].values()) == 360
    size = f"{len(cifar10.files[ARCHIVE]) / 1e6:.2f}M"
    assert re.search(rf"{ARCHIVE}: 100%.*{size}/{size}".encode(), shown), shown.decode()


def test_no_progress_bar_elsewhere(server, cifar10, root, capfd, monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    load_data("cifar10", root)
    assert capfd.readouterr() == ("", "")
