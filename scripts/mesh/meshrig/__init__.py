"""The mesh on one machine: the committed manifests, translated for a real Envoy beside each process of the market."""
