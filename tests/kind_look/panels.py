"""What a look looks like: nothing of its own."""
