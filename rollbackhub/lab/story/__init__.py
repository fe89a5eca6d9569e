"""The chapter's story on the lab: one incident met undrilled, and drilled. The systems are real, time and people are played (docs/story.md)."""
