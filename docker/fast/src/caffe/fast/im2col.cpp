#include "caffe/fast/im2col.hpp"

#include <algorithm>

#include "caffe/fast/elements.hpp"

namespace caffe {
namespace fast {

template <typename Dtype>
void im2col(int channels, const Axis& y, const Axis& x, const Dtype* image, Dtype* columns) {
  const long taps = y.kernel * x.kernel, outputs = static_cast<long>(y.outputs) * x.outputs;
  planes(channels * taps, outputs, [&](long index) {
    const int tap_y = index % taps / x.kernel, tap_x = index % x.kernel;
    const int first = x.first(tap_x), last = x.last(tap_x);
    const Dtype* plane = image + index / taps * y.size * x.size;
    Dtype* out = columns + index * outputs;
    std::fill(out, out + y.first(tap_y) * x.outputs, Dtype(0));
    for (int output = y.first(tap_y); output < y.last(tap_y); ++output) {
      Dtype* row = out + output * x.outputs;
      const Dtype* from = plane + y.pixel(output, tap_y) * x.size + x.pixel(first, tap_x);
      std::fill(row, row + first, Dtype(0));
      if (x.stride == 1) {
        std::copy(from, from + (last - first), row + first);
      } else {
        for (int i = 0; i < last - first; ++i) row[first + i] = from[i * x.stride];
      }
      std::fill(row + last, row + x.outputs, Dtype(0));
    }
    std::fill(out + y.last(tap_y) * x.outputs, out + outputs, Dtype(0));
  });
}

template <typename Dtype>
void col2im(int channels, const Axis& y, const Axis& x, const Dtype* columns, Dtype* image) {
  const long taps = y.kernel * x.kernel, outputs = static_cast<long>(y.outputs) * x.outputs;
  const long size = static_cast<long>(y.size) * x.size;
  planes(channels, taps * outputs, [&](long channel) {
    Dtype* plane = image + channel * size;
    std::fill(plane, plane + size, Dtype(0));
    for (long tap = 0; tap < taps; ++tap) {
      const int tap_y = tap / x.kernel, tap_x = tap % x.kernel;
      const int first = x.first(tap_x), count = x.last(tap_x) - first;
      const Dtype* in = columns + (channel * taps + tap) * outputs;
      for (int output = y.first(tap_y); output < y.last(tap_y); ++output) {
        const Dtype* row = in + output * x.outputs + first;
        Dtype* to = plane + y.pixel(output, tap_y) * x.size + x.pixel(first, tap_x);
        if (x.stride == 1) {
          for (int i = 0; i < count; ++i) to[i] += row[i];
        } else {
          for (int i = 0; i < count; ++i) to[i * x.stride] += row[i];
        }
      }
    }
  });
}

template void im2col(int, const Axis&, const Axis&, const float*, float*);
template void im2col(int, const Axis&, const Axis&, const double*, double*);
template void col2im(int, const Axis&, const Axis&, const float*, float*);
template void col2im(int, const Axis&, const Axis&, const double*, double*);

}  // namespace fast
}  // namespace caffe
