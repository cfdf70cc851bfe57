#include "caffe/fast/threads.hpp"

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

int threads() {
#ifdef _OPENMP
  return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
  return 1;
#endif
}

}  // namespace fast
}  // namespace caffe
