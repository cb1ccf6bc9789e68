"""The same GPT with improvements found since GPT-2: read it beside `model.py`."""
