"""A stand-in for Quarto where there is none: enough HTML by pandoc to look at pages and to check them.

What it leaves out: Quarto's theme, search, navigation beside the page, callouts and cross references.
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

DIRECTIVE = re.compile(r"^#\|\s*([\w-]+):\s*(.*)$")
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{title}</title><link rel="icon" href="{root}images/favicon.svg">
<link rel="stylesheet" href="{root}styles.css"><style>
body {{ font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 1300px; display: flex; flex-wrap: wrap; gap: 2rem; padding: 1rem }}
nav {{ flex: 0 1 14rem; font-size: .9rem }} main {{ flex: 1 1 20rem; min-width: 0; max-width: 960px }}
pre, table {{ overflow-x: auto; max-width: 100% }} table {{ display: block }} main img {{ max-width: 100% }}
nav a, nav summary {{ display: block }}
</style></head><body><nav aria-label="pages">{nav}</nav>
<main><h1>{title}</h1><p>{description}</p>{body}</main></body></html>
"""


def pandoc() -> str:
    found = shutil.which("pandoc")
    if found is None:
        try:
            import pypandoc
            found = pypandoc.get_pandoc_path()
        except (ImportError, OSError):
            sys.exit("site/standin.py: install pandoc (Debian: apt-get install pandoc; or pip install pypandoc-binary)")
    return found


def to_html(markdown: str) -> str:
    command = [pandoc(), "-f", "markdown+autolink_bare_uris-implicit_figures", "-t", "html", "--mathml", "--wrap=none"]
    return subprocess.run(command, input=markdown, capture_output=True, text=True, check=True).stdout


def split(source: str) -> tuple[dict, str]:
    "A code cell's options and the rest of it."
    options, lines = {}, source.splitlines()
    while lines and (found := DIRECTIVE.match(lines[0])):
        options[found[1]] = found[2].strip().strip("\"'")
        lines.pop(0)
    return options, "\n".join(lines).strip()


def fenced(text: str, kind: str = "") -> str:
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", text)), default=0))
    return f"{ticks}{kind}\n{text.rstrip()}\n{ticks}"


def raw(text: str) -> str:
    return fenced(text, "{=html}")


def output(one: dict, options: dict, save) -> str:
    "An output as Markdown; `save` takes a PNG and returns its address."
    data = {kind: "".join(value) if isinstance(value, list) else value for kind, value in one.get("data", {}).items()}
    if "image/png" in data:
        caption = html.escape(options.get("fig-cap", ""), quote=True)
        alt = html.escape(options.get("fig-alt", ""), quote=True)
        image = f'<img src="{save(data["image/png"])}" alt="{alt}">'
        return raw(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
    if "text/markdown" in data:
        return data["text/markdown"]
    if "text/html" in data:
        return raw(data["text/html"])
    text = data.get("text/plain", "".join(one.get("text", "")))
    if options.get("output") == "asis":
        return text
    return f"::: cell-output\n{fenced(text)}\n:::" if text.strip() else ""


def cell_text(cell: dict, save) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] != "code":
        return "" if cell["cell_type"] == "raw" and source.startswith("---") else source
    options, code = split(source)
    if options.get("include") == "false":
        return ""
    shown = "" if options.get("echo") == "false" or not code else fenced(code, "python")
    if shown and "code-fold" in options:
        state, name = " open" if options["code-fold"] == "show" else "", options.get("code-summary", "Code")
        shown = f"{raw(f'<details{state}><summary>{name}</summary>')}\n\n{shown}\n\n{raw('</details>')}"
    outputs = [] if options.get("output") == "false" else cell.get("outputs", [])
    return "\n\n".join([shown, *(output(one, options, save) for one in outputs)])


def markdown_of(path: Path, target: Path) -> tuple[dict, str]:
    "A page's front matter and its Markdown; pictures are written beside it."
    if path.suffix == ".qmd":
        _, head, text = path.read_text(encoding="utf-8").split("---\n", 2)
        return yaml.safe_load(head), text
    notebook, facts, count = json.loads(path.read_text(encoding="utf-8")), {}, 0

    def save(png: str) -> str:
        import base64
        nonlocal count
        count += 1
        folder = target.with_name(target.stem + "_files")
        folder.mkdir(exist_ok=True)
        (folder / f"{count}.png").write_bytes(base64.b64decode(png))
        return f"{folder.name}/{count}.png"

    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "raw" and source.startswith("---"):
            facts = yaml.safe_load(source.split("---")[1])
    return facts, "\n\n".join(cell_text(cell, save) for cell in notebook["cells"])


def name_of(path: Path, facts: dict) -> str:
    return facts.get("output-file", path.with_suffix(".html").name)


def navigation(entries: list, places: dict[str, str], titles: dict[str, str], root: str) -> str:
    parts = []
    for entry in entries:
        if isinstance(entry, dict) and "section" in entry:
            inside = navigation(entry["contents"], places, titles, root)
            parts.append(f"<details open><summary>{entry['section']}</summary>{inside}</details>")
            continue
        href = entry if isinstance(entry, str) else entry["href"]
        text = titles[href] if isinstance(entry, str) else entry["text"]
        parts.append(f'<a href="{root}{places[href]}">{html.escape(text)}</a>')
    return "".join(parts)


def render_all(source: Path, docs: Path) -> None:
    config = yaml.safe_load((source / "_quarto.yml").read_text(encoding="utf-8"))
    shutil.copytree(source, docs, ignore=shutil.ignore_patterns("*.ipynb", "*.qmd", "*.yml", "try"))
    pages, places, titles = {}, {}, {}
    for path in sorted([*source.rglob("*.ipynb"), *source.rglob("*.qmd")]):
        key = path.relative_to(source).as_posix()
        facts, text = markdown_of(path, docs / key)
        place = Path(key).with_name(name_of(path, facts)).as_posix()
        pages[key], places[key], titles[key] = (facts, text), place, facts.get("title", key)
    for key, (facts, text) in pages.items():
        here, root = Path(places[key]).parent, "../" * (len(Path(places[key]).parts) - 1)

        def relink(found):
            wanted = os.path.normpath(Path(key).parent / found[2])
            if wanted not in places:
                return found[0]
            return f'{found[1]}="{os.path.relpath(places[wanted], here)}{found[3] or ""}"'

        body = re.sub(r'(href)="([^":]+?\.(?:ipynb|qmd))(#[^"]*)?"', relink, to_html(text))
        nav = navigation(config["website"]["sidebar"]["contents"], places, titles, root)
        page = PAGE.format(title=html.escape(str(facts.get("title", ""))), root=root, nav=nav, body=body,
                           description=html.escape(str(facts.get("description", ""))))
        (docs / places[key]).write_text(page, encoding="utf-8")
