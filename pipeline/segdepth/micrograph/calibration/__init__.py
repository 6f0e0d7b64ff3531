"""The lattice of the network's crystal in a micrograph: in-plane rotation, pixel, distortion, grains."""
