"""Where things run: the Ray session, replica handles and their replacement, the object store."""
