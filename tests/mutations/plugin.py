"""The pytest plugin that applies the mutation named by HEADWATER_MUTATION; ``make mutate`` alone loads it."""

import os

from tests.mutations.guards import MUTATIONS
from tests.mutations.importing import install

install(next(mutation for mutation in MUTATIONS if mutation.name == os.environ["HEADWATER_MUTATION"]))
