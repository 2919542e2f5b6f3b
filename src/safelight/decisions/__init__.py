"""What people said about contents: an append-only log in `decisions.sqlite`, and what follows from it in memory."""
