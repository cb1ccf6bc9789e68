// The page of the completion server: a prompt goes out, and the text comes in as it is written.
"use strict";
const of = (id) => document.getElementById(id);
let stopper = null;
let chat = false; // whether the model answers requests; others go on with a text
let path = "/v1/completions";
const asked = (words) => (chat ? { messages: [{ role: "user", content: words }] } : { prompt: words });

async function about() {
  const model = (await (await fetch("/v1/models")).json()).data[0];
  chat = model.chat;
  if (chat) {
    path = "/v1/chat/completions";
    of("named").textContent = "Request";
    of("prompt").value = "Ask as ROMEO.";
    of("write").textContent = "Send";
  }
  of("path").textContent = path;
  of("about").textContent = `It serves ${model.id}. What you type stays on this machine.`
    + (chat ? " Each request stands alone: nothing is remembered." : "");
  const body = JSON.stringify({ ...asked(of("prompt").value), max_tokens: 100, stream: true });
  of("curl").textContent =
    `curl -N ${location.origin}${path} -H "Content-Type: application/json" -d '${body}'`;
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
  const body = JSON.stringify({ ...asked(prompt), stream: true, unknown: "drop", ...settings });
  const headers = { "Content-Type": "application/json" };
  const began = performance.now();
  const response = await fetch(path, { method: "POST", headers, body, signal: stopper.signal });
  if (!response.ok) throw new Error((await response.json()).error.message);
  of("text").textContent = chat ? "" : prompt;
  let pieces = 0;
  for await (const data of events(response)) {
    if (data === "[DONE]") break;
    const found = JSON.parse(data);
    if (found.error) throw new Error(found.error.message);
    of("text").textContent += chat ? found.choices[0].delta.content : found.choices[0].text; // text, never markup
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
