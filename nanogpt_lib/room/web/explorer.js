"use strict";
// Who looks at whom: the tokens of a text in a row, and a button for each head. Hover a token, or
// go to it with Tab and the arrow keys: the tokens that it looks at are coloured, the more the
// stronger. maps[layer][head][t] holds the weights of token t: one for each token up to it.

function explore(root, tokens, maps, chosen = tokens.length - 1) {
  const make = (tag, props = {}, ...inside) => {
    const made = Object.assign(document.createElement(tag), props);
    made.append(...inside);
    return made;
  };
  const visible = (token) => token.replace(/\n/g, "↵").replace(/ /g, "␣") || "�";
  let layer = 0, head = 0;
  const said = make("p", { className: "said" });
  said.setAttribute("aria-live", "polite");
  const row = make("div", { className: "tokens" });
  row.setAttribute("role", "listbox");
  row.setAttribute("aria-label", "The tokens of the text: choose the one that looks");
  const places = tokens.map((token, t) => {
    const place = make("span", { className: "token", textContent: visible(token), tabIndex: -1 });
    place.setAttribute("role", "option");
    place.onmouseenter = place.onfocus = place.onclick = () => show(t);
    row.append(place);
    return place;
  });
  row.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -tokens.length, End: tokens.length }[event.key];
    if (!step) return;
    event.preventDefault();
    places[Math.max(0, Math.min(tokens.length - 1, chosen + step))].focus();
  };
  const buttons = maps.flatMap((heads, l) => heads.map((_, h) => {
    const button = make("button", { type: "button", textContent: `${l}.${h}` });
    button.setAttribute("aria-label", `layer ${l}, head ${h}`);
    button.onclick = () => { [layer, head] = [l, h]; show(chosen); };
    return button;
  }));
  const heads = maps.map((list, l) => make("div", { className: "heads" }, `layer ${l}`,
    ...buttons.slice(l * list.length, (l + 1) * list.length)));

  function show(t) {
    chosen = t;
    const weights = Array.from(maps[layer][head][t]);
    places.forEach((place, s) => {
      const much = s <= t ? weights[s] : 0;
      place.style.setProperty("--much", much.toFixed(4));
      place.style.setProperty("--shade", Math.sqrt(much).toFixed(4)); // so that 5% can be seen
      place.title = s <= t ? `${Math.round(100 * much)}%` : "later: hidden";
      place.classList.toggle("later", s > t);
      place.classList.toggle("looks", s === t);
      place.tabIndex = s === t ? 0 : -1;
      place.setAttribute("aria-selected", s === t);
    });
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", i === layer * maps[0].length + head));
    const order = weights.map((_, s) => s).sort((a, b) => weights[b] - weights[a]).slice(0, 3);
    const who = (s) => (s === t ? "itself" : `“${visible(tokens[s])}”, ${t - s} back`);
    const most = order.map((s) => `${who(s)} (${Math.round(100 * weights[s])}%)`);
    said.textContent = `Layer ${layer}, head ${head}: “${visible(tokens[t])}”, token ${t + 1} of ${tokens.length}, `
      + `looks at ${most.join("; ")}.`;
  }
  root.replaceChildren(...heads, row, said);
  if (tokens.length) show(Math.min(chosen, tokens.length - 1));
}
