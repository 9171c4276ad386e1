"""Problem files: rows of JSON Lines, CSV and Parquet, checked as a whole before anything is started.

A mistake names its file, line and column. A set is read again while it runs, row by row, and never held in memory.
"""
