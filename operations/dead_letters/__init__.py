"""What consumers gave up: found, shown, redriven or discarded."""
