"""Training of adapters and small heads from qrels."""
