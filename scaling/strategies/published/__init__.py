"""Strategies that others have published, to compare with: one a file, as their papers or code have them.

Where one differs from its source, its docstring and docs/rival-strategies.md say how.
"""
