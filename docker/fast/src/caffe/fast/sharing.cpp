#include "caffe/fast/sharing.hpp"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "caffe/fast/threads.hpp"
#include "caffe/net.hpp"

namespace caffe {
namespace fast {

namespace {

// Whether the layer has its tops and its bottom share the memory of that part.
template <typename Dtype>
bool Aliases(const string& type, Part part, const vector<Blob<Dtype>*>& bottom, const vector<Blob<Dtype>*>& top) {
  if (type == "Split") return part == Part::kData;  // each reader's gradient is its own
  return type == "Flatten" || type == "Reshape" || (type == "Concat" && bottom.size() == 1) ||
         (type == "Slice" && top.size() == 1);
}

// Layers whose bottoms and tops are left alone.
bool NeedsItsOwn(const string& type) {
  return type == "RNN" || type == "LSTM" || (type == "Python" && Caffe::mode() == Caffe::GPU);
}

// Layers some of whose tops are views of memory of their own.
bool ShowsItsOwn(const string& type) { return type == "SoftmaxWithLoss" || type == "InfogainLoss"; }

}  // namespace

template <typename Dtype>
Sharing<Dtype>::Sharing(const Net<Dtype>& net, Part part, const vector<string>& keep) : part_(part) {
  FindValues(net, keep);
  for (Value& value : values_) value.count = Memory(*value.blobs[0])->size() / sizeof(Dtype);
  Place();
}

template <typename Dtype>
void Sharing<Dtype>::FindValues(const Net<Dtype>& net, const vector<string>& keep) {
  vector<Value> values;
  vector<int> value_of(net.blobs().size(), -1);
  vector<bool> read(net.blobs().size());
  for (int layer = 0; layer < net.layers().size(); ++layer) {
    const string type = net.layers()[layer]->type();
    const vector<int>&bottoms = net.bottom_ids(layer), &tops = net.top_ids(layer);
    for (int i = 0; i < bottoms.size(); ++i) {
      Value& value = values[value_of[bottoms[i]]];
      value.last = layer;
      value.alone |= NeedsItsOwn(type);
      // A layer without tops writes no gradients, one in Python that passes them by may leave them as they are, and
      // Crop's second bottom gives a size, no more.
      const bool writes = net.layer_need_backward()[layer] && net.bottom_need_backward()[layer][i] && !tops.empty() &&
                          type != "Python" && !(type == "Crop" && i == 1);
      value.alone |= part_ == Part::kDiff && !writes;
      read[bottoms[i]] = true;
    }
    for (const int top : tops) {
      if (value_of[top] < 0 && Aliases(type, part_, net.bottom_vecs()[layer], net.top_vecs()[layer])) {
        value_of[top] = value_of[bottoms[0]];
        values[value_of[top]].blobs.push_back(net.blobs()[top].get());
      } else if (value_of[top] < 0) {
        value_of[top] = values.size();
        values.push_back(Value{{net.blobs()[top].get()}, layer, layer, false, 0, 0});
      }
      Value& value = values[value_of[top]];
      value.last = layer;
      value.alone |= bottoms.empty() || NeedsItsOwn(type) || ShowsItsOwn(type);
      value.alone |= part_ == Part::kDiff && net.blob_loss_weights()[top] != 0;
    }
  }
  std::set<string> missing(keep.begin(), keep.end());
  const vector<int>& outputs = net.output_blob_indices();
  for (int blob = 0; blob < value_of.size(); ++blob) {
    const string& name = net.blob_names()[blob];
    missing.erase(name);
    values[value_of[blob]].alone |= std::count(keep.begin(), keep.end(), name) > 0 ||
                                    std::count(outputs.begin(), outputs.end(), blob) > 0 ||
                                    (part_ == Part::kDiff && !read[blob]) || !Memory(*net.blobs()[blob]);
  }
  if (!missing.empty()) throw std::invalid_argument("no blob of the net is named " + *missing.begin());
  for (const Value& value : values) {
    if (!value.alone) values_.push_back(value);
  }
}

template <typename Dtype>
void Sharing<Dtype>::Follow() {
  bool moved = false;
  for (Value& value : values_) {
    const shared_ptr<SyncedMemory>& own = Memory(*value.blobs[0]);
    if (own == Memory(*places_[value.place])) continue;
    value.count = own->size() / sizeof(Dtype);
    moved = true;
  }
  if (moved) Place();
}

// The largest first, each to the smallest place that nobody has during its life (Pisarchyk and Lee, "Efficient Memory
// Management for Deep Neural Net Inference", 2020, arXiv:2001.03288, "greedy by size").
template <typename Dtype>
void Sharing<Dtype>::Place() {
  vector<Value*> by_size;
  for (Value& value : values_) by_size.push_back(&value);
  std::stable_sort(by_size.begin(), by_size.end(), [](Value* a, Value* b) { return a->count > b->count; });
  vector<vector<const Value*> > tenants;  // of each place; places come in the order of size
  for (Value* value : by_size) {
    const auto free = [&](const vector<const Value*>& others) {
      return std::all_of(others.begin(), others.end(), [&](const Value* other) {
        return other->last < value->first || value->last < other->first;
      });
    };
    value->place = tenants.size() - 1;
    while (value->place >= 0 && !free(tenants[value->place])) --value->place;
    if (value->place < 0) {
      value->place = tenants.size();
      tenants.push_back({});
      if (places_.size() < tenants.size()) places_.push_back(shared_ptr<Blob<Dtype> >(new Blob<Dtype>()));
      places_[value->place]->Reshape(vector<int>(1, value->count));
    }
    tenants[value->place].push_back(value);
  }
  places_.resize(tenants.size());
  for (Value& value : values_) {
    places_[value.place]->Reshape(vector<int>(1, value.blobs[0]->count()));  // sharing asks for equal counts
    Share(value.blobs[0], *places_[value.place]);
    for (int i = 1; i < value.blobs.size(); ++i) {  // they would do so in the next pass, and hold old memory until then
      if (value.blobs[i]->count() == value.blobs[0]->count()) Share(value.blobs[i], *value.blobs[0]);
    }
  }
}

template <typename Dtype>
const shared_ptr<SyncedMemory>& Sharing<Dtype>::Memory(const Blob<Dtype>& blob) const {
  return part_ == Part::kData ? blob.data() : blob.diff();
}

template <typename Dtype>
void Sharing<Dtype>::Share(Blob<Dtype>* blob, const Blob<Dtype>& with) const {
  if (part_ == Part::kData) {
    blob->ShareData(with);
  } else {
    blob->ShareDiff(with);
  }
}

INSTANTIATE_CLASS(Sharing);

}  // namespace fast

template <typename Dtype>
void Net<Dtype>::Share(fast::Part part, const vector<string>& keep) {
  shared_ptr<fast::Sharing<Dtype> >& sharing = part == fast::Part::kData ? shared_data_ : shared_diffs_;
  if (sharing) throw std::logic_error("the net shares them already");
  if (!fast::stock("memory")) sharing.reset(new fast::Sharing<Dtype>(*this, part, keep));
}

template void Net<float>::Share(fast::Part part, const vector<string>& keep);
template void Net<double>::Share(fast::Part part, const vector<string>& keep);

}  // namespace caffe
