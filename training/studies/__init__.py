"""Experiments that print a table and draw a picture."""
