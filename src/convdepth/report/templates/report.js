"use strict";
// What no library gives: the two themes, the legends that are buttons, and tables that sort.

const darkColors = JSON.parse(document.getElementById("dark-colors").textContent);
const root = document.documentElement;
const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
const printing = window.matchMedia("print");
const themeButton = document.getElementById("theme");
const charts = Array.from(document.querySelectorAll(".chart"));
const PAPER = { width: 330, height: 250, autosize: false }; // two beside each other on A4
let isOnPaper = printing.matches;
const figures = new Map(
  charts.map((chart) => [chart, JSON.parse(chart.nextElementSibling.textContent)])
);
const hidden = new Map(charts.map((chart) => [chart, new Set()]));

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches;
}

// The charts hold the colors of the light theme; each has its counterpart.
function recolor(value, dark) {
  if (typeof value === "string") return (dark && darkColors[value]) || value;
  if (Array.isArray(value)) return value.map((each) => recolor(each, dark));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, recolor(each, dark)])
  );
}

function draw(chart, dark) {
  const figure = recolor(figures.get(chart), dark);
  if (isOnPaper) Object.assign(figure.layout, PAPER);
  for (const trace of figure.data) trace.visible = !hidden.get(chart).has(trace.meta);
  return Plotly.react(chart, figure.data, figure.layout, {
    displayModeBar: false,
    responsive: true,
  });
}

function drawAll(dark = isDark() && !isOnPaper) {
  return Promise.all(charts.map((chart) => draw(chart, dark)));
}

function showTheme() {
  themeButton.textContent = isDark() ? "Light theme" : "Dark theme";
  return drawAll();
}

function store(theme) {
  try {
    localStorage.setItem("convdepth-theme", theme);
  } catch {
    // A page from a file may have nowhere to keep it.
  }
}

function stored() {
  try {
    return localStorage.getItem("convdepth-theme");
  } catch {
    return null;
  }
}

themeButton.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  store(root.dataset.theme);
  showTheme();
});
prefersDark.addEventListener("change", showTheme);

for (const button of document.querySelectorAll(".legend button")) {
  button.addEventListener("click", () => {
    const isShown = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(isShown));
    for (const chart of button.closest(".exhibit").querySelectorAll(".chart")) {
      const names = hidden.get(chart);
      if (isShown) names.delete(button.dataset.network);
      else names.add(button.dataset.network);
      draw(chart, isDark());
    }
  });
}

function compare(first, second, column, sign) {
  const [a, b] = [first, second].map((row) => row.cells[column].dataset.key);
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  const isText = Number.isNaN(Number(a)) || Number.isNaN(Number(b));
  return sign * (isText ? a.localeCompare(b, "en", { numeric: true }) : Number(a) - Number(b));
}

function sort(header) {
  const table = header.closest("table");
  const sign = header.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const each of header.parentElement.cells) each.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  rows.sort((first, second) => compare(first, second, header.cellIndex, sign));
  body.append(...rows);
}

for (const button of document.querySelectorAll(".sortable thead button")) {
  button.addEventListener("click", () => sort(button.closest("th")));
}

// Paper is white and has a width of its own, which is not laid out yet when these are called.
function drawFor(paper) {
  isOnPaper = paper;
  drawAll();
}
window.addEventListener("beforeprint", () => drawFor(true));
window.addEventListener("afterprint", () => drawFor(false));
printing.addEventListener("change", () => drawFor(printing.matches));

if (stored()) root.dataset.theme = stored();
showTheme().then(() => {
  root.dataset.ready = "true";
});
