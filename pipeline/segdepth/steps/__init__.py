"""One module a rule: each opens stores, calls the library, and writes stores with their manifests."""
