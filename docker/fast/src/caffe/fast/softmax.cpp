#include "caffe/fast/softmax.hpp"

#include <algorithm>
#include <cfloat>
#include <cmath>

#include "caffe/fast/elements.hpp"

namespace caffe {
namespace fast {
namespace {

constexpr long kPositions = 256;  // of one piece of work: with 21 channels, it stays in the first or second cache
constexpr long kExponential = 8;  // times the cost of what kGrain is meant for

// Calls body(item, first, count) for pieces of the inner positions, at most kPositions of one item of the batch each.
template <typename Body>
void pieces(long outer, int channels, long inner, const Body& body) {
  const long per_item = (inner + kPositions - 1) / kPositions;
  planes(outer * per_item, channels * std::min(inner, kPositions) * kExponential, [&](long piece) {
    const long first = piece % per_item * kPositions;
    body(piece / per_item, first, std::min(kPositions, inner - first));
  });
}

}  // namespace

template <typename Dtype>
void softmax(long outer, int channels, long inner, const Dtype* in, Dtype* out) {
  pieces(outer, channels, inner, [&](long item, long first, long count) {
    const Dtype* x = in + item * channels * inner + first;
    Dtype* y = out + item * channels * inner + first;
    Dtype largest[kPositions], sum[kPositions];
    std::copy(x, x + count, largest);
    for (int c = 1; c < channels; ++c) {
      for (long i = 0; i < count; ++i) largest[i] = largest[i] < x[c * inner + i] ? x[c * inner + i] : largest[i];
    }
    std::fill(sum, sum + count, Dtype(0));
    for (int c = 0; c < channels; ++c) {
      for (long i = 0; i < count; ++i) y[c * inner + i] = std::exp(x[c * inner + i] - largest[i]);
      for (long i = 0; i < count; ++i) sum[i] += y[c * inner + i];
    }
    for (int c = 0; c < channels; ++c) {
      for (long i = 0; i < count; ++i) y[c * inner + i] /= sum[i];
    }
  });
}

template <typename Dtype>
void softmax_backward(long outer, int channels, long inner, const Dtype* out, const Dtype* gradient, Dtype* in) {
  pieces(outer, channels, inner, [&](long item, long first, long count) {
    const long offset = item * channels * inner + first;
    Dtype dot[kPositions] = {};
    for (int c = 0; c < channels; ++c) {
      const Dtype* y = out + offset + c * inner;
      const Dtype* dy = gradient + offset + c * inner;
      for (long i = 0; i < count; ++i) dot[i] += dy[i] * y[i];
    }
    for (int c = 0; c < channels; ++c) {
      const Dtype* y = out + offset + c * inner;
      const Dtype* dy = gradient + offset + c * inner;
      Dtype* dx = in + offset + c * inner;
      for (long i = 0; i < count; ++i) dx[i] = (dy[i] - dot[i]) * y[i];
    }
  });
}

template <typename Dtype>
int CrossEntropy<Dtype>::valid() const {
  const int all = outer * inner;
  if (!ignored) return all;
  return all - std::count_if(labels, labels + all, [=](Dtype label) { return static_cast<int>(label) == *ignored; });
}

template <typename Dtype>
double CrossEntropy<Dtype>::sum() const {
  return sum_of_blocks(outer * inner, [=](int begin, int end) {
    double sum = 0;
    for (int i = begin; i < end; ++i) {
      const int label = static_cast<int>(labels[i]);
      if (ignored && label == *ignored) continue;
      const long channel = static_cast<long>(i / inner) * channels + label;
      sum -= std::log(std::max(probabilities[channel * inner + i % inner], Dtype(FLT_MIN)));
    }
    return sum;
  });
}

template <typename Dtype>
void CrossEntropy<Dtype>::gradient(Dtype scale, Dtype* scores) const {
  planes(static_cast<long>(outer) * channels, inner, [=](long plane) {
    const Dtype* label = labels + plane / channels * inner;
    const Dtype* p = probabilities + plane * inner;
    Dtype* out = scores + plane * inner;
    const int channel = plane % channels, none = ignored ? *ignored : -1;
    for (int i = 0; i < inner; ++i) {
      const int at = static_cast<int>(label[i]);
      const Dtype difference = p[i] - static_cast<Dtype>(at == channel);
      out[i] = scale * (at == none ? Dtype(0) : difference);
    }
  });
}

#define INSTANTIATE_SOFTMAX(Dtype)                                                         \
  template void softmax(long, int, long, const Dtype*, Dtype*);                            \
  template void softmax_backward(long, int, long, const Dtype*, const Dtype*, Dtype*);     \
  template struct CrossEntropy<Dtype>
INSTANTIATE_SOFTMAX(float);
INSTANTIATE_SOFTMAX(double);

}  // namespace fast
}  // namespace caffe
