#include "caffe/fast/random.hpp"

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <vector>

#include "caffe/fast/clones.hpp"

namespace caffe {
namespace fast {
namespace {

// The recurrence of MT19937 (Matsumoto and Nishimura, 1998): a number needs those 624, 623 and 227 before it, so that
// vectors of them can be worked out at once.
constexpr int kState = 624, kMiddle = 397;
constexpr long kPiece = 8192;   // numbers at once, which stay in the first cache
constexpr long kMany = 100000;  // from here on, reading and writing the generator's state costs less than it saves

// x: kState numbers before tempering, followed by `count` that are worked out.
CAFFE_FAST_CLONES
void twist(long count, uint32_t* x) {
#pragma omp simd safelen(64)
  for (long i = 0; i < count; ++i) {
    const uint32_t next = x[i + 1], joined = (x[i] & 0x80000000u) | (next & 0x7fffffffu);
    x[i + kState] = x[i + kMiddle] ^ (joined >> 1) ^ ((0u - (next & 1u)) & 0x9908b0dfu);
  }
}

// out = 1 where the tempered number is at most `limit`.
CAFFE_FAST_CLONES
void temper(long count, uint32_t limit, const uint32_t* x, unsigned int* out) {
#pragma omp simd
  for (long i = 0; i < count; ++i) {
    uint32_t y = x[i];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    y ^= y >> 18;
    out[i] = y <= limit;
  }
}

}  // namespace

void bernoulli(long count, double probability, boost::mt19937* generator, unsigned int* out) {
  if (probability <= 0) {
    std::fill(out, out + count, 0);
    return;
  }
  const uint32_t limit = static_cast<uint32_t>(probability * 4294967295.0);
  if (count < kMany) {
    for (long i = 0; i < count; ++i) out[i] = (*generator)() <= limit;
    return;
  }
  std::vector<uint32_t> x(kState + kPiece);
  std::stringstream state;  // the way into the generator that Boost offers: the last 624 numbers before tempering
  state << *generator;
  for (int i = 0; i < kState; ++i) state >> x[i];
  for (long done = 0; done < count; done += kPiece) {
    const long piece = std::min(kPiece, count - done);
    twist(piece, x.data());
    temper(piece, limit, x.data() + kState, out + done);
    std::copy(x.begin() + piece, x.begin() + piece + kState, x.begin());
  }
  state.clear();
  for (int i = 0; i < kState; ++i) state << x[i] << ' ';
  state >> *generator;
}

}  // namespace fast
}  // namespace caffe
