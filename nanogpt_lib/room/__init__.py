"""What stands in front of people: curves, boards, playgrounds, and the state of the machine."""
