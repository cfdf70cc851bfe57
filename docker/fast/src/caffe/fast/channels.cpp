#include "caffe/fast/channels.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "caffe/fast/elements.hpp"

namespace caffe {
namespace fast {
namespace {

constexpr int kLanes = 16;       // sums that are kept side by side, for vectors
constexpr long kShort = kBlock;  // elements that they add up before they are added in double precision

// Sum of term(i) over [0, count): in single precision no further than 128 terms a lane.
template <typename Dtype, typename Term>
double sum(long count, const Term& term) {
  double total = 0;
  for (long begin = 0; begin < count; begin += kShort) {
    const long end = std::min(count, begin + kShort), whole = begin + (end - begin) / kLanes * kLanes;
    Dtype lanes[kLanes] = {};
    for (long i = begin; i < whole; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
    }
    for (int lane = 0; lane < kLanes; ++lane) total += lanes[lane];
    for (long i = whole; i < end; ++i) total += term(i);
  }
  return total;
}

template <typename Dtype>
double sum_row(long count, const Dtype* a, const Dtype* b) {
  return b ? sum<Dtype>(count, [=](long i) { return a[i] * b[i]; }) : sum<Dtype>(count, [=](long i) { return a[i]; });
}

// Calls body(begin of the row in the window, begin of the row in the whole array) for every row of the window.
template <typename Body>
void window_rows(const std::vector<int>& shape, const std::vector<int>& whole, const int* first, const Body& body) {
  const int last = shape.size() - 1;
  long rows = 1;
  for (int axis = 0; axis < last; ++axis) rows *= shape[axis];
  planes(rows, shape[last], [&](long row) {
    long offset = first[last], step = whole[last], rest = row;
    for (int axis = last - 1; axis >= 0; --axis) {
      offset += (rest % shape[axis] + first[axis]) * step;
      step *= whole[axis];
      rest /= shape[axis];
    }
    body(row * shape[last], offset);
  });
}

}  // namespace

template <typename Dtype>
void scale_and_bias(int outer, int channels, int inner, const Dtype* in, const Dtype* scale, const Dtype* bias,
                    Dtype* kept, Dtype* out) {
  planes(static_cast<long>(outer) * channels, inner, [&](long row) {
    const Dtype factor = scale ? scale[row % channels] : Dtype(1);
    const Dtype* x = in + row * inner;
    Dtype* y = out + row * inner;
    if (kept) std::copy(x, x + inner, kept + row * inner);
    if (bias) {
      const Dtype term = bias[row % channels];
#pragma omp simd
      for (int i = 0; i < inner; ++i) y[i] = x[i] * factor + term;
    } else {
#pragma omp simd
      for (int i = 0; i < inner; ++i) y[i] = x[i] * factor;
    }
  });
}

template <typename Dtype>
void sum_channels(int outer, int channels, int inner, const Dtype* a, const Dtype* b, bool accumulate, Dtype* sums) {
  const long rows = static_cast<long>(outer) * channels;
  std::vector<double> of_rows(rows);
  planes(rows, inner, [&](long row) { of_rows[row] = sum_row(inner, a + row * inner, b ? b + row * inner : b); });
  for (int channel = 0; channel < channels; ++channel) {
    double total = 0;
    for (int n = 0; n < outer; ++n) total += of_rows[static_cast<long>(n) * channels + channel];
    sums[channel] = accumulate ? sums[channel] + Dtype(total) : Dtype(total);
  }
}

template <typename Dtype>
void moments(int outer, int channels, int inner, const Dtype* in, Dtype* mean, Dtype* variance) {
  const double count = static_cast<double>(outer) * inner;
  planes(channels, static_cast<long>(outer) * inner, [&](long channel) {
    const auto row = [&](int n) { return in + (static_cast<long>(n) * channels + channel) * inner; };
    double total = 0;
    for (int n = 0; n < outer; ++n) total += sum_row<Dtype>(inner, row(n), NULL);
    const Dtype centre = total / count;
    total = 0;
    for (int n = 0; n < outer; ++n) {
      const Dtype* x = row(n);
      total += sum<Dtype>(inner, [=](long i) { return (x[i] - centre) * (x[i] - centre); });
    }
    mean[channel] = centre;
    variance[channel] = total / count;
  });
}

template <typename Dtype>
void normalize(int outer, int channels, int inner, const Dtype* in, const Dtype* mean, const Dtype* deviation,
               Dtype* out, Dtype* kept) {
  planes(static_cast<long>(outer) * channels, 2L * inner, [&](long row) {
    const Dtype centre = mean ? mean[row % channels] : Dtype(0), width = deviation[row % channels];
    const Dtype* x = in + row * inner;
    Dtype* y = out + row * inner;
#pragma omp simd
    for (int i = 0; i < inner; ++i) y[i] = (x[i] - centre) / width;
    if (kept) std::copy(y, y + inner, kept + row * inner);
  });
}

template <typename Dtype>
void normalize_backward(int outer, int channels, int inner, const Dtype* normalized, const Dtype* deviation,
                        const Dtype* gradient, Dtype* in) {
  const double count = static_cast<double>(outer) * inner;
  planes(channels, 4L * outer * inner, [&](long channel) {
    const auto offset = [&](int n) { return (static_cast<long>(n) * channels + channel) * inner; };
    double of_gradient = 0, of_product = 0;
    for (int n = 0; n < outer; ++n) {
      of_gradient += sum_row<Dtype>(inner, gradient + offset(n), NULL);
      of_product += sum_row(inner, gradient + offset(n), normalized + offset(n));
    }
    const Dtype shift = of_gradient / count, slope = of_product / count, width = deviation[channel];
    for (int n = 0; n < outer; ++n) {
      const Dtype* y = normalized + offset(n);
      const Dtype* dy = gradient + offset(n);
      Dtype* dx = in + offset(n);
#pragma omp simd
      for (int i = 0; i < inner; ++i) dx[i] = (dy[i] - shift - slope * y[i]) / width;
    }
  });
}

template <typename Dtype>
void copy_rows(int rows, long size, const Dtype* from, long from_step, Dtype* to, long to_step) {
  parallel(rows * size, kGrain, [&](long begin, long end) {
    while (begin < end) {
      const long row = begin / size, first = begin % size, count = std::min(end - begin, size - first);
      std::memcpy(to + row * to_step + first, from + row * from_step + first, count * sizeof(Dtype));
      begin += count;
    }
  });
}

template <typename Dtype>
void copy_window(const std::vector<int>& shape, const std::vector<int>& whole, const int* first, const Dtype* from,
                 Dtype* window) {
  window_rows(shape, whole, first,
              [&](long at, long offset) { std::copy_n(from + offset, shape.back(), window + at); });
}

template <typename Dtype>
void fill_window(const std::vector<int>& shape, const std::vector<int>& whole, const int* first, const Dtype* window,
                 Dtype* to) {
  window_rows(shape, whole, first, [&](long at, long offset) { std::copy_n(window + at, shape.back(), to + offset); });
}

#define INSTANTIATE_CHANNELS(Dtype)                                                                                  \
  template void scale_and_bias(int, int, int, const Dtype*, const Dtype*, const Dtype*, Dtype*, Dtype*);             \
  template void sum_channels(int, int, int, const Dtype*, const Dtype*, bool, Dtype*);                               \
  template void moments(int, int, int, const Dtype*, Dtype*, Dtype*);                                                \
  template void normalize(int, int, int, const Dtype*, const Dtype*, const Dtype*, Dtype*, Dtype*);                  \
  template void normalize_backward(int, int, int, const Dtype*, const Dtype*, const Dtype*, Dtype*);                 \
  template void copy_rows(int, long, const Dtype*, long, Dtype*, long);                                              \
  template void copy_window(const std::vector<int>&, const std::vector<int>&, const int*, const Dtype*, Dtype*);     \
  template void fill_window(const std::vector<int>&, const std::vector<int>&, const int*, const Dtype*, Dtype*)
INSTANTIATE_CHANNELS(float);
INSTANTIATE_CHANNELS(double);

}  // namespace fast
}  // namespace caffe
