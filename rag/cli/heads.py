"""``rag heads``: attention heads of a local language model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from rag.cli.options import JsonOption, note

if TYPE_CHECKING:
    from rag.models.attention_heads import DetectedHeads
    from rag.train.head_trials import Trial

heads = typer.Typer(name="heads", help="Attention heads of a local language model.", no_args_is_help=True)


@heads.callback()
def _heads() -> None:
    pass


@heads.command()
def detect(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A folder, or a name on the Hugging Face hub.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The .json file to make.")],
    method: Annotated[
        Literal["ndcg", "mass", "copy"],
        typer.Option(
            "--method",
            help="What makes a head good: how well it alone ranks (ndcg), how much more it attends to what is relevant "
            "(mass), or that it looks at what is being copied (copy).",
        ),
    ] = "ndcg",
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="FILE|FOLDER",
            help="JSONL of question, passages and gold, or a folder in BEIR's layout. Default: made-up needles.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Questions.")] = 64,
    passages: Annotated[int, typer.Option("--passages", min=2, help="Passages a question, where they are drawn.")] = 20,
    best: Annotated[int, typer.Option("--best", min=1, help="How many heads to print.")] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Decides every draw.")] = 0,
    revision: Annotated[str | None, typer.Option("--revision", help="A commit or tag of the hub's repository.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu, cuda, mps. Default: the best there is.")] = None,
    allow_download: Annotated[
        bool, typer.Option("--allow-download", help="Fetch missing weights from the Hugging Face hub.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Find the heads that retrieve, for `heads:` of the reranker `attention`.

    The file names the model's weights and is refused for any others.
    """
    from rag.cli.render import to_json
    from rag.errors import ConfigError
    from rag.library import read
    from rag.models.attention_prompt import FIELDS
    from rag.models.local_specs import TransformersModelSpec
    from rag.models.template import Template
    from rag.train.attention_heads import detect_heads

    if out.suffix != ".json":
        raise ConfigError(f"--out {out}: expected a name that ends in .json")
    spec = TransformersModelSpec(model=model, revision=revision, device=device, allow_download=allow_download)
    missing = spec.missing()
    if missing is not None:
        raise ConfigError(missing)
    given = _trials(data, count=trials, passages=passages, seed=seed)
    opened = spec.build()
    try:
        found = detect_heads(
            opened,
            given,
            method=method,
            data=Path(data).name if data else f"made-up needles, seed {seed}",
            template=Template.parse(read("prompts", "attend"), name="attend", fields=FIELDS),
            progress=lambda done: note(f"{done} of {len(given)} questions") if done % 8 == 0 else None,
        )
    finally:
        opened.close()
    found.save(out)
    typer.echo(to_json(found) if json else _summary(found, best, out))


def _trials(data: str | None, *, count: int, passages: int, seed: int) -> list[Trial]:
    from rag.train.head_trials import synthetic_trials, trials_from_file, trials_of_dataset

    if data is None:
        return synthetic_trials(count, passages=passages, seed=seed)
    if Path(data).is_file():
        return trials_from_file(Path(data), count=count)
    from rag.evaluate.datasets import load_dataset

    return trials_of_dataset(load_dataset(data), count=count, passages=passages, seed=seed)


def _summary(found: DetectedHeads, best: int, out: Path) -> str:
    lines = [f"{found.anatomy}, {found.method} over {found.trials} questions ({found.data})"]
    lines += [f"{score:8.4f}  {head}" for head, score in found.scores[:best]]
    lines.append(f"{out} written; use it with --set ask.rerank.0.heads={out}")
    return "\n".join(lines)
