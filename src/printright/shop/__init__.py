"""A print shop's queue: N of these, on whichever of its machines they fit.

book      items, attempts and printers, each step before it is taken     printer   an agent's API, as its operator
foreman   drives the printers until it is ended
"""
