"""Feedback over HTTP, from users who mean well and from others.

Names, pictures, receipts, origins, floods, and two servers that write into one store.

What each function does is tested beside the code, in nbs/reference/loop and nbs/reference/serving.
"""

import contextlib
import itertools
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from PIL import Image

from cifar_cnn.images.pixels import to_png
from cifar_cnn.loop.feedback import Limits, decide, read_votes, vote
from cifar_cnn.loop.pictures import get_picture, image_digest, put_picture
from cifar_cnn.loop.receipts import issue_receipt
from cifar_cnn.loop.store import LocalStore, LoopError, digest
from cifar_cnn.loop.versions import Row, change
from cifar_cnn.serving.feedback import open_desk
from cifar_cnn.serving.limits import Settings
from cifar_cnn.serving.server import create_app
from cifar_cnn.train import load_checkpoint
from tests.support import hostile
from tests.support.loop import race

CHECKPOINT = load_checkpoint()
REVIEW = {"X-API-Key": "review"}
MANY = Limits(per_hour=10**6, pending=10**6, new_names=10**6)


def noise(*seed: int, side: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(side, side, 3), dtype=np.uint8)


@contextlib.contextmanager
def serving(folder, limits=MANY, **options):
    "A server's application in this process, with a store in a folder."
    desk = open_desk(folder / "loop", "review", limits)
    app = create_app(CHECKPOINT, Settings(**options), desk)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.desk = desk
        yield client


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    "One that most tests share."
    with serving(tmp_path_factory.mktemp("feedback")) as client:
        yield client


def sent(client, content, receipt=None, verdict="wrong", label="frog", name="a.png", **options):
    "Send a vote; without a receipt, ask for one first."
    if receipt is None:
        receipt = client.post("/predict", files={"image": (name, content)}, **options).json()["receipt"]
    said = {"receipt": receipt, "verdict": verdict, "label": label}
    return client.post("/feedback", files={"image": (name, content)}, data=said, **options)


def signed(client, content: bytes, now=None) -> str:
    "The receipt for an answer that is no class of the network, so that any label contradicts it."
    model = CHECKPOINT.digest()
    return issue_receipt(client.desk.secret, model, digest(content), {"nothing": 1.0}, now)


def refused(answer, status):
    assert answer.status_code == status, (answer.status_code, answer.text)
    told = answer.json()
    assert told["success"] is False and "\n" not in told["error"] and 10 < len(told["error"]) < 300


def test_from_an_answer_to_a_decision(client):
    store, content = client.desk.store, to_png(noise(1))
    before = store.names("objects")
    answer = client.post("/predict", files={"image": content}).json()
    several = client.post("/predict/batch", files=[("images", content)]).json()["predictions"]
    assert answer["model"] == CHECKPOINT.digest() and several[0]["receipt"]
    assert store.names("objects") == before and not store.names("feedback"), "nobody has reported anything"
    other = next(name for name in CHECKPOINT.classes if name != answer["prediction"])
    right = sent(client, content, answer["receipt"], "right", "")
    wrong = sent(client, content, answer["receipt"], "wrong", other.upper())
    new = sent(client, content, answer["receipt"], "new", "Red panda")
    ids = [said.json()["id"] for said in (right, wrong, new)]
    assert {said.status_code for said in (right, wrong, new)} == {202} and len(set(ids)) == 3
    for verdict, label, same in (("wrong", other, ids[1]), ("new", "RED  PANDA", ids[2])):
        assert sent(client, content, answer["receipt"], verdict, label).json()["id"] == same
    told = client.get("/feedback", headers=REVIEW).json()
    assert {one["id"]: (one["verdict"], one["label"]) for one in told["votes"]} == {
        ids[0]: ("right", answer["prediction"]), ids[1]: ("wrong", other), ids[2]: ("new", "Red panda")}
    assert told["votes"][0]["id"] in ids[1:] and told["votes"][-1]["id"] == ids[0], "most suspicious first"
    picture = client.get(f"/feedback/{ids[0]}/image", headers=REVIEW)
    assert picture.headers["content-type"] == "image/png" and picture.content == to_png(noise(1))
    decided = client.post(f"/feedback/{ids[1]}/decision", headers=REVIEW, json={"decision": "accept"})
    assert decided.json() == {"success": True, "id": ids[1], "decision": "accept", "label": other, "was": ""}
    assert client.get("/feedback?show=decided", headers=REVIEW).json()["count"] == 1
    assert client.get("/feedback/summary").json()["votes"] == 3
    assert "/feedback/{key}/decision" in client.get("/docs").text
    metrics = client.get("/metrics").text
    assert 'path="/feedback/{key}/decision"' in metrics and ids[1] not in metrics


def test_keys(tmp_path):
    with serving(tmp_path, api_key="ask") as client:
        ask, content = {"X-API-Key": "ask"}, to_png(noise(2))
        refused(sent(client, content, "receipt"), 401)
        key = sent(client, content, verdict="new", label="panda", headers=ask).json()["id"]
        review = [("GET", "/feedback"), ("GET", f"/feedback/{key}/image"),
                  ("POST", f"/feedback/{key}/decision")]
        for headers in ({}, ask, {"X-API-Key": "réview".encode()}):
            for method, path in review:
                refused(client.request(method, path, headers=headers, json={"decision": "accept"}), 401)
        assert client.get("/feedback/summary").status_code == 401
        assert client.get("/feedback/summary", headers=ask).status_code == 200
        for method, path in review:
            asked = client.request(method, path, headers=REVIEW, json={"decision": "accept"})
            assert asked.status_code == 200, asked.text
        client.desk.review_key = None
        for method, path in review:
            refused(client.request(method, path, headers=REVIEW, json={"decision": "accept"}), 403)


def test_without_feedback_there_is_nothing():
    with TestClient(create_app(CHECKPOINT)) as client:
        assert "receipt" not in client.post("/predict", files={"image": to_png(noise(3))}).json()
        for path in ("/feedback", "/feedback/summary", f"/feedback/{32 * 'a'}/image", "/review"):
            refused(client.get(path), 404)
        assert "/feedback" not in client.get("/docs").text


HOSTILE_NAMES = ("../../etc/passwd", "..", "/", "CON/", "a\0b", "a\u202eb", "a\u200bb", "x" * 41, "x" * 10**4,
                 "<script>", "%2e%2e%2f", "a\nb", "\u0000", "--", " ", "a\ud800", "{}", "$(id)", "b\x1b[2J")
HARMLESS_NAMES = {"CON": "CON", "Cat ": "cat", "ＦＲＯＧ": "frog", "nul": "nul", "בדיקה": "בדיקה"}

watched = []  # what was opened for writing, created, or made while it is a list that `watching` gave


def watch(event, arguments):
    if watched and event == "open" and isinstance(arguments[0], (str, bytes)):
        writes = arguments[2] is not None and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes or isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            watched[-1].append(os.fsdecode(arguments[0]))
    if watched and event in ("os.mkdir", "os.rename", "os.link", "os.symlink", "os.remove"):
        watched[-1] += [os.fsdecode(name) for name in arguments[:2] if isinstance(name, (str, bytes))]


sys.addaudithook(watch)


@contextlib.contextmanager
def watching():
    watched.append([])
    try:
        yield watched[-1]
    finally:
        watched.pop()


def test_hostile_names(client):
    folder, content = client.desk.store.folder, to_png(noise(4))
    receipt = signed(client, content)
    with watching() as written:
        for label in HOSTILE_NAMES:
            with contextlib.suppress(UnicodeEncodeError):  # it cannot even be sent
                refused(sent(client, content, receipt, "new", label), 422)
        for label, expected in HARMLESS_NAMES.items():
            key = sent(client, content, receipt, "new", label).json()["id"]
            votes = client.get("/feedback?count=100", headers=REVIEW).json()["votes"]
            assert next(one["label"] for one in votes if one["id"] == key) == expected
        for field in ("decision", "label", "reviewer"):
            for text in HOSTILE_NAMES[:-5]:
                decision = {"decision": "accept", "label": "frog", "reviewer": "Ada", field: text or "-"}
                path = f"/feedback/{key}/decision"
                refused(client.post(path, headers=REVIEW, json=decision), 422)
        for name in ("../../x.png", "a\0.png", "CON", "x" * 500, "$(id).png"):
            assert sent(client, content, receipt, "new", "panda", name=name).status_code == 202
    assert len(written) > 10, "nothing was seen"
    assert all(Path(path).is_relative_to(folder) for path in written), written


def test_hostile_images(client):
    "Each is kept, as nothing but pixels, or refused in a sentence."
    families = [family for family in hostile.FAMILIES if family is not hostile.largest]  # takes long
    cases = itertools.chain.from_iterable(family() for family in families)
    kept = 0
    for case in itertools.islice(cases, 0, None, 3):  # test_serve.py takes all of them
        answer = sent(client, case.content, signed(client, case.content), "new", "panda", case.name)
        assert answer.status_code in (202, 413, 415, 422), (case.name, answer.text)
        kept += answer.status_code == 202
        if case.pixels is None and not case.may_refuse:
            refused(answer, answer.status_code)
    store = client.desk.store
    sides = [max(get_picture(store, Path(name).stem).shape) for name in store.names("objects")]
    assert kept > 20 and max(sides) <= 1024


def test_no_place_and_no_date_is_kept(client):
    photo, exif = Image.fromarray(noise(5, side=64)), Image.Exif()
    exif[0x0132], exif.get_ifd(0x8825)[1] = "1999:12:31 23:59:59", "N"
    content = hostile.saved(photo, "JPEG", exif=exif, comment=b"Rue de la Paix")
    assert b"1999:12" in content and b"Paix" in content
    key = sent(client, content, signed(client, content), "new", "panda").json()["id"]
    image = next(one.image for one in client.desk.votes() if one.id == key)
    for name in client.desk.store.names("objects") + client.desk.store.names("feedback"):
        whole = client.desk.store.fetch(name)
        assert b"1999:12" not in whole and b"Paix" not in whole
    assert client.desk.store.path(f"objects/{image[:2]}/{image}.png").exists()


def test_receipts(client):
    content, other, week = to_png(noise(6)), to_png(noise(7)), 7 * 86_400
    receipt = signed(client, content)
    body, _, signature = receipt.partition(".")
    forged = ("", ".", body, f"{body}.", f"{body}.{'0' * 64}", f".{signature}", f"{body[:-4]}.{signature}",
              f"{receipt}0", "A" * 10**5, "é.é", "\0",
              issue_receipt(b"x" * 64, "0" * 32, digest(content), {"a": 1}))
    old = signed(client, content, time.time() - week - 7200), signed(client, content, time.time() + 7200)
    before = client.desk.store.names("feedback")
    for bad in (*forged, *old):
        refused(sent(client, content, bad, "new", "panda"), 403 if bad else 422)
    refused(sent(client, other, receipt, "new", "panda"), 403)  # of another picture
    assert client.desk.store.names("feedback") == before
    replayed = {sent(client, content, receipt, "new", "panda").json()["id"] for _ in range(5)}
    assert len(replayed) == 1 and len(client.desk.store.names("feedback")) == len(before) + 1


def test_origins(client):
    content = to_png(noise(8))
    receipt = signed(client, content)
    for origin in ("https://evil.example", "null", "", "http://testserver.evil.example", "http://[", "é"):
        headers = {"Origin": origin.encode()}
        refused(sent(client, content, receipt, "new", "panda", headers=headers), 403)
        refused(client.post(f"/feedback/{32 * 'a'}/decision", headers=REVIEW | headers, json={}), 403)
    own = {"Origin": "http://testserver"}
    assert sent(client, content, receipt, "new", "panda", headers=own).status_code == 202


def test_malformed_requests(client):
    for path in ("/feedback", f"/feedback/{32 * '0'}/decision"):
        for body in (b"", b"{", b"[" * 10**5, b"\xff", b"null", b'{"decision": 1e999}'):
            for kind in ("application/json", "multipart/form-data; boundary=x", "text/plain", ""):
                answer = client.post(path, headers=REVIEW | {"Content-Type": kind}, content=body)
                refused(answer, answer.status_code)
                assert answer.status_code in (400, 415, 422), (path, body, kind)
    refused(client.get(f"/feedback/{32 * '0'}/image", headers=REVIEW), 404)
    refused(client.post(f"/feedback/{32 * '0'}/decision", headers=REVIEW, json={"decision": "reject"}), 404)
    for path in ("/feedback/../secret/image", "/feedback/..%2fsecret/image", "/feedback/secret/image",
                 "/feedback/%00/image", f"/feedback/{32 * 'G'}/image"):
        refused(client.get(path, headers=REVIEW), 404)
    for query in ("show=x", "start=-1", "count=0", "count=101", "start=1e9"):
        refused(client.get(f"/feedback?{query}", headers=REVIEW), 422)


def test_the_description_holds(client):
    "schemathesis makes requests from the description, well formed and not: none may make the server fail."
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app).include(path_regex="^/feedback")
    asked = []

    for result in schema.get_all_operations():
        operation = result.ok()

        @given(case=operation.as_strategy())
        @settings(max_examples=25, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))
        def one(case):
            answer = case.call(headers=REVIEW)
            asked.append(answer.status_code)
            assert answer.status_code < 500, answer.text

        one()
    assert len(asked) > 100 and {200, 422} <= set(asked)


def test_floods(tmp_path):
    with serving(tmp_path, Limits(per_hour=3, pending=5, new_names=2)) as client:
        contents = [to_png(noise(9, number)) for number in range(8)]
        votes = [sent(client, content, signed(client, content), "wrong", "frog") for content in contents]
        assert [said.status_code for said in votes] == [202] * 3 + [429] * 5
        refused(votes[5], 429)
        assert votes[-1].headers["retry-after"] and len(client.desk.store.names("objects")) == 3
        client.desk.limits = Limits(per_hour=100, pending=9, new_names=1)
        client.desk.attempts.per_minute = 1000
        for number, (label, status) in enumerate({"panda": 202, "koala": 503, "PANDA": 202}.items()):
            content = to_png(noise(10, number))
            answer = sent(client, content, signed(client, content), "new", label)
            assert answer.status_code == status, (label, answer.text)
        client.desk.limits = Limits(per_hour=100, bytes=40 * 40 * 3)
        refused(sent(client, contents[7], signed(client, contents[7]), "wrong", "frog"), 503)
        for one in client.desk.votes():
            path = f"/feedback/{one.id}/decision"
            assert client.post(path, headers=REVIEW, json={"decision": "reject"}).status_code == 200
        assert sent(client, contents[7], signed(client, contents[7]), "wrong", "frog").status_code == 202
        client.desk.attempts.per_minute = 0
        refused(sent(client, contents[7], signed(client, contents[7])), 429)
        assert client.post("/predict", files={"image": contents[7]}).status_code == 200


def test_pictures_of_the_exam_are_refused(tmp_path):
    store, exam = LocalStore(tmp_path / "loop"), noise(11)
    change(store, {put_picture(store, exam): Row("cat", "golden")})
    with serving(tmp_path) as client:
        nearly = np.clip(exam.astype(int) + 5, 0, 255).astype(np.uint8)
        for pixels in (exam, nearly):
            content = to_png(pixels)
            refused(sent(client, content, signed(client, content), "wrong", "dog"), 422)
        content = to_png(noise(12))
        assert sent(client, content, signed(client, content), "wrong", "dog").status_code == 202
        forgotten = to_png(noise(13))
        client.desk.store.create(f"forgotten/{image_digest(noise(13))}.json", b"")
        refused(sent(client, forgotten, signed(client, forgotten), "wrong", "dog"), 422)


def test_a_store_that_fails_is_no_secret_and_no_traceback(tmp_path, caplog):
    with serving(tmp_path) as client:
        content = to_png(noise(14))
        client.desk.store.folder = tmp_path / "file"
        (tmp_path / "file").write_text("no folder")
        answer = sent(client, content, signed(client, content), "wrong", "dog")
        refused(answer, 503)
        assert str(tmp_path) not in answer.text and str(tmp_path) in caplog.text
        assert client.post("/predict", files={"image": content}).status_code == 200


def test_two_servers_on_one_store(tmp_path):
    "Votes that two servers take at the same moment: none is lost, and the same vote is one."
    with serving(tmp_path) as one, serving(tmp_path) as other, ThreadPoolExecutor(8) as threads:
        contents = [to_png(noise(15, number)) for number in range(20)]
        receipts = [signed(one, content) for content in contents]
        start = threading.Barrier(8)

        def send(number):
            if number < 8:
                start.wait(30)
            client = (one, other)[number % 2]
            answer = sent(client, contents[number // 2], receipts[number // 2], "wrong", "frog")
            assert answer.status_code == 202, answer.text
            return answer.json()["id"]

        ids = list(threads.map(send, range(40)))
        assert len(set(ids)) == 20 and ids[::2] == ids[1::2]
        assert {vote.id for vote in one.desk.votes()} == {vote.id for vote in other.desk.votes()} == set(ids)
        path = f"/feedback/{ids[0]}/decision"
        decide = lambda client: client.post(path, headers=REVIEW, json={"decision": "accept"})
        answers = list(threads.map(decide, [one, other] * 4))
        assert {answer.status_code for answer in answers} <= {200, 409}
        decisions = next(one.decisions for one in one.desk.votes() if one.id == ids[0])
        assert decisions == sum(answer.status_code == 200 for answer in answers) >= 1


def write(number, turn, folder):
    "Two processes vote on one picture, and then decide on the same vote."
    store, image = LocalStore(folder), image_digest(noise(turn))
    key = vote(store, noise(turn), f"class {number}", ("cat",), f"user {number}", None, limits=MANY)
    both = vote(store, noise(turn), "cat", ("cat",), "both", None, limits=MANY)
    assert [one.id for one in read_votes(store) if (one.contributor, one.image) == ("both", image)] == [both]
    try:
        decide(store, both, "accept", f"reviewer {number}")
    except LoopError:
        return key, False
    return key, True


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fork")
def test_two_writers_lose_nothing(tmp_path):
    found = race(write, tmp_path, writers=2, rounds=30)
    votes = read_votes(LocalStore(tmp_path))
    assert {key for turn in found for key, _ in turn.values()} <= {one.id for one in votes}
    assert len(votes) == 90
    assert sum(one.decisions for one in votes) == sum(won for turn in found for _, won in turn.values()) >= 30
