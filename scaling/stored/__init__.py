"""Strategies played again on what runs have stored: samples, trees, training examples.

Nothing is sampled and nothing guessed: what a strategy asks for beyond the stored tree ends its replay as unknown.
"""
