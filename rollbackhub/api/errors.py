"""One error handler for the whole API."""
