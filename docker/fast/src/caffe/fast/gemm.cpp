#include "caffe/fast/gemm.hpp"

#include <algorithm>

#include "caffe/fast/threads.hpp"

// OpenBLAS has these; another BLAS does without.
extern "C" {
void openblas_set_num_threads(int number) __attribute__((weak));
int openblas_get_parallel() __attribute__((weak));
}

namespace caffe {
namespace fast {
namespace {

constexpr int kOpenMP = 2;         // what openblas_get_parallel says of a build on OpenMP: in a region it has one thread
constexpr long kStep = 16;     // columns or rows: a part is a multiple, for whole vectors
constexpr double kPart = 4e6;  // multiply-adds of a part, where there are enough
constexpr long kMost = 8;      // parts: each packs the other matrix anew

struct OneThread {
  OneThread() {
    if (stock("gemm") || !openblas_set_num_threads) return;
    if (!openblas_get_parallel || openblas_get_parallel() != kOpenMP) openblas_set_num_threads(1);
  }
} one_thread;

}  // namespace

template <typename Dtype>
void gemm(CBLAS_TRANSPOSE a_order, CBLAS_TRANSPOSE b_order, int m, int n, int k, Dtype alpha, const Dtype* a,
          const Dtype* b, Dtype beta, Dtype* c) {
  const int lda = a_order == CblasNoTrans ? k : m, ldb = b_order == CblasNoTrans ? n : k;
  const bool columns = n >= m;
  const long length = columns ? n : m, steps = (length + kStep - 1) / kStep;
  static const bool whole = stock("gemm");
  // The parts are the same for any number of threads: BLAS adds up otherwise where a matrix has another size.
  const long wanted = static_cast<long>(static_cast<double>(m) * n * k / kPart);
  const long parts = whole ? 1 : std::max(1L, std::min({wanted, steps, kMost}));
  parallel(parts, 1, [&](long begin, long end) {
    for (long part = begin; part < end; ++part) {
      const long first = steps * part / parts * kStep;
      const int count = std::min(length, steps * (part + 1) / parts * kStep) - first;
      if (columns) {
        product(a_order, b_order, m, count, k, alpha, a, lda, b + first * (b_order == CblasNoTrans ? 1 : k), ldb, beta,
                c + first, n);
      } else {
        product(a_order, b_order, count, n, k, alpha, a + first * (a_order == CblasNoTrans ? k : 1), lda, b, ldb, beta,
                c + first * n, n);
      }
    }
  });
}

template void gemm(CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, int, int, int, float, const float*, const float*, float, float*);
template void gemm(CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, int, int, int, double, const double*, const double*, double,
                   double*);

}  // namespace fast
}  // namespace caffe
