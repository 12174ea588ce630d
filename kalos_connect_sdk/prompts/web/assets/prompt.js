// The prompt's page: sends the answer, closes when the question is over, and lets a rotary controller move.
// Without scripts the form works by itself.
"use strict";
const key = document.body.dataset.key;
const form = document.querySelector("form");
const status = document.querySelector("[role=status]");

function over(text) {
  document.body.classList.add("over");
  status.textContent = text;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = new URLSearchParams(new FormData(form, event.submitter));
  for (const control of form.elements) control.disabled = true;
  try {
    const reply = await fetch("/answer", { method: "POST", body: answer, headers: { "X-Kalos-Key": key } });
    over(await reply.text());
  } catch {
    over(document.body.dataset.gone);
  }
});

// A rotary controller sends left, right and Enter: the arrows move through everything and choose nothing, Enter
// chooses. Up and down stay the browser's own way inside a group of choices, and move like the others elsewhere.
const onward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
document.addEventListener("keydown", (event) => {
  const radio = event.target.type === "radio";
  if (radio && event.key === "Enter") {
    event.target.checked = true;
    event.preventDefault();
  }
  if (!event.key.startsWith("Arrow") || (radio && /Up|Down/.test(event.key))) return;
  const step = event.key === onward || event.key === "ArrowDown" ? 1 : -1;
  const places = [...document.querySelectorAll("input[type=radio], summary, button")].filter((e) => e.offsetParent);
  const next = places.indexOf(document.activeElement) + step;
  places[(next + places.length) % places.length].focus();
  event.preventDefault();
});

(async function wait() {
  while (!document.body.classList.contains("over")) {
    try {
      const reply = await fetch("/wait", { method: "POST", headers: { "X-Kalos-Key": key } });
      if (reply.status === 204) continue;
      if (!document.body.classList.contains("over")) over(await reply.text());
    } catch {
      over(document.body.dataset.gone);
    }
  }
})();

document.querySelector("h1").focus();
