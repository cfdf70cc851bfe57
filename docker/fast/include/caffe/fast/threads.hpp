// All cores, by OpenMP: OMP_NUM_THREADS, or the cores at hand, says how many threads.
#ifndef CAFFE_FAST_THREADS_HPP_
#define CAFFE_FAST_THREADS_HPP_

#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>

namespace caffe {
namespace fast {

// Whether the environment's CAFFE_STOCK names this part, or says "all": it is then done as stock Caffe does it.
bool stock(const char* part);

// Threads of a parallel region that begins here: 1 inside of another one.
int threads();

// Calls body(begin, end) for equal, contiguous parts of [0, count), one a thread, none smaller than `grain`.
// Which thread does what depends on count, grain and the number of threads alone, so sums come out the same each time.
template <typename Body>
void parallel(long count, long grain, const Body& body) {
  if (count <= 0) return;
  const long parts = std::max(1L, std::min<long>(threads(), count / std::max(1L, grain)));
  if (parts == 1) {
    body(0L, count);
    return;
  }
#ifdef _OPENMP
#pragma omp parallel for schedule(static, 1) num_threads(parts)
#endif
  for (long part = 0; part < parts; ++part) {
    body(count * part / parts, count * (part + 1) / parts);
  }
}

// Elements below which one thread is faster than two, for loops that do little with each.
constexpr long kGrain = 16384;

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_THREADS_HPP_
