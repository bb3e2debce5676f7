"""RAG pipelines you can read, measure and trust."""
