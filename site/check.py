"""Check a rendered site: dead links and anchors, pictures without alternative text, anything from a third party.

    python site/check.py _docs      a line for each fault; exits 1 if there is one
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.links, self.ids, self.loads, self.faults = [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if given.get("id"):
            self.ids.add(given["id"])
        if tag == "a":
            if given.get("href"):
                self.links.append(given["href"])
            if given.get("name"):
                self.ids.add(given["name"])
        elif tag in ("script", "img", "iframe", "source") and given.get("src"):
            self.loads.append(given["src"])
        elif tag == "link" and given.get("rel") in ("stylesheet", "icon", "preconnect") and given.get("href"):
            self.loads.append(given["href"])
        if tag == "img" and given.get("alt") is None:
            self.faults.append(f"a picture without alternative text: {given.get('src', '')[:60]}")
        if tag == "html" and not given.get("lang"):
            self.faults.append("no lang")


def main(folder: Path) -> int:
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in folder.rglob("*.html")}
    if not pages:
        sys.exit(f"site/check.py: {folder} holds no page")
    faults, links = [], 0
    for path, page in sorted(pages.items()):
        found = list(page.faults)
        for address in page.links + page.loads:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in page.loads and parts.scheme != "data":
                    found.append(f"loads from a third party: {address}")
                continue
            links += 1
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists():
                found.append(f"a dead link: {address}")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                found.append(f"a dead anchor: {address}")
        faults += [f"{path.relative_to(folder.resolve())}: {fault}" for fault in dict.fromkeys(found)]
    print("\n".join([*faults, f"{len(pages)} pages, {links} local links, {len(faults)} faults"]))
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
