"""A run's folder: which files it has, who may add to it, and what a reader sees of it.

Owns the names of section 6 of the design: manifest, epochs, commits, checkpoints, parts. A reader sees what commits
name and nothing else; a commit is created once, never changed, and void when a later epoch went before it. Stores are
behind seven verbs (`store`); `cluster` has the local disk and S3.
"""
