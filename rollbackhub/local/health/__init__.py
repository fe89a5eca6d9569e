"""`/healthz`: what state each part of RollbackHub is in. `rules` decides, `probes` ask, `views` answer."""
