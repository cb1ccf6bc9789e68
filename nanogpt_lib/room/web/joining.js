"use strict";
const $ = (id) => document.getElementById(id);
function say() {
  const name = $("name").value.replace(/["\\`$!]/g, ""), code = $("code").value.replace(/\W/g, "").toUpperCase();
  $("notebook").textContent = `from nanogpt_lib import join\njoin("${location.origin}", "${name}", "${code}")`;
  $("terminal").textContent = `nanogpt train --board ${location.origin} --code ${code || "..."} --name "${name}"`;
}
$("code").value = location.hash.slice(1).replace(/\W/g, "");
$("name").oninput = $("code").oninput = say;
say();
