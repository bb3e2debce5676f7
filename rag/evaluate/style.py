"""The one style sheet of the reports: restrained, numbers in columns, the reader's light or dark."""

from __future__ import annotations

from rag.evaluate.charts import COLOURS
from rag.evaluate.markup import Markup

STYLE = Markup(
    """
:root {
  color-scheme: light dark;
  --page: #fdfdfc; --panel: #f5f4f1; --ink: #1d1f21; --soft: #5c6066; --line: #dcdad5;
  --up: #2c6e49; --down: #a63d2f;
  --c0: #2f5f93; --c1: #b4571f; --c2: #3f7a4c; --c3: #84569a; --c4: #8f7113; --c5: #2d7f83;
  --c6: #ac4468; --c7: #6d6f75;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181b; --panel: #1f2226; --ink: #e6e4df; --soft: #a2a6ad; --line: #363a40;
    --up: #7fc79b; --down: #e8907f;
    --c0: #7db1e3; --c1: #e39a68; --c2: #8cc798; --c3: #c6a0d8; --c4: #d6bb5c; --c5: #6fc3c6;
    --c6: #e58dab; --c7: #a9abb1;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 2.5rem 1.5rem 5rem; max-width: 66rem; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: break-word;
}
h1 { font-size: 1.7rem; line-height: 1.25; font-weight: 650; margin: 0 0 .4rem; text-wrap: balance; }
h2 { font-size: 1.15rem; font-weight: 650; margin: 2.8rem 0 .6rem; }
h3 { font-size: 1rem; font-weight: 600; margin: 1.8rem 0 .3rem; }
p, ul, ol { margin: .4rem 0; max-width: 46rem; }
ul, ol { padding-left: 1.2rem; }
a { color: var(--c0); }
code, pre { font: .88em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
code { background: var(--panel); padding: .08em .32em; border-radius: 3px; }
pre { background: var(--panel); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; }
.soft, caption, .note { color: var(--soft); }
.note, caption { font-size: .86rem; }
.up { color: var(--up); } .down { color: var(--down); }
.best { font-weight: 650; }
bdi { unicode-bidi: isolate; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums lining-nums; min-width: 30rem; }
caption { text-align: left; padding: 0 0 .4rem; max-width: 46rem; }
th, td { padding: .34rem .7rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 0; }
thead th { font-weight: 600; color: var(--soft); vertical-align: bottom; border-bottom-color: var(--soft); }
tbody th { font-weight: 400; }
th.n, td.n { text-align: right; white-space: nowrap; }
td .ci { display: block; font-size: .8rem; font-weight: 400; color: var(--soft); }
tr.group th { padding-top: 1rem; font-weight: 600; color: var(--soft); border-bottom: 0; }
tr.total td, tr.total th { font-weight: 600; border-bottom: 0; }
tbody tr:hover td, tbody tr:hover th { background: var(--panel); }
tr.off { color: var(--soft); }
th button { all: unset; cursor: pointer; }
th button:focus-visible, summary:focus-visible { outline: 2px solid var(--c0); outline-offset: 2px; }
th[aria-sort=ascending] button::after { content: " \\2191"; }
th[aria-sort=descending] button::after { content: " \\2193"; }
details { margin: .5rem 0; } summary { cursor: pointer; }
blockquote { margin: .5rem 0; padding: .1rem 0 .1rem 1rem; border-left: 3px solid var(--line); max-width: 46rem;
  white-space: pre-line; }
figure { margin: 1rem 0; overflow-x: auto; } figcaption { font-size: .86rem; color: var(--soft); max-width: 46rem; }
svg { display: block; width: 100%; max-width: 760px; height: auto; overflow: visible; }
svg { font-variant-numeric: tabular-nums; min-width: 32rem; }
svg text { fill: var(--soft); font-size: 12px; } svg .label { fill: var(--ink); } svg .value { fill: var(--ink); }
.grid { stroke: var(--line); } .zero { stroke: var(--soft); }
.gain { fill: var(--up); } .loss { fill: var(--down); }
.whisker { stroke-width: 1.5; opacity: .65; } .part { stroke: var(--page); stroke-width: 1; }
.way { fill: none; stroke-width: 2.5; } .weak { opacity: .38; } .weak .way { stroke-width: 1.5; stroke-dasharray: 4 3; }
svg g:hover { opacity: 1; } svg rect:hover { opacity: .75; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; font-size: .86rem; }
.swatch { display: inline-block; width: .7em; height: .7em; margin-right: .4em; border-radius: 2px; }
@media print { body { max-width: none; padding: 0; } details > * { display: block; } }
"""
    + "\n".join(
        f".f{at} {{ fill: var(--c{at}); }} .s{at} {{ stroke: var(--c{at}); }} .b{at} {{ background: var(--c{at}); }}"
        for at in range(COLOURS)
    )
    + "\n"
)
