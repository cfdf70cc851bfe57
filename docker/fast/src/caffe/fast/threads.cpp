#include "caffe/fast/threads.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <sstream>
#include <string>

namespace caffe {
namespace fast {

bool stock(const char* part) {
  const char* named = std::getenv("CAFFE_STOCK");
  std::istringstream names(named ? named : "");
  for (std::string name; std::getline(names, name, ',');) {
    if (name == "all" || name == part) return true;
  }
  return false;
}

namespace {

constexpr double kStall = 1e-3;       // seconds that a thread waits for others without their being kept from work
constexpr double kShareOfWork = 2;   // or that are so many times what its own part took
constexpr double kPause = 10e-3;     // seconds on one thread after that
constexpr double kLongest = 0.1;      // doubled each time that it happens again at once, up to this

std::atomic<double> alone_until(0), pause_for(kPause);
bool forked = false;  // OpenMP's threads are not in the child

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct AtFork {
  AtFork() {
    pthread_atfork(nullptr, nullptr, [] { forked = true; });
  }
} at_fork;

}  // namespace

Region::Region() : began_(now()), done_(began_) {}

void Region::done() { done_ = now(); }

Region::~Region() {
  const double end = now(), waited = end - done_;
  if (waited > kStall && waited > kShareOfWork * (done_ - began_)) {
    alone_until = end + pause_for;
    pause_for = std::min(2 * pause_for.load(), kLongest);
  } else if (end > alone_until + kPause) {
    pause_for = kPause;
  }
}

int threads() {
#ifdef _OPENMP
  return forked || omp_in_parallel() || now() < alone_until ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace fast
}  // namespace caffe
