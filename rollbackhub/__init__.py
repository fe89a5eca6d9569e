"""RollbackHub: rollback of LLM releases that is tested, fast, rehearsed and verified."""
