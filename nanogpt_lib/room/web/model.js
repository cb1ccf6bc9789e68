"use strict";
// A GPT in plain JavaScript, to be read beside nanogpt_lib/model.py: the same parts and names.
// T is the number of new tokens, C the width, V the number of symbols. A matrix is one long array.

// ---------------------------------------------------------------- characters and pieces of words
class CharTokenizer {
  constructor({ symbols, marks = [] }) { // no text gives the id of a mark
    this.symbols = [...symbols, ...marks];
    this.idOf = new Map(symbols.map((symbol, id) => [symbol, id]));
    this.unknown = this.idOf.get("\ufffd"); // undefined unless the text was capped
  }
  encode(text) { // characters that it does not know are left out
    return Array.from(text, (c) => this.idOf.get(c) ?? this.unknown).filter((id) => id !== undefined);
  }
  decoder() { return (id) => this.symbols[id]; } // gives the text of each id as it comes
}

// A word or a run of punctuation with the space before it, or the blanks before that.
const PIECE = / ?[^\x00-\x20\x7f!-&(-/:-@[-`{-~]+| ?[!-&(-/:-@[-`{-~]+|[\x00-\x20\x7f]+(?= [^\x00-\x20\x7f])|[\x00-\x20\x7f]+/gu;
class BPETokenizer {
  constructor({ merges, marks = [] }) { // rows of [first, second, new]: ids
    this.bytes = Array.from({ length: 256 }, (_, value) => [value]); // of each token
    this.rank = new Map(); // of each pair: its place among the merges, and what it becomes
    merges.forEach(([a, b, id], place) => {
      this.bytes[id] ??= [...this.bytes[a], ...this.bytes[b]];
      this.rank.set(`${a} ${b}`, { place, a, b, id });
    });
    this.bytes.push(...marks.map((name) => [...new TextEncoder().encode(name)]));
  }
  encode(text) { return (text.match(PIECE) ?? []).flatMap((piece) => this.merged(piece)); }
  merged(piece) { // the merges in the order in which they were learnt
    const ids = Array.from(new TextEncoder().encode(piece)), none = { place: Infinity };
    for (;;) {
      const pairs = ids.map((id, i) => this.rank.get(`${id} ${ids[i + 1]}`) ?? none);
      const first = pairs.reduce((a, b) => (b.place < a.place ? b : a), none);
      if (first === none) return ids;
      for (let i = 0; i + 1 < ids.length; i++) {
        if (ids[i] === first.a && ids[i + 1] === first.b) ids.splice(i, 2, first.id);
      }
    }
  }
  decoder() { // half of a character waits for its other half
    const utf8 = new TextDecoder();
    return (id) => utf8.decode(Uint8Array.from(this.bytes[id] ?? []), { stream: true });
  }
}

// ---------------------------------------------------------------------------------- the weights
function fromHalf(bits) { // IEEE 754: a bit of sign, 5 of exponent, 10 of fraction
  const exponent = (bits >> 10) & 31, fraction = bits & 1023;
  const size = exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24;
  return bits >> 15 ? -size : size;
}

// {name: weight}. A matrix has its rows padded with zeros to a multiple of eight: see `linear`.
function unpack(tensors, buffer) {
  const weights = {};
  for (const { name, shape, at, scale } of tensors) {
    const [rows, cols] = shape.length === 2 ? shape : [1, shape[0]], n = rows * cols;
    const stride = 8 * Math.ceil(rows / 8), data = new Float32Array(stride * cols);
    const [whole, half] = [new Int8Array(buffer, at, n), new DataView(buffer, at)];
    const scales = scale === undefined ? null : new Float32Array(buffer, scale, rows);
    for (let i = 0; i < n; i++) {
      data[i] = scales ? whole[i] * scales[Math.floor(i / cols)] : fromHalf(half.getUint16(2 * i, true));
    }
    weights[name] = { data, stride, cols };
  }
  return weights;
}

// ------------------------------------------------------------------------------- the model's parts
// x (T, C) times a matrix (R, C), turned: y (T, R). Nearly all of the time is spent here, fetching:
// so four tokens share two rows of the matrix, and a single token takes eight rows at once.
function linear(x, { data: W, stride: R, cols: C }, bias, T) {
  const y = new Float32Array(T * R);
  let t = 0;
  for (; t + 4 <= T; t += 4) {
    const x0 = x.subarray(t * C), x1 = x.subarray((t + 1) * C);
    const x2 = x.subarray((t + 2) * C), x3 = x.subarray((t + 3) * C);
    for (let r = 0; r < R; r += 2) {
      let a0 = 0, a1 = 0, a2 = 0, a3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0;
      for (let c = 0, i = r * C, j = i + C; c < C; c++, i++, j++) {
        const z0 = x0[c], z1 = x1[c], z2 = x2[c], z3 = x3[c], v = W[i], w = W[j];
        a0 += v * z0; a1 += v * z1; a2 += v * z2; a3 += v * z3;
        b0 += w * z0; b1 += w * z1; b2 += w * z2; b3 += w * z3;
      }
      const at = t * R + r;
      y[at] = a0; y[at + R] = a1; y[at + 2 * R] = a2; y[at + 3 * R] = a3;
      y[at + 1] = b0; y[at + R + 1] = b1; y[at + 2 * R + 1] = b2; y[at + 3 * R + 1] = b3;
    }
  }
  for (; t < T; t++) {
    const z = x.subarray(t * C);
    for (let r = 0; r < R; r += 8) {
      let a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0;
      for (let k = 0, i = r * C; k < C; k++, i++) {
        const zk = z[k];
        a += W[i] * zk; b += W[i + C] * zk; c += W[i + 2 * C] * zk; d += W[i + 3 * C] * zk;
        e += W[i + 4 * C] * zk; f += W[i + 5 * C] * zk; g += W[i + 6 * C] * zk; h += W[i + 7 * C] * zk;
      }
      y.set([a, b, c, d, e, f, g, h], t * R + r);
    }
  }
  if (bias) for (let i = 0; i < y.length; i++) y[i] += bias.data[i % R];
  return y;
}

function layerNorm(x, gain, bias, T) { // each token: mean 0, variance 1, then gain and bias
  const C = gain.cols, y = new Float32Array(T * C);
  for (let t = 0; t < T; t++) {
    const z = x.subarray(t * C, t * C + C);
    const mean = z.reduce((sum, value) => sum + value, 0) / C;
    const variance = z.reduce((sum, value) => sum + (value - mean) ** 2, 0) / C;
    const scale = 1 / Math.sqrt(variance + 1e-5);
    y.set(z.map((value, c) => (value - mean) * scale * gain.data[c] + (bias ? bias.data[c] : 0)), t * C);
  }
  return y;
}

function gelu(x) { // x times the normal distribution's share below x (Abramowitz & Stegun 7.1.26)
  const z = Math.abs(x) * Math.SQRT1_2, t = 1 / (1 + 0.3275911 * z);
  const high = t * (1.421413741 + t * (-1.453152027 + t * 1.061405429));
  const tail = 0.5 * t * (0.254829592 + t * (-0.284496736 + high)) * Math.exp(-z * z);
  return x * (x < 0 ? tail : 1 - tail);
}

function softmax(scores, n = scores.length) { // in place: the first n sum to 1
  let largest = -Infinity, sum = 0;
  for (let i = 0; i < n; i++) largest = Math.max(largest, scores[i]);
  for (let i = 0; i < n; i++) sum += scores[i] = Math.exp(scores[i] - largest);
  for (let i = 0; i < n; i++) scores[i] /= sum;
  return scores;
}

// -------------------------------------------------------------------------------------- the model
class GPT {
  constructor({ config, tensors }, buffer) {
    this.config = config;
    this.weights = unpack(tensors, buffer);
  }
  newCache() { // the keys and values of all tokens read so far, for each layer
    const { block_size, n_embd, n_layer } = this.config, room = block_size * n_embd;
    const layer = () => ({ k: new Float32Array(room), v: new Float32Array(room) });
    return { length: 0, layers: Array.from({ length: n_layer }, layer) };
  }
  // Ids to the scores of what comes after each of them, (T, V). The cache is continued.
  // look(layer, head, t, weights): is shown whom token t looks at; weights has a number a token.
  forward(ids, cache, look = null) {
    const { n_embd: C, n_layer, vocab_size: V } = this.config, w = this.weights, T = ids.length;
    const wte = w["transformer.wte.weight"], wpe = w["transformer.wpe.weight"];
    const x = new Float32Array(T * C); // the stream
    for (let i = 0; i < T * C; i++) {
      x[i] = wte.data[ids[Math.floor(i / C)] * C + (i % C)] + wpe.data[cache.length * C + i];
    }
    for (let layer = 0; layer < n_layer; layer++) {
      const block = (name) => w[`transformer.h.${layer}.${name}`];
      const apply = (name, z) => linear(z, block(`${name}.weight`), block(`${name}.bias`), T);
      const norm = (name) => layerNorm(x, block(`${name}.weight`), block(`${name}.bias`), T);
      const add = (z) => z.forEach((value, i) => { x[i] += value; });
      const seen = look && ((head, t, weights) => look(layer, head, t, weights));
      add(apply("attn.c_proj", this.attend(apply("attn.c_attn", norm("ln_1")), cache, layer, T, seen)));
      add(apply("mlp.c_proj", apply("mlp.c_fc", norm("ln_2")).map(gelu)));
    }
    cache.length += T;
    const end = layerNorm(x, w["transformer.ln_f.weight"], w["transformer.ln_f.bias"], T);
    const scores = linear(end, wte, null, T); // the same table on the way out
    return Array.from({ length: T }, (_, t) => scores.subarray(t * wte.stride, t * wte.stride + V));
  }
  attend(qkv, cache, layer, T, look) { // queries, keys, values (T, 3C) to what was gathered (T, C)
    const { n_embd: C, n_head } = this.config, hs = C / n_head, { k, v } = cache.layers[layer];
    const y = new Float32Array(T * C), weights = new Float32Array(cache.length + T);
    for (let t = 0; t < T; t++) {
      const q = qkv.subarray(t * 3 * C), now = cache.length + t; // its place
      k.set(q.subarray(C, 2 * C), now * C);
      v.set(q.subarray(2 * C, 3 * C), now * C);
      for (let head = 0, from = 0; head < n_head; head++, from += hs) {
        for (let s = 0; s <= now; s++) { // the past only, and itself
          let score = 0;
          for (let c = from, i = s * C + from; c < from + hs; c++, i++) score += q[c] * k[i];
          weights[s] = score / Math.sqrt(hs);
        }
        softmax(weights, now + 1);
        if (look) look(head, t, weights.slice(0, now + 1));
        for (let s = 0; s <= now; s++) {
          const much = weights[s];
          for (let c = t * C + from, i = s * C + from, n = c + hs; c < n; c++, i++) y[c] += much * v[i];
        }
      }
    }
    return y;
  }
}

// ---------------------------------------------------------------------------------------- writing
// When the context is full, its oldest quarter is forgotten at once.
function windowStart(length, block_size) {
  const hop = Math.max(1, Math.floor(block_size / 4));
  return Math.ceil(Math.max(0, length - block_size) / hop) * hop;
}

class Reader { // reads a text that may grow beyond the context
  constructor(model) {
    Object.assign(this, { model, ids: [], start: 0, cache: model.newCache() });
  }
  read(ids) { // the scores after each new token, a list of (V,)
    const found = [], block_size = this.model.config.block_size;
    for (let rest = Array.from(ids); rest.length; ) {
      if (this.ids.length === this.start + block_size) { // full: forget, read the rest again
        this.start = windowStart(this.ids.length + 1, block_size);
        this.cache = this.model.newCache();
      }
      const next = rest.splice(0, this.start + block_size - this.ids.length);
      this.ids.push(...next);
      const scores = this.model.forward(this.ids.slice(this.start + this.cache.length), this.cache);
      found.push(...scores.slice(-next.length));
    }
    return found;
  }
}

// Scores to the chances of the draw, in this order: temperature, top-k, top-p. As in sampling.py.
function probabilities(scores, { temperature = 1, top_k = 0, top_p = 1, greedy = false }) {
  const order = Array.from(scores.keys()).sort((i, j) => scores[j] - scores[i] || i - j);
  const chances = new Float64Array(scores.length);
  if (greedy || !(temperature > 0)) return chances.fill(1, order[0], order[0] + 1);
  const kept = top_k > 0 ? order.slice(0, top_k) : order;
  softmax(kept.map((i) => scores[i] / temperature)).forEach((p, place) => { chances[kept[place]] = p; });
  let before = 0, sum = 0; // the chance of all likelier ones
  for (const i of kept) {
    [before, chances[i]] = [before + chances[i], before < top_p || top_p >= 1 ? chances[i] : 0];
    sum += chances[i];
  }
  return chances.map((p) => p / sum);
}

function dice(seed) { // numbers from 0 to 1, the same for the same seed ("mulberry32", T. Ettinger)
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

function draw(chances, throwDice) {
  let left = throwDice();
  const i = chances.findIndex((p) => (left -= p) < 0);
  return i < 0 ? chances.indexOf(Math.max(...chances)) : i; // rounding may leave a rest
}
