// Images as matrices whose columns are the pixels under a window, and back, for the convolutions that need them.
#ifndef CAFFE_FAST_IM2COL_HPP_
#define CAFFE_FAST_IM2COL_HPP_

#include "caffe/fast/window.hpp"

namespace caffe {
namespace fast {

// image: (channels, y.size, x.size) -> columns: (channels, y.kernel, x.kernel, y.outputs, x.outputs), 0 in the padding.
template <typename Dtype>
void im2col(int channels, const Axis& y, const Axis& x, const Dtype* image, Dtype* columns);

// The transpose: every pixel becomes the sum of its copies, added in the order of their taps as stock Caffe does.
template <typename Dtype>
void col2im(int channels, const Axis& y, const Axis& x, const Dtype* columns, Dtype* image);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_IM2COL_HPP_
