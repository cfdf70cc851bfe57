// What a convolution layer does otherwise than stock Caffe on the CPU.
#ifndef CAFFE_FAST_CONVOLUTION_HPP_
#define CAFFE_FAST_CONVOLUTION_HPP_

#include <memory>

#include "caffe/blob.hpp"
#include "caffe/fast/winograd.hpp"

namespace caffe {
namespace fast {

// A layer's passes by Winograd's algorithm, where that is the faster way: 3x3, stride 1, one group, float.
template <typename Dtype>
class Winograd {
 public:
  // The layer's shape in this pass. kernel, stride, pad and dilation: one for each of the spatial axes.
  Winograd(const Blob<Dtype>& weights, int group, const vector<int>& input, const Blob<int>& kernel,
           const Blob<int>& stride, const Blob<int>& pad, const Blob<int>& dilation);

  // Whether the passes below are to be used.
  bool fits() const { return fits_; }

  // bias: null for none. kept: the layer's own, to hold in training what layers with the same weights share; null in
  // testing, where each pass transforms the filters again, which takes little time and saves four times their memory.
  void forward(int images, const Dtype* input, const Dtype* weights, const Dtype* bias, Dtype* output,
               std::shared_ptr<WinogradFilters>* kept) const;
  void backward(int images, const Dtype* output_diff, const Dtype* weights, Dtype* input_diff,
                std::shared_ptr<WinogradFilters>* kept) const;
  void weights(int images, const Dtype* input, const Dtype* output_diff, Dtype* weights_diff) const;

 private:
  bool fits_;
  Conv3x3 shape_;
};

// The columns of an image, of one layer at a time: one buffer for all layers of this thread.
template <typename Dtype>
Blob<Dtype>* column_buffer(const vector<int>& shape);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_CONVOLUTION_HPP_
