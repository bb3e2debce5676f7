"""Trained heads that ship, found by name, each with a card that says what it was trained and judged on."""
