"""Files: atomic writes, manifests, Zarr stores, tracing and verification."""
