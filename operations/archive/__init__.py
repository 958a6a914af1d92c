"""The archive as Athena's tables, asked on this machine."""
