#include "caffe/fast/workspace.hpp"

#include <cstdlib>
#include <memory>
#include <new>

namespace caffe {
namespace fast {

void* workspace(size_t bytes) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  static thread_local std::unique_ptr<void, Free> memory;
  static thread_local size_t size = 0;
  if (bytes > size) {
    memory.reset();
    size = 0;
    void* fresh = nullptr;
    if (posix_memalign(&fresh, 64, bytes)) throw std::bad_alloc();
    memory.reset(fresh);
    size = bytes;
  }
  return memory.get();
}

}  // namespace fast
}  // namespace caffe
