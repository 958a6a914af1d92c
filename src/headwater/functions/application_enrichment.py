"""Adds to each action on an application whose it is: the enrichment of the Pipe."""

from headwater import bootstrap
from headwater.functions.pipe import enrichment_handler

handler = enrichment_handler("application_enrichment", bootstrap.application_enrichment().enrich)
