"""`rag reward`"""

from __future__ import annotations

from typing import Annotated

import typer

from rag.cli.options import PipelineOption, SetOption
from rag.cli.places import default_pipeline


def reward(
    choice: Annotated[int, typer.Argument(help="The number that the trace notes as `choice`.")],
    value: Annotated[float, typer.Argument(help="How well it did, from 0 to 1.")],
    pipeline: PipelineOption = None,
    set_: SetOption = None,
) -> None:
    """Tell the query transform `bandit` how well one of its choices did, so that the next ones are better."""
    from rag.errors import ConfigError
    from rag.pipeline.spec import load_spec
    from rag.query.specs import BanditSpec

    loaded = load_spec(pipeline or default_pipeline(), overrides=set_ or ())
    specs = [spec for spec in loaded.spec.ask.transform if isinstance(spec, BanditSpec)]
    if len(specs) != 1:
        raise ConfigError(f"ask.transform: expected one `bandit`, found {len(specs)}")
    arm = specs[0].stored().reward(choice, value)
    typer.echo(f"{arm}: {value}")
