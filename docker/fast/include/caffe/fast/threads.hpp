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

// Threads of a parallel region that begins here: 1 inside of another one, in a process that was forked, and for a while
// after a region in which this thread had to wait long for the others: somebody else then has their cores, and each
// region would wait for a turn of the scheduler's.
int threads();

// Tells `threads` of the region that lasts as long as this object, on this thread.
class Region {
 public:
  Region();
  // This thread's part is done, and it waits for the others.
  void done();
  ~Region();

 private:
  double began_, done_;  // seconds
};

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
  Region region;
#pragma omp parallel num_threads(parts)
  {
    for (long part = omp_get_thread_num(); part < parts; part += omp_get_num_threads()) {
      body(count * part / parts, count * (part + 1) / parts);
    }
    if (omp_get_thread_num() == 0) region.done();
  }
#endif
}

// Elements below which one thread is faster than two, for loops that do little with each.
constexpr long kGrain = 16384;

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_THREADS_HPP_
