"""Databases whose sign-in is judged as the clouds judge it."""
