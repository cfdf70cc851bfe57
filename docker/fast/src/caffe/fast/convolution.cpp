#include "caffe/fast/convolution.hpp"

#include <algorithm>

#include "caffe/fast/threads.hpp"

namespace caffe {
namespace fast {
namespace {

constexpr int kFewChannels = 8;   // below, transforming costs more than multiplying
constexpr double kWorth = 0.7;    // of the plain way's products at most

template <typename Dtype>
bool is(const Blob<Dtype>& one_an_axis, int value) {
  const Dtype* values = one_an_axis.cpu_data();
  return std::all_of(values, values + one_an_axis.count(), [=](Dtype found) { return found == value; });
}

}  // namespace

template <typename Dtype>
Winograd<Dtype>::Winograd(const Blob<Dtype>&, int, const vector<int>&, const Blob<int>&, const Blob<int>&,
                          const Blob<int>&, const Blob<int>&)
    : fits_(false), shape_() {}

template <>
Winograd<float>::Winograd(const Blob<float>& weights, int group, const vector<int>& input, const Blob<int>& kernel,
                          const Blob<int>& stride, const Blob<int>& pad, const Blob<int>& dilation)
    : fits_(false), shape_() {
  if (kernel.count() != 2 || group != 1 || !is(kernel, 3) || !is(stride, 1)) return;
  const int pads = pad.cpu_data()[0], apart = dilation.cpu_data()[0];
  if (!is(pad, pads) || !is(dilation, apart) || pads > 2 * apart || stock("winograd")) return;
  shape_ = {weights.shape(1), weights.shape(0), input[0], input[1], apart, pads};
  const double pixels = static_cast<double>(shape_.out_height()) * shape_.out_width();
  fits_ = std::min(shape_.channels, shape_.filters) >= kFewChannels && shape_.products() < kWorth * 9 * pixels;
}

namespace {

// Null where nobody shares them: a net of one scale needs them twice an iteration, which is not worth their memory.
const float* shared_filters(const Conv3x3& shape, const float* weights, std::shared_ptr<WinogradFilters>* kept) {
  if (!kept) return nullptr;
  *kept = WinogradFilters::of(weights);
  return kept->use_count() > 1 ? (*kept)->transformed(weights, shape.filters, shape.channels) : nullptr;
}

}  // namespace

template <>
void Winograd<float>::forward(int images, const float* input, const float* weights, const float* bias, float* output,
                              std::shared_ptr<WinogradFilters>* kept) const {
  winograd_forward(shape_, images, input, weights, shared_filters(shape_, weights, kept), bias, output);
}

template <>
void Winograd<float>::backward(int images, const float* output_diff, const float* weights, float* input_diff,
                               std::shared_ptr<WinogradFilters>* kept) const {
  winograd_backward(shape_, images, output_diff, weights, shared_filters(shape_, weights, kept), input_diff);
}

template <>
void Winograd<float>::weights(int images, const float* input, const float* output_diff, float* weights_diff) const {
  winograd_weights(shape_, images, input, output_diff, weights_diff);
}

// Never called: a layer of doubles does not fit.
template <>
void Winograd<double>::forward(int, const double*, const double*, const double*, double*,
                               std::shared_ptr<WinogradFilters>*) const {}
template <>
void Winograd<double>::backward(int, const double*, const double*, double*, std::shared_ptr<WinogradFilters>*) const {}
template <>
void Winograd<double>::weights(int, const double*, const double*, double*) const {}

template <typename Dtype>
Blob<Dtype>* column_buffer(const vector<int>& shape) {
#ifdef CPU_ONLY
  static thread_local Blob<Dtype> own;
  Blob<Dtype>* const buffer = &own;
#else
  // Never freed: at the end of the program the CUDA driver may be gone before a thread's own objects are.
  static thread_local Blob<Dtype>* const buffer = new Blob<Dtype>;
#endif
  buffer->Reshape(shape);
  return buffer;
}

template class Winograd<double>;
template Blob<float>* column_buffer(const vector<int>&);
template Blob<double>* column_buffer(const vector<int>&);

}  // namespace fast
}  // namespace caffe
