"use strict";
// The page around the model. Whatever comes from a run or from a reader is set as text, never as
// markup. The model works in a worker; `ask` sends it a job and gives its answer.

const $ = (id) => document.getElementById(id);
const about = JSON.parse($("data").textContent);
const waiting = new Map(); // what to do with the answer to each question, by its number
const times = {}; // seconds until the model was ready and the first token came; tokens a second
let worker, count = 0, text = "", writing = 0;

function ask(job, more = {}, transfer = []) {
  const id = ++count;
  worker.postMessage({ job, id, ...more }, transfer);
  return new Promise((resolve, reject) => waiting.set(id, (answer) => {
    waiting.delete(id);
    if (answer.error) reject(new Error(answer.error)); else resolve(answer);
  }));
}

async function start() {
  const code = URL.createObjectURL(new Blob([$("worker").textContent], { type: "text/javascript" }));
  worker = new Worker(code);
  worker.onmessage = ({ data }) => waiting.get(data.id)?.(data);
  worker.onerror = (event) => complain(event.message);
  const buffer = Uint8Array.from(atob($("weights").textContent), (c) => c.charCodeAt(0)).buffer;
  await ask("load", { about, buffer }, [buffer]);
  times.load = performance.now() / 1000;
  for (const id of ["write", "again", "read"]) $(id).disabled = false;
  $("speed").textContent = "Ready.";
  await write();
  await surprise();
}

function complain(message) {
  $("speed").textContent = `It does not work here: ${message}`;
}

// ------------------------------------------------------------------------------------ the controls

const number = (id) => Number($(id).value);

function settings() {
  const V = about.config.vocab_size, k = number("top-k");
  return { temperature: number("temperature"), top_k: k < V ? k : 0, top_p: number("top-p"), greedy: $("greedy").checked };
}

function showSettings() {
  $("temperature-shown").textContent = number("temperature").toFixed(2);
  $("top-k-shown").textContent = number("top-k") < about.config.vocab_size ? $("top-k").value : "all";
  $("top-p-shown").textContent = number("top-p") < 1 ? number("top-p").toFixed(2) : "all";
  $("length-shown").textContent = $("length").value;
  for (const id of ["temperature", "top-k", "top-p", "seed"]) $(id).disabled = $("greedy").checked;
}

function leftOut(prompt) { // characters that the tokenizer does not know
  const { symbols } = about.tokenizer;
  const strangers = symbols ? [...new Set(prompt)].filter((c) => !symbols.includes(c)) : [];
  return strangers.length ? `The model has never seen ${strangers.join(" ")}: left out.` : "";
}

// -------------------------------------------------------------------------------------- it writes

async function write() {
  const prompt = $("prompt").value, id = ++count, pieces = [];
  const shown = document.createTextNode(""), given = document.createElement("b");
  given.textContent = prompt;
  $("written").replaceChildren(given, shown);
  $("left-out").textContent = leftOut(prompt);
  $("stop").disabled = false;
  $("speed").textContent = "Writing ...";
  $("written").ariaBusy = true; // a screen reader waits until it is whole
  writing = id;
  let seconds = 0;
  const seed = number("seed") || 0;
  const failure = await new Promise((resolve) => {
    waiting.set(id, (answer) => {
      if (answer.piece !== undefined) {
        pieces.push(answer.piece);
        seconds = answer.seconds;
        shown.data = pieces.join("");
        if (pieces.length === 1) times.first = seconds;
        if (pieces.length === 1) $("speed").textContent = `First token after ${seconds.toFixed(2)} s.`;
      } else {
        waiting.delete(id);
        resolve(answer.error);
      }
    });
    worker.postMessage({ job: "write", id, prompt, length: number("length"), settings: settings(), seed });
  });
  if (writing !== id) return;
  $("written").ariaBusy = false;
  $("stop").disabled = true;
  if (failure) return complain(failure);
  text = prompt + pieces.join("");
  times.pace = pieces.length / Math.max(seconds, 1e-3);
  $("speed").textContent = `${pieces.length} tokens, ${Math.round(times.pace)} a second.`;
  await look();
}

async function look() { // the bars and the explorer, for the end of the text
  const { bars } = await ask("chances", { text, settings: settings() });
  const rows = bars.flatMap(({ token, drawn }) => {
    const [name, space, share] = ["name", "", "share"].map((className) => Object.assign(document.createElement("div"), { className }));
    const bar = Object.assign(document.createElement("div"), { className: "bar" });
    name.textContent = token.replace(/\n/g, "↵").replace(/ /g, "␣");
    bar.style.width = `${100 * drawn}%`;
    space.append(bar);
    share.textContent = `${(100 * drawn).toFixed(drawn < 0.1 ? 1 : 0)}%`;
    return [name, space, share];
  });
  $("bars").replaceChildren(...rows);
  const likeliest = bars.slice(0, 3).map(({ token, drawn }) => `${JSON.stringify(token)} ${Math.round(100 * drawn)}%`);
  $("bars").setAttribute("aria-label", `Likeliest next: ${likeliest.join(", ")}.`);
  const { tokens, maps } = await ask("attention", { text, most: 64 });
  explore($("explorer"), tokens, maps);
}

// --------------------------------------------------------------------------------- what it reads

async function surprise() {
  const given = $("own-text").value;
  const { tokens, losses } = await ask("surprise", { text: given });
  $("surprises").replaceChildren(...tokens.map((token, i) => {
    const span = document.createElement("span"), loss = losses[i];
    span.textContent = token;
    if (loss !== null) {
      span.style.backgroundColor = `rgba(var(--warm), ${Math.min(1, loss / 7).toFixed(3)})`; // 7: 1 in 1,100
      span.title = `${loss.toFixed(2)} nats: it gave this ${(100 * Math.exp(-loss)).toFixed(1)}%`;
    }
    return span;
  }));
  const order = losses.map((_, i) => i).filter((i) => losses[i] !== null).sort((i, j) => losses[j] - losses[i]);
  const hardest = order.slice(0, 5).map((i) => `${JSON.stringify(tokens[i])} after ${JSON.stringify(tokens.slice(Math.max(0, i - 6), i).join(""))} (${losses[i].toFixed(1)})`);
  $("hardest").textContent = hardest.length ? `The greatest surprises, in nats: ${hardest.join("; ")}.` : "";
  const known = losses.filter((loss) => loss !== null);
  const mean = known.reduce((sum, loss) => sum + loss, 0) / known.length;
  $("mean").textContent = known.length
    ? `${leftOut(given)} Mean loss ${mean.toFixed(2)} nats, as if choosing among ${Math.exp(mean).toFixed(1)} symbols each time.`
    : "Two characters that it knows are needed at least.";
}

// -------------------------------------------------------------------------------------- the curve

function svg(tag, attributes, words = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = words;
  return made;
}

function drawCurve() {
  const { history, rungs } = about, width = Math.min(860, $("curve").clientWidth || 860), narrow = width < 560;
  const [height, left, right, top, bottom] = [narrow ? 260 : 330, 30, narrow ? 40 : 190, 12, 34];
  if (history.length < 2) return;
  const last = history.at(-1).step, losses = history.flatMap((p) => [p.train, p.val]).concat(rungs.map((r) => r.loss));
  const high = Math.max(...losses) * 1.03, low = Math.max(0, Math.min(...losses) - 0.15);
  const x = (step) => left + (width - left - right) * step / last;
  const y = (loss) => top + (height - top - bottom) * (high - loss) / (high - low);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": "learnt" });
  let free = -Infinity; // names of rungs keep a line's distance
  for (const { name, loss } of [...rungs].sort((a, b) => b.loss - a.loss)) {
    picture.append(svg("line", { class: "rung", x1: left, x2: width - right, y1: y(loss), y2: y(loss) }));
    free = Math.max(y(loss) + 4, free + 14);
    picture.append(svg("text", { class: "soft", x: width - right + 8, y: free }, narrow ? loss.toFixed(2) : `${loss.toFixed(2)}: ${name}`));
  }
  for (const loss of [1, 2, 3, 4].filter((loss) => low < loss && loss < high)) {
    picture.append(svg("text", { class: "soft", x: left - 8, y: y(loss) + 4, "text-anchor": "end" }, loss));
  }
  picture.append(svg("path", { class: "axis", d: `M${left} ${top}V${height - bottom}H${width - right}` }));
  [["train", "training"], ["val", "validation"]].forEach(([key, name], i) => {
    const points = history.map((p) => `${x(p.step).toFixed(1)},${y(p[key]).toFixed(1)}`).join(" ");
    picture.append(svg("polyline", { points, fill: "none", stroke: `var(--${key})`, "stroke-width": 2 }));
    const at = { x: width - right - 12, y: top + 36 + 16 * i, "text-anchor": "end", style: `fill: var(--${key})` };
    picture.append(svg("text", at, name));
  });
  picture.append(svg("text", { class: "soft", x: x(last), y: height - 12, "text-anchor": "end" }, `step ${last.toLocaleString("en")}`));
  picture.append(svg("text", { class: "soft", x: left, y: height - 12 }, "step 0"));
  $("curve").replaceChildren(picture);
}

// ------------------------------------------------------------------------------------------ begin

$("title").textContent = about.title;
$("about").textContent = about.line;
$("learnt").textContent = about.learnt;
$("prompt").value = about.prompt;
$("own-text").value = about.own_text;
Object.assign($("top-k"), { max: about.config.vocab_size, value: Math.min(40, about.config.vocab_size) });
for (const id of ["temperature", "top-k", "top-p", "length", "greedy"]) $(id).oninput = showSettings;
for (const id of ["temperature", "top-k", "top-p", "greedy"]) $(id).onchange = () => look().catch((e) => complain(e.message));
$("write").onclick = () => write().catch((error) => complain(error.message));
$("again").onclick = () => { $("seed").value = number("seed") + 1; $("write").onclick(); };
$("stop").onclick = () => worker.postMessage({ job: "stop" });
$("read").onclick = () => surprise().catch((error) => complain(error.message));
showSettings();
drawCurve();
onresize = drawCurve;
const ready = start();
ready.catch((error) => complain(error.message));
