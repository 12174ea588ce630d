// The prompt's page: sends the answer, and closes when the question is over.
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
