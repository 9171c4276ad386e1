"""Mathematics as people write it: one spelling, a tree, what it is worth, and when two trees mean the same.

A tree accounts for all of a text, or there is none. Pure and total but for `Unreadable`; exact where numbers are, to 40
digits where they are not. Knows nothing of solutions, keys or graders.
"""
