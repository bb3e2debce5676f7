"""First-stage retrieval and the fusion of its rankings."""
