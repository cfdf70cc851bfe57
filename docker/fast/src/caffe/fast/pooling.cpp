#include "caffe/fast/pooling.hpp"

#include <algorithm>
#include <vector>

#include "caffe/fast/clones.hpp"
#include "caffe/fast/elements.hpp"

namespace caffe {
namespace fast {
namespace {

// Looks at `kTaps` neighbours in a row of each window, from in[i * stride] on, whose index is index + i * stride; takes
// those larger than best[i] and their indices. kFirst: there is no best[i] yet. Every store is unconditional: masked
// ones are slow, and slower still to read again.
template <int kStride, int kTaps, bool kFirst, typename Dtype, typename Index>
CAFFE_FAST_INLINE void take(int count, int stride, int index, const Dtype* in, Dtype* best, Index* mask) {
  if (kStride) stride = kStride;
#pragma omp simd
  for (int i = 0; i < count; ++i) {
    const Dtype* window = in + i * stride;
    Dtype value = kFirst ? window[0] : best[i];
    Index at = kFirst ? static_cast<Index>(index + i * stride) : mask[i];
    for (int tap = kFirst; tap < kTaps; ++tap) {
      const Index here = static_cast<Index>(index + i * stride + tap);
      const Dtype next = window[tap];
      at = next > value ? here : at;
      value = next > value ? next : value;
    }
    best[i] = value;
    mask[i] = at;
  }
}

// The same for any number of taps: three at once where the pools of VGG and ResNet have three.
template <bool kFirst, typename Dtype, typename Index>
CAFFE_FAST_INLINE void take_row(int count, int stride, int taps, int index, const Dtype* in, Dtype* best,
                                Index* mask) {
  if (taps == 3 && stride == 1) {
    take<1, 3, kFirst>(count, stride, index, in, best, mask);
  } else if (taps == 3 && stride == 2) {
    take<2, 3, kFirst>(count, stride, index, in, best, mask);
  } else if (taps == 2 && stride == 2) {
    take<2, 2, kFirst>(count, stride, index, in, best, mask);
  } else {
    take<0, 1, kFirst>(count, stride, index, in, best, mask);
    for (int tap = 1; tap < taps; ++tap) take<0, 1, false>(count, stride, index + tap, in + tap, best, mask);
  }
}

// `rows` rows of `taps` neighbours each.
template <typename Dtype, typename Index>
CAFFE_FAST_INLINE void take_rows(int count, int rows, int width, int stride, int taps, int index, const Dtype* in,
                                 Dtype* best, Index* mask) {
  take_row<true>(count, stride, taps, index, in, best, mask);
  for (int row = 1; row < rows; ++row) {
    take_row<false>(count, stride, taps, index + row * width, in + row * width, best, mask);
  }
}
template <typename Dtype, typename Index>
void take_windows(int count, int rows, int width, int stride, int taps, int index, const Dtype* in, Dtype* best,
                  Index* mask) {
  take_rows(count, rows, width, stride, taps, index, in, best, mask);
}
CAFFE_FAST_CLONES
void take_windows(int count, int rows, int width, int stride, int taps, int index, const float* in, float* best,
                  int* mask) {
  take_rows(count, rows, width, stride, taps, index, in, best, mask);
}

// Taps [begin, end) of a window that lie on the image.
struct Taps {
  int begin, end;
  Taps(const Axis& axis, int output)
      : begin(std::max(0, -axis.pixel(output, 0))), end(std::min(axis.kernel, axis.size - axis.pixel(output, 0))) {}
};

// Pixels of a window, with the padding on both sides and nothing beyond.
int extent(const Axis& axis, int output) {
  return std::min(axis.kernel, axis.size + axis.pad - axis.pixel(output, 0));
}

}  // namespace

template <typename Dtype, typename Index>
void max_pool(int count, const Axis& y, const Axis& x, const Dtype* in, Dtype* out, Index* mask) {
  const long size = static_cast<long>(y.size) * x.size, pooled = static_cast<long>(y.outputs) * x.outputs;
  planes(count, pooled * y.kernel * x.kernel / 4, [&](long plane) {
    for (int output = 0; output < y.outputs; ++output) {
      const Taps rows(y, output);
      const Dtype* image = in + plane * size;
      Dtype* best = out + plane * pooled + output * x.outputs;
      Index* at = mask + plane * pooled + output * x.outputs;
      const auto look = [&](int first, int count, int begin, int end) {
        const int index = y.pixel(output, rows.begin) * x.size + x.pixel(first, begin);
        take_windows(count, rows.end - rows.begin, x.size, x.stride, end - begin, index, image + index, best + first,
                     at + first);
      };
      // The windows that lie on the image from left to right at once, those on its edges one by one.
      const int inside = std::min(x.first(0), x.outputs), outside = std::max(inside, x.last(x.kernel - 1));
      for (int i = 0; i < inside; ++i) look(i, 1, Taps(x, i).begin, Taps(x, i).end);
      look(inside, outside - inside, 0, x.kernel);
      for (int i = outside; i < x.outputs; ++i) look(i, 1, Taps(x, i).begin, Taps(x, i).end);
    }
  });
}

template <typename Dtype, typename Index>
void max_pool_backward(int count, const Axis& y, const Axis& x, const Dtype* out, const Index* mask, Dtype* in) {
  const long size = static_cast<long>(y.size) * x.size, pooled = static_cast<long>(y.outputs) * x.outputs;
  planes(count, size + 2 * pooled, [&](long plane) {
    Dtype* image = in + plane * size;
    const Dtype* gradient = out + plane * pooled;
    const Index* at = mask + plane * pooled;
    std::fill(image, image + size, Dtype(0));
    for (long i = 0; i < pooled; ++i) image[static_cast<int>(at[i])] += gradient[i];
  });
}

template <typename Dtype>
void average_pool(int count, const Axis& y, const Axis& x, const Dtype* in, Dtype* out) {
  const long size = static_cast<long>(y.size) * x.size, pooled = static_cast<long>(y.outputs) * x.outputs;
  planes(count, pooled * y.kernel * x.kernel / 4, [&](long plane) {
    for (int output = 0; output < y.outputs; ++output) {
      const Taps rows(y, output);
      Dtype* sum = out + plane * pooled + output * x.outputs;
      std::fill(sum, sum + x.outputs, Dtype(0));
      for (int row = rows.begin; row < rows.end; ++row) {
        for (int tap = 0; tap < x.kernel; ++tap) {
          const int first = x.first(tap), last = x.last(tap);
          const Dtype* from = in + plane * size + y.pixel(output, row) * x.size + x.pixel(first, tap);
          for (int i = 0; i < last - first; ++i) sum[first + i] += from[i * x.stride];
        }
      }
      for (int i = 0; i < x.outputs; ++i) sum[i] /= extent(y, output) * extent(x, i);
    }
  });
}

template <typename Dtype>
void average_pool_backward(int count, const Axis& y, const Axis& x, const Dtype* out, Dtype* in) {
  const long size = static_cast<long>(y.size) * x.size, pooled = static_cast<long>(y.outputs) * x.outputs;
  planes(count, size + pooled * y.kernel * x.kernel / 4, [&](long plane) {
    Dtype* image = in + plane * size;
    std::fill(image, image + size, Dtype(0));
    std::vector<Dtype> share(x.outputs);
    for (int output = 0; output < y.outputs; ++output) {
      const Taps rows(y, output);
      const Dtype* gradient = out + plane * pooled + output * x.outputs;
      for (int i = 0; i < x.outputs; ++i) share[i] = gradient[i] / (extent(y, output) * extent(x, i));
      for (int row = rows.begin; row < rows.end; ++row) {
        // From the last tap to the first: a pixel then adds up its windows from left to right, as stock Caffe does.
        for (int tap = x.kernel - 1; tap >= 0; --tap) {
          const int first = x.first(tap), last = x.last(tap);
          Dtype* to = image + y.pixel(output, row) * x.size + x.pixel(first, tap);
          for (int i = 0; i < last - first; ++i) to[i * x.stride] += share[first + i];
        }
      }
    }
  });
}

#define INSTANTIATE_POOLING(Dtype)                                                                               \
  template void max_pool(int, const Axis&, const Axis&, const Dtype*, Dtype*, int*);                             \
  template void max_pool(int, const Axis&, const Axis&, const Dtype*, Dtype*, Dtype*);                           \
  template void max_pool_backward(int, const Axis&, const Axis&, const Dtype*, const int*, Dtype*);              \
  template void max_pool_backward(int, const Axis&, const Axis&, const Dtype*, const Dtype*, Dtype*);            \
  template void average_pool(int, const Axis&, const Axis&, const Dtype*, Dtype*);                               \
  template void average_pool_backward(int, const Axis&, const Axis&, const Dtype*, Dtype*)
INSTANTIATE_POOLING(float);
INSTANTIATE_POOLING(double);

}  // namespace fast
}  // namespace caffe
