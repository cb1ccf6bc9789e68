"use strict";
// Which way is down: the loss over one weight, with the slope at the place where a slider stands.

function slope(root, weights, losses, slopes, name) {
  const SVG = "http://www.w3.org/2000/svg", WIDE = 640, HIGH = 240, EDGE = 12;
  const draw = (tag, props) => {
    const made = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(props)) made.setAttribute(key, value);
    return made;
  };
  const make = (tag, props = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...inside);
    return made;
  };
  const last = weights.length - 1, low = Math.min(...losses), high = Math.max(...losses);
  const x = (weight) => EDGE + (WIDE - 2 * EDGE) * (weight - weights[0]) / (weights[last] - weights[0]);
  const y = (loss) => HIGH - EDGE - (HIGH - 2 * EDGE) * (loss - low) / (high - low);
  const path = weights.map((weight, i) => `${i ? "L" : "M"}${x(weight)} ${y(losses[i])}`).join("");
  const dot = draw("circle", { r: 6, class: "dot" }), touch = draw("line", { class: "touch" });
  const picture = draw("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, "aria-hidden": "true", class: "slope" });
  picture.append(draw("path", { d: path, class: "curve" }), touch, dot);
  const slider = make("input", { type: "range", min: 0, max: last, step: 1, value: Math.round(last / 6) });
  const shown = make("output"), said = make("p", { className: "said" });

  slider.oninput = () => {
    const i = Number(slider.value), weight = weights[i], reach = (weights[last] - weights[0]) / 8;
    dot.setAttribute("cx", x(weight));
    dot.setAttribute("cy", y(losses[i]));
    [-reach, reach].forEach((by, end) => {
      touch.setAttribute(`x${end + 1}`, x(weight + by));
      touch.setAttribute(`y${end + 1}`, y(losses[i] + by * slopes[i]));
    });
    const flat = Math.abs(slopes[i]) < 0.005;
    const way = flat ? "flat: this is the bottom" : slopes[i] < 0 ? "down is to the right: make the weight larger"
      : "down is to the left: make the weight smaller";
    shown.textContent = weight.toFixed(1);
    root.dataset.slope = slopes[i];
    said.textContent = `Loss ${losses[i].toFixed(2)}, slope ${slopes[i].toFixed(2)}: ${way}.`;
  };
  root.replaceChildren(make("label", { className: "loud" }, name, slider, shown), picture, said);
  slider.oninput();
}
