"""The answer section of a recipe: how answers are found, how likely they are to be right, and which a run stands by.

It promises that what its files say is numbers by the time a run begins, and that a target which they do not support is
refused with the reason.
"""
