"""How policies reach Envoy: REST xDS with held discovery requests (DESIGN.md §4, measured)."""
