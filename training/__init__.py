"""Fitting instruments: teachers, data, recipes, and the measures that judge what came out."""
