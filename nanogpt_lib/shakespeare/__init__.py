"""Where Tiny Shakespeare comes from."""
