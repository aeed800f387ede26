"""What a person may do with a guess: nothing of its own."""
