"""What teaches: exercises, the curve clinic, and the search for copied lines."""
