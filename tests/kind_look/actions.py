"""What a person may do with a look: nothing of its own."""
