"""A provider kind whose models do what a test tells them to, in worker processes too."""
