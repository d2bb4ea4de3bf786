"""All that is checked before anything is built, so that everything wrong is told at once."""
