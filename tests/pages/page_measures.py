"""What can be measured in an open page: contrasts, targets, letters, what is cut off, what a screen reader hears."""

from __future__ import annotations

from typing import Any

__all__ = ["contrasts", "cut_off", "fits_the_width", "heard", "letters", "shown_texts", "targets", "twice_the_text"]

_CONTRAST = """() => {
  const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  const light = (c) => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
  const read = (text) => text.match(/[\\d.]+/g).map(Number);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = read(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const found = {};
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || !e.offsetParent) continue;
    const [a, b] = [light(read(getComputedStyle(e).color)), light(behind(e))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const name = (e.tagName.toLowerCase() + " " + e.className).trim();
    found[name] = Math.min(ratio, found[name] ?? 99);
  }
  return found;
}"""
_TARGETS = """() => [...document.querySelectorAll("button, summary, .way, a[href]")].filter((e) => e.offsetParent).map((e) => {
  const b = e.getBoundingClientRect();
  return { name: e.textContent.trim(), left: b.left, top: b.top, width: b.width, height: b.height }; })"""
_LETTERS = """() => [...document.querySelectorAll("body *")].filter((e) => e.offsetParent
  && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()))
  .map((e) => parseFloat(getComputedStyle(e).fontSize))"""
# A text that is painted outside of what holds it, or outside of the window, or that something hides.
_CUT_OFF = """() => {
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walk.nextNode()); ) {
    const holder = text.parentElement.closest("button, .way, summary, p, li, dt, dd, legend, h1, h2");
    if (!text.textContent.trim() || !holder || !text.parentElement.offsetParent) continue;
    const box = holder.getBoundingClientRect();
    const range = document.createRange();
    range.selectNodeContents(text);
    for (const r of range.getClientRects()) {
      const beside = r.left < Math.max(box.left, 0) - 1 || r.right > Math.min(box.right, innerWidth) + 1;
      const slack = parseFloat(getComputedStyle(holder).fontSize) / 8; // letters may be higher than their line
      const above = r.top < box.top - slack || r.bottom > box.bottom + slack;
      if (beside || above || holder.scrollWidth > holder.clientWidth + 1) { found.push(text.textContent); break; }
    }
  }
  return found;
}"""
_TEXTS = """() => {
  const found = [document.title];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = walk.nextNode()); ) if (text.textContent.trim()) found.push(text.textContent.trim());
  for (const e of document.querySelectorAll("[aria-label], [alt], [title], [placeholder]"))
    for (const name of ["aria-label", "alt", "title", "placeholder"]) if (e.getAttribute(name)) found.push(e.getAttribute(name));
  return found;
}"""


def contrasts(page: Any) -> dict[str, float]:
    """The contrast of every visible text against what is painted behind it (WCAG 2)."""
    return page.evaluate(_CONTRAST)


def targets(page: Any) -> list[dict[str, Any]]:
    """Everything that can be pressed: its name and its box, in CSS pixels."""
    return page.evaluate(_TARGETS)


def letters(page: Any) -> float:
    """The size of the smallest letters, in CSS pixels."""
    return min(page.evaluate(_LETTERS))


def cut_off(page: Any) -> list[str]:
    """Texts that run out of their button, their paragraph or the window."""
    return page.evaluate(_CUT_OFF)


def shown_texts(page: Any) -> list[str]:
    """Every text of the page: title, content, and names that only a screen reader speaks."""
    return page.evaluate(_TEXTS)


def fits_the_width(page: Any) -> bool:
    """Nothing has to be scrolled sideways."""
    return page.evaluate(
        "() => [document.documentElement, document.querySelector('main')].every(e => e.scrollWidth <= e.clientWidth)"
    )


def twice_the_text(page: Any) -> None:
    """The person's text size of 200 %."""
    page.evaluate("document.documentElement.style.fontSize = '200%'")


def heard(page: Any) -> list[tuple[str, str]]:
    """(role, name) in the order in which a screen reader goes through the page, from Chromium's own tree."""
    session = page.context.new_cdp_session(page)
    try:
        nodes = session.send("Accessibility.getFullAXTree")["nodes"]
    finally:
        session.detach()
    by_id = {node["nodeId"]: node for node in nodes}
    order: list[tuple[str, str]] = []

    def visit(node: dict[str, Any]) -> None:
        if not node.get("ignored"):
            order.append((node["role"]["value"], node.get("name", {}).get("value", "")))
        for child in node.get("childIds", ()):
            if child in by_id:
                visit(by_id[child])

    visit(nodes[0])
    return order
