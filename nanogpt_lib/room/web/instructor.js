"use strict";
// The instructor's page. Everything that learners sent is only ever text.
const $ = (id) => document.getElementById(id);
function row(cells) {
  const made = document.createElement("tr");
  for (const [text, kind] of cells) {
    const cell = document.createElement("td");
    cell.textContent = text;
    cell.className = kind ?? "";
    cell.title = text;
    made.append(cell);
  }
  return made;
}
function show(data) {
  const quiet = data.people.filter((p) => p.quiet).length, here = data.people.filter((p) => !p.left).length;
  $("about").textContent = `${here} here, ${quiet} quiet for ten minutes or more, ${data.all} exercises in the course`;
  $("people").replaceChildren(...data.people.map((p) => row([
    [p.name, "word name"], [p.at || "–", "word"], [p.tries || "", p.tries >= 3 ? "warn" : ""], [p.done],
    [p.left ? "has left" : p.quiet ? `${p.quiet} min` : "", p.quiet ? "word warn" : "word"], [p.run, "word"]])));
  $("mistakes").replaceChildren(...data.mistakes.map((m) => row([
    [m.count, m.count >= 3 ? "warn" : ""], [m.exercise, "word"], [`${m.mistake} (${m.who.slice(0, 6).join(", ")}${m.who.length > 6 ? ", ..." : ""})`, "word whole"]])));
  $("exercises").replaceChildren(...data.exercises.map((e) => row([[e.name, "word"], [e.notebook, "word"], [e.at || ""], [e.done || ""]])));
}
const events = new EventSource(`${location.pathname}/events`);
events.onmessage = (event) => show(JSON.parse(event.data));
events.onerror = () => { $("about").textContent = "The board does not answer. Trying again ..."; };
