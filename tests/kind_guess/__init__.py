"""A ninth kind, as a plug-in brings it: one number guessed from a table, kept until somebody who watches it asks for more."""
