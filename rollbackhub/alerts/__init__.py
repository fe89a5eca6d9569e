"""Alerts that come in from other systems, the incidents that they open, and the rollbacks that they propose."""
