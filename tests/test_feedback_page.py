"""The buttons below an answer, and the reviewer's page, in Chromium: mouse, keyboard, narrow, dark.

Screenshots are kept in tests/artefacts, or where CIFAR_CNN_ARTEFACTS says.
"""

import os
import re
import threading
from pathlib import Path

import pytest
from playwright.sync_api import expect
from sklearn.datasets import load_sample_image

from cifar_cnn.base.machine import listen
from cifar_cnn.images.pixels import to_png
from cifar_cnn.predictor import Predictor
from cifar_cnn.serving.feedback import open_desk
from cifar_cnn.serving.limits import Settings
from cifar_cnn.serving.server import http_server
from tests.support import browsers
from tests.support.processes import wait_until

pytestmark = pytest.mark.browser
ARTEFACTS = Path(os.environ.get("CIFAR_CNN_ARTEFACTS") or browsers.ROOT / "tests" / "artefacts")


@pytest.fixture
def served(tmp_path):
    "The address of a server in a thread of this process, and its desk."
    desk = open_desk(tmp_path / "loop", "a review key")
    with listen("127.0.0.1", 0) as listener:
        server = http_server(None, Settings(), desk=desk)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", desk
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def page(served):
    "A page, with all that it asked for; nothing comes from another server."
    if browsers.CHROMIUM is None:
        message = "no Chromium here: apt-get install chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with browsers.chromium() as chromium:
        page, asked, complaints = chromium.page, [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda said: "Policy" in said.text and complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert asked and all(url.startswith((served[0], "blob:")) for url in asked), asked
        assert not complaints


def keep(page, name):
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


def fits(page):
    "At the width of a telephone nothing is cut off."
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def focused(page) -> str:
    return page.evaluate("document.activeElement.textContent || document.activeElement.tagName")


def tab_to(page, text):
    for _ in range(30):
        if focused(page) == text:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{text} cannot be reached by keyboard")


def test_from_an_answer_to_a_decision(served, page, tmp_path):
    address, desk = served
    picture, pixels = tmp_path / "a <b> flower.png", load_sample_image("flower.jpg")
    picture.write_bytes(to_png(pixels))
    answer = Predictor().predict(pixels).label
    page.goto(address)
    asking = page.get_by_role("region", name="Is that right?")
    expect(asking).to_be_hidden()
    page.locator("#file").set_input_files(picture)
    expect(asking).to_be_visible()
    taken = asking.get_by_role("status")

    asking.get_by_role("button", name="Right", exact=True).click()
    expect(taken).to_have_text(f"Thank you: {answer}. A person will look at it.")

    # by keyboard alone: wrong, it is a frog
    tab_to(page, "Wrong")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    page.keyboard.type("frog")
    keep(page, "feedback")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(taken).to_have_text("Thank you: frog. A person will look at it.")

    # and something new: first a name that is none
    tab_to(page, "Something new")
    page.keyboard.press("Space")
    page.keyboard.type("<b>")
    page.keyboard.press("Enter")
    expect(asking.get_by_role("alert")).to_have_text(re.compile("^the name of a class has 1 to 40 letters"))
    tab_to(page, "Something new")
    page.keyboard.press("Space")
    page.keyboard.press("Control+A")
    page.keyboard.type("Passion flower")
    page.keyboard.press("Enter")
    expect(taken).to_have_text("Thank you: Passion flower. A person will look at it.")
    page.emulate_media(color_scheme="dark")
    fits(page)
    keep(page, "feedback-narrow-dark")
    page.emulate_media(color_scheme="light")
    assert sorted((one.verdict, one.label) for one in desk.votes()) == [
        ("new", "Passion flower"), ("right", answer), ("wrong", "frog")]

    page.set_viewport_size({"width": 1000, "height": 900})
    page.goto(f"{address}/review")
    page.get_by_label("Review key:").fill("a guess")
    page.get_by_label("Your name").fill("Ada")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("this server wants its API key in the header X-API-Key")
    page.get_by_label("Review key:").fill("a review key")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("3 votes wait for a decision.")
    cards = page.get_by_role("listitem")
    expect(cards).to_have_count(3)
    for shown in cards.get_by_role("img").all():
        expect(shown).to_be_visible()
        page.wait_for_function("image => image.complete && image.naturalWidth", arg=shown.element_handle())
    keep(page, "review")
    fits(page)
    right = cards.filter(has=page.get_by_role("heading", name=f"right: {answer}"))
    right.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("status")).to_have_text(f"accepted: {answer}")
    assert page.evaluate("document.activeElement.tagName") == "INPUT", "the next one is at hand"
    new = cards.filter(has=page.get_by_role("heading", name="new: Passion flower"))
    new.get_by_label("It is:").fill("passion vine")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("accepted: passion vine")
    cards.get_by_role("button", name="Reject").click()
    expect(page.get_by_role("status")).to_have_text("Nothing waits for a decision.")
    decided = {one.label: (one.decision, one.reviewer) for one in desk.votes()}
    assert decided == {answer: ("accept", "Ada"), "passion vine": ("accept", "Ada"),
                       "frog": ("reject", "Ada")}
