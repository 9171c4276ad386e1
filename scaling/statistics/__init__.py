"""How sure a measured figure is, and which of two is better.

Accuracy intervals, paired tests, bootstraps over problems (rows of one problem are drawn together), risk against
coverage, settings beside each other. Unknown is None or NaN and stays so.
"""
