"""The `rag` command."""


def main() -> None:
    raise SystemExit("under construction")
