"""Texts of any size: read in blocks, written as files of tokens, and mapped instead of loaded."""
