"use strict";
// Softmax of scores that a slider makes louder or softer: a bar for the weight of each token.

function slide(root, tokens, scores) {
  const make = (tag, props = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...inside);
    return made;
  };
  const visible = (token) => token.replace(/\n/g, "↵").replace(/ /g, "␣");
  const loud = make("input", { type: "range", min: 0, max: 50, step: 0.5, value: 5 });
  const shown = make("output"), said = make("p", { className: "said" });
  const heights = tokens.map(() => make("div", { className: "height" }));
  const columns = tokens.map((token, i) => make("div", { className: "column" }, heights[i], visible(token)));

  loud.oninput = () => {
    const z = scores.map((score) => score * Number(loud.value)), most = Math.max(...z);
    const parts = z.map((value) => Math.exp(value - most)), sum = parts.reduce((a, b) => a + b, 0);
    const weights = parts.map((part) => part / sum);
    weights.forEach((weight, i) => {
      heights[i].style.height = `${100 * weight}%`;
      columns[i].title = `${(100 * weight).toFixed(1)}%`;
      columns[i].dataset.weight = weight;
    });
    const first = weights.indexOf(Math.max(...weights));
    shown.textContent = Number(loud.value).toFixed(1);
    said.textContent = `Scores times ${loud.value}: the largest weight is ${(100 * weights[first]).toFixed(1)}%, `
      + `the smallest ${(100 * Math.min(...weights)).toFixed(1)}%.`;
  };
  const label = make("label", { className: "loud" }, "how loud ", loud, shown);
  root.replaceChildren(label, make("div", { className: "columns" }, ...columns), said);
  loud.oninput();
}
