"use strict";

const LARGEST_BODY = 8 * 2 ** 20;
const PEN = 34; // width of a stroke on the paper of 560 x 560
// Examples: strokes of points x, y on a sheet of 100 x 100.
const EXAMPLES = [
  ["50,10 28,25 22,55 35,85 55,88 75,65 75,35 60,12 48,12"],
  ["38,28 55,10 53,50 50,90"],
  ["25,30 40,12 65,15 68,38 45,65 22,88 50,82 80,86"],
  ["28,18 50,10 68,22 62,40 45,46 66,54 72,72 55,90 25,82"],
  ["55,10 40,35 22,62 50,60 82,60", "62,38 60,65 58,92"],
  ["35,14 32,30 30,46 52,40 72,55 66,80 45,90 24,82", "35,14 55,14 74,12"],
  ["62,10 38,32 26,62 36,86 60,86 70,68 58,52 36,58 28,70"],
  ["22,16 50,15 76,14 60,45 46,70 40,90"],
  ["66,20 46,10 32,24 46,44 66,62 66,82 46,90 30,78 38,58 58,42 68,22"],
  ["70,24 50,10 32,26 38,46 58,46 70,26 68,55 60,90"],
];

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
  if (network.unsure) return "Unsure: no digit reaches 80%.";
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
  for (const stroke of EXAMPLES[event.target.value]) {
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
