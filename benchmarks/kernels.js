"use strict";
// How many rows of a matrix and how many tokens plain JavaScript should take at once: the trial
// behind `linear` in nanogpt_lib/room/web/model.js. Run it with `node benchmarks/kernels.js`.
// Each kernel multiplies a matrix of R x C by T tokens; the best of six rounds is printed.

const R = 1536, C = 384, T = 64;

function kernel(rows, tokens) { // the source of a loop over so many rows and tokens at once
  const list = (n, word) => Array.from({ length: n }, (_, i) => word(i)).join("");
  const each = (word) => list(rows, (r) => list(tokens, (t) => word(r, t)));
  return new Function("W", "X", "Y", "T", `
    for (let t = 0; t < T; t += ${tokens}) {
      ${list(tokens, (t) => `const x${t} = X.subarray((t + ${t}) * ${C});`)}
      for (let r = 0; r < ${R}; r += ${rows}) {
        let ${each((r, t) => `s${r}_${t} = 0, `)} end;
        for (let c = 0, i = r * ${C}; c < ${C}; c++, i++) {
          ${list(tokens, (t) => `const z${t} = x${t}[c];`)}
          ${list(rows, (r) => `const w${r} = W[i + ${r * C}];`)}
          ${each((r, t) => `s${r}_${t} += w${r} * z${t};`)}
        }
        ${each((r, t) => `Y[(t + ${t}) * ${R} + r + ${r}] = s${r}_${t};`)}
      }
    }`);
}

function filled(Kind, n) {
  return Kind.from({ length: n }, () => Math.random() * 2 - 1);
}

function pace(multiply, Kind, tokens) {
  const W = Kind === Int8Array ? Int8Array.from({ length: R * C }, () => Math.random() * 255 - 127) : filled(Kind, R * C);
  const Other = Kind === Float64Array ? Float64Array : Float32Array;
  const X = filled(Other, tokens * C), Y = new Other(tokens * R);
  let best = Infinity;
  for (let round = 0; round < 6; round++) {
    const began = performance.now();
    for (let i = 0; i < T / tokens; i++) multiply(W, X, Y, tokens);
    best = Math.min(best, performance.now() - began);
  }
  return R * C * T / best / 1e6; // billion products a second
}

for (const [rows, tokens] of [[1, 1], [4, 1], [8, 1], [16, 1], [2, 2], [2, 4], [4, 4]]) {
  console.log(`${rows} rows, ${tokens} tokens at once: ${pace(kernel(rows, tokens), Float32Array, tokens === 1 ? 1 : T).toFixed(2)}`);
}
for (const Kind of [Int8Array, Float64Array]) {
  console.log(`8 rows, 1 token, weights in ${Kind.name}: ${pace(kernel(8, 1), Kind, 1).toFixed(2)}`);
}
