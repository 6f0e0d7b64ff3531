"""One module for each rule, which opens stores, calls the library, and writes stores with their manifests."""
