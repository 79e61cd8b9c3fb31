"""How `python -m tools.images` builds: engines, Debian roots, the host's own settings, delivery."""
