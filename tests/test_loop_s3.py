"""The store on S3: a server of moto on this machine.

Needs `pip install s3fs "moto[server]"`; else skipped.
"""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto.server")

import fsspec  # noqa: E402
from moto.server import DomainDispatcherApplication, create_backend_app  # noqa: E402
from werkzeug.serving import make_server  # noqa: E402

from cifar_cnn.data import load_data  # noqa: E402
from cifar_cnn.loop.history import merge  # noqa: E402
from cifar_cnn.loop.pictures import part_of, put_picture  # noqa: E402
from cifar_cnn.loop.registry import SERVED, champion, history  # noqa: E402
from cifar_cnn.loop.remote import count_winners, open_store  # noqa: E402
from cifar_cnn.loop.retrain import Settings, run  # noqa: E402
from cifar_cnn.loop.store import DamagedError, LocalStore, MissingError, digest  # noqa: E402
from cifar_cnn.loop.upkeep import copy, verify  # noqa: E402
from cifar_cnn.loop.versions import Row, change, head, heads, read_version  # noqa: E402


@pytest.fixture(scope="module")
def server():
    "A server of moto's, one request at a time: it looks for a file, then writes it, in two steps."
    server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=False)
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield fsspec.filesystem("s3", skip_instance_cache=True)
    server.shutdown()
    serving.join()


@pytest.fixture
def bucket(server, request):
    "The address of an empty bucket."
    name = request.node.name.replace("_", "-")
    server.mkdir(name)
    return f"s3://{name}/store"


def test_versions_on_s3(bucket, tmp_path):
    store, local = open_store(bucket), LocalStore(tmp_path)
    assert [count_winners(store) for _ in range(5)] == [1] * 5 and store.names("trial") == []
    rows = {}
    for pixels in np.random.default_rng(0).integers(256, size=(20, 8, 8, 3), dtype=np.uint8):
        image = put_picture(local, pixels)
        rows[image] = Row("noise", part_of(image))
    version = change(local, rows, author="Ada")
    assert copy(local, store) == 22 and copy(local, store) == 0
    assert not verify(store) and head(store) == version
    assert copy(store, LocalStore(tmp_path / "elsewhere")) == 22
    name = store.names("objects")[0]
    store.replace(name, store.fetch(name)[:-1])
    assert list(verify(store)) == [name] and copy(local, store) == 1 and not verify(store)
    with pytest.raises(MissingError):
        store.read("versions/none.jsonl")
    text = store.put("models", b"weights", ".pth")
    store.replace(text, b"Weights")
    with pytest.raises(DamagedError):
        store.read(text)
    assert store.age(f"versions/{version}.jsonl") < 600


def test_two_writers_on_s3_lose_nothing(bucket):
    store, start = open_store(bucket), threading.Barrier(2)
    images = [put_picture(store, np.full((8, 8, 3), number, np.uint8)) for number in range(2)]

    def write(number):
        start.wait(60)
        change(store, {images[number]: Row(f"writer {number}", part_of(images[number]))})

    with ThreadPoolExecutor(2) as writers:
        list(writers.map(write, range(2)))  # raises what one of them raised
    found = heads(store)
    version = found[0] if len(found) == 1 else merge(store, *found)
    labels = {image: row.label for image, row in read_version(store, version).rows.items()}
    assert labels == {image: f"writer {number}" for number, image in enumerate(images)} and not verify(store)


def test_the_loop_on_s3(bucket, tmp_path, monkeypatch):
    digits, settings = load_data("digits"), Settings("fast", {"epochs": 2})
    monkeypatch.setenv("CIFAR_CNN_DATA", str(tmp_path))  # where runs are kept beside a remote store
    store = open_store(bucket)
    first = run(store, digits, settings, "Ada")
    assert first["decision"] == "PROMOTE" and run(store, digits, settings, "Ada") == {**first, "new": False}
    assert [entry.after for entry in history(store)[0]] == [champion(store)] == [first["model"]]
    assert digest(store.fetch(SERVED)) == first["model"] and not verify(store)
