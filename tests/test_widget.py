"""The widget as people use it: Chromium drives JupyterLab and the web app, uploads files and reads the page.

Screenshots are kept in tests/artefacts, or where CIFAR_CNN_ARTEFACTS says.
"""

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sysconfig
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from cifar_cnn.predict import Predictor
from tests.support import hostile
from tests.support.processes import free_port

pytestmark = pytest.mark.browser
ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sysconfig.get_path("scripts"))
ARTEFACTS = Path(os.environ.get("CIFAR_CNN_ARTEFACTS") or ROOT / "tests" / "artefacts")
PATIENCE = 180_000  # ms; a kernel that imports torch takes seconds, on a busy machine many
NARROW = {"width": 400, "height": 800}


# --- Browser, servers, files ---


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chromium-browser"))), None)
    if program is None:
        message = "no Chromium here: apt-get install chromium"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, request):
    "A new page; if the test fails, it is kept as a picture."
    context = browser.new_context(viewport={"width": 1100, "height": 900})
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page = context.new_page()
    # Chromium reports file choosers only after being told to; told when one is due, a key on a busy machine
    # may overtake it, so it is told once, before everything else.
    page.on("filechooser", lambda chooser: None)
    before = request.session.testsfailed
    yield page
    if request.session.testsfailed > before:
        keep(page, f"failed-{request.node.name}")
    context.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    "Two pictures and a broken one, with names that must be escaped."
    folder = tmp_path_factory.mktemp("pictures")
    hostile.picture(320, 240).save(folder / "first <b>&.png")
    hostile.picture(60, 400).transpose(hostile.Image.Transpose.ROTATE_180).save(folder / "second.png")
    (folder / "broken.png").write_bytes((folder / "second.png").read_bytes()[:60])
    return folder


@pytest.fixture(scope="module")
def answers(files):
    "What the predictor says about the two pictures."
    predictor = Predictor()
    return {path.name: predictor.predict(path) for path in files.iterdir() if path.name != "broken.png"}


@contextmanager
def serving(command, address, cwd, environment, stop=signal.SIGINT):
    "A server that answers at an address; ended as by Ctrl-C, or with another signal."
    with open(cwd / "server.log", "w+") as log:
        server = subprocess.Popen(command, cwd=cwd, env=environment, stdout=log, stderr=log)
        try:
            until = time.monotonic() + PATIENCE / 1000
            while not answers_at(address):
                assert server.poll() is None and time.monotonic() < until, (cwd / "server.log").read_text()
                time.sleep(0.2)
            yield server
        finally:
            server.send_signal(stop)
            try:
                server.wait(120)
            except subprocess.TimeoutExpired:
                server.kill()
                raise


def answers_at(address):
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def own_folders(folder):
    "An environment in which Jupyter keeps to a folder, so that the user's own settings do not matter."
    places = {name: str(folder / name.lower()) for name in (
        "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_SETTINGS_DIR",
        "JUPYTERLAB_WORKSPACES_DIR", "IPYTHONDIR")}
    return {**os.environ, **places, "JUPYTER_PREFER_ENV_PATH": "1"}


# --- What every page with the widget must do ---

# ipywidgets' name for it; stored outputs of the notebook look the same but are not in one
WIDGET = ".widget-vbox"


def choose(page, path):
    "Choose a file with the mouse."
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose an image").click()
    chooser.value.set_files(path)


def choose_by_keyboard(page, path):
    """Tab away from the button and back, and press Enter.

    Escape first, because Tab indents in a notebook's cell.
    """
    button = page.get_by_role("button", name="Choose an image")
    page.keyboard.press("Escape")
    button.evaluate("button => button.blur()")
    page.keyboard.press("Tab")
    for _ in range(20):
        page.keyboard.press("Shift+Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    expect(button).to_be_focused()
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(path)


def shows(page, path, answers):
    "The widget tells the answer to an image, in words, pictures and numbers."
    answer, widget = answers[path.name], page.locator(WIDGET)
    share = f"{answer.confidence:.1%}"
    status = widget.get_by_role("status").filter(has_text=path.name)
    expect(status).to_have_text(f"{path.name}: {answer.label}, {share}")
    expect(widget.get_by_role("alert")).to_have_count(0)
    for alt in (f"the uploaded picture {path.name}", "the same picture, 32 by 32 pixels"):
        picture = widget.get_by_role("img", name=alt, exact=True)
        expect(picture).to_be_visible()
        assert picture.evaluate("image => image.complete && image.naturalWidth") > 0
    table = widget.get_by_role("table", name="probability of every class")
    assert table.get_by_role("row").count() == len(answer.probabilities)
    row = table.get_by_role("row").filter(has=page.get_by_role("rowheader", name=answer.label, exact=True))
    expect(row).to_contain_text(share)


def refuses(page, path):
    "The widget tells in a sentence that an image cannot be read, and shows no answer."
    sentence = re.compile(rf"^cannot read {re.escape(path.name)}: .*Choose another one\.$")
    expect(page.locator(WIDGET).get_by_role("alert")).to_have_text(sentence)
    expect(page.locator(WIDGET).get_by_role("table", name="probability of every class")).to_have_count(0)


def fits(page, container):
    "Nothing in the widget is wider than the page, and its text can be read."
    page.set_viewport_size(NARROW)
    page.wait_for_timeout(500)
    widths = container.evaluate("""container => {
        const left = container.getBoundingClientRect().left, right = container.getBoundingClientRect().right
        const parts = [...container.querySelectorAll("button, h1, h2, li, p, img, table, td, th, figcaption")]
        return parts.filter(part => part.getClientRects().length).map(part => {
            const box = part.getBoundingClientRect()
            return [part.outerHTML.slice(0, 80), box.left - left, right - box.right,
                    innerWidth - box.right, parseFloat(getComputedStyle(part).fontSize)]})}""")
    assert len(widths) > 20
    for part, left, right, in_window, size in widths:
        assert min(left, right, in_window) >= -1, part
        assert size >= 12 or part.startswith("<button"), part


def tries(page, files, answers):
    "Good, broken, good again; with mouse and keyboard."
    choose(page, files / "first <b>&.png")
    shows(page, files / "first <b>&.png", answers)
    choose(page, files / "broken.png")
    refuses(page, files / "broken.png")
    choose_by_keyboard(page, files / "second.png")
    shows(page, files / "second.png", answers)
    expect(page.get_by_role("button", name="Choose an image")).to_be_focused()


def keep(page, name):
    ARTEFACTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)


# --- JupyterLab ---

ELSEWHERE = re.compile(r"^#\| cifar10|nbdev_export\(\)", re.MULTILINE)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "The address of a JupyterLab with the chapter on prediction, less what needs CIFAR-10; and its token."
    folder = tmp_path_factory.mktemp("lab")
    (folder / "notebooks").mkdir()
    notebook = json.loads((ROOT / "nbs" / "09_predict.ipynb").read_text())
    notebook["cells"] = [cell for cell in notebook["cells"] if not ELSEWHERE.search("".join(cell["source"]))]
    (folder / "notebooks" / "09_predict.ipynb").write_text(json.dumps(notebook))
    shutil.copytree(ROOT / "nbs" / "images", folder / "notebooks" / "images")
    (folder / "benchmarks").symlink_to(ROOT / "benchmarks")  # a clone has the records there
    port, token = free_port(), "a-token"
    command = [SCRIPTS / "jupyter-lab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}",
               "--ServerApp.port_retries=0", f"--IdentityProvider.token={token}",
               f"--ServerApp.root_dir={folder / 'notebooks'}"]
    environment = own_folders(folder)
    quiet = Path(environment["JUPYTERLAB_SETTINGS_DIR"]) / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": '
                                                            'false}')
    # Jupyter takes Ctrl-C for a question, and waits for an answer.
    with serving(command, f"http://127.0.0.1:{port}/api", folder, environment, signal.SIGTERM):
        yield f"http://127.0.0.1:{port}", token


def test_widget_in_jupyterlab(lab, page, files, answers):
    address, token = lab
    page.goto(f"{address}/doc/tree/09_predict.ipynb?token={token}")
    expect(page.get_by_role("button", name="Python 3 (ipykernel) | Idle")).to_be_visible()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(page.get_by_role("button", name="Choose an image")).to_be_visible()
    tries(page, files, answers)
    keep(page, "jupyterlab")
    fits(page, page.locator(".jp-OutputArea-output").last)
    keep(page, "jupyterlab-narrow")


# --- The web app ---


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    "The address of the web app; it must end quietly and leave nothing behind."
    folder, port = tmp_path_factory.mktemp("app"), free_port()
    (folder / "temporary").mkdir()
    environment = own_folders(folder) | {"TMPDIR": str(folder / "temporary")}
    address = f"http://127.0.0.1:{port}"
    command = [SCRIPTS / "cifar-cnn", "app", "--port", str(port)]
    with serving(command, f"{address}/favicon.ico", folder, environment) as server:
        yield address
    assert server.returncode == 0
    said = (folder / "server.log").read_text()
    assert said.startswith(f"{address} shows the app; Ctrl-C ends it\n") and "Traceback" not in said
    assert not list((folder / "temporary").iterdir())


def test_web_app(app, page, files, answers):
    page.goto(app)
    expect(page.get_by_role("heading", name="What is in the picture?")).to_be_visible()
    expect(page.get_by_role("button", name="Choose an image")).to_be_visible()
    tries(page, files, answers)
    keep(page, "app")
    fits(page, page.locator("body"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    keep(page, "app-narrow")


# --- The server's page ---


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    "The address of the server."
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    address = f"http://127.0.0.1:{port}"
    command = [SCRIPTS / "cifar-cnn", "serve", "--port", str(port)]
    with serving(command, f"{address}/health", folder, {**os.environ}):
        yield address
    assert (folder / "server.log").read_text() == f"cifar-cnn: answering on {address} (stop with Ctrl-C)\n"


HAND_OVER = """([how, name, content]) => {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0)), data = new DataTransfer()
    data.items.add(new File([bytes], name, {type: "image/png"}))
    const event = how === "drop" ? new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable:
    true})
                                 : new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
    document.querySelector("h1").dispatchEvent(event)}"""


def hand_over(page, how, path):
    "Drop a file on the page, or paste it."
    page.evaluate(HAND_OVER, [how, path.name, base64.b64encode(path.read_bytes()).decode()])


def page_shows(page, path, answers):
    "The page tells the answer to an image: the picture, the top three, every class."
    answer = answers[path.name]
    share = lambda probability: f"{100 * probability:.1f} %"
    expect(page.get_by_role("status")).to_have_text(path.name)
    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.get_by_role("heading", level=2)).to_have_text(f"{answer.label}, {share(answer.confidence)}")
    picture = page.get_by_role("img", name=f"your picture, {path.name}", exact=True)
    expect(picture).to_be_visible()
    assert picture.evaluate("image => image.complete && image.naturalWidth") > 0
    expect(page.get_by_role("listitem")).to_have_text([f"{name} {share(part)}" for name, part in answer.top])
    rows = page.get_by_role("table", name="The probability of every class").get_by_role("row")
    expect(rows).to_have_text([f"{name}{share(part)}" for name, part in answer.probabilities.items()])
    expect(page.get_by_text("unlike")).to_be_visible(visible=not answer.in_distribution)


def test_page_of_the_server(server, page, files, answers):
    requests = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(server)
    chooser = page.get_by_label("Drop a picture here, paste one, or choose a file")
    chooser.set_input_files(files / "first <b>&.png")
    page_shows(page, files / "first <b>&.png", answers)
    keep(page, "server")
    hand_over(page, "drop", files / "broken.png")
    expect(page.get_by_role("alert")).to_have_text(re.compile(r"^cannot read broken\.png: "))
    expect(page.get_by_role("heading", level=2)).to_have_count(0)
    big = files / "big.png"
    big.write_bytes(bytes(10_000_001))
    asked = len(requests)
    chooser.set_input_files(big)
    expect(page.get_by_role("alert")).to_have_text("big.png is larger than 10 MB: choose a smaller picture")
    expect(page.locator("#preview")).to_be_hidden()
    sent = [url for url in requests[asked:] if url.startswith(server)]
    assert not sent, "it need not be sent to be refused"
    hand_over(page, "paste", files / "second.png")
    page_shows(page, files / "second.png", answers)
    page.keyboard.press("Tab")
    expect(chooser).to_be_focused()
    with page.expect_file_chooser() as opened:
        page.keyboard.press("Enter")
    opened.value.set_files(files / "first <b>&.png")
    page_shows(page, files / "first <b>&.png", answers)
    fits(page, page.locator("main"))
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.emulate_media(color_scheme="dark")
    keep(page, "server-narrow-dark")
    assert all(url.startswith((server, "blob:")) for url in requests), requests
