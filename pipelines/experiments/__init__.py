"""What a sweep tries, and how its results rank."""
