"""The command `rag`, which is also ``python -m rag``."""

import sys


def main() -> None:
    """Run the command line. Ctrl-C ends it in the same way while its modules are loaded as later."""
    try:
        from rag.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
