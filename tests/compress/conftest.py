from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from rag.testing import Sample, sample

TEXTS: Mapping[str, str] = {
    "zoo.md": "The zoo opens at nine. Dogs must stay outside. Tickets cost eight euros. Children pay half.",
    "farm.md": "Dogs bark at night. Cows sleep.\n\nThe farm sells milk. Dogs guard it.",
    "emoji.md": "🐕‍🦺 Dogs work. E\u0301tudes of dogs. 狗叫。猫睡。",
}


@pytest.fixture(scope="session")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("compress"), TEXTS) as made:
        yield made
