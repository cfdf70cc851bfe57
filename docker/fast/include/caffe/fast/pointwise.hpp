// What is done to every element by itself: ReLU, dropout, the choice and the sum of several blobs, solvers' updates.
#ifndef CAFFE_FAST_POINTWISE_HPP_
#define CAFFE_FAST_POINTWISE_HPP_

#include <vector>

namespace caffe {
namespace fast {

// Unless said otherwise, arrays of `count` elements, and the output may be one of the inputs.

template <typename Dtype>
void relu(long count, Dtype slope, const Dtype* in, Dtype* out);

// Gradient by `out` -> gradient by `in`; x: the input or, where the slope is not negative, the output.
template <typename Dtype>
void relu_backward(long count, Dtype slope, const Dtype* x, const Dtype* out, Dtype* in);

// out = in * mask * scale.
template <typename Dtype>
void masked(long count, const unsigned int* mask, Dtype scale, const Dtype* in, Dtype* out);

// 0.5 tanh(0.5 x) + 0.5, and its gradient by x from y, the output.
template <typename Dtype>
void sigmoid(long count, const Dtype* x, Dtype* y);
template <typename Dtype>
void sigmoid_backward(long count, const Dtype* y, const Dtype* out, Dtype* in);

// out = sum of coefficients[b] * in[b], in that order. `out` is none of the inputs but the first.
template <typename Dtype>
void weighted_sum(long count, const std::vector<const Dtype*>& in, const std::vector<Dtype>& coefficients, Dtype* out);

// out = the largest of in[b], of at least two, and mask its b: the last of equal ones of the first two, else the first.
template <typename Dtype>
void largest(long count, const std::vector<const Dtype*>& in, Dtype* out, int* mask);

// in = out where mask is `index`, else 0.
template <typename Dtype>
void chosen(long count, int index, const int* mask, const Dtype* out, Dtype* in);

// Stochastic gradient descent with momentum, in one pass: gradient <- history <- rate * (share * gradient + decay *
// weights) + momentum * history; weights <- weights - gradient.
template <typename Dtype>
void sgd_update(long count, Dtype share, Dtype decay, Dtype rate, Dtype momentum, Dtype* weights, Dtype* gradient,
                Dtype* history);

// Adam (Kingma and Ba, 2015, algorithm 1): m and v are the averages of the gradient and of its square, `rate` has the
// corrections of their beginning in it. gradient <- rate * m / (sqrt(v) + epsilon).
template <typename Dtype>
void adam_update(long count, Dtype beta1, Dtype beta2, Dtype epsilon, Dtype rate, Dtype* gradient, Dtype* m, Dtype* v);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_POINTWISE_HPP_
