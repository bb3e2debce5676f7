"""Which tokens of spliced chunks are computed again; one policy a file."""
