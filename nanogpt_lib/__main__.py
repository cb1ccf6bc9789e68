"""`python -m nanogpt_lib COMMAND` is `nanogpt COMMAND`."""

from nanogpt_lib.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
