"""A run beside others, where its user keeps them: Weights & Biases, MLflow, TensorBoard.

Each is a few lines on the library's own client. What one of them does, or fails to do, costs the run nothing: it is
told from a thread of its own, a failure is a warning, and the run folder has everything without it.
"""
