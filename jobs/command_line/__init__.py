"""What is typed: every command's arguments, as one table.

Standard library only, so that `--help` is instant. A command's arguments and the options that they become stand in one
file; `commands` lists them all.
"""
