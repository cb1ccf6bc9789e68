"""The speedrun: recipes, and what each of their parts is worth."""
