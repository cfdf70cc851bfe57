// Memory that is needed only while a layer runs: one piece for all layers of this thread, as large as the largest wants.
#ifndef CAFFE_FAST_WORKSPACE_HPP_
#define CAFFE_FAST_WORKSPACE_HPP_

#include <cstddef>

namespace caffe {
namespace fast {

// `bytes` of memory with any content, aligned to 64, valid until the next call on this thread.
void* workspace(size_t bytes);

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_WORKSPACE_HPP_
