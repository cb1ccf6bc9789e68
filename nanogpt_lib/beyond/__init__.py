"""What comes after the base model: notebooks 07 to 10."""
