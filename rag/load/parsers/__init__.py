"""One file a format: bytes in, text with structure out."""
