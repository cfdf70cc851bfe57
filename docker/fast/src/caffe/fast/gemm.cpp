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
constexpr long kStep = 16;         // columns or rows: a part is a multiple, for whole vectors
constexpr double kLeast = 100000;  // multiply-adds of a part, below which a second thread costs more than it does

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
  const double each = static_cast<double>(columns ? m : n) * k * kStep;
  static const bool alone = stock("gemm");
  const long grain = alone ? steps : std::max(1L, static_cast<long>(kLeast / std::max(each, 1.)));
  parallel(steps, grain, [&](long begin, long end) {
    const long first = begin * kStep, count = std::min(length, end * kStep) - first;
    if (columns) {
      product(a_order, b_order, m, count, k, alpha, a, lda, b + first * (b_order == CblasNoTrans ? 1 : k), ldb, beta,
              c + first, n);
    } else {
      product(a_order, b_order, count, n, k, alpha, a + first * (a_order == CblasNoTrans ? k : 1), lda, b, ldb, beta,
              c + first * n, n);
    }
  });
}

template void gemm(CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, int, int, int, float, const float*, const float*, float, float*);
template void gemm(CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, int, int, int, double, const double*, const double*, double,
                   double*);

}  // namespace fast
}  // namespace caffe
