"""Whether to retrieve, before and while an answer is written, and what to ask."""
