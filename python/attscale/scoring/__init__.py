"""Label maps against the ground truth. NumPy; nothing here imports caffe."""
