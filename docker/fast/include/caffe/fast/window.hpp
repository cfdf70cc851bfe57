// A window that slides over an image, in one of its two directions.
#ifndef CAFFE_FAST_WINDOW_HPP_
#define CAFFE_FAST_WINDOW_HPP_

#include <algorithm>

namespace caffe {
namespace fast {

// `outputs` positions of a window of `kernel` taps over `size` pixels with padding on both sides.
struct Axis {
  int size, outputs, kernel, pad, stride, dilation;

  // Pixel under this tap: outside of [0, size) in the padding.
  int pixel(int output, int tap) const { return output * stride - pad + tap * dilation; }

  // The outputs [first, last) are those for which this tap lies on the image.
  int first(int tap) const {
    const int short_by = pad - tap * dilation;
    return short_by <= 0 ? 0 : std::min(outputs, (short_by + stride - 1) / stride);
  }
  int last(int tap) const {
    const int room = size - 1 + pad - tap * dilation;
    return std::max(first(tap), room < 0 ? 0 : std::min(outputs, room / stride + 1));
  }
};

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_WINDOW_HPP_
