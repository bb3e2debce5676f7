"""Have the language model say what to search for."""

from __future__ import annotations

from collections.abc import Sequence

from rag.errors import BackendError
from rag.text.markers import unmarked
from rag.trigger.asking import Asker
from rag.trigger.base import Decision, Finished, Moment, Written
from rag.types import Meta, Query

LONGEST_CHARACTERS = 400
"""A longer reply is no search query."""


class LlmAsked:
    """One query a round, worded by the model from the question, what is written and the sentence in doubt.

    With a draft in doubt it is what FLARE (arXiv 2305.06983) does by a question about each span; before anything is
    written it is the rewriting of CRAG (arXiv 2401.15884).

    Raises:
        BackendError: also where the reply is no query.
    """

    def __init__(self, asker: Asker) -> None:
        self.asker = asker

    def build(self, moment: Moment, decision: Decision) -> Sequence[Query]:
        return self.build_counted(moment, decision)[0]

    def build_counted(self, moment: Moment, decision: Decision) -> tuple[Sequence[Query], Meta]:
        draft = moment.draft if isinstance(moment, Written | Finished) else ""
        sentence = moment.sentence if isinstance(moment, Written) else ""
        values = {
            "question": moment.query.text,
            "draft": unmarked(draft).strip(),
            "sentence": unmarked(sentence).strip(),
        }
        told = self.asker.ask([values])
        (reply,) = told.replies
        text = reply.get("query") if reply else None
        if not isinstance(text, str) or not text.strip() or len(text) > LONGEST_CHARACTERS:
            raise BackendError("the language model gave no query to search with")
        return [moment.query.rephrased(" ".join(text.split()))], told.notes()
