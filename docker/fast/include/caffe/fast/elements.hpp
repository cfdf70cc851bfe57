// Loops over the elements of arrays and over the planes of images, on all cores.
#ifndef CAFFE_FAST_ELEMENTS_HPP_
#define CAFFE_FAST_ELEMENTS_HPP_

#include <algorithm>
#include <vector>

#include "caffe/fast/threads.hpp"

namespace caffe {
namespace fast {

// Elements that stay in the first cache of a core while several loops pass over them.
constexpr long kBlock = 2048;

// Calls body(begin, end) for blocks of at most kBlock elements of [0, count). The blocks are the same for any number of
// threads: a BLAS routine that is called for each gives the same bits, whatever it does with the last few elements.
template <typename Body>
void blocks(long count, const Body& body) {
  parallel((count + kBlock - 1) / kBlock, kGrain / kBlock, [&](long first, long last) {
    for (long block = first; block < last; ++block) body(block * kBlock, std::min(count, (block + 1) * kBlock));
  });
}

// Calls body(index) for every one of `count` planes, channels or rows, in each of which `size` elements are touched.
template <typename Body>
void planes(long count, long size, const Body& body) {
  parallel(count, kGrain / std::max(1L, size), [&](long begin, long end) {
    for (long index = begin; index < end; ++index) body(index);
  });
}

// Sum of term(begin, end) over the blocks of [0, count), added in their order whatever the number of threads.
template <typename Term>
double sum_of_blocks(long count, const Term& term) {
  if (count <= kBlock) return count > 0 ? term(0L, count) : 0;
  std::vector<double> terms((count + kBlock - 1) / kBlock);
  blocks(count, [&](long begin, long end) { terms[begin / kBlock] = term(begin, end); });
  double sum = 0;
  for (double one : terms) sum += one;
  return sum;
}

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_ELEMENTS_HPP_
