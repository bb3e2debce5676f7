"""Writes docs/yaml-reference.md from the models: ``python -m rag.cli.reference > docs/yaml-reference.md``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

from pydantic import BaseModel

from rag import registry
from rag.cli.describe import Option, documentation, options
from rag.config.docs import field_docs
from rag.config.spec import Spec
from rag.config.stage import use_of_field
from rag.index.specs import IndexSpec, NgramsSpec
from rag.load.specs import ParseSpec
from rag.pipeline.abstain_spec import AbstainSpec
from rag.pipeline.dynamic_spec import DynamicSpec
from rag.pipeline.spec import AskSpec, IngestSpec, PipelineSpec

HEAD = """\
# The pipeline file

Generated from the models by `python -m rag.cli.reference`; a test keeps it up to date.

```yaml
version: 1                  # of this format
extends: hybrid             # optional: the pipeline under this one, by name or by a path relative to this file
presets: [minilm-int8]      # optional: files from configs/, over what is extended and under this file
llm: null                   # optional: the language model that stages ask
ingest: {}                  # from sources to an index
ask: {}                     # from a question to a cited answer
```

**Names** of pipelines, presets and prompts are looked up in `pipelines/`, `configs/` and `prompts/` of the working
directory first, then among those that ship. A pipeline given as a path ends in `.yaml` or has a slash in it.

**Layers**, lowest first: defaults, what is extended, presets, the file, environment variables
(`RAG__ASK__FUSE__KEEP=5`), then `--set ask.fuse.keep=20`. Mappings merge and lists replace; a mapping with another
`use` drops what lower layers say beside theirs. Single items of a list are changed from outside by their number,
`--set ask.retrieve.0.k=50`. `rag show --resolved --origin` says where each value was written.

**Variables**: `${NAME}` and `${NAME:-default}` in a file are filled in after it was read, so they cannot change its
structure. An unquoted value that is nothing but one variable is read as YAML reads a value, so that `k: ${K}` can be a
number. `$${` is a plain `${`. Secrets are named, not written: `api_key_env: OPENAI_API_KEY`.

**Paths** (`ingest.index.path`, `root`, ...) count from the directory in which `rag` is started, also in a pipeline that
is found by name; only `extends` counts from the file it stands in.

**YAML** is 1.2: `on`, `no` and `12:30` are text, `1e-5` is a number. Equal keys in one mapping and tags are refused; a
file has at most 256 KiB, and 10,000 values with its aliases written out.
"""


def reference() -> str:
    """The whole page, of what ships."""
    head = [HEAD, f"## `llm`\n\n{field_docs(PipelineSpec)['llm']}\n", *_components("llm")]
    return "\n".join([*head, *_section("ingest", IngestSpec), *_section("ask", AskSpec)])


def _section(title: str, section: type[Spec]) -> Iterator[str]:
    yield f"## `{title}`\n"
    for name, field in section.model_fields.items():
        place = f"{title}.{name}"
        use = use_of_field(field)
        shape = " (a list)" if str(field.annotation).startswith("tuple") else ""
        yield f"### `{place}`{shape}\n\n{field_docs(section)[name]}\n"
        if use is not None:
            yield from _components(use.stage)
        elif field.annotation is ParseSpec:
            yield f"{documentation(ParseSpec)}\n\n{_table(options(ParseSpec))}\n"
        elif field.annotation is IndexSpec:
            yield from _parts(place, IndexSpec)
        elif DynamicSpec in get_args(field.annotation):
            yield f"{documentation(DynamicSpec)}\n"
            yield from _parts(place, DynamicSpec)
        elif AbstainSpec in get_args(field.annotation):
            yield f"{documentation(AbstainSpec)}\n\n{_table(_all_options(AbstainSpec))}\n"


def _parts(place: str, section: type[Spec]) -> Iterator[str]:
    """The options of a section within a section, and the components of the stages that have their place in it."""
    yield f"{_table(options(section))}\n"
    for part, field in section.model_fields.items():
        use = use_of_field(field)
        if use is not None and registry.find_stage(use.stage).place == f"{place}.{part}":
            yield f"### `{place}.{part}`\n\n{field_docs(section)[part]}\n"
            yield from _components(use.stage)
            for inner in registry.STAGES.values():
                if inner.place.startswith(f"{place}.{part}."):  # an option of some of these components
                    yield f"### `{inner.place}`\n"
                    yield from _components(inner.name)
        elif NgramsSpec in get_args(field.annotation):
            yield f"### `{place}.{part}`\n\n{documentation(NgramsSpec)}\n\n{_table(options(NgramsSpec))}\n"


def _components(stage: str) -> Iterator[str]:
    names = registry.names(stage, plugins=False)
    if not names:
        yield f"None ships; plug-ins add them in the entry point group `rag.{stage}`.\n"
    for name in names:
        spec = registry.find(stage, name)
        table = _table(_all_options(spec))
        yield f"#### `use: {name}`\n\n{documentation(spec)}\n" + (f"\n{table}\n" if table else "")


def _all_options(spec: type[BaseModel]) -> list[Option]:
    """The options of a spec, each mapping among them followed by its own: ``samples``, ``samples.count``."""
    found: list[Option] = []
    for option in options(spec):
        found.append(option)
        annotation = spec.model_fields[option.name].annotation
        for inner in (annotation, *get_args(annotation)):
            if isinstance(inner, type) and issubclass(inner, Spec) and "use" not in inner.model_fields:
                found += [replace(each, name=f"{option.name}.{each.name}") for each in _all_options(inner)]
    return found


def _table(rows: list[Option]) -> str:
    if not rows:
        return ""
    lines = ["| option | value | default | |", "| --- | --- | --- | --- |"]
    for row in rows:
        default = "**required**" if row.default is None else f"`{row.default}`"
        cells = [f"`{row.name}`", row.values, default, row.doc.replace("\n", " ")]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(reference(), end="")
