"use strict";
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);
const { n, width, height, points } = data;
const plane = $("plane"), image = $("image"), tip = $("tip");
let pixels, atlas, alone = null, at = [0.5, 0.5];  // the point, as a fraction of either axis

// The decoder's image at the point: of the four around it, in proportion to their nearness.
function blend() {
  const exact = $("exact").checked;
  const [x, y] = at.map((t) => (exact ? Math.round(t * (n - 1)) : t * (n - 1)));
  const i = Math.floor(x), j = Math.floor(y), a = x - i, b = y - j;
  const out = new ImageData(width, height);
  const corners = [[i, j, (1 - a) * (1 - b)], [i + 1, j, a * (1 - b)], [i, j + 1, (1 - a) * b],
    [i + 1, j + 1, a * b]].filter((corner) => corner[2] > 0);
  for (let r = 0; r < height; r++) {
    for (let c = 0; c < width; c++) {
      for (let k = 0; k < 3; k++) {
        let value = 0;
        for (const [p, q, share] of corners) {
          // The atlas has the largest z[1] in its first row.
          const row = (n - 1 - q) * height + r, column = p * width + c;
          value += share * pixels[4 * (row * n * width + column) + k];
        }
        out.data[4 * (r * width + c) + k] = Math.round(value);
      }
      out.data[4 * (r * width + c) + 3] = 255;
    }
  }
  return out;
}

function latent(t, values) {  // the latent coordinate at a fraction of an axis
  const s = t * (n - 1), i = Math.min(Math.floor(s), n - 2);
  return values[i] + (s - i) * (values[i + 1] - values[i]);
}

const signed = (value) => value.toFixed(2).replace("-", "\u2212");

const nearest = (t) => Math.round(t * (n - 1)) / (n - 1);

function place(x, y) {
  at = [x, y].map((t) => Math.min(1, Math.max(0, t)));
  const shown = $("exact").checked ? at.map(nearest) : at;
  image.getContext("2d").putImageData(blend(), 0, 0);
  const z = `z = (${signed(latent(shown[0], data.z0))}, ${signed(latent(shown[1], data.z1))})`;
  $("where").textContent = z;
  image.setAttribute("aria-label", `the decoded image at ${z}`);
  cursor(shown);
}

function code(x, y) {  // the nearest code within a finger's width of a place on the plane
  let best = -1, least = 100;
  for (let k = 0; points && k < points.x.length; k++) {
    if (alone !== null && points.kind[k] !== alone) continue;
    const far = (toX(points.x[k]) - x) ** 2 + (toY(points.y[k]) - y) ** 2;
    if (far < least) [best, least] = [k, far];
  }
  return best;
}

function hint(x, y) {
  const k = points && (data.names || points.text) ? code(x, y) : -1;
  tip.hidden = k < 0;
  if (k < 0) return;
  tip.textContent = `label ${data.names ? data.names[points.kind[k]] : points.text[k]}`;
  tip.style.left = `${Math.min(side - 40, Math.max(40, toX(points.x[k])))}px`;
  tip.style.top = `${Math.max(34, toY(points.y[k]))}px`;
}

function pointer(event) {
  const box = plane.getBoundingClientRect();
  const x = event.clientX - box.left, y = event.clientY - box.top;
  if (event.type === "pointerdown") plane.setPointerCapture(event.pointerId);
  if (event.type === "pointerdown" || event.buttons) place(fromX(x), fromY(y));
  hint(x, y);
}

const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };

function key(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === "Home") place(0.5, 0.5);
  else if (event.key in STEPS) {
    const exact = $("exact").checked, step = (exact ? 1 / (n - 1) : 0.01) * (event.shiftKey ? 5 : 1);
    const [x, y] = exact ? at.map(nearest) : at, [u, v] = STEPS[event.key];
    place(x + u * step, y + v * step);
  } else return;
  event.preventDefault();
  hint(toX(at[0]), toY(at[1]));
}

function legend() {
  for (const [kind, name] of (data.names || []).entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(document.createElement("canvas"), name);
    button.onclick = () => {
      alone = alone === kind ? null : kind;
      for (const [other, one] of buttons().entries()) {
        one.setAttribute("aria-pressed", other === alone);
      }
      draw();
    };
    $("legend").append(button);
  }
  if (data.range) {
    const ramp = document.createElement("span");
    ramp.className = "ramp";
    $("legend").append(data.range[0], ramp, data.range[1]);
  }
}

const buttons = () => [...$("legend").querySelectorAll("button")];

function draw() {
  ground();
  for (const [kind, button] of buttons().entries()) {
    const pen = context(button.firstChild, 12, 12);
    pen.strokeStyle = "transparent";
    pen.fillStyle = hue(kind);
    mark(pen, 6, 6, 4, Math.floor(kind / 10) % 5);
  }
  for (const ramp of document.querySelectorAll(".ramp")) {
    ramp.style.background = `linear-gradient(to right, ${hues().join(", ")})`;
  }
  place(...at);
}

atlas = new Image();
atlas.onload = () => {
  const pen = Object.assign(document.createElement("canvas"),
    { width: n * width, height: n * height }).getContext("2d");
  pen.drawImage(atlas, 0, 0);
  pixels = pen.getImageData(0, 0, n * width, n * height).data;
  [image.width, image.height] = [width, height];
  $("pictures").checked = !points;
  for (const type of ["pointerdown", "pointermove"]) plane.addEventListener(type, pointer);
  plane.addEventListener("pointerleave", () => { tip.hidden = true; });
  plane.addEventListener("keydown", key);
  $("exact").onchange = $("pictures").onchange = dark.onchange = draw;
  legend();
  new ResizeObserver(draw).observe(plane);
  draw();
  document.documentElement.dataset.ready = "yes";
};
atlas.src = data.atlas;
