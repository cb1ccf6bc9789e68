"""The programs that made the recorded runs: `python -m experiments NAME`."""
