"""The expand stage: widens ranked chunks to more of their documents."""
