"use strict";
// The projector's page. Names and samples are only ever text: textContent, never markup.
const NS = "http://www.w3.org/2000/svg", $ = (id) => document.getElementById(id);
const colour = (id) => `hsl(${(Math.abs(id) * 137.5) % 360} ${70 - 20 * (Math.abs(id) % 2)}% ${dark.matches ? 66 : 36}%)`;
const dark = matchMedia("(prefers-color-scheme: dark)");
const chart = $("chart");
let state = null;

function put(tag, attributes, text) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  chart.append(made);
  return made;
}
const short = (name, most) => [...name].length > most ? [...name].slice(0, most - 1).join("") + "…" : name;
const count = (n) => n >= 1e6 ? `${+(n / 1e6).toPrecision(3)} M` : n >= 1e3 ? `${+(n / 1e3).toPrecision(3)} k` : `${Math.round(n)}`;

// Labels at least `gap` apart, each as near to its own height as the others allow.
function spread(labels, gap, top, bottom) {
  labels.sort((a, b) => a.y - b.y);
  labels.forEach((l, i) => { l.at = Math.max(l.y, i ? labels[i - 1].at + gap : top); });
  for (let i = labels.length - 1, most = bottom; i >= 0; i--, most = labels[i + 1].at - gap) labels[i].at = Math.min(labels[i].at, most);
}

function draw() {
  const W = chart.clientWidth, H = chart.clientHeight;
  if (!state || W < 50 || H < 50) return;
  chart.replaceChildren();
  chart.setAttribute("viewBox", `0 0 ${W} ${H}`);
  const names = new Map(state.rows.map((row) => [row.id, row]));
  const curves = Object.entries(state.curves).map(([id, c]) => ({ id: +id, ...c })).filter((c) => c.points.length);
  const ends = curves.map((c) => c.points.at(-1)), small = H < 480;
  // What is too low to be true is drawn along the bottom: it does not squeeze all others.
  const honest = curves.filter((c) => c.ranked).flatMap((c) => c.points.map((p) => p[1]));
  const left = 40, right = W - 150, top = 8, bottom = H - 34;
  const most = Math.max(1, ...ends.map((p) => p[0]));
  const first = state.rungs.length ? state.rungs[0].loss : 4.2;
  const low = Math.min(honest.reduce((a, b) => Math.min(a, b), 3), 3) - 0.06, high = Math.max(first + 0.15, low + 0.5);
  // Most of the height is for where the curves are now: the axis is stretched towards the bottom.
  const bend = (v) => Math.log((v - low) / (high - low) * 6 + 1) / Math.log(7);
  const X = (x) => left + (right - left) * x / most, Y = (v) => bottom - (bottom - top) * bend(Math.min(high, Math.max(low, v)));
  for (const rung of state.rungs) {
    if (rung.loss < low) continue;
    put("line", { class: "rung", x1: left, x2: right, y1: Y(rung.loss), y2: Y(rung.loss) });
  }
  for (let v = Math.ceil(low * 5) / 5, before = 1e9; v <= high; v += 0.2) {
    if (before - Y(v) < 22) continue;
    before = Y(v);
    put("text", { class: "soft", x: left - 6, y: Y(v) + 4, "text-anchor": "end" }, v.toFixed(1));
  }
  put("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom });
  for (const part of [0, 0.25, 0.5, 0.75, 1]) put("text", { class: "soft", x: X(part * most), y: bottom + 15, "text-anchor": part ? "middle" : "start" }, count(part * most));
  put("text", { class: "soft", x: (left + right) / 2, y: H - 4, "text-anchor": "middle" }, "tokens trained on (validation loss, nats a token)");
  for (const c of curves) {
    const way = c.points.map((p, i) => `${i ? "L" : "M"}${X(p[0]).toFixed(1)} ${Y(p[1]).toFixed(1)}`).join("");
    put("path", { d: way, fill: "none", stroke: colour(c.id), "stroke-width": names.get(c.id)?.rank === 1 ? 3.2 : 1.7, ...(c.ranked ? {} : { "stroke-dasharray": "2 4" }) });
  }
  let above = -99;
  for (const rung of state.rungs) {
    if (rung.loss < low || Y(rung.loss) - above < 13) continue; // its name would hide another
    above = Y(rung.loss);
    put("text", { class: "soft halo", x: right - 4, y: above - 3, "text-anchor": "end" }, short(rung.name, 34));
  }
  const room = Math.floor((bottom - top) / (small ? 11.5 : 13));
  const labels = curves.map((c) => ({ c, y: Y(c.points.at(-1)[1]), x: X(c.points.at(-1)[0]) }));
  labels.sort((a, b) => a.c.points.at(-1)[1] - b.c.points.at(-1)[1]).splice(room);
  spread(labels, Math.min(17, (bottom - top) / Math.max(1, labels.length)), top + 6, bottom);
  for (const l of labels) {
    const id = l.c.id, row = names.get(id);
    put("path", { d: `M${l.x} ${l.y}L${right + 8} ${l.at}`, stroke: colour(id), "stroke-width": 0.6, fill: "none", opacity: 0.6 });
    put("circle", { cx: l.x, cy: l.y, r: 3, fill: colour(id) });
    const name = put("text", { x: right + 11, y: l.at + 4, class: small ? "halo small" : "halo" }, `${row?.rank ? row.rank + ". " : ""}${short(row?.name ?? "", 17)}`);
    name.style.fill = colour(id);
  }
}

function cell(row, text, kind) {
  const made = document.createElement("td");
  made.textContent = text;
  if (kind) made.className = kind;
  row.append(made);
  return made;
}

function table() {
  const rows = state.rows.map((r) => {
    const row = document.createElement("tr");
    if (!r.rank) row.className = "out";
    cell(row, r.rank ?? "");
    const name = cell(row, r.name, "word name"), swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = colour(r.id);
    name.prepend(swatch);
    name.title = r.name;
    cell(row, r.best === null ? "" : r.best.toFixed(3));
    cell(row, r.now === null ? "–" : r.now.toFixed(3));
    cell(row, r.speed === null ? "" : count(r.speed));
    cell(row, r.device, "word");
    cell(row, r.reached, r.rank ? "word" : "word warn whole").title = r.reached;
    return row;
  });
  $("rows").replaceChildren(...rows);
}

function show(data) {
  state = data;
  $("about").textContent = data.rows.length ? `${data.joined} have joined, ${data.rows.length} have a curve, on ${data.text}: the lower the better` : `${data.joined} have joined. Waiting for the first curve ...`;
  table();
  if (data.news) {
    $("news").hidden = false;
    $("whose").textContent = `${data.news.name}, step ${data.news.step.toLocaleString("en")}, loss ${data.news.loss}: ${data.news.landmark}`;
    $("sample").textContent = data.news.sample;
  }
  draw();
}

const code = location.hash.slice(1);
if (/^\w{1,40}$/.test(code)) {
  $("how").hidden = false;
  $("how").onclick = () => {
    $("qr").src = `/qr/${code}.svg`;
    fetch(`/qr/${code}.txt`).then((answer) => answer.text()).then((text) => { $("address").textContent = text; });
    $("code").textContent = code;
    $("joining").showModal();
  };
  $("close").onclick = () => $("joining").close();
}
new ResizeObserver(draw).observe(chart);
dark.addEventListener("change", () => state && show(state));
const events = new EventSource("/events");
events.onmessage = (event) => show(JSON.parse(event.data));
events.onerror = () => { $("about").textContent = "The board does not answer. Trying again ..."; };
