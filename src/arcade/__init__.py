"""The example: an arcade of games, with players, badges, notices, and applications for a licence."""
