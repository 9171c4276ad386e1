"""`parsimony estimate`: pilots that are the beginning of real runs, and what they predict."""
