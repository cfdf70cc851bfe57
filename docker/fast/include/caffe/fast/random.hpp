// Random numbers by the million, the same ones as one after the other.
#ifndef CAFFE_FAST_RANDOM_HPP_
#define CAFFE_FAST_RANDOM_HPP_

#include <boost/random/mersenne_twister.hpp>

namespace caffe {
namespace fast {

// 1 with this probability, less than 1, else 0: what boost::bernoulli_distribution<double> makes of the generator, which
// has moved on by `count` numbers after that, or by none for the probability 0.
void bernoulli(long count, double probability, boost::mt19937* generator, unsigned int* out);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_RANDOM_HPP_
