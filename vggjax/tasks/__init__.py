"""What `main` can do: where configs, data and computation meet."""
