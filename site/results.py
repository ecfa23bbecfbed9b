"""Two pages from benchmarks/records: what the recipes reach, and the wrong test answers of the shipped network."""

import html
import json
import math
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORDS = ROOT / "benchmarks" / "records"
WIDTH, HEIGHT, LEFT, BOTTOM = 720, 340, 60, 45


def record(name: str):
    return json.loads((RECORDS / f"{name}.json").read_text(encoding="utf-8"))


def interval(row: dict, test_images: int = 10_000) -> tuple[float, float, str]:
    "Two standard deviations of the runs where there are several, else the sampling error of the test images."
    accuracy, spread, runs = row["test_accuracy"], row["test_accuracy_std"], row["n"]
    if spread:
        return accuracy - 2 * spread, accuracy + 2 * spread, f"± 2 standard deviations of {runs} runs"
    half = 1.96 * math.sqrt(accuracy * (1 - accuracy) / test_images)
    return accuracy - half, accuracy + half, "one run: 95%, from the number of test images alone"


def chart(rows: dict[str, dict], key: str, label: str) -> str:
    "Accuracy against a quantity on a logarithmic axis, as SVG that takes its colour from the page."
    values = [row[key] for row in rows.values()]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    bounds = [edge for row in rows.values() for edge in interval(row)[:2]]
    bottom, top = math.floor(min(bounds) * 20) / 20, math.ceil(max(bounds) * 20) / 20

    def across(value):
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - 90)

    def up(value):
        return HEIGHT - BOTTOM - (value - bottom) / (top - bottom) * (HEIGHT - BOTTOM - 15)

    said = "; ".join(f"{name} {100 * row['test_accuracy']:.2f}%" for name, row in rows.items())
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Test accuracy against {label}: {said}" '
             'style="max-width:100%;color:inherit" fill="currentColor" font-size="13">']
    for step in range(round((top - bottom) * 20) + 1):
        share = bottom + step / 20
        parts.append(f'<path d="M{LEFT} {up(share):.1f}H{WIDTH - 90}" stroke="currentColor" opacity=".2"/>'
                     f'<text x="{LEFT - 8}" y="{up(share) + 4:.1f}" text-anchor="end">{100 * share:.0f}%</text>')
    for power in range(low, high + 1):
        shown = f"{10 ** power:,}" if power < 5 else f"10^{power}"
        parts.append(f'<text x="{across(10 ** power):.1f}" y="{HEIGHT - 25}" text-anchor="middle">{shown}</text>')
    parts.append(f'<text x="{(LEFT + WIDTH - 90) / 2}" y="{HEIGHT - 5}" text-anchor="middle">{label}</text>')
    for name, row in rows.items():
        x, (worst, best, _) = across(row[key]), interval(row)
        parts.append(f'<path d="M{x:.1f} {up(worst):.1f}V{up(best):.1f}" stroke="currentColor" stroke-width="2"/>'
                     f'<circle cx="{x:.1f}" cy="{up(row["test_accuracy"]):.1f}" r="5"/>'
                     f'<text x="{x + 9:.1f}" y="{up(row["test_accuracy"]) + 4:.1f}">{html.escape(name)}</text>')
    return "".join([*parts, "</svg>"])


def write_results(folder: Path) -> None:
    "Write results.qmd."
    rows = {name: row for name, row in record("recipes").items() if row["recipe"]["data"] == "cifar10"
            and len(row["recipe"].get("classes", [])) == 0 and name not in ("cats_vs_dogs", "fast-fp32")}
    rows = dict(sorted(rows.items(), key=lambda item: item[1]["seconds"]))
    lines = ["| recipe | seconds | million multiply-adds an image | test accuracy | interval | runs | machine |",
             "| --- | --: | --: | --: | --- | --: | --- |"]
    for name, row in rows.items():
        worst, best, meaning = interval(row)
        machine = f"{row['machine']['processor']}, {row['machine']['threads']} threads"
        lines.append(f"| {name} | {row['seconds']:,.0f} | {row['multiply_adds'] / 1e6:,.0f} "
                     f"| {100 * row['test_accuracy']:.2f}% | {100 * worst:.2f}%–{100 * best:.2f}%, {meaning} "
                     f"| {row['n']} | {machine} |")
    seconds, work = chart(rows, "seconds", "seconds of training"), chart(rows, "multiply_adds", "multiply-adds an image")
    text = ["---", "title: Results", "description: What each recipe reaches on CIFAR-10, and what it costs.", "---", "",
            "Each point is a recipe, each line its interval. The figures stand in `benchmarks/records/recipes.json`.", "",
            "## Against seconds", "", "```{=html}", seconds, "```", "",
            "## Against arithmetic", "", "```{=html}", work, "```", "", "## The figures", "", *lines, ""]
    (folder / "results.qmd").write_text("\n".join(text), encoding="utf-8")


def write_mistakes(folder: Path) -> None:
    "Write mistakes.qmd, a sprite and a JSON file, where CIFAR-10 is here already or may be fetched."
    import numpy as np
    import torch
    from PIL import Image

    from cifar_cnn.images.load import load_data
    from cifar_cnn.predictor import Predictor

    predictor, test = Predictor(), load_data("cifar10").test
    with torch.no_grad():
        parts = [predictor.engine(test.images[at:at + 500])[0] for at in range(0, len(test.images), 500)]
    shares = torch.cat([torch.as_tensor(part) for part in parts])
    confidence, said = shares.max(1)
    wrong = [at for at in confidence.argsort(descending=True).tolist() if said[at] != test.labels[at]]
    columns = 40
    sprite = np.zeros((-(-len(wrong) // columns) * 32, columns * 32, 3), np.uint8)
    for place, at in enumerate(wrong):
        row, column = divmod(place, columns)
        sprite[row * 32:row * 32 + 32, column * 32:column * 32 + 32] = test.images[at].permute(1, 2, 0).numpy()
    (folder / "mistakes").mkdir(exist_ok=True)
    Image.fromarray(sprite).save(folder / "mistakes" / "sprite.webp", lossless=True)
    facts = {"classes": list(predictor.classes), "columns": columns, "images": len(test.images),
             "wrong": [[at, int(test.labels[at]), int(said[at]), round(float(confidence[at]), 4)] for at in wrong]}
    (folder / "mistakes" / "mistakes.json").write_text(json.dumps(facts), encoding="utf-8")
    text = (Path(__file__).parent / "mistakes.html").read_text(encoding="utf-8")
    head = ("---\ntitle: Gallery of mistakes\ndescription: Every test image that the shipped network gets wrong, the most "
            f"confident first.\n---\n\n{len(wrong):,} of {len(test.images):,} test images of CIFAR-10.\n\n")
    (folder / "mistakes.qmd").write_text(f"{head}```{{=html}}\n{text}```\n", encoding="utf-8")
