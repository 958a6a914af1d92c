"""`make demo`: real requests through the whole stack, then what came of them, counted where it lies."""
