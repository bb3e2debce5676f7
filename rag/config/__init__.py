"""Reads pipeline files: YAML with positions, layers with origins, one message for each problem."""
