"""What is in the data and what came of it: reports for a reader."""
