"""The pages are whole, show the figures, load nothing, and no text of a document or a question becomes markup."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from rag.evaluate.charts import COLOURS
from rag.evaluate.explanation import Explanation, LeftOut, Passage, Step
from rag.evaluate.findings import told
from rag.evaluate.html import explanation_page, write_report
from rag.evaluate.report import (
    AskedQuestion,
    Comparison,
    Cost,
    DatasetSummary,
    EvalReport,
    IngestCost,
    Latency,
    Metric,
    MetricResult,
    QuestionRun,
    StageCost,
    SystemResult,
)
from rag.evaluate.style import STYLE
from rag.types import Reuse, Usage

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \ud83d \u202e \x1b[31m ]]> <!-- &lt;"
VOID = {"meta", "br", "col"}


class Page(HTMLParser):
    """A page read as a browser does, which fails where a tag is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.rows: list[list[str]] = []
        self.inside: dict[str, str] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, key, value) for key, value in attributes]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.inside[tag] = self.inside.get(tag, "") + data
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    def row(self, start: str) -> list[str]:
        return next(row for row in self.rows if row[0] == start)

    def values(self, key: str) -> list[str | None]:
        return [value for _, name, value in self.attributes if name == key]


def assert_safe_and_alone(text: str) -> Page:
    """One script and one style sheet, both named by the policy; nothing loaded, nothing that runs, ids unique."""
    read = Page(text)
    text.encode("utf-8")  # no lone surrogate
    assert text.startswith("<!doctype html>")
    assert (read.tags["script"], read.tags["style"], read.tags["img"], read.tags["base"]) == (1, 1, 0, 0)
    (policy,) = [value for _, name, value in read.attributes if name == "content" and value and "default-src" in value]
    for tag in ("script", "style"):
        digest = b64encode(sha256(read.inside[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert {name for _, name, _ in read.attributes} <= KNOWN_ATTRIBUTES
    ids = read.values("id")
    assert len(ids) == len(set(ids))
    for named in read.values("aria-labelledby"):
        assert set((named or "").split()) <= set(ids)
    return read


KNOWN_ATTRIBUTES = set(  # none that loads (src, href), runs (onclick) or styles (style)
    re.findall(
        r"\S+",
        """lang charset http-equiv content name class title scope colspan data-v open id role aria-label aria-labelledby
        aria-hidden viewbox d x y x1 y1 x2 y2 cx cy r width height text-anchor transform""",
    )
)


# ---- an explanation


def passage(name: str, ranks: Sequence[int | None], *, text: str = "Text.", numbers: tuple[int, ...] = ()) -> Passage:
    return Passage(
        chunk_id=f"{name}#0",
        where=f"{name}, line 1",
        label=f"{name}, line 1",
        texts=(text,),
        numbers=numbers,
        ranks=tuple(ranks),
    )


def explanation(*, question: str = "Why?", text: str = "Text.", name: str = "a.md") -> Explanation:
    passages = (passage(name, (1, 2, 1), text=text, numbers=(1,)), passage("b.md", (2, 1, None)))
    left = LeftOut(
        stage="retrieve",
        name="dense",
        instead="",
        ranks={f"{name}#0": (None, 2, None), "b.md#0": (None, 1, 1)},
        standing={},
        characters=5,
        answer=f"Without {text}",
    )
    step = Step(stage="retrieve", name="dense", taken=0, given=2, seconds=0.004, share=0.8, usage=Usage(10, 2, 1))
    return told(
        Explanation(
            question=question,
            queries=(question, f"more {question}"),
            steps=(step, replace(step, name="sparse", seconds=0.001, share=0.2, usage=Usage())),
            columns=("dense", "sparse", "evidence"),
            passages=passages,
            left_out=(left,),
            characters=5,
            answer=f"Because {text}",
        )
    )


def test_a_page_shows_the_ranks_with_and_without_a_stage_and_what_each_cost() -> None:
    read = assert_safe_and_alone(explanation_page(explanation()))
    arrow, dash = "\N{RIGHTWARDS ARROW}", "\N{EN DASH}"
    rows = [row for row in read.rows if row[0] == "[1] a.md, line 1"]
    assert rows == [
        ["[1] a.md, line 1", "1", "2", "1"],
        ["[1] a.md, line 1", f"{dash} {arrow} 1", "2", f"{dash} {arrow} 1"],
    ]
    assert read.row("total")[4] == "5.00"
    costs = [row for row in read.rows if row[0] == "retrieve"]
    assert costs[0] == ["retrieve", "dense", "0", "2", "4.00", "80%", "10", "2", "1"]
    assert "Because Text." in read.inside["blockquote"]
    assert "Without Text." in read.inside["blockquote"]


def test_hostile_questions_chunks_and_names_stay_text() -> None:
    found = explanation(question=HOSTILE, text=HOSTILE, name=HOSTILE)
    read = assert_safe_and_alone(explanation_page(found))
    assert "<script>alert(1)</script>" in read.inside["h1"]
    assert "onerror=alert(2)" in read.inside["blockquote"]
    assert "\u202e" not in read.inside["body"]


def test_a_page_says_what_a_stage_did_not_have_to_read_again() -> None:
    found = explanation()
    first, *others = found.steps
    spared = replace(first.usage, reuse=Reuse(reused=1020, recomputed=681))
    steps = (replace(first, name="attention", usage=spared), *others)
    read = assert_safe_and_alone(explanation_page(replace(found, steps=steps)))
    assert "attention: 1,020 tokens reused, 681 computed" in read.inside["li"]
    assert "tokens reused" not in assert_safe_and_alone(explanation_page(found)).inside["li"]


def test_an_explanation_without_evidence_is_a_page() -> None:
    found = replace(explanation(), passages=(), left_out=(), answer=None)
    assert "There is no evidence" in assert_safe_and_alone(explanation_page(told(found))).inside["li"]


# ---- an evaluation

NDCG = Metric(name="nDCG@10", group="retrieval", meaning="Gain, discounted by rank.")
F1 = Metric(name="F1", group="answers", meaning="Overlap of words.")


def system(name: str, values: Sequence[float | None], *, ms: float = 10.0, yaml: str = "version: 1") -> SystemResult:
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else None
    by_id = {f"q{at}": value for at, value in enumerate(values)}
    latency = Latency(p50_ms=ms, p95_ms=2 * ms, mean_ms=ms, seconds=ms * len(values) / 1000)
    return SystemResult(
        name=name,
        pipeline="hybrid",
        changes=("ask.fuse.use=rrf",),
        yaml=yaml,
        results={
            "nDCG@10": MetricResult(mean=mean, low=0.1, high=0.9, values=by_id),
            "F1": MetricResult(mean=None, values=dict.fromkeys(by_id), failed=2),
        },
        runs=tuple(
            QuestionRun(id=key, milliseconds=ms, failure="boom" if value is None else "")
            for key, value in by_id.items()
        ),
        cost=Cost(
            latency=latency,
            read={"@10": 1520.4},
            stages=(StageCost(at=0, stage="retrieve", use="dense", latency=latency),),
            ingest=IngestCost(
                documents=5, unchanged=1, failed=0, chunks=7, embedded=6, cached=1, seconds=2, bytes=3_100_000
            ),
        ),
    )


def report(*, text: str = "Why?", yaml: str = "version: 1", several: bool = True) -> EvalReport:
    base, other = system("base", (0.25, 0.5, None)), system("other", (1.0, 0.25, 0.5), ms=90.0, yaml=yaml)
    compared = Comparison(
        metric="nDCG@10", baseline="base", system="other", difference=0.25, low=0.1, high=0.4, p=0.0004, p_holm=0.0004,
        p_t=None, effect=0.5, wins=1, losses=1, ties=0,
    )  # fmt: skip
    return EvalReport(
        dataset=DatasetSummary(name="set", path="data", documents=5, questions=3, judged=2, unanswerable=1, unjudged=0),
        questions=tuple(AskedQuestion(id=f"q{at}", text=f"{text} {at}", kind="judged") for at in range(3)),
        metrics=(NDCG, F1),
        systems=(base, other) if several else (base,),
        comparisons=(compared,) if several else (),
        notes=("Judged by nobody.",),
        seed=7,
        made="2026-01-01T00:00:00Z",
        environment={"python": "3.11"},
    )


def test_results_stand_with_their_interval_the_best_bold_and_what_is_significant_marked() -> None:
    text = write_report(report())
    read = assert_safe_and_alone(text)
    assert read.row("nDCG@10")[1:] == ["0.3750.100 to 0.900", "\N{BLACK UP-POINTING TRIANGLE} 0.5830.100 to 0.900"]
    assert "significantly better, adjusted p = < 0.001" in read.values("aria-label")
    assert [key for _, name, key in read.attributes if name == "class" and key and "best" in key] == ["n best"]
    assert read.row("F1")[1:] == ["\N{EN DASH}", "\N{EN DASH}"]
    assert read.row("tokens to read @10")[1:] == ["1,520", "1,520"]
    assert read.row("ms a question, median")[1:] == ["10.0", "90.0"]
    assert read.row("questions that failed")[1:] == ["1", "0"]


def test_every_question_is_in_the_table_with_its_gain_or_that_it_failed() -> None:
    read = assert_safe_and_alone(write_report(report()))
    assert read.row("Why? 0")[1:] == ["0.250", "1.000", "+0.750"]
    assert read.row("Why? 1")[1:] == ["0.500", "0.250", "\N{MINUS SIGN}0.250"]
    assert read.row("Why? 2")[1:] == ["failed", "0.500", "\N{EN DASH}"]


def test_the_plots_of_latency_stages_and_gains_are_there_and_say_each_question_on_hover() -> None:
    read = assert_safe_and_alone(write_report(report()))
    assert read.tags["svg"] == 3
    assert "Why? 0: +0.750" in read.inside["title"]
    assert "base, retrieve: dense: 10 ms (100%)" in read.inside["title"]
    assert "other: 0.583 nDCG@10, 90 milliseconds a question, median" in read.inside["title"]


def test_numbers_sort_by_their_values() -> None:
    read = assert_safe_and_alone(write_report(report()))
    assert {"0.583333", "0.75", "-0.25", ""} <= set(read.values("data-v"))


def test_hostile_questions_and_pipelines_stay_text() -> None:
    read = assert_safe_and_alone(write_report(report(text=HOSTILE, yaml=f"</pre>{HOSTILE}")))
    assert "<script>alert(1)</script>" in read.inside["pre"]


@pytest.mark.parametrize("metrics", [(NDCG, F1), (F1,), ()])
def test_one_pipeline_alone_is_compared_with_nothing(metrics: tuple[Metric, ...]) -> None:
    read = assert_safe_and_alone(write_report(replace(report(several=False), metrics=metrics)))
    assert "Compared" not in read.inside["body"]
    assert not re.search(r"\bnan\b|None", read.inside["body"])


# ---- colours


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2, 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out_from_the_page_in_light_and_in_dark(scheme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)[scheme]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
    assert {f"c{at}" for at in range(COLOURS)} <= set(colours)
    for ground in ("page", "panel"):
        for text in ("ink", "soft", "up", "down"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for at in range(COLOURS):
        assert contrast(colours[f"c{at}"], colours["page"]) >= 3, at


def test_a_pipeline_that_changes_no_question_has_no_plot_of_gains() -> None:
    found = report()
    twin = replace(found.baseline, name="twin")
    read = assert_safe_and_alone(write_report(replace(found, systems=(found.baseline, twin))))
    assert read.tags["svg"] == 2  # latency and stages
    assert "gained and lost" not in read.inside["h3"]


def test_lines_of_evidence_stay_lines() -> None:
    assert re.search(r"blockquote {[^}]*white-space: pre-line", explanation_page(explanation()))
