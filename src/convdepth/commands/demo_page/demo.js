"use strict";

const LARGEST_BODY = 8 * 2 ** 20;
const PEN = 34; // width of a stroke on the paper of 560 x 560

const find = (id) => document.getElementById(id);
const paper = find("paper");
const pen = paper.getContext("2d");
let strokes = []; // each a list of points [x, y, width]
let background = null; // a picture that was opened
let asked = 0; // number of the latest question; older answers are ignored

function redraw() {
  pen.fillStyle = "white";
  pen.fillRect(0, 0, paper.width, paper.height);
  if (background) {
    const scale = Math.min(paper.width / background.width, paper.height / background.height);
    const [width, height] = [background.width * scale, background.height * scale];
    pen.drawImage(background, (paper.width - width) / 2, (paper.height - height) / 2, width, height);
  }
  pen.strokeStyle = "black";
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of strokes) {
    stroke.forEach(([x, y, width], number) => {
      const [fromX, fromY] = stroke[Math.max(0, number - 1)];
      pen.lineWidth = width;
      pen.beginPath();
      pen.moveTo(fromX, fromY);
      pen.lineTo(x, y);
      pen.stroke();
    });
  }
}

function pointOf(event) {
  const box = paper.getBoundingClientRect();
  const scale = paper.width / box.width;
  const pressure = event.pointerType === "pen" && event.pressure ? 0.5 + event.pressure : 1;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale, PEN * pressure];
}

function start(stroke) {
  if (background) [background, strokes] = [null, []];
  strokes.push(stroke);
  redraw();
}

function forget(text) {
  asked += 1;
  [strokes, background] = [[], null];
  redraw();
  find("status").textContent = text;
}

function askPaper() {
  if (strokes.length) paper.toBlob((blob) => ask(blob), "image/png");
  else forget("Draw a digit, or drop a picture here.");
}

async function ask(blob) {
  const number = (asked += 1);
  const status = find("status");
  if (blob.size > LARGEST_BODY) {
    status.textContent = "The picture is too large: at most 8 MiB.";
    return;
  }
  const waiting = setTimeout(() => { status.textContent = "The networks are being asked."; }, 400);
  let text;
  try {
    const response = await fetch("predict", {
      method: "POST", body: blob,
      headers: { "Content-Type": blob.type.startsWith("image/") ? blob.type : "image/unknown" },
    });
    const answer = await response.json();
    if (number !== asked) return;
    text = response.ok ? show(answer) : `This picture cannot be used: ${answer.detail}.`;
  } catch {
    text = "The demo does not answer. Is it still running?";
  } finally {
    clearTimeout(waiting);
  }
  if (number === asked) status.textContent = text;
}

function percent(share) {
  return `${(100 * share).toFixed(1)}%`;
}

function showPicture(image, source, text) {
  image.src = source;
  image.alt = text;
  image.hidden = false;
}

function noteOf(network, common) {
  if (network.collapsed) return "Collapsed: the same answer to every picture, of which no part matters. It has learned only how frequent the digits are.";
  if (network.unsure) return "Unsure: below 80%.";
  return network.digit === common ? "" : "Differs from the other networks.";
}

function mostFrequent(digits) {
  const count = (digit) => digits.filter((each) => each === digit).length;
  return digits.reduce((best, each) => (count(each) > count(best) ? each : best), digits[0]);
}

function show({ agree, steps, networks }) {
  const common = mostFrequent(networks.filter((each) => !each.collapsed).map((each) => each.digit));
  for (const network of networks) {
    const card = find(`network-${network.name}`);
    card.classList.toggle("collapsed", network.collapsed);
    card.classList.toggle("differs", !network.collapsed && network.digit !== common);
    card.querySelector(".digit").textContent = network.digit;
    card.querySelector(".note").textContent = noteOf(network, common);
    card.querySelectorAll("tbody tr").forEach((row, digit) => {
      const share = network.probabilities[digit];
      row.classList.toggle("first", digit === network.digit);
      row.querySelector(".bar").style.width = percent(share);
      row.querySelector(".share").textContent = percent(share);
    });
    showPicture(card.querySelector(".attention"), network.attention,
      `Grad-CAM of ${network.name}: the parts of the picture that raise the score of ${network.digit}`);
  }
  for (const [name, source] of Object.entries(steps)) {
    showPicture(find(`step-${name}`), source, `The picture after the step ${name}`);
  }
  const agreement = find("agreement");
  agreement.hidden = false;
  agreement.className = agree ? "agree" : "disagree";
  agreement.textContent = agree ? "All that have learned agree" : "The networks disagree";
  const answers = networks.map((each) =>
    `${each.name}: ${each.digit}, ${percent(each.probabilities[each.digit])}`);
  return `${agreement.textContent}. ${answers.join("; ")}.`;
}

async function open(file) {
  forget("Reading the picture.");
  try {
    background = await createImageBitmap(file);
    redraw();
  } catch {
    // Not a format that the browser shows; the networks may still be able to read it.
  }
  await ask(file);
}

paper.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  paper.setPointerCapture(event.pointerId);
  start([pointOf(event)]);
});
paper.addEventListener("pointermove", (event) => {
  if (!paper.hasPointerCapture(event.pointerId)) return;
  const events = event.getCoalescedEvents();
  strokes.at(-1).push(...(events.length ? events : [event]).map(pointOf));
  redraw();
});
paper.addEventListener("lostpointercapture", askPaper);

find("undo").addEventListener("click", () => { background = null; strokes.pop(); redraw(); askPaper(); });
find("clear").addEventListener("click", () => forget("Draw a digit, or drop a picture here."));
find("examples").addEventListener("click", (event) => {
  if (!event.target.value) return;
  forget("");
  for (const stroke of event.target.dataset.strokes.split(";")) {
    const points = stroke.split(" ").map((pair) => pair.split(",").map((each) => 5.6 * each));
    start(points.map((point) => [...point, PEN]));
  }
  askPaper();
});
find("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) open(file);
  event.target.value = "";
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const [file] = event.dataTransfer.files;
  if (file) open(file);
});
redraw();
