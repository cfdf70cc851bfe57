// Blobs of a net in one another's memory, where their lives do not overlap.
#ifndef CAFFE_FAST_SHARING_HPP_
#define CAFFE_FAST_SHARING_HPP_

#include <string>
#include <vector>

#include "caffe/blob.hpp"

namespace caffe {

template <typename Dtype>
class Net;

namespace fast {

// What is shared: activations, in a net that goes forward only, or their gradients, in one that learns.
enum class Part { kData, kDiff };

// A value lives from the layer that makes it to the last one that reads it; its gradient lives there too, backwards.
// Blobs that layers such as Split and Flatten make one are one value. Left alone, with memory of their own, are
//   - the net's inputs, its outputs, and blobs that somebody wants to read,
//   - what recurrent layers read or write, since they hold on to it,
//   - on a GPU, what Python layers read or write: it goes to the CPU and back with all of its place,
//   - gradients that may not be written: they hold a loss's weight, or zeros that are counted on.
// A layer has to write its tops in each pass. Places only grow, so that a pass finds the pages of the one before.
template <typename Dtype>
class Sharing {
 public:
  // Throws std::invalid_argument for a name in `keep` that is no blob's.
  Sharing(const Net<Dtype>& net, Part part, const std::vector<std::string>& keep);
  // Gives each value its place again, where a blob has outgrown its own since. Until then it has memory of its own,
  // which is right, too, and only takes more.
  void Follow();

 private:
  struct Value {
    std::vector<Blob<Dtype>*> blobs;  // the first is the one that a layer writes; the others share with it
    int first, last;                  // layers
    bool alone;
    size_t count;  // elements of the largest that the blob has been: it counts on room for them
    int place;
  };
  void FindValues(const Net<Dtype>& net, const std::vector<std::string>& keep);
  const shared_ptr<SyncedMemory>& Memory(const Blob<Dtype>& blob) const;
  void Share(Blob<Dtype>* blob, const Blob<Dtype>& with) const;
  void Place();

  const Part part_;
  std::vector<Value> values_;
  std::vector<shared_ptr<Blob<Dtype> > > places_;
};

}  // namespace fast
}  // namespace caffe

#endif  // CAFFE_FAST_SHARING_HPP_
