// The page of the completion server: a prompt goes out, and the text comes in as it is written.
"use strict";
const of = (id) => document.getElementById(id);
let stopper = null;

async function about() {
  const name = (await (await fetch("/v1/models")).json()).data[0].id;
  of("about").textContent = `It serves ${name}. What you type stays on this machine.`;
  const body = JSON.stringify({ prompt: "ROMEO:", max_tokens: 100, stream: true });
  of("curl").textContent =
    `curl -N ${location.origin}/v1/completions -H "Content-Type: application/json" -d '${body}'`;
}

async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let held = ""; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (held + value).split("\n\n"); // an event ends with an empty line
    held = lines.pop();
    for (const line of lines) yield line.slice("data: ".length);
  }
}

async function write() {
  stopper = new AbortController();
  const prompt = of("prompt").value;
  const settings = { temperature: +of("temperature").value, max_tokens: +of("tokens").value };
  const body = JSON.stringify({ prompt, stream: true, unknown: "drop", ...settings });
  const headers = { "Content-Type": "application/json" };
  const began = performance.now();
  const response = await fetch("/v1/completions", { method: "POST", headers, body, signal: stopper.signal });
  if (!response.ok) throw new Error((await response.json()).error.message);
  of("text").textContent = prompt;
  let pieces = 0;
  for await (const data of events(response)) {
    if (data === "[DONE]") break;
    const found = JSON.parse(data);
    if (found.error) throw new Error(found.error.message);
    of("text").textContent += found.choices[0].text; // text, never markup
    pieces += 1;
    of("status").textContent = `${pieces} pieces in ${((performance.now() - began) / 1000).toFixed(1)} s`;
  }
}

of("stop").addEventListener("click", () => stopper?.abort());
of("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  of("write").disabled = true;
  of("stop").disabled = false;
  try {
    await write();
  } catch (error) {
    const stopped = error.name === "AbortError";
    of("status").textContent = stopped ? "Stopped." : `It did not work: ${error.message}`;
  } finally {
    of("write").disabled = false;
    of("stop").disabled = true;
  }
});
about();
