"""What `parsimony report` puts on its page: numbers, diagrams, search trees, and how they become one HTML file.

source   a run as columns, and the problems whose steps are read
trees    the search tree of one problem, with what its strategy chose
facts, costs, calibration, curve    what the sections say
plots, svg    diagrams
embedding, page    one file, nothing loaded from elsewhere
"""
