"""What the benchmarks measure: speeds as ratios, memory, and what training costs besides Caffe."""
