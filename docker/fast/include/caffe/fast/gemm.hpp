// Matrix products on all cores. OpenBLAS runs on one thread and the cores are shared out here, so that a process has
// one set of threads: a second one would spin beside the first whenever the work changes hands.
#ifndef CAFFE_FAST_GEMM_HPP_
#define CAFFE_FAST_GEMM_HPP_

#include "caffe/common.hpp"
#include "caffe/util/mkl_alternate.hpp"

namespace caffe {
namespace fast {

// One product on this thread: C = alpha * op(A) op(B) + beta * C, row-major, leading dimensions as in cblas_sgemm.
inline void product(CBLAS_TRANSPOSE a_order, CBLAS_TRANSPOSE b_order, int m, int n, int k, float alpha, const float* a,
                    int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  cblas_sgemm(CblasRowMajor, a_order, b_order, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
inline void product(CBLAS_TRANSPOSE a_order, CBLAS_TRANSPOSE b_order, int m, int n, int k, double alpha,
                    const double* a, int lda, const double* b, int ldb, double beta, double* c, int ldc) {
  cblas_dgemm(CblasRowMajor, a_order, b_order, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

// The same for dense matrices, as caffe_cpu_gemm has them, with the columns or rows of C shared out to the threads.
template <typename Dtype>
void gemm(CBLAS_TRANSPOSE a_order, CBLAS_TRANSPOSE b_order, int m, int n, int k, Dtype alpha, const Dtype* a,
          const Dtype* b, Dtype beta, Dtype* c);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_GEMM_HPP_
