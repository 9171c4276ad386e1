"""What `parsimony report` puts on its page: numbers, diagrams, search trees, and how they become one HTML file.

source, trees, choices            a run as it is read: rows, search trees, what strategies concluded
evidence, curve, scores           what its samples say: verdicts, accuracy against tokens, the PRM's calibration
head, facts, costs, utilisation   what its rows and commits say
predicted, against                beside an estimate, and beside another run
plots, svg                        diagrams, each with its numbers
contents                          all sections
listing, embedding, page          one file that loads nothing
"""
