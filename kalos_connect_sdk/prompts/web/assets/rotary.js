// A rotary controller sends left, right and Enter: the arrows move through everything and choose nothing, Enter
// chooses. Up and down stay the browser's own way inside a group of choices, and move like the others elsewhere.
"use strict";
const onward = document.documentElement.dir === "rtl" ? "ArrowLeft" : "ArrowRight";
document.addEventListener("keydown", (event) => {
  const radio = event.target.type === "radio";
  if (radio && event.key === "Enter") {
    event.target.checked = true;
    event.preventDefault();
  }
  if (!event.key.startsWith("Arrow") || (radio && /Up|Down/.test(event.key))) return;
  const step = event.key === onward || event.key === "ArrowDown" ? 1 : -1;
  const places = [...document.querySelectorAll("input[type=radio], summary, button:enabled")].filter((e) => e.offsetParent);
  const now = places.indexOf(document.activeElement);
  const next = now < 0 && step < 0 ? places.length - 1 : (now + step + places.length) % places.length;
  places[next]?.focus();
  event.preventDefault();
});
