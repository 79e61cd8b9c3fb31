"""How `python -m tools.bench` measures: places to measure in, one module per section, the page it writes."""
