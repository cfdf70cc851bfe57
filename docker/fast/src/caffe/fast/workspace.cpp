#include "caffe/fast/workspace.hpp"

#include <cstdlib>
#include <memory>

#include "caffe/common.hpp"

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
    CHECK_EQ(posix_memalign(&fresh, 64, bytes), 0) << "host allocation of size " << bytes << " failed";
    memory.reset(fresh);
    size = bytes;
  }
  return memory.get();
}

}  // namespace fast
}  // namespace caffe
