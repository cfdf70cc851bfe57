// CAFFE_FAST_CLONES before a function: it is compiled for AVX-512, for AVX2 and for any x86-64, and the loader takes the
// one for the processor at hand, by its features ("arch=..." would ask for that very model). Its loops are plain ones
// that the compiler vectorises.
#ifndef CAFFE_FAST_CLONES_HPP_
#define CAFFE_FAST_CLONES_HPP_

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define CAFFE_FAST_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CAFFE_FAST_CLONES
#endif

#define CAFFE_FAST_INLINE inline __attribute__((always_inline))

#endif  // CAFFE_FAST_CLONES_HPP_
