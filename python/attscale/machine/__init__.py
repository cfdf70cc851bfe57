"""What this machine and its Caffe can do: devices, threads, limits, and what a net costs."""
