"""What stands between an idea and a computer."""
