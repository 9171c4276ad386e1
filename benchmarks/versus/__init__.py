"""Parsimony beside what a user would pick instead: the same weights, engine arguments, prompts and problems.

See `benchmarks.versus.__main__` for the command and for what is held equal.
"""
