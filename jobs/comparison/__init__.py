"""`parsimony compare` and paired runs: settings on the same problems and, where they can, the same samples."""
