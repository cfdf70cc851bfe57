// What is done to whole rows of a blob: scale and bias, sums, batch normalisation, copies.
#ifndef CAFFE_FAST_CHANNELS_HPP_
#define CAFFE_FAST_CHANNELS_HPP_

#include <vector>

namespace caffe {
namespace fast {

// out = in * scale[c] + bias[c]; scale, bias: (channels), either may be NULL; in, out: (outer, channels, inner). May be
// done in place; `kept`, unless NULL, is what `in` was.
template <typename Dtype>
void scale_and_bias(int outer, int channels, int inner, const Dtype* in, const Dtype* scale, const Dtype* bias,
                    Dtype* kept, Dtype* out);

// sums[c] = sum of a[n][c][i] * b[n][c][i], added to what is there if `accumulate`; b NULL: of a alone.
template <typename Dtype>
void sum_channels(int outer, int channels, int inner, const Dtype* a, const Dtype* b, bool accumulate, Dtype* sums);

// Mean and variance, E((X - EX)^2), of every channel.
template <typename Dtype>
void moments(int outer, int channels, int inner, const Dtype* in, Dtype* mean, Dtype* variance);

// out, kept = (in - mean[c]) / deviation[c]; `mean` and `kept` may be NULL: nothing is taken away, or kept. May be done
// in place.
template <typename Dtype>
void normalize(int outer, int channels, int inner, const Dtype* in, const Dtype* mean, const Dtype* deviation,
               Dtype* out, Dtype* kept);

// Gradient by the normalised values -> gradient by the values, whose mean and deviation depend on them. May be done in
// place.
template <typename Dtype>
void normalize_backward(int outer, int channels, int inner, const Dtype* normalized, const Dtype* deviation,
                        const Dtype* gradient, Dtype* in);

// Copies `rows` rows of `size` elements, which begin every `from_step` and `to_step` elements.
template <typename Dtype>
void copy_rows(int rows, long size, const Dtype* from, long from_step, Dtype* to, long to_step);

// The window of shape `shape` whose first element is at the indices `first` of an array of shape `whole`: copies it
// from there to an array of its own shape, or back.
template <typename Dtype>
void copy_window(const std::vector<int>& shape, const std::vector<int>& whole, const int* first, const Dtype* from,
                 Dtype* window);
template <typename Dtype>
void fill_window(const std::vector<int>& shape, const std::vector<int>& whole, const int* first, const Dtype* window,
                 Dtype* to);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_CHANNELS_HPP_
