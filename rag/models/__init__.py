"""Clients of language models that several stages share."""
