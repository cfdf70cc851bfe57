// Convolution by 3x3 filters at stride 1 with a quarter of the multiplications: Winograd's F(4x4, 3x3).
//
// An output tile of 4x4 needs 36 products for each pair of channels instead of 144 (Lavin and Gray, Fast Algorithms for
// Convolutional Neural Networks, 2016, section 4.1). In one dimension, with input d (6), filter g (3) and output y (4):
//
//   y = A' ((G g) * (B' d))
//
// for the points 0, +-1/sqrt(2), +-sqrt(2) and infinity. They are closed under x -> 1/x, so that the transform of the
// filter turned round is a permutation of the filter's own: both passes share one transform. A dilation of d is d * d
// interleaved images without one.
#ifndef CAFFE_FAST_WINOGRAD_HPP_
#define CAFFE_FAST_WINOGRAD_HPP_

#include <cstdint>
#include <memory>
#include <vector>

namespace caffe {
namespace fast {

// One image (channels, height, width) and its output (filters, height + 2 pad - 2 dilation, width + ...).
struct Conv3x3 {
  int channels, filters, height, width, dilation, pad;

  int out_height() const { return height + 2 * pad - 2 * dilation; }
  int out_width() const { return width + 2 * pad - 2 * dilation; }
  // 36 times the tiles: multiplications for a pair of channels; the plain way has 9 times the output's pixels.
  double products() const;
};

// The transformed filters (36, filters, channels) of layers that share their weights, made anew when these are others.
class WinogradFilters {
 public:
  // Of the layers with these weights.
  static std::shared_ptr<WinogradFilters> of(const float* weights);

  const float* transformed(const float* weights, int filters, int channels);

 private:
  std::vector<float> transformed_;
  uint64_t digest_ = 0;
};

// output = convolution of the input of `images` images that lie one after another, plus bias (filters) if there is one.
// kept: the transformed filters where they are kept; where it is null, they are made in passing.
void winograd_forward(const Conv3x3& shape, int images, const float* input, const float* weights, const float* kept,
                      const float* bias, float* output);

// input_diff = gradient by the input, given output_diff, that by the output.
void winograd_backward(const Conv3x3& shape, int images, const float* output_diff, const float* weights,
                       const float* kept, float* input_diff);

// weights_diff += gradient by the weights.
void winograd_weights(const Conv3x3& shape, int images, const float* input, const float* output_diff,
                      float* weights_diff);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_WINOGRAD_HPP_
