"""`parsimony check`: what a run would read and ask, and how answers are read, graded and found; no model is loaded."""
