"use strict";
// A sheet to draw a digit on. The model is the GPT of model.js; `data.prefix` are its eyes.
// The numbers of `grid`, in capitals, are those of course/sketchpad.py.
const SIDE = 300; // pixels of the sheet
const STEP = 1 / 16; // of the sheet: how far an arrow key moves the pen
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Strokes, lists of points from [0, 0] to [1, 1], as a picture of 8 by 8, each from 0 to 1.
function rasterise(strokes, { GRID, BLOCK, PEN, WIDEST, NARROWEST, SMALLEST }) {
  const n = GRID / BLOCK, picture = new Float32Array(n * n), points = strokes.flat();
  if (!points.length) return picture;
  const [low, high] = [Math.min, Math.max].map((f) => [0, 1].map((i) => f(...points.map((p) => p[i]))));
  const [width, height] = [0, 1].map((i) => Math.max(high[i] - low[i], 1e-9));
  const pen = Math.max(PEN, (NARROWEST - width * (GRID - 2 * PEN) / height) / 2);
  const up = Math.min((GRID - 2 * pen) / height, GRID / SMALLEST);
  const scale = [Math.min(up, (WIDEST - 2 * pen) / width), up];
  const move = (p) => p.map((v, i) => (v - (low[i] + high[i]) / 2) * scale[i] + GRID / 2);
  const pieces = strokes.flatMap((stroke) => {
    const moved = stroke.map(move);
    return moved.map((a, i) => [a, moved[i + 1] ?? a]);
  });
  for (let y = 0; y < GRID; y++) {
    for (let x = 0; x < GRID; x++) {
      const inked = pieces.some(([[ax, ay], [bx, by]]) => {
        const [dx, dy, px, py] = [bx - ax, by - ay, x + 0.5 - ax, y + 0.5 - ay];
        const t = Math.min(1, Math.max(0, (px * dx + py * dy) / Math.max(dx * dx + dy * dy, 1e-12)));
        return Math.hypot(px - t * dx, py - t * dy) <= pen;
      });
      if (inked) picture[Math.floor(y / BLOCK) * n + Math.floor(x / BLOCK)] += 1 / BLOCK ** 2;
    }
  }
  return picture;
}

// What the model says. A piece of the picture is read as a token: its row in the table is computed.
function caption(model, tokenizer, { encoder, bias, size, end }, picture) {
  const { n_embd: C, vocab_size: V, block_size } = model.config, side = Math.sqrt(picture.length);
  const across = side / size, P = across ** 2, table = model.weights["transformer.wte.weight"].data;
  for (let p = 0; p < P; p++) {
    const corner = Math.floor(p / across) * size * side + (p % across) * size;
    for (let c = 0; c < C; c++) {
      let sum = bias[c];
      for (let i = 0; i < size * size; i++) {
        sum += encoder[c][i] * picture[corner + Math.floor(i / size) * side + (i % size)];
      }
      table[(V + p) * C + c] = sum;
    }
  }
  const cache = model.newCache(), said = [];
  model.forward(Array.from({ length: P }, (_, p) => V + p), cache);
  for (let id = end; cache.length < block_size; ) {
    const [scores] = model.forward([id], cache);
    id = scores.indexOf(Math.max(...scores));
    if (id === end) break;
    said.push(tokenizer.symbols[id]);
  }
  return said.join("");
}

function sketch(root, data) {
  const make = (tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
    element.textContent = text;
    return element;
  };
  const bytes = Uint8Array.from(atob(data.weights), (c) => c.charCodeAt(0));
  const model = new GPT(data, bytes.buffer), tokenizer = new CharTokenizer(data.tokenizer);
  let strokes = data.strokes.map((stroke) => [...stroke]), pen = [0.5, 0.5], down = false, asked = 0;

  const about = "Sheet to draw on. Arrow keys move the pen, space puts it down or lifts it.";
  const sheet = make("canvas", { width: SIDE, height: SIDE, tabindex: 0, role: "application",
    "aria-label": about, id: "sheet", class: "sheet" });
  const seen = make("canvas", { width: 120, height: 120, role: "img", id: "seen", class: "sheet seen" });
  const said = make("p", { "aria-live": "polite", id: "said", class: "said" });
  const where = make("p", { "aria-live": "polite", id: "where", class: "soft" });
  const wipe = make("button", { type: "button", id: "wipe", "aria-label": "Wipe the sheet" }, "Wipe");
  const undo = make("button", { type: "button", id: "undo", "aria-label": "Take back the last stroke" }, "Undo");
  const help = make("p", { class: "soft" },
    "Draw with the mouse or a finger. Keys: arrows move the pen, space puts it down or lifts it.");
  const beside = make("div"), buttons = make("div", { class: "row" }), row = make("div", { class: "row" });
  beside.append(make("p", { class: "soft" }, "what the model gets, 8 by 8"), seen);
  buttons.append(wipe, undo);
  row.append(sheet, beside);
  root.append(row, buttons, said, where, help);

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
  function paint() {
    const c = sheet.getContext("2d");
    c.fillStyle = colour("--box");
    c.fillRect(0, 0, SIDE, SIDE);
    Object.assign(c, { lineCap: "round", lineJoin: "round", lineWidth: SIDE / 14 });
    c.strokeStyle = c.fillStyle = colour("--ink");
    for (const stroke of strokes) {
      c.beginPath();
      stroke.forEach(([x, y]) => c.lineTo(x * SIDE, y * SIDE));
      if (stroke.length === 1) c.lineTo(stroke[0][0] * SIDE, stroke[0][1] * SIDE);
      c.stroke();
    }
    if (document.activeElement === sheet) { // where the keys would draw
      Object.assign(c, { lineWidth: 3, strokeStyle: colour("--accent"), fillStyle: colour("--accent") });
      c.beginPath();
      c.arc(pen[0] * SIDE, pen[1] * SIDE, 8, 0, 7);
      if (down) c.fill(); else c.stroke();
    }
  }
  function look() {
    const picture = rasterise(strokes, data.grid), n = Math.sqrt(picture.length), size = 120 / n;
    const c = seen.getContext("2d");
    picture.forEach((ink, i) => {
      const grey = Math.round(255 * (1 - ink));
      c.fillStyle = `rgb(${grey}, ${grey}, ${grey})`;
      c.fillRect((i % n) * size, Math.floor(i / n) * size, size, size);
    });
    const ink = picture.reduce((sum, v) => sum + v, 0) / picture.length;
    seen.setAttribute("aria-label", `The drawing in 8 by 8 squares; ${Math.round(100 * ink)}% is ink.`);
    const words = strokes.length ? caption(model, tokenizer, data.prefix, picture) : "";
    said.textContent = words ? `The model says: ${words}` : "The sheet is empty: draw a digit.";
  }
  function again() { // at most once for each picture of the screen
    paint();
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(look);
  }
  function place(event) {
    const box = sheet.getBoundingClientRect();
    const inside = (v) => Math.min(1, Math.max(0, v));
    return [inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height)];
  }
  const tell = () => {
    const [column, line] = pen.map((v) => Math.round(v / STEP));
    where.textContent = `Pen ${down ? "down" : "up"}, column ${column}, row ${line} of ${1 / STEP}.`;
  };

  let drawing = null; // the pointer that draws: a second finger does not
  sheet.addEventListener("pointerdown", (event) => {
    if (drawing !== null || event.button > 0) return;
    drawing = event.pointerId;
    sheet.setPointerCapture(drawing);
    down = false;
    strokes.push([place(event)]);
    again();
  });
  sheet.addEventListener("pointermove", (event) => {
    if (event.pointerId !== drawing) return;
    const passed = event.getCoalescedEvents?.() ?? [];
    strokes.at(-1).push(...(passed.length ? passed : [event]).map(place));
    again();
  });
  for (const name of ["pointerup", "pointercancel"]) {
    sheet.addEventListener(name, (event) => { if (event.pointerId === drawing) drawing = null; });
  }
  sheet.addEventListener("keydown", (event) => {
    const arrow = ARROWS[event.key];
    if (arrow) {
      pen = pen.map((v, i) => Math.min(1, Math.max(0, v + arrow[i] * STEP)));
      if (down) strokes.at(-1).push([...pen]);
    } else if (event.key === " ") {
      down = !down;
      if (down) strokes.push([[...pen]]);
    } else return;
    event.preventDefault(); // the page does not scroll
    tell();
    again();
  });
  sheet.addEventListener("focus", () => { tell(); paint(); });
  sheet.addEventListener("blur", paint);
  wipe.addEventListener("click", () => { strokes = []; down = false; again(); });
  undo.addEventListener("click", () => { strokes.pop(); down = false; again(); });
  paint();
  look();
}
