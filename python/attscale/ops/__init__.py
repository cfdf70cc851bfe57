"""Plain NumPy statements of what stock Caffe lacks; `attscale.layers` wraps them. Nothing here imports caffe."""
