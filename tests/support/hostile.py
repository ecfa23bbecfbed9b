"""Images that mean harm or have come to it, made in memory: what each should give is known.

`python -m tests.support.hostile FOLDER` writes them as files, except those that are cut off at each length.
"""

import io
import struct
import sys
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from cifar_cnn.images.decode import MAX_PIXELS

TOLERANCE = 3  # of 255: JPEG's rounding


class Case(NamedTuple):
    name: str                   # a file name
    content: bytes
    # height × width × 3, 0–255, upright: what must be seen; None: it must be refused
    pixels: np.ndarray | None
    may_refuse: bool = False    # a sentence is as good as those pixels; with None, any answer is


def corpus() -> Iterator[Case]:
    "All of them, some 15,000."
    return chain(whole(), truncated())


def whole() -> Iterator[Case]:
    "One file of each kind of trouble, some 240."
    return chain.from_iterable(family() for family in FAMILIES)


# --- Material ---


def picture(width: int = 16, height: int = 32) -> Image.Image:
    "Four flat quarters, so that neither turning nor mirroring nor JPEG's 8×8 blocks go unnoticed."
    colours = np.array([[[230, 20, 40], [20, 200, 60]], [[40, 60, 220], [240, 230, 80]]], np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.NEAREST)


def saved(image: Image.Image, kind: str, **options) -> bytes:
    "The bytes of an image file."
    image.save(buffer := io.BytesIO(), kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    "A chunk of a PNG file."
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes | None, depth: int = 8, colour: int = 2,
        more: bytes = b"") -> bytes:
    "A PNG file; rows begin with a filter byte; None for rows of zeros, made without holding them all."
    if rows is None:
        row = bytes(1 + -(-width * depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] // 8))
        packer, batch = zlib.compressobj(1), max(1, 1_000_000 // len(row))
        packed = b"".join(packer.compress(row * min(batch, height - i)) for i in range(0, height, batch))
        packed += packer.flush()
    else:
        packed = zlib.compress(rows)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + more + chunk(b"IDAT", packed) + chunk(b"IEND")


def with_chunk(file: bytes, added: bytes) -> bytes:
    "A PNG file with one more chunk after its header."
    return file[:33] + added + file[33:]


def directory(entries: dict[int, tuple[int, int, int]], following: int = 0) -> bytes:
    "A TIFF directory of tag: (type, count, value or offset), and where the next one is."
    rows = b"".join(struct.pack("<HHII", tag, *entries[tag]) for tag in sorted(entries))
    return struct.pack("<H", len(entries)) + rows + struct.pack("<I", following)


def tiff(width: int, height: int, more: dict | None = None, following: int = 0, tail: bytes = b"") -> bytes:
    "A grey TIFF file, black, whose only directory stands at byte 8 and has the tags of `more` too."
    entries = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1),
               273: (4, 1, 0), 277: (3, 1, 1), 278: (4, 1, height), 279: (4, 1, width * height),
               **(more or {})}
    after = 8 + len(directory(entries))
    entries[273] = (4, 1, after)
    return b"II*\0" + struct.pack("<I", 8) + directory(entries, following) + bytes(width * height) + tail


def black(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


# --- Cut off at each length ---


def readable() -> dict[str, tuple[bytes, Image.Image]]:
    "A small file of each format that can be read, in its variants, and what it shows."
    image = picture()
    plain = {f"{kind.lower()}": saved(image, kind) for kind in ("BMP", "PNG", "PPM", "TIFF")}
    mirrored = {"save_all": True, "append_images": [ImageOps.mirror(image)]}
    files = plain | {
        "jpeg": saved(image, "JPEG", quality=95, subsampling=0),
        "progressive.jpeg": saved(image, "JPEG", quality=95, subsampling=0, progressive=True),
        "gif": saved(image, "GIF"),
        "animated.gif": saved(image, "GIF", **mirrored),
        "lossless.webp": saved(image, "WEBP", lossless=True),
        "animated.webp": saved(image, "WEBP", lossless=True, **mirrored),
        "animated.png": saved(image, "PNG", **mirrored),
        "deflate.tiff": saved(image, "TIFF", compression="tiff_adobe_deflate"),
        "lzw.tiff": saved(image, "TIFF", compression="tiff_lzw"),
        "plain.ppm": b"P3 2 1 255\n255 0 0\n0 255 0\n",
    }
    shown = {name: image for name in files}
    shown["plain.ppm"] = Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]]], np.uint8))
    return {name: (content, shown[name]) for name, content in files.items()}


def noisy() -> dict[str, tuple[bytes, Image.Image]]:
    "A file of some kB of each format that can be read, and what it shows."
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3)).astype(np.uint8))
    files = {f"noise.{kind.lower()}": saved(image, kind) for kind in ("BMP", "JPEG", "PNG", "PPM", "TIFF")}
    files["noise.webp"] = saved(image, "WEBP")
    files["noise.gif"] = saved(image, "GIF")
    return {name: (content, Image.open(io.BytesIO(content)).convert("RGB")) for name,
            content in files.items()}


def truncated(most: int = 250) -> Iterator[Case]:
    """Small files cut off at every length.

    Larger ones at each byte of the header and at `most` further places.
    """
    for name, (content, shown) in readable().items():
        for length in range(len(content)):
            yield Case(f"{length}-of-{len(content)}.{name}", content[:length], np.asarray(shown),
                       may_refuse=True)
    for name, (content, shown) in noisy().items():
        lengths = {*range(200), *range(200, len(content), -(-len(content) // most)),
                   *range(len(content) - 20, len(content))}
        for length in sorted(lengths):
            yield Case(f"{length}-of-{len(content)}.{name}", content[:length], np.asarray(shown),
                       may_refuse=True)
    for case in foreign():
        for length in range(0, len(case.content), max(1, len(case.content) // most)):
            yield Case(f"{length}-of-{len(case.content)}.{case.name}", case.content[:length], None)


# --- Kinds of trouble ---


def no_images() -> Iterator[Case]:
    "Files that are something else."
    page = b"<!DOCTYPE html><html><body><h1>404 Not Found</h1></body></html>"
    drawing = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><script>alert(1)</script></svg>'
    noise = np.random.default_rng(0).bytes(5000)
    for name, content in {
        "empty.png": b"", "empty.jpg": b"", "page.png": page, "drawing.svg": drawing, "drawing.png": drawing,
        "words.jpg": b"This is no image.\n", "zeros.png": bytes(10_000), "noise.jpg": noise,
        "signature.png": b"\x89PNG\r\n\x1a\n", "signature.jpg": b"\xff\xd8\xff",
        "noise.png": b"\x89PNG\r\n\x1a\n" + noise, "noise-behind.jpg": b"\xff\xd8\xff\xe0" + noise,
        "noise.gif": b"GIF89a" + noise, "noise.tif": b"II*\0" + noise, "line\nbreak.png": b"",
        "\x1b[31m.png": b"",
        "noise.webp": b"RIFF" + struct.pack("<I", 5004) + b"WEBP" + noise, "noise.bmp": b"BM" + noise,
        "noise.ppm": b"P6 " + noise, "archive.png": b"PK\x03\x04" + noise, "paper.png": b"%PDF-1.7\n" + noise,
    }.items():
        yield Case(name, content, None)


def names() -> Iterator[Case]:
    "Good images whose names lie or are odd."
    image = picture()
    shown = np.asarray(image)
    for name, kind in (("png.jpg", "PNG"), ("bmp.png", "BMP"), ("tiff.gif", "TIFF"), ("no-ending", "PNG"),
                       ("program.exe", "PNG"), ("b&<b>ö 'quoted' \u202egnp.png", "PNG"), ("-h.png", "PNG")):
        yield Case(name, saved(image, kind), shown)


def foreign() -> Iterator[Case]:
    "Good files of formats that Pillow reads and this project does not."
    image = picture()
    Image.init()
    for kind in ("AVIF", "BLP", "DDS", "DIB", "EPS", "ICNS", "ICO", "JPEG2000", "MSP", "PCX", "QOI", "SGI",
                 "SPIDER", "TGA", "XBM"):
        if kind in Image.SAVE:  # some came with later releases of Pillow, or with a library of the system
            mode = {"BLP": "P", "MSP": "1", "XBM": "1", "SPIDER": "F"}.get(kind, "RGB")
            yield Case(f"foreign.{kind.lower()}", saved(image.convert(mode), kind), None)
    cards = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 4", "NAXIS2  = 4", "END")
    yield Case("foreign.fits", "".join(map("{:80}".format, cards)).encode().ljust(2880) + bytes(2880), None)
    yield Case("foreign.psd", b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 8, 3) + bytes(12 + 50),
               None)
    yield Case("foreign.xpm", b'/* XPM */\nstatic char *x[] = {\n"2 1 1 1",\n"a c #ff0000",\n"aa"};\n', None)


def bombs() -> Iterator[Case]:
    "Small files that would be large in memory."
    zeros = b"\x78\x9c" + zlib.compress(bytes(4_000_000))[2:]
    large = zlib.compress(bytes(200_000_000), 1)
    shown = np.asarray(picture())
    file = saved(picture(), "PNG")
    yield Case("50000-square.png", png(50_000, 50_000, bytes(4_000_000), 1, 0), None)
    yield Case("most-of-png.png", png(2**31 - 1, 2**31 - 1, b"", 16, 6), None)
    yield Case("wide.png", png(2**31 - 1, 1, b"", 1, 0), None)
    yield Case("no-width.png", png(0, 5, b""), None)
    for kind, head in ((b"zTXt", b"Comment\0\0"), (b"iTXt", b"Comment\0\1\0\0\0"), (b"iCCP", b"icc\0\0")):
        bomb = with_chunk(file, chunk(kind, head + large))
        yield Case(f"bomb-{kind.decode()}.png", bomb, shown, may_refuse=True)
    megabyte = zlib.compress(bytes(1_000_000))
    many = b"".join(chunk(b"zTXt", b"n%d\0\0" % i + megabyte) for i in range(300))
    yield Case("many-bombs.png", with_chunk(file, many), shown, may_refuse=True)
    last = file[:-12] + chunk(b"zTXt", b"Comment\0\0" + large) + file[-12:]
    yield Case("bomb-at-the-end.png", last, shown, may_refuse=True)
    yield Case("more-rows.png", png(4, 4, bytes(50_000_000)), black(4, 4), may_refuse=True)
    yield Case("long-chunk.png", file[:33] + struct.pack(">I", 2**31 - 1) + b"tEXt" + zeros, None)
    yield Case("claims.gif", b"GIF89a" + struct.pack("<HH", 65535, 65535) + saved(picture(), "GIF")[10:],
               None)
    flat = bytearray(saved(picture(), "JPEG"))
    at = flat.index(b"\xff\xc0") + 5
    flat[at:at + 4] = struct.pack(">HH", 65500, 65500)
    yield Case("claims.jpg", bytes(flat), None)
    for side in (2**31 - 1, -(2**31), 60_000):
        head = bytearray(saved(picture(), "BMP"))
        head[18:26] = struct.pack("<ii", abs(side) % 2**31 or 2**31 - 1, side)
        yield Case(f"claims{side}.bmp", bytes(head), None)
    yield Case("claims.ppm", b"P6 99999999 99999999 255\n" + bytes(100), None)
    yield Case("digits.ppm", b"P6 " + b"9" * 100_000 + b" 1 255\n", None)
    yield Case("comment.ppm", b"P6\n#" + b"x" * 1_000_000, None)
    yield Case("no-values.ppm", b"P6 4 4 0\n" + bytes(48), None)
    yield Case("claims.tif", tiff(4, 4, {256: (4, 1, 2**31), 257: (4, 1, 2**31)}), None)
    yield Case("claims.webp", b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
               + b"\xff" * 6, None)


def busywork() -> Iterator[Case]:
    "Files of some MB that would take minutes, or whose reader goes through them bit by bit."
    shown = np.asarray(picture())
    jpeg = saved(picture(), "JPEG", quality=95, subsampling=0)
    file, gif = saved(picture(), "PNG"), saved(picture(), "GIF")
    wide = saved(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    last, end = wide.rindex(b"\xff\xda"), wide.rindex(b"\xff\xd9")
    scans = wide[last:end] * 100_000
    yield Case("scans.jpg", wide[:end] + scans + wide[end:], None)
    comment = b"\xff\xfe\0\4\xff\xd9"  # holds what looks like the end
    yield Case("hidden-scans.jpg", wide[:end] + comment + scans + wide[end:], None)
    yield Case("scans.mpo", jpeg[:2] + mpo_index() + wide[2:end] + scans + wide[end:], None)
    video = np.random.default_rng(0).bytes(4_000_000)  # telephones append some; bytes in it look like scans
    yield Case("video-behind.jpg", jpeg + video, shown)
    yield Case("comments-in-text.ppm", b"P3 4 4 255\n" + b"#a\n" * 1_000_000 + b"0 " * 48, None)
    yield Case("text.ppm", b"P3 100 100 255\n" + b"0 " * 30_000, black(100, 100))
    yield Case("comments.ppm", b"P6\n" + b"#a\n" * 700_000 + b"4 4 255\n" + bytes(48), None, may_refuse=True)
    yield Case("chunks.png", with_chunk(file, chunk(b"teSt") * 160_000), shown, may_refuse=True)
    yield Case("words.png", with_chunk(file, chunk(b"tEXt", b"a\0b") * 130_000), shown, may_refuse=True)
    yield Case("segments.jpg", jpeg[:2] + b"\xff\xe5\0\2" * 500_000 + jpeg[2:], shown, may_refuse=True)
    yield Case("restarts.jpg", jpeg[:2] + b"\xff\xd0" * 1_000_000 + jpeg[2:], shown, may_refuse=True)
    at = gif.index(b",")
    yield Case("comments.gif", gif[:at] + b"\x21\xfe\1a\0" * 400_000 + gif[at:], shown, may_refuse=True)
    yield Case("nothing.gif", gif[:at] + bytes(2_000_000) + gif[at:], shown, may_refuse=True)
    head = struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 1078, 40, 7000, 7000, 1, 8, 1, 0, 0, 0, 256, 0)
    yield Case("runs.bmp", b"BM" + head + bytes(1024) + b"\1\1" * 1_000_000, None)


def mpo_index() -> bytes:
    "The segment that tells a file of several JPEGs from a single one."
    file = saved(picture(), "MPO", save_all=True, append_images=[picture()])
    start = file.index(b"MPF\0") - 4
    return file[start:start + 2 + int.from_bytes(file[start + 2:start + 4], "big")]


def directories() -> Iterator[Case]:
    "TIFF files whose directories are deep, cyclic, crowded or point nowhere."
    shown = black(4, 4)
    size = len(tiff(4, 4))
    yield Case("cyclic.tif", tiff(4, 4, following=8), shown, may_refuse=True)
    empty = directory({256: (4, 1, 1)})
    chained = b"".join(directory({256: (4, 1, 1)}, size + (i + 1) * len(empty))
                       for i in range(50_000)) + empty
    yield Case("deep.tif", tiff(4, 4, following=size, tail=chained), shown, may_refuse=True)
    pages = saved(picture(), "TIFF", save_all=True, append_images=[picture()] * 200)
    yield Case("pages.tif", pages, np.asarray(picture()), may_refuse=True)
    size = len(tiff(4, 4, {330: (4, 1, 0)}))
    for name, tag in (("sub", 330), ("exif", 34665), ("gps", 34853), ("interop", 40965)):
        yield Case(f"{name}-is-itself.tif", tiff(4, 4, {tag: (4, 1, 8)}), shown, may_refuse=True)
        yield Case(f"{name}-is-nowhere.tif", tiff(4, 4, {tag: (4, 1, 2**32 - 1)}), shown, may_refuse=True)
        nested = b"".join(directory({tag: (4, 1, size + (i + 1) * 18)}) for i in range(20_000))
        yield Case(f"{name}-deep.tif", tiff(4, 4, {tag: (4, 1, size)}, tail=nested), shown, may_refuse=True)
    yield Case("following-nowhere.tif", tiff(4, 4, following=2**32 - 1), shown, may_refuse=True)
    crowded = b"II*\0" + struct.pack("<I", 8) + b"\xff\xff" + struct.pack("<HHII", 256, 4, 1,
                                                                          1) * 65535 + bytes(4)
    yield Case("crowded.tif", crowded, None)
    yield Case("long-tag.tif", tiff(4, 4, {270: (2, 2**32 - 1, 8)}), shown, may_refuse=True)
    yield Case("many-strips.tif", tiff(4, 4, {273: (4, 2**28, 8), 279: (4, 2**28, 8)}), None, may_refuse=True)
    yield Case("samples.tif", tiff(4, 4, {277: (3, 1, 65535)}), None)
    yield Case("depth.tif", tiff(4, 4, {258: (3, 1, 65535)}), None)
    yield Case("compression.tif", tiff(4, 4, {259: (3, 1, 12345)}), None)
    tiles = {322: (4, 1, 2**31), 323: (4, 1, 2**31), 324: (4, 1, 8)}
    yield Case("tiles.tif", tiff(4, 4, tiles), None, may_refuse=True)
    yield Case("no-directory.tif", b"II*\0" + struct.pack("<I", 8) + bytes(6), None)
    yield Case("directory-is-the-header.tif", b"II*\0" + bytes(4) + bytes(100), None)
    yield Case("big-cyclic.tif", b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 0) + struct.pack("<Q", 16), None)


def animations() -> Iterator[Case]:
    "The first frame counts."
    first, others = picture(), [ImageOps.mirror(picture()), ImageOps.flip(picture())] * 40
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        content = saved(first, kind, save_all=True, append_images=others, **options)
        yield Case(f"animated.{kind.lower()}", content, np.asarray(first))
    clear = first.convert("RGBA")
    clear.paste((0, 0, 0, 0), (0, 0, 8, 16))
    content = saved(clear, "WEBP", lossless=True, save_all=True, append_images=[first.convert("RGBA")])
    yield Case("animated-clear.webp", content, on_white(clear))
    no_frames = bytearray(saved(first, "PNG", save_all=True, append_images=others))
    at = no_frames.index(b"acTL") + 4
    no_frames[at - 8:at + 12] = chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    yield Case("claims-frames.png", bytes(no_frames), np.asarray(first), may_refuse=True)


def shapes() -> Iterator[Case]:
    "The smallest and the longest."
    for width, height in ((1, 1), (1, 10_000), (10_000, 1), (2, 1)):
        image = picture(width, height)
        for kind in ("BMP", "GIF", "PNG", "PPM", "TIFF"):
            yield Case(f"{width}x{height}.{kind.lower()}", saved(image, kind), np.asarray(image))
        yield Case(f"{width}x{height}.webp", saved(image, "WEBP", lossless=True), np.asarray(image))
        flat = Image.new("RGB", image.size, (200, 30, 60))
        yield Case(f"{width}x{height}.jpeg", saved(flat, "JPEG", quality=95, subsampling=0), np.asarray(flat))


def on_white(image: Image.Image) -> np.ndarray:
    "RGBA as it looks on white paper, computed in floating point."
    values = np.asarray(image.convert("RGBA")).astype(float)
    share = values[:, :, 3:] / 255
    return np.round(values[:, :, :3] * share + 255 * (1 - share)).astype(np.uint8)


def pixel_types() -> Iterator[Case]:
    "Grey, palettes, transparency, 16 bits, floating point, ink; and numbers that are no brightness."
    image = picture()
    ramp = np.linspace(0, 255, 16 * 32).round().astype(np.uint8).reshape(32, 16)
    grey = np.repeat(ramp[:, :, None], 3, axis=2)
    sixteen = Image.fromarray(ramp.astype(np.uint16) * 257)
    yield Case("ink.jpg", saved(image.convert("CMYK"), "JPEG", quality=95, subsampling=0), np.asarray(image))
    yield Case("ink.tif", saved(image.convert("CMYK"), "TIFF"), np.asarray(image))
    yield Case("lab.tif", saved(Image.new("LAB", (4, 4)), "TIFF"), None, may_refuse=True)
    yield Case("video.jpg", saved(image.convert("YCbCr"), "JPEG", quality=95, subsampling=0),
               np.asarray(image))
    for kind in ("PNG", "TIFF", "PPM"):
        yield Case(f"16-bit-grey.{kind.lower()}", saved(sixteen, kind), grey)
        yield Case(f"grey.{kind.lower()}", saved(Image.fromarray(ramp), kind), grey)
    yield Case("grey.jpg", saved(Image.fromarray(ramp), "JPEG", quality=100), grey)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in np.asarray(image).astype(np.uint16) * 257)
    yield Case("16-bit-colour.png", png(16, 32, rows, 16), np.asarray(image))
    yield Case("1-bit.png", saved(Image.fromarray(ramp > 127), "PNG"), (grey > 127).astype(np.uint8) * 255)

    palette = image.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    clear = palette.getpixel((0, 0))
    expected = np.asarray(image).copy()
    expected[:16, :8] = 255
    yield Case("palette.png", saved(palette, "PNG"), np.asarray(image))
    for kind in ("PNG", "GIF"):
        yield Case(f"palette-clear.{kind.lower()}", saved(palette, kind, transparency=clear), expected)
    yield Case("palette-half.png", saved(palette, "PNG", transparency=bytes([128] * 4)),
               on_white(Image.merge("RGBA", [*image.split(), Image.new("L", image.size, 128)])))
    yield Case("colour-clear.png", saved(image, "PNG", transparency=image.getpixel((0, 0))), expected)
    yield Case("grey-clear.png", saved(Image.new("L", (4, 4), 7), "PNG", transparency=7), 255 - black(4, 4))
    faded = Image.merge("RGBA", [*image.split(), Image.fromarray(ramp)])
    for kind, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
        yield Case(f"faded.{kind.lower()}", saved(faded, kind, **options), on_white(faded))
    short = png(4, 4, (b"\0" + b"\xff" * 4) * 4, 8, 3, chunk(b"PLTE", bytes(3)))
    yield Case("no-such-colour.png", short, black(4, 4), may_refuse=True)
    yield Case("no-palette.png", png(4, 4, bytes(20), 8, 3), black(4, 4), may_refuse=True)

    for name, values in {"0-1": ramp / 255, "0-255": ramp, "0-65535": ramp * 257.0}.items():
        yield Case(f"float-{name}.tif", saved(Image.fromarray(values.astype(np.float32)), "TIFF"), grey)
    for name, number in {"nan": np.nan, "infinite": np.inf, "negative": -1, "huge": 1e30}.items():
        values = ramp / np.float32(255)
        values[3, 4] = number
        yield Case(f"float-{name}.tif", saved(Image.fromarray(values.astype(np.float32)), "TIFF"), None)
    yield Case("integers-negative.tif", saved(Image.fromarray(np.full((4, 4), -5, np.int32)), "TIFF"), None)


def orientations() -> Iterator[Case]:
    "EXIF's eight ways to hold a camera, and numbers that are none: the answer is that of the upright image."
    image = picture()
    stored_as = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90",
                 7: "TRANSVERSE", 8: "ROTATE_270"}
    for number in range(10):
        turned = image.transpose(Image.Transpose[stored_as[number]]) if number in stored_as else image
        tags = Image.Exif()
        tags[0x0112] = number
        for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
            options = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
            content = saved(turned, kind, exif=tags, **options)
            yield Case(f"orientation-{number}.{kind.lower()}", content, np.asarray(image))


def broken_metadata() -> Iterator[Case]:
    "Good pixels with EXIF, colour profiles and segments that are damaged."
    image = picture()
    shown = np.asarray(image)
    jpeg, file = saved(image, "JPEG", quality=95, subsampling=0), saved(image, "PNG")
    loop = tiff(1, 1, {34665: (4, 1, 8), 34853: (4, 1, 8), 40965: (4, 1, 8)}, following=8)
    exifs = {"loop": loop, "cut": loop[:20], "noise": np.random.default_rng(1).bytes(300), "words": b"hello",
             "empty": b"", "nowhere": b"II*\0" + b"\xff" * 4,
             "letters": b"II*\0\x08\0\0\0" + directory({0x0112: (2, 2, 0x4141)}),
             "two": b"II*\0\x08\0\0\0" + directory({0x0112: (3, 2, 0x00060006)})}
    for name, tags in exifs.items():
        # Two orientations may be taken for the first of them, or refused.
        turned = np.asarray(image.transpose(Image.Transpose.ROTATE_270)) if name == "two" else shown
        segment = b"\xff\xe1" + struct.pack(">H", len(tags) + 8) + b"Exif\0\0" + tags
        yield Case(f"exif-{name}.jpg", jpeg[:2] + segment + jpeg[2:], turned, may_refuse=True)
        yield Case(f"exif-{name}.png", with_chunk(file, chunk(b"eXIf", tags)), turned, may_refuse=True)
    profile = chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"?" * 99))
    yield Case("profile.png", with_chunk(file, profile), shown, may_refuse=True)
    xmp = b"<x:xmpmeta><rdf:RDF><rdf:Description tiff:Orientation=\"6\"" + b"<a>" * 20_000
    notes = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    yield Case("xmp.png", with_chunk(file, notes), None, may_refuse=True)
    wrong = bytearray(file)
    wrong[-14] ^= 1  # a checksum
    yield Case("checksum.png", bytes(wrong), shown, may_refuse=True)
    comments = (b"\xff\xfe\xff\xff" + b"c" * 65533) * 100
    yield Case("comments.jpg", jpeg[:2] + comments + jpeg[2:], shown, may_refuse=True)
    yield Case("fill.jpg", jpeg[:2] + b"\xff" * 500_000 + jpeg[2:], shown, may_refuse=True)
    yield Case("twice.jpg", jpeg + jpeg, shown, may_refuse=True)
    yield Case("behind.png", file + b"<?php system($_GET['c']); ?>" * 100, shown, may_refuse=True)


def largest() -> Iterator[Case]:
    "As many pixels as are accepted, in small files of each kind that needs much memory; and a row more."
    width = 4000
    height = MAX_PIXELS // width
    size = (width, height)
    assert height % 100 == 0 and height <= 16383, "strips are of 100 rows, and WebP's sides are of 14 bits"
    for name, depth, colour in (("1-bit", 1, 0), ("grey", 8, 0), ("16-bit-grey", 16, 0), ("colour", 8, 2),
                                ("16-bit-colour", 16, 2), ("clear", 8, 6)):
        expected = np.broadcast_to(np.uint8(255 if name == "clear" else 0), (height, width, 3))
        yield Case(f"largest-{name}.png", png(width, height, None, depth, colour), expected)
    palette = chunk(b"PLTE", bytes(3)) + chunk(b"tRNS", b"\0")
    white, dark = (np.broadcast_to(np.uint8(value), (height, width, 3)) for value in (255, 0))
    yield Case("largest-palette-clear.png", png(width, height, None, 8, 3, palette), white)
    yield Case("largest-and-a-row.png", png(width, height + 1, None, 1, 0), None)
    turned = b"II*\0\x08\0\0\0" + directory({0x0112: (3, 1, 6)})
    across = np.broadcast_to(np.uint8(0), (width, height, 3))
    yield Case("largest-turned.png", png(width, height, None, 8, 2, chunk(b"eXIf", turned)), across)
    yield Case("largest-float.tif", striped(width, height, 32, 3), dark)
    yield Case("largest-turned.tif", striped(width, height, 8, 1, turn=6), across)
    yield Case("largest-16-bit.tif", striped(width, height, 16, 1), dark)
    yield Case("largest.jpg", saved(Image.new("RGB", size), "JPEG"), dark)
    yield Case("largest-progressive.jpg", saved(Image.new("RGB", size), "JPEG", progressive=True), dark)
    yield Case("largest.gif", saved(Image.new("L", size), "GIF"), dark)
    half = saved(Image.new("RGB", (width, height // 2)), "WEBP", lossless=True, method=0, quality=0)
    yield Case("largest.webp", half, dark[:height // 2])


def striped(width: int, height: int, bits: int, kind: int, turn: int = 1) -> bytes:
    "A compressed TIFF file of zeros, all of whose strips are the same bytes."
    rows = 100
    strips = height // rows
    packed = zlib.compress(bytes(width * rows * bits // 8))
    entries = {256: (4, 1, width), 257: (4, 1, height), 258: (3, 1, bits), 259: (3, 1, 8), 262: (3, 1, 1),
               273: (4, strips, 0), 274: (3, 1, turn), 277: (3, 1, 1), 278: (4, 1, rows), 279: (4, strips, 0),
               339: (3, 1, kind)}
    after = 8 + len(directory(entries))
    entries[273], entries[279] = (4, strips, after), (4, strips, after + 4 * strips)
    places = struct.pack(f"<{strips}I", *[after + 8 * strips] * strips)
    lengths = struct.pack(f"<{strips}I", *[len(packed)] * strips)
    return b"II*\0" + struct.pack("<I", 8) + directory(entries) + places + lengths + packed


def arrays() -> dict[str, np.ndarray]:
    "Arrays, as a program would pass them, that are no images."
    nan = np.random.default_rng(0).random((8, 8, 3))
    nan[2, 3, 1] = np.nan
    return {"all nan": np.full((4, 4), np.nan), "one nan": nan, "infinite": np.full((4, 4), np.inf),
            "negative": -np.ones((4, 4)), "complex": np.ones((4, 4), complex), "text": np.array([["a"]]),
            "objects": np.array([[None]]), "no height": np.zeros((0, 4, 3)),
            "two channels": np.zeros((4, 4, 2)),
            "five axes": np.zeros((1, 1, 4, 4, 3)), "times": np.zeros((4, 4), "M8[s]"),
            "scalar": np.array(0.5)}


FAMILIES = (no_images, names, foreign, bombs, busywork, directories, animations, shapes, pixel_types,
            orientations,
            broken_metadata, largest)


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for case in whole():
        (folder / case.name).write_bytes(case.content)


if __name__ == "__main__":
    main()
