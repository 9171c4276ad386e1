"""How likely a sample, a path or an answer is to be right, and what follows from that.

From a PRM's quantiles, votes and token confidences to probabilities, from those to the samples a problem is worth, the
answer that is chosen, and whether to answer at all. Functions of numbers; strategies put them together.
"""
