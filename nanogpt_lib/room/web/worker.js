"use strict";
// The model's own thread: the page asks, and stays free to scroll and to stop it meanwhile.
// Each question is {job, id, ...}; each answer carries its id. model.js stands above this file.

let model, tokenizer, latest = 0; // the id of the newest text to write: it ends the one before
const turn = new MessageChannel();
const START = "\n"; // an empty prompt begins a line, as in sampling.py

const JOBS = {
  load({ about, buffer }) {
    tokenizer = about.tokenizer.type === "bpe" ? new BPETokenizer(about.tokenizer) : new CharTokenizer(about.tokenizer);
    model = new GPT(about, buffer);
    return { ready: true };
  },
  scores({ ids }) { // for tests: all scores, at every place
    return { scores: new Reader(model).read(ids) };
  },
  encode({ text }) { // for tests, too
    return { ids: tokenizer.encode(text) };
  },
  chances({ text, settings }) { // what may come after a text
    const scores = new Reader(model).read(inSight(idsOf(text))).at(-1);
    const chances = probabilities(scores, settings), own = probabilities(scores, {});
    const order = Array.from(own.keys()).sort((i, j) => own[j] - own[i]).slice(0, 10);
    return { bars: order.map((i) => ({ token: nameOf(i), drawn: chances[i] })) };
  },
  attention({ text, most }) { // whom each of the last tokens looks at, in each layer and head
    const ids = idsOf(text).slice(-Math.min(most, model.config.block_size));
    const { n_layer, n_head } = model.config;
    const maps = Array.from({ length: n_layer }, () => Array.from({ length: n_head }, () => []));
    model.forward(ids, model.newCache(), (layer, head, t, weights) => { maps[layer][head][t] = weights; });
    return { tokens: ids.map(nameOf), maps };
  },
  surprise({ text }) { // the loss at each token of a text, in nats; nothing precedes the first
    const ids = tokenizer.encode(text), scores = new Reader(model).read(ids.slice(0, -1));
    const losses = scores.map((row, i) => -Math.log(probabilities(row, {})[ids[i + 1]]));
    const decode = tokenizer.decoder(); // half of a character is shown with its other half
    return { tokens: ids.map(decode), losses: [null, ...losses].slice(0, ids.length) };
  },
};

function idsOf(text) {
  const ids = tokenizer.encode(text);
  return ids.length ? ids : startIds();
}

function startIds() {
  const ids = tokenizer.encode(START);
  return ids.length ? ids : [0];
}

function inSight(ids) { // what the model still sees of a text when it goes on
  return ids.slice(windowStart(ids.length, model.config.block_size));
}

function nameOf(id) { // a token alone; half of a character as its bytes
  const shown = tokenizer.decoder()(id), whole = shown && !shown.includes("\ufffd");
  if (whole || !tokenizer.bytes) return shown;
  return tokenizer.bytes[id].map((byte) => `‹${byte.toString(16)}›`).join("");
}

async function write({ id, prompt, length, settings, seed }) {
  latest = id;
  const reader = new Reader(model), throwDice = dice(seed), decode = tokenizer.decoder();
  const began = performance.now();
  let scores = reader.read(inSight(idsOf(prompt))).at(-1);
  for (let n = 0; n < length; n++) {
    const next = draw(probabilities(scores, settings), throwDice);
    postMessage({ id, piece: decode(next), token: next, seconds: (performance.now() - began) / 1000 });
    await new Promise((resume) => { // a message may have come: to stop. A timer would wait 4 ms
      turn.port1.onmessage = resume;
      turn.port2.postMessage(null);
    });
    if (latest !== id) return postMessage({ id, done: "stopped" });
    if (n + 1 < length) scores = reader.read([next]).at(-1);
  }
  postMessage({ id, done: "finished" });
}

onmessage = ({ data }) => {
  try {
    if (data.job === "stop") latest = -1;
    else if (data.job === "write") write(data).catch((error) => postMessage({ id: data.id, error: String(error) }));
    else postMessage({ id: data.id, ...JOBS[data.job](data) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error) });
  }
};
