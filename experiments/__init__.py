"""Scripts that measure; installed as vggjax.experiments."""
