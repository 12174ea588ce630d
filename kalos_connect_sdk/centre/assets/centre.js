// The consent centre's page: shows what it is told, and sends one request for each button.
"use strict";
const key = document.body.dataset.key;
const words = JSON.parse(document.body.dataset.words);
const at = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

async function post(path, fields = {}) {
  const reply = await fetch(path, { method: "POST", body: new URLSearchParams(fields), headers: { "X-Kalos-Key": key } });
  return reply.json();
}

function put(parent, name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

function strips(section, each) {
  section.replaceChildren();
  put(section, "h2", each[0].label);
  for (const one of each) strip(section, one);
}

function strip(section, { label, total, bars }) {
  const chart = document.createElementNS(SVG, "svg");
  chart.setAttribute("viewBox", `0 0 ${bars.length} 1`);
  chart.setAttribute("preserveAspectRatio", "none");
  chart.setAttribute("role", "img");
  chart.setAttribute("aria-label", `${label}: ${total}`);
  const most = Math.max(1, ...bars);
  bars.forEach((count, place) => {
    if (!count) return;
    const bar = document.createElementNS(SVG, "rect");
    const height = Math.max(0.04, count / most);
    for (const [name, value] of Object.entries({ x: place + 0.1, y: 1 - height, width: 0.8, height })) bar.setAttribute(name, value);
    chart.append(bar);
  });
  section.append(chart);
  put(section, "p", total);
}

function review({ lines, upto }) {
  at("review").hidden = !lines.length;
  at("seen").dataset.upto = upto;
  at("outcomes").replaceChildren();
  for (const line of lines) put(at("outcomes"), "li", `${line.when} · ${line.told}`);
}

function show(state) {
  document.body.classList.toggle("on", state.on);
  document.body.classList.toggle("sharing", state.sharing);
  if (at("told").textContent !== state.told) at("told").textContent = state.told;
  at("more").replaceChildren();
  for (const line of state.more) put(at("more"), "p", line);
  at("stop").hidden = !state.stop;
  at("ask").hidden = state.on || state.waits;
  at("ask").textContent = state.parked ? words.ask : words.ask_when_parked;
  at("parked").hidden = state.parked;
  at("reading").hidden = !state.reading;
  if (!state.reading) return;
  review(state.reading.review);
  strips(at("day"), state.reading.day);
  strips(at("week"), state.reading.week);
  at("requests").replaceChildren();
  for (const request of state.reading.requests) put(at("requests"), "li", `${request.kind}. ${request.told}. ${request.contact}`);
  at("receipts").replaceChildren();
  for (const receipt of state.reading.receipts) put(at("receipts"), "li", receipt);
  if (!state.reading.receipts.length) put(at("receipts"), "li", words.no_receipt);
}

async function act(button, path, done, fields) {
  button.disabled = true;
  try {
    const reply = await post(path, fields);
    at("said").textContent = reply.said ?? "";
    if (done) done(reply);
  } catch {
    at("said").textContent = words.failed;
  } finally {
    button.disabled = false;
  }
}

function save(copy) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(copy, null, 2)], { type: "application/json" }));
  link.download = "kalos-connect-copy.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

for (const name of ["stop", "ask", "explain", "delete"]) at(name).addEventListener("click", (event) => act(event.currentTarget, `/${name}`));
at("seen").addEventListener("click", (event) => act(event.currentTarget, "/seen", null, { upto: event.currentTarget.dataset.upto }));
at("copy").addEventListener("click", (event) => act(event.currentTarget, "/copy", save));

(async function follow() {
  let seen = "";
  for (;;) {
    try {
      const state = await post("/state", { seen });
      seen = state.tag;
      show(state);
    } catch {
      at("said").textContent = words.gone;
      for (const button of document.querySelectorAll("button")) button.disabled = true;
      return;
    }
  }
})();
