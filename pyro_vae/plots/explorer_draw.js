// Drawing. A fraction of an axis to CSS pixels of the plane, and back.
const LEFT = 38, BELOW = 34, PAD = 8;  // room for the axes' text, in CSS pixels
const dark = matchMedia("(prefers-color-scheme: dark)");
let side = 0;  // of the plane
const toX = (t) => LEFT + t * (side - LEFT - PAD);
const toY = (t) => PAD + (1 - t) * (side - PAD - BELOW);
const fromX = (x) => (x - LEFT) / (side - LEFT - PAD);
const fromY = (y) => 1 - (y - PAD) / (side - PAD - BELOW);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);

function context(canvas, w, h) {
  const ratio = devicePixelRatio || 1, pen = canvas.getContext("2d");
  canvas.width = Math.round(w * ratio);
  canvas.height = Math.round(h * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}

const hues = () => (dark.matches ? data.dark : data.light);
const hue = (kind) => hues()[kind % hues().length];

function mark(pen, x, y, size, shape) {
  pen.beginPath();
  if (shape === 0) pen.arc(x, y, size, 0, 7);
  else if (shape === 2) pen.rect(x - size, y - size, 2 * size, 2 * size);
  else {
    const up = shape === 4 ? -1 : 1, s = 1.25 * size;
    pen.moveTo(x, y - up * s);
    pen.lineTo(x + s, shape === 3 ? y : y + up * s * 0.8);
    if (shape === 3) pen.lineTo(x, y + s);
    pen.lineTo(x - s, shape === 3 ? y : y + up * s * 0.8);
    pen.closePath();
  }
  pen.fill();
  pen.stroke();
}

function ground() {
  side = plane.clientWidth;
  const pen = context($("ground"), side, side), w = toX(1) - toX(0), h = toY(0) - toY(1);
  pen.fillStyle = colour("--ground");
  pen.fillRect(toX(0), toY(1), w, h);
  if ($("pictures").checked) {
    // Cell (i, j) lies about its grid point, so the outer cells reach half a cell beyond.
    const x = w / (n - 1) / 2, y = h / (n - 1) / 2;
    pen.save();
    pen.beginPath();
    pen.rect(toX(0), toY(1), w, h);
    pen.clip();
    pen.drawImage(atlas, toX(0) - x, toY(1) - y, w + 2 * x, h + 2 * y);
    pen.restore();
  }
  pen.strokeStyle = colour("--line");
  pen.strokeRect(toX(0), toY(1), w, h);
  pen.fillStyle = colour("--soft");
  pen.font = "12px system-ui, sans-serif";
  pen.textAlign = "center";
  for (const [t, text] of data.ticks0) pen.fillText(text, toX(t), toY(0) + 15);
  pen.fillText("z[0]", toX(0.5), toY(0) + 30);
  pen.textAlign = "right";
  for (const [t, text] of data.ticks1) pen.fillText(text, toX(0) - 5, toY(t) + 4);
  pen.save();
  pen.translate(10, toY(0.5));
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.fillText("z[1]", 0, 0);
  pen.restore();
  if (!points) return;
  pen.strokeStyle = colour("--ground");
  pen.lineWidth = 0.5;
  const size = Math.min(4, Math.max(2, side / 11 / Math.sqrt(points.x.length)));
  for (const front of [false, true]) {
    for (let k = 0; k < points.x.length; k++) {
      const kind = points.kind[k], chosen = alone === null || kind === alone;
      if (chosen !== front) continue;
      pen.globalAlpha = chosen ? 0.9 : 0.12;
      pen.fillStyle = hue(kind);
      mark(pen, toX(points.x[k]), toY(points.y[k]), size, data.names ? Math.floor(kind / 10) % 5 : 0);
    }
  }
  pen.globalAlpha = 1;
}

function cursor(shown) {
  const pen = context($("cursor"), side, side), x = toX(shown[0]), y = toY(shown[1]);
  for (const [ink, thick] of [[colour("--page"), 4], [colour("--ink"), 1.5]]) {
    pen.strokeStyle = ink;
    pen.lineWidth = thick;
    pen.beginPath();
    pen.arc(x, y, 9, 0, 7);
    for (const [u, v] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.moveTo(x + 5 * u, y + 5 * v);
      pen.lineTo(x + 14 * u, y + 14 * v);
    }
    pen.stroke();
  }
}
