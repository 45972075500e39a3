"use strict";
// Draws the curves that are visible, in the colours of the page. Without this script, the page shows them as SVG.
const hidden = new Set();
const colours = { "#010203": "--ink", "#010204": "--rule" };
for (let i = 0; i < 10; i++) colours["#0102" + (16 + i).toString(16)] = `--s${i}`;

function applyHidden() {
  for (const doc of Bokeh.documents)
    for (const root of doc.roots())
      for (const renderer of root.renderers) if (/^\d+$/.test(renderer.name ?? "")) renderer.visible = !hidden.has(renderer.name);
}

async function draw() {
  const style = getComputedStyle(document.documentElement);
  const colour = (key, value) => (value in colours ? style.getPropertyValue(colours[value]).trim() : value);
  for (const target of document.querySelectorAll(".interactive:empty")) {
    if (!target.parentElement.offsetWidth) continue;
    const text = target.nextElementSibling.textContent;
    const item = JSON.parse(text, (key, value) => (typeof value === "string" ? colour(key, value) : value));
    try {
      await Bokeh.embed.embed_item(item, target);
      target.parentElement.classList.add("drawn");
    } catch (error) {
      console.error(error);
    }
  }
  applyHidden();
}

let pending = Promise.resolve();
const drawNext = () => (pending = pending.then(draw));

function drawAgain() {
  pending = pending.then(() => {
    for (const doc of Bokeh.documents.splice(0)) doc.clear();
    for (const target of document.querySelectorAll(".interactive")) target.replaceChildren();
  });
  drawNext();
}

for (const button of document.querySelectorAll("button.arm")) {
  button.disabled = false;
  button.addEventListener("click", () => {
    const isShown = hidden.delete(button.dataset.line);
    if (!isShown) hidden.add(button.dataset.line);
    button.setAttribute("aria-pressed", String(isShown));
    applyHidden();
  });
}
for (const input of document.querySelectorAll("input[name=cost]")) input.addEventListener("change", drawNext);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const input of document.querySelectorAll(".pictures input:checked")) input.checked = false;
});
drawNext();
