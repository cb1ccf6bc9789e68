"""What people see: curves, boards, playgrounds, and the state of the machine."""
