"""The whole system in one process, over virtual time and under faults, and what must hold of it (docs/simulator.md)."""
