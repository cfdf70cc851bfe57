#include "caffe/fast/winograd.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "caffe/fast/clones.hpp"
#include "caffe/fast/gemm.hpp"
#include "caffe/fast/threads.hpp"
#include "caffe/fast/workspace.hpp"

namespace caffe {
namespace fast {
namespace {

constexpr int kTile = 4, kInput = 6, kProducts = kInput * kInput;
constexpr float kRoot = 1.41421356237309505f, kHalfRoot = kRoot / 2;
constexpr long kBlock = 6 << 20;     // bytes of transformed input and output in work at a time: they stay in cache
constexpr long kFewTiles = 128;      // but so many tiles at least: a product with fewer is slow
constexpr long kMostFilters = 80 << 20;   // bytes of transformed filters that are multiplied at a time
constexpr long kPartOfFilters = 40 << 20;  // where there are more: bytes of a part of the channels
constexpr int kManyPhases = 8;      // from this dilation on, a vector is of neighbouring phases, not of one phase's tiles
constexpr int kTurned[kInput] = {5, 3, 4, 1, 2, 0};  // where a point goes under x -> 1/x

// --- one dimension ---------------------------------------------------------------------------------------------------

// v = B' d
CAFFE_FAST_INLINE void input_points(const float d[kInput], float v[kInput]) {
  const float even = 2 * d[2] - d[4], odd = kHalfRoot * (2 * d[1] - d[3]);
  const float even2 = 0.5f * d[4] - 0.25f * d[2], odd2 = kRoot * (0.5f * d[3] - 0.25f * d[1]);
  v[0] = (d[0] - 2.5f * d[2]) + d[4];
  v[1] = even + odd;
  v[2] = even - odd;
  v[3] = even2 + odd2;
  v[4] = even2 - odd2;
  v[5] = (d[1] - 2.5f * d[3]) + d[5];
}

// y = A' m
CAFFE_FAST_INLINE void output_points(const float m[kInput], float y[kTile]) {
  const float even = m[1] + m[2], odd = kHalfRoot * (m[1] - m[2]);
  const float even2 = m[3] + m[4], odd2 = kRoot * (m[3] - m[4]);
  y[0] = m[0] + (even + even2);
  y[1] = odd + odd2;
  y[2] = 0.5f * even + 2 * even2;
  y[3] = m[5] + (0.5f * odd + 2 * odd2);
}

// z = A y, the gradient of output_points
CAFFE_FAST_INLINE void output_gradient_points(const float y[kTile], float z[kInput]) {
  const float even = y[0] + 0.5f * y[2], odd = kHalfRoot * (y[1] + 0.5f * y[3]);
  const float even2 = y[0] + 2 * y[2], odd2 = kRoot * (y[1] + 2 * y[3]);
  z[0] = y[0];
  z[1] = even + odd;
  z[2] = even - odd;
  z[3] = even2 + odd2;
  z[4] = even2 - odd2;
  z[5] = y[3];
}

// u = G g
CAFFE_FAST_INLINE void filter_points(const float g[3], float u[kInput]) {
  constexpr float third = 1.f / 3;
  const float odd = third * kRoot * g[1];
  const float near = third * (2 * g[0] + g[2]), far = third * (g[0] + 2 * g[2]);
  u[0] = g[0];
  u[1] = near + odd;
  u[2] = near - odd;
  u[3] = far + odd;
  u[4] = far - odd;
  u[5] = g[2];
}

// g = G' u, the gradient of filter_points
CAFFE_FAST_INLINE void filter_gradient_points(const float u[kInput], float g[3]) {
  constexpr float third = 1.f / 3;
  const float near = third * (u[1] + u[2]), far = third * (u[3] + u[4]);
  g[0] = u[0] + (2 * near + far);
  g[1] = third * kRoot * ((u[1] - u[2]) + (u[3] - u[4]));
  g[2] = u[5] + (near + 2 * far);
}

// --- lines of an image: first along the columns, all x side by side, then along the rows, tiles side by side ---------

// In: lines of a tile's rows. Out: 6 lines, `pitch` apart.
CAFFE_FAST_CLONES
void input_columns(const float* const in[kInput], long width, float* __restrict out, long pitch) {
  const float *a = in[0], *b = in[1], *c = in[2], *d = in[3], *e = in[4], *f = in[5];
  for (long x = 0; x < width; ++x) {
    const float line[kInput] = {a[x], b[x], c[x], d[x], e[x], f[x]};
    float v[kInput];
    input_points(line, v);
    for (int i = 0; i < kInput; ++i) out[i * pitch + x] = v[i];
  }
}

CAFFE_FAST_CLONES
void output_gradient_columns(const float* const in[kTile], long width, float* __restrict out, long pitch) {
  const float *a = in[0], *b = in[1], *c = in[2], *d = in[3];
  for (long x = 0; x < width; ++x) {
    const float line[kTile] = {a[x], b[x], c[x], d[x]};
    float z[kInput];
    output_gradient_points(line, z);
    for (int i = 0; i < kInput; ++i) out[i * pitch + x] = z[i];
  }
}

// In: 6 lines, `pitch` apart. Out: 4 lines, plus `bias`; a line that is null is not wanted.
CAFFE_FAST_CLONES
void output_columns(const float* __restrict in, long pitch, long width, float bias, float* const out[kTile]) {
  float *a = out[0], *b = out[1], *c = out[2], *d = out[3];
  float nowhere = 0;
  const long bs = b ? 1 : 0, cs = c ? 1 : 0, ds = d ? 1 : 0;
  if (!b || !c || !d) {
    if (!b) b = &nowhere;
    if (!c) c = &nowhere;
    if (!d) d = &nowhere;
    for (long x = 0; x < width; ++x) {
      float m[kInput], y[kTile];
      for (int i = 0; i < kInput; ++i) m[i] = in[i * pitch + x];
      output_points(m, y);
      a[x] = y[0] + bias;
      b[x * bs] = y[1] + bias;
      c[x * cs] = y[2] + bias;
      d[x * ds] = y[3] + bias;
    }
    return;
  }
#pragma GCC ivdep
  for (long x = 0; x < width; ++x) {
    float m[kInput], y[kTile];
    for (int i = 0; i < kInput; ++i) m[i] = in[i * pitch + x];
    output_points(m, y);
    a[x] = y[0] + bias;
    b[x] = y[1] + bias;
    c[x] = y[2] + bias;
    d[x] = y[3] + bias;
  }
}

// `lanes` tiles: tile t has its line's pixels at in[t * kStep + l * tap]; its 6 values go to out[l * pitch + t].
template <int kStep>
CAFFE_FAST_INLINE void input_row(const float* __restrict in, long tap, long lanes, float* __restrict out, long pitch) {
#pragma GCC ivdep
  for (long t = 0; t < lanes; ++t) {
    float d[kInput], v[kInput];
    for (int l = 0; l < kInput; ++l) d[l] = in[t * kStep + l * tap];
    input_points(d, v);
    for (int l = 0; l < kInput; ++l) out[l * pitch + t] = v[l];
  }
}

template <int kStep>
CAFFE_FAST_INLINE void output_gradient_row(const float* __restrict in, long tap, long lanes, float* __restrict out,
                                           long pitch) {
#pragma GCC ivdep
  for (long t = 0; t < lanes; ++t) {
    float y[kTile], z[kInput];
    for (int l = 0; l < kTile; ++l) y[l] = in[t * kStep + l * tap];
    output_gradient_points(y, z);
    for (int l = 0; l < kInput; ++l) out[l * pitch + t] = z[l];
  }
}

template <int kStep>
CAFFE_FAST_INLINE void output_row(const float* __restrict in, long pitch, long lanes, float* __restrict out, long tap) {
#pragma GCC ivdep
  for (long t = 0; t < lanes; ++t) {
    float m[kInput], y[kTile];
    for (int l = 0; l < kInput; ++l) m[l] = in[l * pitch + t];
    output_points(m, y);
    for (int l = 0; l < kTile; ++l) out[t * kStep + l * tap] = y[l];
  }
}

// --- tiles -----------------------------------------------------------------------------------------------------------

// Where the tiles of an image are. A dilation of d makes d * d images (phases) of every d-th pixel. A band is what lies
// beside each other: one row of tiles in all phases that share its lines. Its tiles are in runs, which are vectors.
struct Tiles {
  struct Run {
    long x, lanes, tile;  // first tile's first column; tiles; number of the first among those of the band
  };
  std::vector<Run> runs;
  std::vector<int> tops;  // of each band: first line of output
  long step;              // columns from a tile of a run to the next
  long band = 0;          // tiles of a band
  int dilation, height, width;

  Tiles(int height, int width, int dilation) : dilation(dilation), height(height), width(width) {
    const int phases_x = std::min(dilation, width), phases_y = std::min(dilation, height);
    const bool many = dilation >= kManyPhases;
    step = many ? 1 : kTile * dilation;
    const long across = count(width, 0);  // in the first phase, which has most
    for (long i = 0; i < (many ? across : phases_x); ++i) {
      Run run = {many ? i * kTile * dilation : i, 0, band};
      if (many) {
        while (run.lanes < phases_x && count(width, run.lanes) > i) ++run.lanes;
      } else {
        run.lanes = count(width, i);
      }
      band += run.lanes;
      runs.push_back(run);
    }
    for (int phase = 0; phase < phases_y; ++phase) {
      for (int i = 0; i < count(height, phase); ++i) tops.push_back(phase + i * kTile * dilation);
    }
    reach = dilation * (kTile * across + kInput - kTile) + dilation;
  }
  long reach;  // columns that the tiles of a band read of a line

 private:
  int count(int length, int phase) const { return ((length - phase + dilation - 1) / dilation + kTile - 1) / kTile; }
};

// Lines for one thread: zeros, and 6 transformed lines that are zero outside of what is written into them.
struct Lines {
  Lines(long width, long left, long reach) : left(left), pitch((std::max(left + width, reach) + 31) / 16 * 16) {
    values.assign((kInput + 1) * pitch, 0.f);
  }
  float* row(int i) { return values.data() + i * pitch; }
  const float* zeros() { return row(kInput); }
  long left, pitch;
  std::vector<float> values;
};

#define CAFFE_FAST_BY_STEP(row, ...) \
  switch (tiles.step) {              \
    case 4: row<4>(__VA_ARGS__); break;  \
    case 8: row<8>(__VA_ARGS__); break;  \
    case 1: row<1>(__VA_ARGS__); break;  \
    case 12: row<12>(__VA_ARGS__); break; \
    case 16: row<16>(__VA_ARGS__); break; \
    case 20: row<20>(__VA_ARGS__); break; \
    case 24: row<24>(__VA_ARGS__); break; \
    case 28: row<28>(__VA_ARGS__); break; \
  }

// One band of one channel: its tiles' 36 values each go to out[position * pitch + tile].
CAFFE_FAST_CLONES
void input_band_rows(const Tiles& tiles, Lines* lines, float* out, long pitch) {
  for (int i = 0; i < kInput; ++i) {
    for (const Tiles::Run& run : tiles.runs) {
      const float* in = lines->row(i) + run.x;
      float* to = out + i * kInput * pitch + run.tile;
      CAFFE_FAST_BY_STEP(input_row, in, tiles.dilation, run.lanes, to, pitch)
    }
  }
}

CAFFE_FAST_CLONES
void output_gradient_band_rows(const Tiles& tiles, Lines* lines, float* out, long pitch) {
  for (int i = 0; i < kInput; ++i) {
    for (const Tiles::Run& run : tiles.runs) {
      const float* in = lines->row(i) + run.x;
      float* to = out + i * kInput * pitch + run.tile;
      CAFFE_FAST_BY_STEP(output_gradient_row, in, tiles.dilation, run.lanes, to, pitch)
    }
  }
}

CAFFE_FAST_CLONES
void output_band_rows(const Tiles& tiles, const float* in, long pitch, Lines* lines) {
  for (int i = 0; i < kInput; ++i) {
    for (const Tiles::Run& run : tiles.runs) {
      const float* from = in + i * kInput * pitch + run.tile;
      float* to = lines->row(i) + run.x;
      CAFFE_FAST_BY_STEP(output_row, from, pitch, run.lanes, to, tiles.dilation)
    }
  }
}

// channel: (height, width) of the input.
void input_band(const Tiles& tiles, const Conv3x3& shape, int top, const float* channel, Lines* lines, float* out,
                long pitch) {
  const float* in[kInput];
  for (int i = 0; i < kInput; ++i) {
    const int y = top - shape.pad + shape.dilation * i;
    in[i] = 0 <= y && y < shape.height ? channel + static_cast<long>(y) * shape.width : lines->zeros();
  }
  input_columns(in, shape.width, lines->row(0) + lines->left, lines->pitch);
  input_band_rows(tiles, lines, out, pitch);
}

// channel: (height, width) of the output's gradient.
void output_gradient_band(const Tiles& tiles, int top, const float* channel, Lines* lines, float* out, long pitch) {
  const float* in[kTile];
  for (int i = 0; i < kTile; ++i) {
    const int y = top + tiles.dilation * i;
    in[i] = y < tiles.height ? channel + static_cast<long>(y) * tiles.width : lines->zeros();
  }
  output_gradient_columns(in, tiles.width, lines->row(0), lines->pitch);
  output_gradient_band_rows(tiles, lines, out, pitch);
}

// channel: (height, width) of the output.
void output_band(const Tiles& tiles, int top, const float* in, long pitch, float bias, Lines* lines, float* channel) {
  output_band_rows(tiles, in, pitch, lines);
  float* out[kTile];
  for (int i = 0; i < kTile; ++i) {
    const int y = top + tiles.dilation * i;
    out[i] = y < tiles.height ? channel + static_cast<long>(y) * tiles.width : nullptr;
  }
  output_columns(lines->row(0), lines->pitch, tiles.width, bias, out);
}

// --- filters ---------------------------------------------------------------------------------------------------------

constexpr long kPairs = 64;  // filters that are transformed side by side

// weights: (count, 3, 3). out: 36 values of each, `pitch` apart.
CAFFE_FAST_CLONES
void transform_filters(const float* __restrict weights, long count, float* __restrict out, long pitch) {
  float g[9][kPairs], half[kInput][3][kPairs];
  for (long i = 0; i < count; ++i) {
    for (int j = 0; j < 9; ++j) g[j][i] = weights[9 * i + j];
  }
  for (int x = 0; x < 3; ++x) {
    for (long i = 0; i < count; ++i) {
      const float line[3] = {g[x][i], g[3 + x][i], g[6 + x][i]};
      float u[kInput];
      filter_points(line, u);
      for (int y = 0; y < kInput; ++y) half[y][x][i] = u[y];
    }
  }
  for (int y = 0; y < kInput; ++y) {
    for (long i = 0; i < count; ++i) {
      const float line[3] = {half[y][0][i], half[y][1][i], half[y][2][i]};
      float u[kInput];
      filter_points(line, u);
      for (int x = 0; x < kInput; ++x) out[(y * kInput + x) * pitch + i] = u[x];
    }
  }
}

// diff: 36 values of `count` filters, `pitch` apart. weights_diff (count, 3, 3) += their gradient.
CAFFE_FAST_CLONES
void add_filter_gradients(const float* __restrict diff, long pitch, long count, float* __restrict weights_diff) {
  float half[kInput][3][kPairs], g[9][kPairs];
  for (int y = 0; y < kInput; ++y) {
    for (long i = 0; i < count; ++i) {
      float u[kInput], line[3];
      for (int x = 0; x < kInput; ++x) u[x] = diff[(y * kInput + x) * pitch + i];
      filter_gradient_points(u, line);
      for (int x = 0; x < 3; ++x) half[y][x][i] = line[x];
    }
  }
  for (int x = 0; x < 3; ++x) {
    for (long i = 0; i < count; ++i) {
      float u[kInput], line[3];
      for (int y = 0; y < kInput; ++y) u[y] = half[y][x][i];
      filter_gradient_points(u, line);
      for (int y = 0; y < 3; ++y) g[3 * y + x][i] = line[y];
    }
  }
  for (long i = 0; i < count; ++i) {
    for (int j = 0; j < 9; ++j) weights_diff[9 * i + j] += g[j][i];
  }
}

// weights: (filters, channels, 3, 3). out: (36, filters, count), of the channels from `first` on.
void transform_channels(const float* weights, long filters, long channels, long first, long count, float* out) {
  const long pieces = (count + kPairs - 1) / kPairs;
  parallel(filters * pieces, 4, [&](long begin, long end) {
    for (long i = begin; i < end; ++i) {
      const long k = i / pieces, c = i % pieces * kPairs;
      transform_filters(weights + 9 * (k * channels + first + c), std::min(kPairs, count - c), out + k * count + c,
                        filters * count);
    }
  });
}

CAFFE_FAST_INLINE uint64_t mixed(uint64_t all, uint64_t one) {
  all = (all ^ one) * 0x9E3779B97F4A7C15ull;
  return all ^ all >> 29;
}

// A number that differs when any weight does: each step of the 64 lanes, and of their sum, is one-to-one.
CAFFE_FAST_CLONES
uint64_t digest(const float* weights, long count) {
  constexpr int kLanes = 64;
  uint32_t lanes[kLanes];
  for (int i = 0; i < kLanes; ++i) lanes[i] = 2166136261u + i;
  const char* bytes = reinterpret_cast<const char*>(weights);
  long done = 0;
  for (; done + kLanes <= count; done += kLanes) {
    uint32_t words[kLanes];
    std::memcpy(words, bytes + 4 * done, sizeof(words));
    for (int i = 0; i < kLanes; ++i) {
      lanes[i] = (lanes[i] ^ words[i]) * 2654435761u;
      lanes[i] ^= lanes[i] >> 15;
    }
  }
  for (; done < count; ++done) {
    uint32_t word;
    std::memcpy(&word, bytes + 4 * done, sizeof(word));
    lanes[done % kLanes] = (lanes[done % kLanes] ^ word) * 2654435761u;
  }
  uint64_t all = count;
  for (int i = 0; i < kLanes; ++i) all = mixed(all, lanes[i]);
  return all;
}

// --- passes ----------------------------------------------------------------------------------------------------------

// What a pass works on at a time: some bands of tiles, or all of them and some of the channels. Neither depends on
// whether the filters are kept, so that the sums do not either.
struct Plan {
  const Conv3x3& shape;
  const Tiles tiles;
  long bands, at_once, channels;
  long in_plane, out_plane;

  Plan(const Conv3x3& shape, int images)
      : shape(shape), tiles(shape.out_height(), shape.out_width(), shape.dilation), bands(images * rows()),
        in_plane(static_cast<long>(shape.height) * shape.width),
        out_plane(static_cast<long>(tiles.height) * tiles.width) {
    const long value = sizeof(float) * kProducts, filters = value * shape.filters * shape.channels;
    const long parts = filters > kMostFilters ? (filters + kPartOfFilters - 1) / kPartOfFilters : 1;
    channels = (shape.channels + parts - 1) / parts;
    const long fit = std::max(kBlock / (value * (shape.channels + shape.filters)), kFewTiles) / tiles.band;
    const long most = parts > 1 ? bands : std::max(1L, fit), blocks = (bands + most - 1) / most;
    at_once = (bands + blocks - 1) / blocks;
  }
  long values(long channels) const { return kProducts * channels * at_once * tiles.band; }  // of a block
  long rows() const { return tiles.tops.size(); }

  // Transforms `count` channels from `first` on of the bands from `band` on: v (36, count, tiles).
  void input(const float* images, long first, long count, long band, long some, float* v) const {
    parallel(count * some, 1, [&](long begin, long end) {
      Lines lines(shape.width, shape.pad, tiles.reach);
      for (long i = begin; i < end; ++i) {
        const long c = i / some, j = i % some, image = (band + j) / rows();
        input_band(tiles, shape, tiles.tops[(band + j) % rows()], images + (image * shape.channels + first + c) * in_plane,
                   &lines, v + (c * some + j) * tiles.band, count * some * tiles.band);
      }
    });
  }

  void output_gradient(const float* images, long band, long some, float* z) const {
    parallel(shape.filters * some, 1, [&](long begin, long end) {
      Lines lines(tiles.width, 0, tiles.reach);
      for (long i = begin; i < end; ++i) {
        const long k = i / some, j = i % some, image = (band + j) / rows();
        output_gradient_band(tiles, tiles.tops[(band + j) % rows()], images + (image * shape.filters + k) * out_plane,
                             &lines, z + (k * some + j) * tiles.band, shape.filters * some * tiles.band);
      }
    });
  }

  // The reverse: m (36, count, tiles) to `count` filters from `first` on.
  void output(const float* m, long first, long count, long band, long some, const float* bias, float* images) const {
    parallel(count * some, 1, [&](long begin, long end) {
      Lines lines(tiles.width, 0, tiles.reach);
      for (long i = begin; i < end; ++i) {
        const long k = i / some, j = i % some, image = (band + j) / rows();
        output_band(tiles, tiles.tops[(band + j) % rows()], m + (k * some + j) * tiles.band,
                    count * some * tiles.band, bias ? bias[first + k] : 0.f, &lines,
                    images + (image * shape.filters + first + k) * out_plane);
      }
    });
  }
};

}  // namespace

double Conv3x3::products() const {
  const Tiles tiles(out_height(), out_width(), dilation);
  return static_cast<double>(kProducts) * tiles.tops.size() * tiles.band;
}

std::shared_ptr<WinogradFilters> WinogradFilters::of(const float* weights) {
  static std::mutex mutex;
  static std::map<const float*, std::weak_ptr<WinogradFilters>> known;
  std::lock_guard<std::mutex> lock(mutex);
  auto& found = known[weights];
  auto filters = found.lock();
  if (!filters) {
    for (auto one = known.begin(); one != known.end();) {
      one = one->second.expired() && one->first != weights ? known.erase(one) : std::next(one);
    }
    found = filters = std::make_shared<WinogradFilters>();
  }
  return filters;
}

const float* WinogradFilters::transformed(const float* weights, int filters, int channels) {
  const long count = static_cast<long>(filters) * channels, part = 1 << 18;
  std::vector<uint64_t> digests((9 * count + part - 1) / part);
  parallel(digests.size(), 1, [&](long begin, long end) {
    for (long i = begin; i < end; ++i) digests[i] = digest(weights + i * part, std::min(part, 9 * count - i * part));
  });
  uint64_t now = count;
  for (uint64_t one : digests) now = mixed(now, one);
  if (static_cast<long>(transformed_.size()) != kProducts * count || now != digest_) {
    transformed_.resize(kProducts * count);
    transform_channels(weights, filters, channels, 0, channels, transformed_.data());
    digest_ = now;
  }
  return transformed_.data();
}

namespace {

// The transformed filters of some channels, (36, filters, channels) with `pitch` from a filter to the next.
struct Filters {
  const float* values;
  long pitch, plane;

  // passing: memory for (36, filters, plan.channels), where there are no kept ones.
  Filters(const Plan& plan, const float* weights, const float* kept, long first, long count, float* passing)
      : values(kept ? kept + first : passing), pitch(kept ? plan.shape.channels : count),
        plane(plan.shape.filters * pitch) {
    if (!kept) transform_channels(weights, plan.shape.filters, plan.shape.channels, first, count, passing);
  }
};

}  // namespace

void winograd_forward(const Conv3x3& shape, int images, const float* input, const float* weights, const float* kept,
                      const float* bias, float* output) {
  const Plan plan(shape, images);
  const long k = shape.filters, passing = kept ? 0 : kProducts * k * plan.channels;
  float* v = static_cast<float*>(workspace(sizeof(float) * (plan.values(plan.channels) + plan.values(k) + passing)));
  float* m = v + plan.values(plan.channels);
  const bool whole = plan.channels == shape.channels;
  float* u = m + plan.values(k);
  Filters filters(plan, weights, kept, 0, plan.channels, u);
  for (long band = 0; band < plan.bands; band += plan.at_once) {
    const long some = std::min(plan.at_once, plan.bands - band), tiles = some * plan.tiles.band;
    for (long first = 0; first < shape.channels; first += plan.channels) {
      const long c = std::min(plan.channels, shape.channels - first);
      if (!whole && first) filters = Filters(plan, weights, kept, first, c, u);
      plan.input(input, first, c, band, some, v);
      parallel(kProducts, 1, [&](long begin, long end) {
        for (long p = begin; p < end; ++p) {
          product(CblasNoTrans, CblasNoTrans, k, tiles, c, 1.f, filters.values + p * filters.plane, filters.pitch,
                  v + p * c * tiles, tiles, first ? 1.f : 0.f, m + p * k * tiles, tiles);
        }
      });
    }
    plan.output(m, 0, k, band, some, bias, output);
  }
}

void winograd_backward(const Conv3x3& shape, int images, const float* output_diff, const float* weights,
                       const float* kept, float* input_diff) {
  // The convolution of the output's gradient by the filters turned round, from `filters` channels to `channels`.
  const Conv3x3 back = {shape.filters, shape.channels, shape.out_height(), shape.out_width(), shape.dilation,
                        2 * shape.dilation - shape.pad};
  const Plan parts(shape, images), plan(back, images);
  const long k = shape.filters, passing = kept ? 0 : kProducts * k * parts.channels;
  float* v = static_cast<float*>(workspace(sizeof(float) * (plan.values(k) + plan.values(parts.channels) + passing)));
  float* m = v + plan.values(k);
  float* u = m + plan.values(parts.channels);
  for (long first = 0; first < shape.channels; first += parts.channels) {
    const long c = std::min(parts.channels, shape.channels - first);
    const Filters filters(parts, weights, kept, first, c, u);
    for (long band = 0; band < plan.bands; band += plan.at_once) {
      const long some = std::min(plan.at_once, plan.bands - band), tiles = some * plan.tiles.band;
      if (!first || plan.at_once < plan.bands) plan.input(output_diff, 0, k, band, some, v);
      parallel(kProducts, 1, [&](long begin, long end) {
        for (long p = begin; p < end; ++p) {
          const long q = kTurned[p / kInput] * kInput + kTurned[p % kInput];
          product(CblasTrans, CblasNoTrans, c, tiles, k, 1.f, filters.values + q * filters.plane, filters.pitch,
                  v + p * k * tiles, tiles, 0.f, m + p * c * tiles, tiles);
        }
      });
      plan.output(m, first, c, band, some, nullptr, input_diff);
    }
  }
}

void winograd_weights(const Conv3x3& shape, int images, const float* input, const float* output_diff,
                      float* weights_diff) {
  const Plan plan(shape, images);
  const long k = shape.filters;
  float* v = static_cast<float*>(workspace(
      sizeof(float) * (plan.values(plan.channels) + plan.values(k) + kProducts * plan.channels * k)));
  float* z = v + plan.values(plan.channels);
  float* u = z + plan.values(k);
  for (long first = 0; first < shape.channels; first += plan.channels) {
    const long c = std::min(plan.channels, shape.channels - first);
    for (long band = 0; band < plan.bands; band += plan.at_once) {
      const long some = std::min(plan.at_once, plan.bands - band), tiles = some * plan.tiles.band;
      plan.input(input, first, c, band, some, v);
      if (!first) plan.output_gradient(output_diff, band, some, z);
      parallel(kProducts, 1, [&](long begin, long end) {
        for (long p = begin; p < end; ++p) {
          product(CblasNoTrans, CblasTrans, k, c, tiles, 1.f, z + p * k * tiles, tiles, v + p * c * tiles, tiles,
                  band ? 1.f : 0.f, u + p * k * c, c);
        }
      });
    }
    const long pieces = (c + kPairs - 1) / kPairs;
    parallel(k * pieces, 4, [&](long begin, long end) {
      for (long i = begin; i < end; ++i) {
        const long filter = i / pieces, channel = i % pieces * kPairs;
        add_filter_gradients(u + filter * c + channel, k * c, std::min(kPairs, c - channel),
                             weights_diff + 9 * (filter * shape.channels + first + channel));
      }
    });
  }
}

}  // namespace fast
}  // namespace caffe
