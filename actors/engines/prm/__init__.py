"""Process reward models as folders: which families are known, their heads, reading, writing and importing them.

One format for training and for search; public checkpoints are read as they are published.
"""
