"""Build the documentation: nbdev processes the notebooks, this adds what only a site has, Quarto renders it.

    python site/build.py             _docs/, as it is published; needs Quarto and `npm ci --prefix site`
    python site/build.py --stand-in  _docs/ by pandoc, to look at where there is no Quarto: no search, no theme
    python site/build.py --prepare   only _proc/, what Quarto would render

What a chapter exports is shown; what a reference notebook exports can be unfolded under its signature. The
predictor takes the place of the raw cells that hold `try-here`. The pages of mistakes and results come from
benchmarks/records.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SITE = Path(__file__).resolve().parent
ROOT = SITE.parent
PROC, DOCS = ROOT / "_proc", ROOT / "_docs"
RUNTIME = SITE / "node_modules" / "onnxruntime-web" / "dist"
EXPORT = re.compile(r"\A((?:\s*#\s*\|.*\n)*?\s*#\s*\|\s*)export(?=\s*\n)")


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write(path: Path, notebook: dict) -> None:
    path.write_text(json.dumps(notebook, ensure_ascii=False), encoding="utf-8")


def shown(notebook: dict) -> dict:
    "The notebook with `#| exports` for `#| export`: nbdev then puts the source below the signature."
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"] = EXPORT.sub(r"\1exports", "".join(cell["source"]))
    return notebook


def process() -> None:
    "Let nbdev process a copy of the notebooks in which exported code is shown."
    from nbdev.quarto import refresh_quarto_yml
    from nbdev.serve import proc_nbs

    refresh_quarto_yml()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "nbs"
        shutil.copytree(ROOT / "nbs", copy, ignore=shutil.ignore_patterns(".*"))
        for path in copy.rglob("*.ipynb"):
            write(path, shown(read(path)))
        proc_nbs(path=str(copy), force=True, n_workers=min(2, os.cpu_count() or 1))
    for path in (PROC / "reference").rglob("*.ipynb"):
        notebook = read(path)
        for cell in notebook["cells"]:
            text = "".join(cell["source"]).replace("#| code-fold: show", "#| code-fold: true")
            cell["source"] = text
        write(path, notebook)


def add_predictor() -> None:
    "Write the page's folder, and the page into the cells that wait for it."
    from cifar_cnn.pages.browser import export_web, web_fragment

    export_web(None, PROC / "try", RUNTIME if RUNTIME.is_dir() else None)
    fragment = f"```{{=html}}\n{web_fragment(PROC / 'try', 'try')}\n```\n"
    for path in PROC.glob("*.ipynb"):
        notebook = read(path)
        waiting = [cell for cell in notebook["cells"]
                   if cell["cell_type"] == "raw" and 'class="try-here"' in "".join(cell["source"])]
        for cell in waiting:
            cell["source"] = fragment
        if waiting:
            write(path, notebook)


def drop_third_parties() -> None:
    "Remove the scripts that Quarto loads from elsewhere on pages with tables or widgets; nothing here needs them."
    remote = re.compile(r"<script[^>]*src=\"https?://[^>]*></script>|<script[^>]*>\s*define\('jquery'.*?</script>", re.DOTALL)
    for path in DOCS.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        path.write_text(remote.sub("", text), encoding="utf-8")


def render(stand_in: bool) -> None:
    shutil.rmtree(DOCS, ignore_errors=True)
    if stand_in:
        from standin import render_all
        render_all(PROC, DOCS)
    else:
        subprocess.run(["quarto", "render", "--no-cache"], cwd=PROC, check=True)
        shutil.move(PROC / DOCS.name, DOCS)
        drop_third_parties()
    shutil.copytree(PROC / "try", DOCS / "try", dirs_exist_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prepare", action="store_true", help="stop before rendering")
    parser.add_argument("--stand-in", action="store_true", help="render with pandoc")
    options = parser.parse_args()
    if not (options.prepare or options.stand_in or shutil.which("quarto")):
        sys.exit("site/build.py: no quarto here: install it (docs.yaml names the version), or --stand-in")
    process()
    from results import write_mistakes, write_results
    write_results(PROC)
    write_mistakes(PROC)
    if not options.prepare:
        add_predictor()
        render(options.stand_in)


if __name__ == "__main__":
    main()
