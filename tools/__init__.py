"""The verbs of the Makefile, one module each."""
