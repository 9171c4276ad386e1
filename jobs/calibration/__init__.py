"""`parsimony calibrate`: from rollouts to a PRM with honest probabilities, and a table that says how honest."""
