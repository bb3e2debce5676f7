"""How a check says what was broken."""

from __future__ import annotations


def expect(holds: bool, otherwise: str) -> None:
    """Raises `AssertionError` with `otherwise` where something does not hold; unlike ``assert``, under ``-O`` too."""
    if not holds:
        raise AssertionError(otherwise)
