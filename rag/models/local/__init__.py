"""Causal language models of transformers, run in this program: text, log-probabilities, attention."""
