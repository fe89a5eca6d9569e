"""Messages to teams through the systems that they use: what happened, what is asked of the reader, and where."""
