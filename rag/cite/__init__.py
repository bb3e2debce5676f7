"""Ties the sentences of an answer to the evidence they rest on."""
