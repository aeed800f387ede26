// What a page can do beyond being read: theme, menu, sorting, readouts of charts. Everything works without it.
"use strict";

const root = document.documentElement;
root.dataset.js = "";

function remembered() {
  try { return localStorage.getItem("oito-theme") || "auto"; } catch { return "auto"; }
}

function wear(theme) {
  if (theme === "auto") delete root.dataset.theme; else root.dataset.theme = theme;
}

if (remembered() !== "auto") wear(remembered()); // before the first paint: this file is loaded in the head, on purpose

function themeButton() {
  const button = document.querySelector("button.theme");
  if (!button) return;
  const say = () => { button.textContent = `Theme: ${remembered()}`; };
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = { auto: "light", light: "dark", dark: "auto" }[remembered()] || "auto";
    try { localStorage.setItem("oito-theme", next); } catch { /* not remembered, then */ }
    wear(next);
    say();
  });
  say();
}

function menuButton() {
  const button = document.querySelector("button.menu");
  button?.addEventListener("click", () => {
    button.setAttribute("aria-expanded", String(button.getAttribute("aria-expanded") !== "true"));
  });
}

function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const key = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
      const numeric = head.classList.contains("o-n");
      const order = (a, b) => numeric ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b), "en", { numeric: true });
      const missing = (row) => (numeric ? Number.isNaN(Number(key(row))) : key(row) === "–"); // stays last, up or down
      const rows = [...body.rows].sort((a, b) => missing(a) - missing(b) || (down ? -1 : 1) * order(a, b) || 0);
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      body.append(...rows);
    });
  });
}

function svgElement(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function readout(figure) {
  const { top, bottom, traces } = JSON.parse(figure.querySelector("script").textContent);
  const svg = figure.querySelector("svg[viewBox][role]");
  const places = [...new Set(traces.flatMap((trace) => trace.points.map((point) => point[0])))].sort((a, b) => a - b);
  if (!places.length) return;
  const line = svgElement("line", { class: "o-cross", y1: top, y2: bottom, visibility: "hidden" });
  const dots = traces.map((trace, n) => svgElement("circle", { class: `o-hit o-s${(n % 6) + 1}`, r: 4.5, visibility: "hidden" }));
  svg.append(line, ...dots);
  const said = document.createElement("output");
  said.className = "o-readout";
  figure.append(said);
  let at = -1;

  function show(index) {
    at = Math.max(0, Math.min(places.length - 1, index));
    const x = places[at];
    const words = [];
    let label = "";
    traces.forEach((trace, n) => {
      const near = trace.points.filter((point) => Math.abs(point[0] - x) < 0.6).at(-1);
      dots[n].setAttribute("visibility", near ? "visible" : "hidden");
      if (!near) return;
      dots[n].setAttribute("cx", near[0]);
      dots[n].setAttribute("cy", near[1]);
      label = near[2];
      words.push(traces.length > 1 ? `${trace.name} ${near[3]}` : near[3]);
    });
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
    line.setAttribute("visibility", "visible");
    said.textContent = [label, ...words].join(" · ");
  }

  function hide() {
    at = -1;
    said.textContent = "";
    for (const element of [line, ...dots]) element.setAttribute("visibility", "hidden");
  }

  function nearest(x) {
    let best = 0;
    places.forEach((place, index) => { if (Math.abs(place - x) < Math.abs(places[best] - x)) best = index; });
    return best;
  }

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    show(nearest(((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width));
  });
  svg.addEventListener("pointerleave", hide);
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    show(at < 0 ? (step > 0 ? 0 : places.length - 1) : at + step);
  });
}

function neighbours(figure) {
  const edges = [...figure.querySelectorAll(".o-edge")];
  const mark = (id) => edges.forEach((edge) => edge.classList.toggle("o-lit", edge.dataset.from === id || edge.dataset.to === id));
  for (const node of figure.querySelectorAll(".o-node")) {
    const whole = node.closest("a") || node;
    for (const name of ["pointerenter", "focus"]) whole.addEventListener(name, () => mark(node.dataset.node));
    for (const name of ["pointerleave", "blur"]) whole.addEventListener(name, () => mark(null));
  }
}

document.addEventListener("DOMContentLoaded", () => {
  themeButton();
  menuButton();
  document.querySelectorAll("main .o-table").forEach(sortable);
  document.querySelectorAll("[data-points]").forEach(readout);
  document.querySelectorAll(".o-graph").forEach(neighbours);
});
