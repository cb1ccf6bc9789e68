"""The same GPT with what was learnt since GPT-2: read it beside `model.py`."""
