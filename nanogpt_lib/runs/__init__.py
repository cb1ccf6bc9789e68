"""A training run, from its preset to its folder."""
