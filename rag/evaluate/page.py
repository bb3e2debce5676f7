"""The shell of a report: one file that opens offline, in the reader's light or dark, and runs no script but its own.

The page forbids itself everything but its one style sheet and one script, named by their hashes: a browser would not
run, load or style anything that a document smuggled in, even if escaping failed.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from rag.evaluate.markup import Markup, element, joined
from rag.evaluate.style import STYLE

# Makes the headings of a sortable table into buttons, so that without scripts there is no button that does nothing.
SCRIPT = Markup("""
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      const value = row => { const cell = row.cells[column], v = cell.dataset.v;
        return v === undefined ? cell.textContent : v === "" ? -Infinity : Number(v); };
      const order = (a, b) => typeof a === "string" ? -a.localeCompare(b) : a < b ? -1 : a > b ? 1 : 0;
      const rows = [...body.rows].map(row => [value(row), row]);
      rows.sort((a, b) => down ? order(b[0], a[0]) : order(a[0], b[0]));
      body.append(...rows.map(pair => pair[1]));
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
    };
  });
}
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A column of a table; `numeric` ones are aligned right. `hint` is shown on hover."""

    name: str
    numeric: bool = True
    hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell; `value` is what sorting goes by where that is not its text."""

    shown: str
    value: float | None = None
    kind: str = ""


def page(title: str, *body: str, note: str) -> Markup:
    """The whole file: `title` is shown by the browser alone, `note` at the end of the page."""
    style, script = element("style", STYLE), element("script", SCRIPT)
    own = f"style-src '{_hash(STYLE)}'; script-src '{_hash(SCRIPT)}'"
    policy = f"default-src 'none'; {own}; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        style,
    )
    content = element("main", *body)
    footer = element("p", note, class_="note")
    return joined(
        Markup("<!doctype html>\n"),
        element("html", head, element("body", content, footer, script), lang="en"),
        Markup("\n"),
    )


def table(heads: Sequence[Head], rows: Sequence[Markup], *, caption: str = "", sortable: bool = False) -> Markup:
    """A table of rows made by `row`; `sortable` by its columns where scripts run, else in the order given."""
    columns = [
        element("th", head.name, scope="col", class_="n" if head.numeric else None, title=head.hint or None)
        for head in heads
    ]
    parts = [element("caption", caption)] if caption else []
    parts += [element("thead", element("tr", *columns)), element("tbody", *rows)]
    return element("div", element("table", *parts, class_="sortable" if sortable else None), class_="wide")


def row(heads: Sequence[Head], cells: Sequence[str | Cell], *, kind: str = "") -> Markup:
    """A row, its first cell the heading of the row."""
    return element("tr", *map(_cell, range(len(heads)), heads, cells), class_=kind or None)


def _cell(at: int, head: Head, given: str | Cell) -> Markup:
    cell = given if isinstance(given, Cell) else Cell(shown=given)
    kinds = " ".join(part for part in ("n" if head.numeric else "", cell.kind) if part) or None
    if at == 0:
        return element("th", cell.shown, scope="row", class_=kinds)
    value = "" if cell.value is None else f"{cell.value:.6g}"  # the empty text sorts under every number
    return element("td", cell.shown, class_=kinds, data_v=value if head.numeric else None)


def group(name: str, columns: int) -> Markup:
    """A row that names those under it."""
    return element("tr", element("th", name, scope="rowgroup", colspan=columns), class_="group")


def prose(text: str) -> Markup:
    """A sentence in which names stand between backticks, as markup."""
    return joined(*(element("code", part) if at % 2 else part for at, part in enumerate(text.split("`"))))


def quoted(text: str) -> Markup:
    """Words of a document or a question, kept apart from the page's own where they run from right to left."""
    return element("bdi", text)


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
