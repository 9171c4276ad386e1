"""Graders in processes that can be killed.

A grader that fails or runs out of time leaves an answer ungraded (null), never wrong.
"""
