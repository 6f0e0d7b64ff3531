"""Files: atomic writes, manifests, Zarr schemas and the trace. Knows nothing of physics."""
