"""What is shown by a browser: the page of a model, and who looks at whom."""
