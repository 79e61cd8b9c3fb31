"""What runs inside the benchmark's pods; standard library only."""
