"""The composition root: reads the settings, builds the rooms, joins them, and stops them in order."""
