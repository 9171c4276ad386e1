"""`parsimony replay`: settings decided again on a stored run, problem by problem, and summed up."""
