"""What a user runs: recipes, the command line, and one module per job."""
