#include "caffe/fast/pointwise.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "caffe/fast/elements.hpp"

namespace caffe {
namespace fast {
namespace {

// out[i] = value(i) on all cores. The pragma says what the compiler cannot see: that an output which is an input, too,
// is that input element by element. Every value is read whether it is chosen or not, so that no loop has a branch.
template <typename Dtype, typename Value>
void each(long count, Dtype* out, const Value& value) {
  parallel(count, kGrain, [=](long begin, long end) {
#pragma omp simd
    for (long i = begin; i < end; ++i) out[i] = value(i);
  });
}

}  // namespace

template <typename Dtype>
void relu(long count, Dtype slope, const Dtype* in, Dtype* out) {
  each(count, out, [=](long i) {
    const Dtype x = in[i];
    return std::max(x, Dtype(0)) + slope * std::min(x, Dtype(0));
  });
}

template <typename Dtype>
void relu_backward(long count, Dtype slope, const Dtype* x, const Dtype* out, Dtype* in) {
  each(count, in, [=](long i) {
    const Dtype at = x[i];
    return out[i] * (static_cast<Dtype>(at > 0) + slope * static_cast<Dtype>(at <= 0));
  });
}

template <typename Dtype>
void masked(long count, const unsigned int* mask, Dtype scale, const Dtype* in, Dtype* out) {
  each(count, out, [=](long i) { return in[i] * static_cast<int>(mask[i]) * scale; });
}

template <typename Dtype>
void sigmoid(long count, const Dtype* x, Dtype* y) {
  each(count, y, [=](long i) { return static_cast<Dtype>(0.5 * std::tanh(0.5 * x[i]) + 0.5); });
}

template <typename Dtype>
void sigmoid_backward(long count, const Dtype* y, const Dtype* out, Dtype* in) {
  each(count, in, [=](long i) { return static_cast<Dtype>(out[i] * y[i] * (1. - y[i])); });
}

template <typename Dtype>
void weighted_sum(long count, const std::vector<const Dtype*>& in, const std::vector<Dtype>& coefficients,
                  Dtype* out) {
  blocks(count, [&](long begin, long end) {
    for (size_t b = 0; b < in.size(); ++b) {
      const Dtype* x = in[b];
      const Dtype coefficient = coefficients[b];
      if (b == 0) {
#pragma omp simd
        for (long i = begin; i < end; ++i) out[i] = coefficient * x[i];
      } else {
#pragma omp simd
        for (long i = begin; i < end; ++i) out[i] += coefficient * x[i];
      }
    }
  });
}

template <typename Dtype>
void largest(long count, const std::vector<const Dtype*>& in, Dtype* out, int* mask) {
  blocks(count, [&](long begin, long end) {
    const Dtype *first = in[0], *second = in[1];
#pragma omp simd
    for (long i = begin; i < end; ++i) {
      const Dtype x = first[i], y = second[i];
      out[i] = x > y ? x : y;
      mask[i] = x > y ? 0 : 1;
    }
    for (size_t b = 2; b < in.size(); ++b) {
      const Dtype* x = in[b];
      const int index = b;
#pragma omp simd
      for (long i = begin; i < end; ++i) {
        const Dtype value = x[i], best = out[i];
        const int at = mask[i];
        out[i] = value > best ? value : best;
        mask[i] = value > best ? index : at;
      }
    }
  });
}

template <typename Dtype>
void chosen(long count, int index, const int* mask, const Dtype* out, Dtype* in) {
  each(count, in, [=](long i) {
    const Dtype gradient = out[i];
    return mask[i] == index ? gradient : Dtype(0);
  });
}

template <typename Dtype>
void sgd_update(long count, Dtype share, Dtype decay, Dtype rate, Dtype momentum, Dtype* weights, Dtype* gradient,
                Dtype* history) {
  blocks(count, [=](long begin, long end) {
#pragma omp simd
    for (long i = begin; i < end; ++i) {
      const Dtype step = rate * (share * gradient[i] + decay * weights[i]) + momentum * history[i];
      history[i] = gradient[i] = step;
      weights[i] -= step;
    }
  });
}

template <typename Dtype>
void adam_update(long count, Dtype beta1, Dtype beta2, Dtype epsilon, Dtype rate, Dtype* gradient, Dtype* m,
                 Dtype* v) {
  const Dtype rest1 = Dtype(1) - beta1, rest2 = Dtype(1) - beta2;
  blocks(count, [=](long begin, long end) {
#pragma omp simd
    for (long i = begin; i < end; ++i) {
      const Dtype g = gradient[i];
      m[i] = beta1 * m[i] + rest1 * g;
      v[i] = beta2 * v[i] + rest2 * (g * g);
      gradient[i] = rate * (m[i] / (std::sqrt(v[i]) + epsilon));
    }
  });
}

#define INSTANTIATE_POINTWISE(Dtype)                                                                             \
  template void relu(long, Dtype, const Dtype*, Dtype*);                                                         \
  template void relu_backward(long, Dtype, const Dtype*, const Dtype*, Dtype*);                                  \
  template void masked(long, const unsigned int*, Dtype, const Dtype*, Dtype*);                                  \
  template void sigmoid(long, const Dtype*, Dtype*);                                                             \
  template void sigmoid_backward(long, const Dtype*, const Dtype*, Dtype*);                                      \
  template void weighted_sum(long, const std::vector<const Dtype*>&, const std::vector<Dtype>&, Dtype*);         \
  template void largest(long, const std::vector<const Dtype*>&, Dtype*, int*);                                   \
  template void chosen(long, int, const int*, const Dtype*, Dtype*);                                             \
  template void sgd_update(long, Dtype, Dtype, Dtype, Dtype, Dtype*, Dtype*, Dtype*);                            \
  template void adam_update(long, Dtype, Dtype, Dtype, Dtype, Dtype*, Dtype*, Dtype*)
INSTANTIATE_POINTWISE(float);
INSTANTIATE_POINTWISE(double);

}  // namespace fast
}  // namespace caffe
