"""Is the new model better, and by how much? Paired on the same prompts, with intervals, and a tie said as a tie."""
