"""The questions that analytics answer, in the order of the page. Each is a module with `answer(wanted)`."""
