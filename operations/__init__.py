"""What the operator's command and the local stack both do: find a stack and its outputs, read its template, ask its
archive, see to its dead letters, and say it in words."""
