"""Counts of phrases over the ingested documents: suffix arrays over words, in files derived from the index."""
