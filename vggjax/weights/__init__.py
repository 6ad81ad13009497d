"""Networks' weights in files: ours and the released ones."""
