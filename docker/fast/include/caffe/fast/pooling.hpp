// Pooling by rows that vectorise, a plane of an image on each core.
#ifndef CAFFE_FAST_POOLING_HPP_
#define CAFFE_FAST_POOLING_HPP_

#include "caffe/fast/window.hpp"

namespace caffe {
namespace fast {

// in: (planes, y.size, x.size) -> out: (planes, y.outputs, x.outputs), the largest value under the window, and mask, of
// the same shape, its index in the plane: the first one's by rows; the window's first where that is NaN.
template <typename Dtype, typename Index>
void max_pool(int count, const Axis& y, const Axis& x, const Dtype* in, Dtype* out, Index* mask);

// Gradient by `out` -> gradient by `in`, of the shapes above.
template <typename Dtype, typename Index>
void max_pool_backward(int count, const Axis& y, const Axis& x, const Dtype* out, const Index* mask, Dtype* in);

// The mean under the window; the padding counts as zeros as far as Caffe's layer lets it.
template <typename Dtype>
void average_pool(int count, const Axis& y, const Axis& x, const Dtype* in, Dtype* out);

template <typename Dtype>
void average_pool_backward(int count, const Axis& y, const Axis& x, const Dtype* out, Dtype* in);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_POOLING_HPP_
