"""The agenda: each item a module, one function that answers for a team's quarter."""
