# Set up, demonstrate, test and serve Earshot.
