"""From a connector's sources to parsed documents."""
