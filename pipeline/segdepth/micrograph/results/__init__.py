"""What a prediction leaves behind: tables, maps, files for other programs, a summary and a page; frame by frame.

============================ ==========================================================================================
file                         module
============================ ==========================================================================================
columns.csv, columns.parquet ``tables``: every column of every frame
prediction.zarr              ``maps``: probabilities on the network's grid, with the affine map to the file's
depth.ome.tif                ``tiff``: depth, confidence and counts on the file's own pixels, for napari, Fiji, QuPath
depth.hspy                   ``hspy``: depth on the file's own pixels, for HyperSpy
crystal.extxyz               ``atoms``: the counted crystal, for ASE and OVITO
summary.json                 ``summary``: what was found and how
prediction.html              ``page``: one page to look at, which needs nothing else
============================ ==========================================================================================

``writing.ResultWriter`` writes them all. ``facts`` says what they are made of. Memory does not grow with the number of
frames, but for a line a frame of the summary.
"""
