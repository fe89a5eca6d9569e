"""The lab's deployer: a small real receiver of signed deploy hooks, a GitOps watcher, and a runner of jobs. No Django, no database."""
