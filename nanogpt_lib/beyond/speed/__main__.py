"""`python -m nanogpt_lib.beyond.speed NAME` times a recipe: see `race`."""

from nanogpt_lib.beyond.speed.race import main

if __name__ == "__main__":
    main()
