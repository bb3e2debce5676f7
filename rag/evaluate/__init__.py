"""Measuring pipelines: datasets, metrics, paired comparison, cost."""
