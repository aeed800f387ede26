"""What a guess looks like: nothing of its own."""
