"""`parsimony export`: finished paths as training data in the layouts that trainers read."""
