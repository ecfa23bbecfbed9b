"""Two browsers to drive, a server of static files that remembers requests, and pictures of every kind.

Chromium is driven by Playwright. Firefox is driven by WebDriver BiDi, which it speaks itself.
"""

import base64
import functools
import http.server
import itertools
import json
import os
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
import websocket
from PIL import Image
from playwright.sync_api import sync_playwright
from sklearn.datasets import load_sample_images

from tests.support import hostile

ROOT = Path(__file__).resolve().parent.parent.parent
RUNTIME = ROOT / "site" / "node_modules" / "onnxruntime-web" / "dist"

# What a page is asked to do: read pictures from its own server and answer as it does for visitors.
ANSWER = """async names => {
    const module = await import(new URL("network.js", location.href))
    window.asked ??= module.load(() => {})
    const network = await window.asked, answers = []
    for (const name of names) {
        const blob = await (await fetch("pictures/" + name)).blob(), start = performance.now()
        try {
            const picture = await network.prepare(blob), [answer] = await network.ask([picture])
            const milliseconds = performance.now() - start
            answers.push({name, picture: Array.from(picture), milliseconds, ...answer})
        } catch (error) { answers.push({name, error: error.message}) }
    }
    return JSON.stringify(answers)}"""


# --- The server ---


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def log_message(self, *args):
        pass


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    "The address of a folder's server, and the paths that it was asked for."
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://localhost:{server.server_port}", server.asked
    finally:
        server.shutdown()
        server.server_close()


# --- The browsers ---


def program(*names: str) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


CHROMIUM = program("chromium", "google-chrome", "chromium-browser")
FIREFOX = program("firefox-esr", "firefox")


class Chromium:
    def __init__(self, browser):
        self.browser, self.page = browser, browser.new_page()

    def open(self, address: str) -> None:
        self.page.goto(address)

    def call(self, function: str, argument=None):
        return self.page.evaluate(function, argument)


@contextmanager
def chromium() -> Iterator[Chromium]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream"]  # a camera, too
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield Chromium(browser)
        browser.close()


class Firefox:
    "What Firefox can be told through WebDriver BiDi."

    def __init__(self, address: str):
        self.socket = websocket.create_connection(address, timeout=300, suppress_origin=True)
        self.number = itertools.count()
        self.send("session.new", capabilities={})
        self.tab = self.send("browsingContext.getTree")["contexts"][0]["context"]

    def send(self, method: str, **params) -> dict:
        number = next(self.number)
        self.socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self.socket.recv())
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def open(self, address: str) -> None:
        self.send("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def call(self, function: str, argument=None):
        "Call a JavaScript function with a JSON value, and return its result, a JSON value."
        called = f"async text => JSON.stringify(await ({function})(JSON.parse(text)) ?? null)"
        given = {"type": "string", "value": json.dumps(argument)}
        result = self.send("script.callFunction", functionDeclaration=called, awaitPromise=True,
                           target={"context": self.tab}, arguments=[given])
        assert result["type"] == "success", result
        return json.loads(result["result"]["value"])

    def choose(self, selector: str, path: Path) -> None:
        "Choose a file."
        locator = {"type": "css", "value": selector}
        node = self.send("browsingContext.locateNodes", context=self.tab, locator=locator)["nodes"][0]
        element = {"sharedId": node["sharedId"]}
        self.send("input.setFiles", context=self.tab, element=element, files=[str(path)])

    def screenshot(self, path: Path) -> None:
        taken = self.send("browsingContext.captureScreenshot", context=self.tab, origin="document")
        path.write_bytes(base64.b64decode(taken["data"]))


@contextmanager
def firefox() -> Iterator[Firefox]:
    with tempfile.TemporaryDirectory() as home:
        command = [FIREFOX, "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", home]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                                   env={**os.environ, "HOME": home, "MOZ_DISABLE_CONTENT_SANDBOX": "1"})
        try:
            said = (re.search(r"WebDriver BiDi listening on (\S+)", line) for line in process.stderr)
            address = next(filter(None, said))[1]
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield Firefox(f"{address}/session")
        finally:
            process.terminate()
            process.wait(30)


BROWSERS = {"chromium": (CHROMIUM, chromium), "firefox": (FIREFOX, firefox)}


# --- Pictures ---


def photographs() -> dict[str, Image.Image]:
    "Photographs and a drawing that installed packages hold."
    samples, mpl = load_sample_images(), Path(matplotlib.get_data_path()) / "sample_data"
    pairs = zip(samples.filenames, samples.images)
    found = {Path(name).stem: Image.fromarray(image) for name, image in pairs}
    found["hopper"] = Image.open(mpl / "grace_hopper.jpg").convert("RGB")
    return found | {"drawing": Image.open(mpl / "Minduka_Present_Blue_Pack.png").convert("RGB")}


def crops(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    "Parts of the photographs, of any shape, as PNG and JPEG in turn."
    photos, numbers = photographs(), np.random.default_rng(seed)
    for number, (name, photo) in zip(range(count), itertools.cycle(photos.items())):
        width, height = (int(numbers.integers(min(20, side), side + 1)) for side in photo.size)
        rooms = photo.width - width, photo.height - height
        left, top = (int(numbers.integers(0, room + 1)) for room in rooms)
        part = photo.crop((left, top, left + width, top + height))
        jpeg = {"quality": int(numbers.integers(60, 96)), "subsampling": int(numbers.integers(0, 3))}
        kind, options = (("PNG", {}), ("JPEG", jpeg))[number // len(photos) % 2]
        yield f"{name}{number}.{kind.lower()}", hostile.saved(part, kind, **options)


def interlaced(image: Image.Image) -> bytes:
    "An RGB PNG in the seven passes of Adam7, which Pillow does not write."
    pixels = np.asarray(image.convert("RGB"))
    starts = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4),
              (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [pixels[top::down, left::across] for top, left, down, across in starts]
    rows = b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)
    head = hostile.chunk(b"IHDR", struct.pack(">IIBBBBB", *image.size, 8, 2, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + head + hostile.chunk(b"IDAT", zlib.compress(rows)) + hostile.chunk(b"IEND")


def deep(image: Image.Image) -> bytes:
    "An RGB PNG of 16 bits, which Pillow does not write."
    low = np.random.default_rng(0).integers(0, 256, (image.height, image.width, 3), np.uint16)
    pixels = np.asarray(image.convert("RGB")).astype(np.uint16) * 256 + low
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return hostile.png(*image.size, rows, depth=16, colour=2)


def turned(image: Image.Image, orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def jpegs(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    saved = functools.partial(hostile.saved, kind="JPEG", quality=90)
    yield "baseline.jpg", saved(image, subsampling=0)
    yield "progressive.jpg", saved(image, progressive=True)
    yield "422.jpg", saved(image, subsampling=1)
    yield "420.jpg", saved(image, subsampling=2)
    yield "grey.jpg", saved(image.convert("L"))
    yield "cmyk.jpg", saved(image.convert("CMYK"))
    for orientation in range(1, 9):
        yield f"turned{orientation}.jpg", saved(image, exif=turned(image, orientation))


def pngs(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    saved = functools.partial(hostile.saved, kind="PNG")
    see_through = image.copy()
    see_through.putalpha(Image.linear_gradient("L").resize(image.size))
    low = np.arange(image.width, dtype=np.uint16) % 256
    grey16 = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 256 + low)
    yield "rgb.png", saved(image)
    yield "grey.png", saved(image.convert("L"))
    yield "bilevel.png", saved(image.convert("1"))
    yield "palette.png", saved(image.quantize(64))
    yield "palette-see-through.png", saved(image.quantize(64), transparency=3)
    yield "alpha.png", saved(see_through)
    yield "grey-alpha.png", saved(see_through.convert("LA"))
    yield "hole.png", saved(image, transparency=image.getpixel((0, 0)))
    yield "grey16.png", saved(grey16)
    yield "rgb16.png", deep(image)
    yield "interlaced.png", interlaced(image)
    yield "gamma.png", hostile.with_chunk(saved(image), hostile.chunk(b"gAMA", struct.pack(">I", 100000)))
    for orientation in (3, 6):
        yield f"turned{orientation}.png", saved(image, exif=turned(image, orientation))


def others(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    see_through = image.copy()
    see_through.putalpha(Image.radial_gradient("L").resize(image.size))
    mirrored = {"save_all": True, "append_images": [hostile.ImageOps.mirror(image)]}
    yield "plain.gif", hostile.saved(image, "GIF")
    yield "see-through.gif", hostile.saved(image.quantize(64), "GIF", transparency=3)
    yield "animated.gif", hostile.saved(image, "GIF", **mirrored)
    yield "rgb.bmp", hostile.saved(image, "BMP")
    yield "palette.bmp", hostile.saved(image.quantize(16), "BMP")
    yield "grey.bmp", hostile.saved(image.convert("L"), "BMP")
    yield "lossy.webp", hostile.saved(image, "WEBP", quality=80)
    yield "lossless.webp", hostile.saved(image, "WEBP", lossless=True)
    yield "alpha.webp", hostile.saved(see_through, "WEBP", lossless=True)
    yield "animated.webp", hostile.saved(image, "WEBP", lossless=True, **mirrored)
    yield "turned6.webp", hostile.saved(image, "WEBP", lossless=True, exif=turned(image, 6))


def shapes(image: Image.Image) -> Iterator[tuple[str, bytes]]:
    "Pictures whose size is unusual: smaller than the network's, narrow, huge."
    for width, height in ((1, 1), (32, 32), (33, 31), (20, 40), (7, 300), (300, 7), (64, 700), (640, 33)):
        yield f"{width}x{height}.png", hostile.saved(image.resize((width, height)), "PNG")
    huge = image.resize((5200, 3300), Image.Resampling.BILINEAR)
    yield "huge.jpg", hostile.saved(huge, "JPEG", quality=70)
    yield "huge-turned6.jpg", hostile.saved(huge, "JPEG", quality=70, exif=turned(huge, 6))


def every_kind(image: Image.Image) -> dict[str, bytes]:
    "The same picture in each format, mode and shape."
    return dict(itertools.chain(jpegs(image), pngs(image), others(image), shapes(image)))


def cifar(images, count: int, side: int | None = None, seed: int = 0) -> dict[str, bytes]:
    "Images of a part of CIFAR-10 as PNG, enlarged to `side` if that is given."
    index = np.random.default_rng(seed).choice(len(images), count, replace=False)
    found = {}
    for at in index:
        image = Image.fromarray(images.images[int(at)].permute(1, 2, 0).numpy())
        enlarged = image if side is None else image.resize((side, side), Image.Resampling.BICUBIC)
        found[f"cifar{at}-{side or 32}.png"] = hostile.saved(enlarged, "PNG")
    return found


# --- Answers ---


def compare(browser, predictor, folder: Path, files: dict[str, bytes]) -> list[dict]:
    "Ask a browser, whose page is open, and Python about the same files: one row a file."
    pictures = folder / "pictures"
    pictures.mkdir(exist_ok=True)
    for name, content in files.items():
        (pictures / name).write_bytes(content)
    rows, names = [], list(files)
    for start in range(0, len(names), 50):
        rows += json.loads(browser.call(ANSWER, names[start:start + 50]))
    for row in rows:
        answer, seen = predictor.predict(pictures / row["name"]), predictor.prepare(pictures / row["name"])
        if "error" in row:
            continue
        ours = np.array(list(answer.probabilities.values()))
        theirs, pixels = np.array(row.pop("probabilities")), np.array(row.pop("picture"))
        row["same_label"] = bool(theirs.argmax() == ours.argmax())
        row["same_familiar"] = row.pop("familiar") == answer.in_distribution
        row["difference"] = float(abs(ours - theirs).max())
        row["pixel_difference"] = int(abs(seen.flatten().numpy().astype(int) - pixels).max())
    return rows
