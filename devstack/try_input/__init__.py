"""One input for one function: its real handler over the simulator's cloud, and what became of each record."""
