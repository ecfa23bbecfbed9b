"""The predictor in the browser: Python's very answer in Chromium and Firefox, on a page that people can use.

Screenshots are kept in tests/artefacts, or where CIFAR_CNN_ARTEFACTS says.
"""

import base64
import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from cifar_cnn.base.errors import ExportError
from cifar_cnn.images.imageset import ImageSet, Splits
from cifar_cnn.images.load import load_data
from cifar_cnn.images.pixels import fit_square
from cifar_cnn.pages.browser import RUNTIME as VERSION
from cifar_cnn.pages.browser import RUNTIME_FILES, export_web, filters_tall_first, runtime_files, web_fragment
from cifar_cnn.predictor import DOUBT, Predictor
from cifar_cnn.train import Run, fit, get_recipe, make_checkpoint, plan
from tests.support import browsers, hostile

pytestmark = pytest.mark.browser
ARTEFACTS = Path(os.environ.get("CIFAR_CNN_ARTEFACTS") or browsers.ROOT / "tests" / "artefacts")
PATIENCE = 60_000  # ms
LARGE = re.compile(r"\.(onnx|wasm)$")


def missing(message):
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


@pytest.fixture(scope="session")
def runtime():
    "The folder with ONNX Runtime Web, in the version that the lock file pins."
    if not browsers.RUNTIME.exists():
        npm = shutil.which("npm")
        if npm is None:
            missing("no npm here, which fetches ONNX Runtime Web: install Node.js")
        command = [npm, "ci", "--ignore-scripts"]
        done = subprocess.run(command, cwd=browsers.ROOT / "site", capture_output=True, text=True)
        if done.returncode:
            missing(f"npm ci in site/ failed: {done.stderr}")
    return browsers.RUNTIME


@pytest.fixture(scope="session")
def site(runtime, tmp_path_factory):
    "The folder that is written for the network in the package."
    folder = tmp_path_factory.mktemp("site") / "web"
    export_web(None, folder, runtime)
    return folder


@pytest.fixture(scope="session")
def predictor():
    return Predictor()


@pytest.fixture(scope="module", params=list(browsers.BROWSERS))
def browser(request):
    "Each browser in turn."
    program, driver = browsers.BROWSERS[request.param]
    if program is None:
        missing(f"no {request.param} here: apt-get install chromium firefox-esr")
    with driver() as driven:
        yield driven


@pytest.fixture
def page(browser, request):
    "A page of Chromium in a context of its own, so with an empty cache."
    context = browser.browser.new_context(viewport={"width": 1000, "height": 900})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page, before = context.new_page(), request.session.testsfailed
    page.on("filechooser", lambda chooser: None)  # told of choosers from the start, Chromium overlooks none
    yield page
    if request.session.testsfailed > before:
        keep(page, f"failed-{request.node.name}")
    context.close()


def keep(page, name):
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


in_chromium = pytest.mark.parametrize("browser", ["chromium"], indirect=True)
in_firefox = pytest.mark.parametrize("browser", ["firefox"], indirect=True)


# --- The same answer as in Python ---


def same(browser, predictor, folder, files):
    "The browser answers as Python does."
    with browsers.serving(folder) as (address, _):
        browser.open(f"{address}/")
        rows = browsers.compare(browser, predictor, folder, files)
    assert len(rows) == len(files)
    for row in rows:
        assert row.get("same_label") and row["same_familiar"] and row["difference"] < 1e-3, row
        assert row["pixel_difference"] == 0, row
    return rows


def test_every_kind_of_picture(browser, site, predictor):
    photo = browsers.photographs()["china"].crop((100, 50, 420, 300))
    same(browser, predictor, site, browsers.every_kind(photo))


def test_photographs(browser, site, predictor):
    same(browser, predictor, site, dict(browsers.crops(24, seed=1)))


@pytest.fixture(scope="module")
def networks():
    "Networks unlike the package's: grey with a crop; colour, of another size, with odd names of classes."
    digits = load_data("digits")
    grey = make_checkpoint(fit(plan(digits, get_recipe("fast", epochs=2))))
    grey = dataclasses.replace(grey, data=grey.data | {"options": grey.data["options"] | {"crop_pct": 0.875}})
    numbers = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (90, 3, 48, 48), generator=numbers, dtype=torch.uint8)
    part = ImageSet(images, torch.arange(90) % 3, ("<b>", "café", "c"))
    run = Run(Splits(part, part, part), get_recipe("fast", epochs=1), torch.device("cpu"), "fp32")
    return {"grey": grey, "colour": make_checkpoint(run, best=False)}


@pytest.mark.parametrize("name", ["grey", "colour"])
def test_other_networks(name, browser, networks, runtime, tmp_path):
    checkpoint = networks[name]
    photo = browsers.photographs()["flower"]
    export_web(checkpoint, tmp_path / "web", runtime, samples={"a <i>flower": photo})
    files = dict(browsers.crops(12, seed=2))
    same(browser, Predictor(checkpoint), tmp_path / "web", files)
    shown = browser.call("() => document.querySelector('#try-it p').textContent")
    assert shown.startswith(f"The network knows {len(checkpoint.classes)} classes: {checkpoint.classes[0]}, ")


@pytest.mark.cifar10
def test_many_pictures(browser, site, predictor):
    "500 images of CIFAR-10, 200 photographs and enlarged images."
    test = load_data("cifar10").test
    files = browsers.cifar(test, 500) | dict(browsers.crops(120)) | browsers.cifar(test, 80, side=224, seed=1)
    rows = same(browser, predictor, site, files)
    print(f"{len(rows)} pictures, largest difference {max(row['difference'] for row in rows):.1e}")


PILLOW = """
import {readFileSync} from "node:fs"
const {cases, tallFirst, path} = JSON.parse(readFileSync(0)), {fitSquare, toGrey} = await import(path)
const answers = cases.map(({pixels, width, height, size, crop}) => {
    const square = fitSquare({data: Uint8ClampedArray.from(pixels), width, height}, size, crop, tallFirst)
    return [Array.from(square), Array.from(toGrey(square))]})
console.log(JSON.stringify(answers))"""


def test_pillow_without_a_browser(tmp_path):
    "The resize alone, on sizes of every proportion, in Node.js."
    node, numbers, cases, expected = shutil.which("node"), np.random.default_rng(0), [], []
    if node is None:
        missing("no Node.js here")
    for number in range(60):
        width, height = map(int, numbers.integers(1, 160, 2))
        size, crop = (8, 32, 48, 64)[number % 4], (1.0, 0.875, 0.9)[number % 3]
        pixels = numbers.integers(0, 256, (height, width, 3), np.uint8)
        square = fit_square(hostile.Image.fromarray(pixels), size, crop)
        cases.append({"pixels": pixels.ravel().tolist(), "width": width, "height": height,
                      "size": size, "crop": crop})
        expected.append([np.asarray(image).ravel().tolist() for image in (square, square.convert("L"))])
    source = resources.files("cifar_cnn") / "pages" / "web" / "pillow.js"
    module = shutil.copy(source, tmp_path / "pillow.mjs")
    asked = {"cases": cases, "tallFirst": filters_tall_first(), "path": module.as_uri()}
    command = [node, "--input-type=module", "-e", PILLOW]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == expected


def test_the_lock_file_pins_the_runtime(runtime):
    lock = json.loads((browsers.ROOT / "site" / "package-lock.json").read_text())["packages"]
    assert lock["node_modules/onnxruntime-web"]["version"] == VERSION
    assert lock["node_modules/onnxruntime-web"]["integrity"].startswith("sha512-")
    for name, (size, digest) in RUNTIME_FILES.items():
        content = (runtime / name).read_bytes()
        assert len(content) == size and hashlib.sha256(content).hexdigest() == digest


def test_npm_fetches_the_runtime(monkeypatch, runtime):
    if shutil.which("npm") is None:
        missing("no npm here")
    try:
        fetched = runtime_files()
    except ExportError as error:
        assert "connect to the internet" in str(error)
        pytest.skip("npm reaches no registry here")
    assert fetched == runtime_files(runtime)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ExportError, match="install Node.js, or on another machine run `npm install "):
        runtime_files()


# --- The page ---


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "Two pictures, one of them unlike the training images, and a file that is none."
    folder = tmp_path_factory.mktemp("files")
    photo = browsers.photographs()["flower"]
    (folder / "flower <b>&.jpg").write_bytes(hostile.saved(photo, "JPEG"))
    (folder / "noise.png").write_bytes(hostile.saved(noise(), "PNG"))
    (folder / "letter.png").write_text("Dear reader")
    return folder


def noise():
    pixels = torch.randint(0, 256, (64, 64, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return hostile.Image.fromarray(pixels.numpy())


def shows(page, name, answer):
    "The page tells an answer in words, numbers and pictures."
    expect(page.get_by_role("status")).to_have_text(name)
    expect(page.get_by_role("alert")).to_be_empty()
    told = f"{answer.label}, {answer.confidence:.1%}"
    heading = told if answer.in_distribution else "Perhaps none of these"
    expect(page.get_by_role("heading", level=2)).to_have_text(heading)
    expect(page.get_by_text(DOUBT)).to_be_visible(visible=not answer.in_distribution)
    expect(page.get_by_text(f"Closest: {told}")).to_be_visible(visible=not answer.in_distribution)
    rows = page.get_by_role("table", name="The probability of every class").get_by_role("row")
    expect(rows).to_have_text([f"{label}{part:.1%}" for label, part in answer.probabilities.items()])
    picture = page.get_by_role("img", name=f"your picture, {name}", exact=True)
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


UNTIL_SAID = """async name => {
    const text = part => document.querySelector("#try-" + part).textContent
    const said = () => text("status") === name || text("error").includes(name)
    while (!said()) await new Promise(done => setTimeout(done, 50))
    return {heading: text("label"), alert: text("error")}}"""
HAND_OVER = """([how, name, content]) => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0)), data = new DataTransfer()
    data.items.add(new File([bytes], name))
    const event = how === "drop"
        ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true})
        : new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
    document.querySelector("h1").dispatchEvent(event)}"""


def hand_over(page, how, path):
    "Drop a file on the page, or paste it."
    page.evaluate(HAND_OVER, [how, path.name, base64.b64encode(path.read_bytes()).decode()])


@in_chromium
def test_nothing_is_loaded_before_the_first_click(page, site, predictor):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    with browsers.serving(site) as (address, asked):
        page.goto(f"{address}/")
        page.wait_for_load_state("networkidle")
        expect(page.get_by_text("The network knows 10 classes")).to_be_visible()
        keep(page, "browser-start")
        first = [path.lstrip("/") or "index.html" for path in asked]
        assert set(first) <= {"index.html", "predictor.js", "predictor.css", "predictor.svg",
                              *(f"samples/{at}.png" for at in range(5))}
        assert sum((site / path).stat().st_size for path in first) < 50_000
        page.get_by_role("button", name="sample horse").click()
        shows(page, "sample horse", predictor.predict(site / "samples" / "2.png"))
        assert len([path for path in asked if LARGE.search(path)]) == 2, "each large file is loaded once"
        assert all(url.startswith((address, "blob:")) for url in requests), "nothing is asked of anybody else"


@in_chromium
def test_people_use_the_page(page, site, predictor, files):
    answers = {path.name: predictor.predict(path) for path in files.iterdir() if path.name != "letter.png"}
    assert answers["flower <b>&.jpg"].in_distribution and not answers["noise.png"].in_distribution
    failed = []
    page.on("pageerror", lambda error: failed.append(error))
    with browsers.serving(site) as (address, _):
        page.goto(f"{address}/")
        chooser = page.get_by_label("Drop a picture here, paste one, or")
        chooser.set_input_files(files / "flower <b>&.jpg")
        shows(page, "flower <b>&.jpg", answers["flower <b>&.jpg"])
        keep(page, "browser")
        hand_over(page, "drop", files / "letter.png")
        sentence = re.compile(r"^cannot read letter\.png: .*Choose another one\.$")
        expect(page.get_by_role("alert")).to_have_text(sentence)
        expect(page.get_by_role("table")).to_have_count(0)
        hand_over(page, "paste", files / "noise.png")
        shows(page, "noise.png", answers["noise.png"])
        page.get_by_role("button", name="Where does it look?").click()
        expect(page.get_by_text(re.compile("A grey patch there .* takes"))).to_be_visible()
        # the keyboard reaches everything
        page.get_by_role("heading", level=1).click()
        page.keyboard.press("Tab")
        expect(chooser).to_be_focused()
        with page.expect_file_chooser() as opened:
            page.keyboard.press("Enter")
        opened.value.set_files(files / "flower <b>&.jpg")
        shows(page, "flower <b>&.jpg", answers["flower <b>&.jpg"])
        for name in ("Use the camera", "sample cat"):
            page.keyboard.press("Tab")
            expect(page.get_by_role("button", name=name)).to_be_focused()
        page.keyboard.press("Enter")
        shows(page, "sample cat", predictor.predict(site / "samples" / "0.png"))
        page.set_viewport_size({"width": 400, "height": 800})
        page.emulate_media(color_scheme="dark")
        hand_over(page, "drop", files / "noise.png")
        shows(page, "noise.png", answers["noise.png"])
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        keep(page, "browser-narrow-dark")
    assert not failed


@in_firefox
def test_the_page_in_firefox(browser, site, predictor, files):
    with browsers.serving(site) as (address, asked):
        browser.open(f"{address}/")
        assert not [path for path in asked if LARGE.search(path)]
        for name in ("noise.png", "letter.png", "flower <b>&.jpg"):
            browser.choose("#try-file", files / name)
            said = browser.call(UNTIL_SAID, name)
            if name == "letter.png":
                assert said["alert"].startswith("cannot read letter.png: ")
                continue
            answer = predictor.predict(files / name)
            told = f"{answer.label}, {answer.confidence:.1%}"
            assert said["heading"] == (told if answer.in_distribution else "Perhaps none of these")
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        browser.screenshot(ARTEFACTS / "browser-firefox.png")


@in_chromium
def test_works_without_a_connection(page, site, predictor, files):
    with browsers.serving(site) as (address, _):
        page.goto(f"{address}/")
        page.get_by_role("button", name="sample horse").click()
        expect(page.get_by_text("Now the page works without a connection, too.")).to_be_visible()
        page.context.set_offline(True)
    page.reload()  # the server is gone, too
    page.get_by_role("button", name="sample dog").click()
    shows(page, "sample dog", predictor.predict(site / "samples" / "1.png"))
    page.get_by_label("Drop a picture here").set_input_files(files / "noise.png")
    shows(page, "noise.png", predictor.predict(files / "noise.png"))


@in_chromium
def test_a_new_network_replaces_the_old(page, networks, site, runtime, tmp_path):
    "Who comes back gets what the server has now, and keeps nothing of what it had."
    folder = tmp_path / "web"
    shutil.copytree(site, folder)
    with browsers.serving(folder) as (address, asked):
        page.goto(f"{address}/")
        page.get_by_role("button", name="sample horse").click()
        expect(page.get_by_text("Now the page works without a connection, too.")).to_be_visible()
        export_web(networks["colour"], folder, runtime, samples={"flower": browsers.photographs()["flower"]})
        asked.clear()
        page.reload()
        page.get_by_role("button", name="sample flower").click()
        expect(page.get_by_role("rowheader")).to_have_text(["<b>", "café", "c"])
        expect(page.get_by_text("Now the page works without a connection, too.")).to_be_visible()
        (network,) = folder.glob("*.onnx")
        assert [path for path in asked if LARGE.search(path)] == [f"/{network.name}"]
        kept = page.evaluate("""async () => {
            const [name] = await caches.keys(), requests = await (await caches.open(name)).keys()
            return requests.map(request => request.url).filter(url => url.endsWith("onnx")).length}""")
        assert kept == 1


@in_chromium
def test_a_failed_load_is_told_and_tried_again(page, site, predictor):
    (network,) = site.glob("*.onnx")
    content = network.read_bytes()
    network.write_bytes(content[:-1])
    with browsers.serving(site) as (address, _):
        page.goto(f"{address}/")
        page.get_by_role("button", name="sample horse").click()
        sentence = re.compile("^cannot load the network: .* is not whole .* try again")
        expect(page.get_by_role("alert")).to_have_text(sentence)
        network.unlink()
        page.get_by_role("button", name="sample horse").click()
        expect(page.get_by_role("alert")).to_have_text(re.compile("^cannot load the network: .* is missing"))
        network.write_bytes(content)
        page.get_by_role("button", name="sample horse").click()
        shows(page, "sample horse", predictor.predict(site / "samples" / "2.png"))


@in_chromium
def test_the_camera(page, site):
    with browsers.serving(site) as (address, _):
        page.goto(f"{address}/")
        page.context.grant_permissions(["camera"])
        page.get_by_role("button", name="Use the camera").click()
        expect(page.get_by_role("button", name="Take the picture")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("status")).to_have_text("the camera's picture")
        expect(page.get_by_role("heading", level=2)).to_be_visible()
        assert page.evaluate("document.querySelector('video').srcObject === null"), "the camera is off"
        page.get_by_role("button", name="Use the camera").click()
        page.get_by_role("button", name="Close the camera").click()
        expect(page.get_by_role("button", name="Use the camera")).to_be_focused()
        page.context.clear_permissions()
        page.get_by_role("button", name="Use the camera").click()
        expect(page.get_by_role("alert")).to_have_text(re.compile("^The camera was not allowed"))


@in_chromium
def test_in_another_page(page, site, predictor, tmp_path):
    shutil.copytree(site, tmp_path / "try")
    document = "<!DOCTYPE html><html lang=en><title>A chapter</title><h1>A chapter</h1>"
    (tmp_path / "chapter.html").write_text(document + web_fragment(site, "try"), encoding="utf-8")
    with browsers.serving(tmp_path) as (address, asked):
        for _ in range(2):
            asked.clear()
            page.goto(f"{address}/chapter.html")
            page.get_by_role("button", name="sample truck").click()
            shows(page, "sample truck", predictor.predict(site / "samples" / "4.png"))
            page.wait_for_load_state("networkidle")
        assert not [path for path in asked if LARGE.search(path)], "what is large is kept from the first time"
