// Softmax over the channels at every position, and its cross entropy.
#ifndef CAFFE_FAST_SOFTMAX_HPP_
#define CAFFE_FAST_SOFTMAX_HPP_

namespace caffe {
namespace fast {

// in, out: (outer, channels, inner). May be done in place.
template <typename Dtype>
void softmax(long outer, int channels, long inner, const Dtype* in, Dtype* out);

// Gradient by `out` and `out` -> gradient by `in`. May be done in place of the gradient.
template <typename Dtype>
void softmax_backward(long outer, int channels, long inner, const Dtype* out, const Dtype* gradient, Dtype* in);

// Cross entropy of probabilities (outer, channels, inner) and labels (outer, inner), of which one may be ignored.
template <typename Dtype>
struct CrossEntropy {
  int outer, channels, inner;
  const Dtype* probabilities;
  const Dtype* labels;
  const int* ignored;  // NULL: none is

  // Labels that are not ignored.
  int valid() const;
  // Sum of -log(probability of the label) over them, the same for any number of threads.
  double sum() const;
  // scale * (probabilities - labels as one-hot vectors), 0 where the label is ignored.
  void gradient(Dtype scale, Dtype* scores) const;
};

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_SOFTMAX_HPP_
