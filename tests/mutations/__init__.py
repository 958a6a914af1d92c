"""Each guard that a delivery rule rests on, taken away in turn: the suite must turn red, or it proves nothing.

Production code has no switch for this: a guard is replaced in the module's source as it is imported (importing.py).
``make mutate`` runs every mutation of guards.py and fails if one survives.
"""
