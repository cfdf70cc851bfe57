"""Data sets, label maps and transforms: NumPy, OpenCV and Pillow; nothing here imports caffe."""
