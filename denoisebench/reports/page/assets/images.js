// One image as every method leaves it: two of them parted by a slider, all of them small below, errors on request.

const NOISY = 0;
const ERROR_RANGE = 40;
// Dark to light in even steps of lightness, for errors.
const HEAT = [
  [0, 0, 4],
  [87, 16, 110],
  [188, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
];
const ZOOMS = [1, 2, 4, 8, 16];
const comparer = {
  picture: 0,
  left: NOISY,
  right: 1,
  split: 0.5,
  zoom: 1,
  x: 0.5,
  y: 0.5,
  errors: false,
  layers: [],
  turn: 0,
};

const picture = () => here().pictures[comparer.picture];

/** The layers of a picture as canvases, with the errors of each; decoded once. */
async function layersOf(found) {
  found.made ??= Promise.all(
    found.layers.map(async (layer) => {
      const image = new Image();
      image.src = layer.url;
      await image.decode();
      const canvas = el("canvas", { width: image.naturalWidth, height: image.naturalHeight });
      canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0);
      return { ...layer, plain: canvas };
    }),
  ).then((layers) => {
    const clean = pixelsOf(layers.at(-1).plain);
    for (const layer of layers) layer.error = errorOf(layer.plain, clean);
    return layers;
  });
  return found.made;
}

const pixelsOf = (canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);

/** Absolute difference to the clean image, mean over colours, as heat. */
function errorOf(canvas, clean) {
  const own = pixelsOf(canvas),
    made = new ImageData(canvas.width, canvas.height);
  let sum = 0;
  for (let at = 0; at < own.data.length; at += 4) {
    const far =
      (Math.abs(own.data[at] - clean.data[at]) +
        Math.abs(own.data[at + 1] - clean.data[at + 1]) +
        Math.abs(own.data[at + 2] - clean.data[at + 2])) /
      3;
    sum += far;
    const place = Math.min(0.9999, far / ERROR_RANGE) * (HEAT.length - 1),
      low = Math.floor(place),
      part = place - low;
    for (let c = 0; c < 3; c++) made.data[at + c] = HEAT[low][c] + part * (HEAT[low + 1][c] - HEAT[low][c]);
    made.data[at + 3] = 255;
  }
  const found = el("canvas", { width: canvas.width, height: canvas.height });
  found.getContext("2d").putImageData(made, 0, 0);
  found.mean = sum / (own.data.length / 4);
  return found;
}

const shownOf = (layer) => (comparer.errors ? layer.error : layer.plain);

/** The part of an image that is in view, kept inside of it. */
function windowOf(layer) {
  const { width, height } = layer.plain,
    wide = width / comparer.zoom,
    tall = height / comparer.zoom;
  const x = Math.max(0, Math.min(width - wide, comparer.x * width - wide / 2)),
    y = Math.max(0, Math.min(height - tall, comparer.y * height - tall / 2));
  [comparer.x, comparer.y] = [(x + wide / 2) / width, (y + tall / 2) / height];
  return [x, y, wide, tall];
}

function fit(canvas, wide, tall) {
  const scale = devicePixelRatio || 1;
  if (canvas.width !== Math.round(wide * scale) || canvas.height !== Math.round(tall * scale)) {
    canvas.width = Math.round(wide * scale);
    canvas.height = Math.round(tall * scale);
  }
  canvas.style.width = `${wide}px`;
  canvas.style.height = `${tall}px`;
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  return context;
}

function captionOf(layer) {
  if (layer.psnr === null) return layer.name;
  return `${layer.name}  ${fixed(valueOf(layer.psnr), 2)} dB / ${fixed(layer.ssim, 3)}`;
}

function paint() {
  const { layers, left, right, split } = comparer,
    canvas = byId("images-canvas");
  if (!layers.length) return;
  const [one, other] = [layers[left], layers[right]],
    [x, y, wide, tall] = windowOf(one);
  const room = byId("images-stage").clientWidth,
    high = Math.min(room * (tall / wide), Math.max(260, innerHeight * 0.72));
  const width = Math.round(high * (wide / tall)),
    height = Math.round(high),
    context = fit(canvas, width, height);
  const divide = Math.round(canvas.width * split);
  for (const [layer, from, to] of [
    [one, 0, divide],
    [other, divide, canvas.width],
  ]) {
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, canvas.height);
    context.clip();
    context.drawImage(shownOf(layer), x, y, wide, tall, 0, 0, canvas.width, canvas.height);
    context.restore();
  }
  context.fillStyle = "#fff";
  context.fillRect(divide - 1, 0, 3, canvas.height);
  context.fillStyle = "#000";
  context.fillRect(divide, 0, 1, canvas.height);
  document.querySelector("#images-stage .captions").style.maxWidth = `${Math.max(width, 320)}px`;
  byId("images-left").textContent = captionOf(one);
  byId("images-right").textContent = captionOf(other);
  byId("images-zoom").textContent = `${comparer.zoom}×`;
  canvas.setAttribute(
    "aria-label",
    `${picture().image}: ${captionOf(one)} on the left, ${captionOf(other)} on the right, zoom ${comparer.zoom}`,
  );
  for (const small of byId("images-strip").children) {
    const place = Number(small.dataset.place),
      layer = layers[place],
      side = 148,
      short = Math.round(side * Math.min(1.4, tall / wide));
    const thumb = fit(small.querySelector("canvas"), side, short);
    thumb.drawImage(
      shownOf(layer),
      x,
      y,
      wide,
      Math.min(tall, wide * 1.4),
      0,
      0,
      thumb.canvas.width,
      thumb.canvas.height,
    );
    small.setAttribute("aria-pressed", `${place === right}`);
  }
  paintWhole(x, y, wide, tall);
}

/** Where the part lies in the whole image. */
async function paintWhole(x, y, wide, tall) {
  const found = picture(),
    host = byId("images-whole");
  host.hidden = !found.whole;
  if (!found.whole) return;
  found.thumb ??= (async () => {
    const image = new Image();
    image.src = found.whole;
    await image.decode();
    return image;
  })();
  const image = await found.thumb;
  if (found !== picture()) return;
  const scale = 148 / found.size[0],
    context = fit(host.querySelector("canvas"), 148, Math.round(found.size[1] * scale));
  const ratio = context.canvas.width / found.size[0];
  context.imageSmoothingEnabled = true;
  context.drawImage(image, 0, 0, context.canvas.width, context.canvas.height);
  const box = [found.crop[0] + x, found.crop[1] + y, wide, tall].map((value) => value * ratio);
  context.lineWidth = 4;
  context.strokeStyle = "#000";
  context.strokeRect(...box);
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.strokeRect(...box);
}

function zoom(step) {
  const place = ZOOMS.indexOf(comparer.zoom) + step;
  comparer.zoom = ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, place))];
  paint();
}

function move(across, down) {
  comparer.x += across / comparer.zoom;
  comparer.y += down / comparer.zoom;
  paint();
}

function divide(share) {
  comparer.split = Math.max(0, Math.min(1, share));
  byId("images-split").value = Math.round(1000 * comparer.split);
  paint();
}

const KEYS = {
  "+": () => zoom(1),
  "=": () => zoom(1),
  "-": () => zoom(-1),
  0: () => zoom(-ZOOMS.length),
  ArrowLeft: () => move(-0.1, 0),
  ArrowRight: () => move(0.1, 0),
  ArrowUp: () => move(0, -0.1),
  ArrowDown: () => move(0, 0.1),
};

/** Near the line a press drags it, elsewhere it drags the image. */
function startPointer() {
  const canvas = byId("images-canvas");
  let held = null;
  canvas.addEventListener("pointerdown", (event) => {
    const box = canvas.getBoundingClientRect(),
      near = Math.abs(event.clientX - box.left - comparer.split * box.width) < 24;
    held = { line: near || comparer.zoom === 1, x: event.clientX, y: event.clientY };
    canvas.setPointerCapture(event.pointerId);
    if (held.line) divide((event.clientX - box.left) / box.width);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!held) return;
    const box = canvas.getBoundingClientRect();
    if (held.line) divide((event.clientX - box.left) / box.width);
    else move((held.x - event.clientX) / box.width, (held.y - event.clientY) / box.height);
    [held.x, held.y] = [event.clientX, event.clientY];
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (held = null));
  canvas.addEventListener("dblclick", () => zoom(1));
  canvas.addEventListener("keydown", (event) => {
    const call = KEYS[event.key];
    if (!call || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    call();
  });
  byId("images-split").addEventListener("input", (event) => divide(event.target.value / 1000));
}

/** Layers by name, so that another image or test set shows the same methods. */
function chooseLayers(found, names) {
  const place = (name, otherwise) => {
    const at = found.layers.findIndex((layer) => layer.name === name);
    return at < 0 ? otherwise : at;
  };
  const best = found.layers.reduce(
    (top, layer, at) =>
      at !== NOISY && layer.psnr !== null && valueOf(layer.psnr) > valueOf(found.layers[top].psnr ?? -1) ? at : top,
    1,
  );
  comparer.left = place(names[0], NOISY);
  comparer.right = place(names[1], best);
}

function drawImages() {
  const column = here(),
    some = (column.pictures ?? []).length > 0;
  byId("images-body").hidden = !some;
  byId("images-note").replaceChildren(...(column.unpictured ?? []).map((text) => el("li", {}, text)));
  comparer.layers = [];
  if (!some) return;
  comparer.picture = 0;
  drawPicture();
}

async function drawPicture() {
  const found = picture(),
    column = here(),
    turn = ++comparer.turn;
  chooseLayers(found, comparer.names ?? []);
  drawImageTools(column, found);
  byId("images-strip").replaceChildren(
    ...found.layers.map((layer, place) =>
      el(
        "button",
        {
          type: "button",
          class: "small",
          "data-place": place,
          "aria-pressed": "false",
          on: { click: () => pick("right", place) },
        },
        el("canvas", { "aria-hidden": "true" }),
        el("span", {}, layer.name),
        el("small", {}, layer.psnr === null ? "" : `${fixed(valueOf(layer.psnr), 2)} / ${fixed(layer.ssim, 3)}`),
      ),
    ),
  );
  const [, , wide, tall] = found.crop;
  byId("images-part").textContent = found.whole
    ? `A part of ${wide}×${tall} pixels of ${found.size.join("×")}, where the methods differ most; scores are those of the whole image. No loss by compression.`
    : `The whole image, ${found.size.join("×")} pixels, without loss by compression.`;
  const layers = await layersOf(found);
  if (turn !== comparer.turn) return;
  comparer.layers = layers;
  paint();
}

function pick(side, place) {
  comparer[side] = place;
  comparer.names = [picture().layers[comparer.left].name, picture().layers[comparer.right].name];
  drawImageTools(here(), picture());
  paint();
}

function drawImageTools(column, found) {
  const layers = found.layers.map((layer, place) => [place, layer.name]);
  const images = column.pictures.map((one, place) => [place, one.image + (one.repeat ? `, copy ${one.repeat}` : "")]);
  const errors = check(`errors (0 to ${ERROR_RANGE} of 255)`, (on) => {
    comparer.errors = on;
    paint();
  });
  errors.firstChild.checked = comparer.errors;
  byId("images-tools").replaceChildren(
    choice("Image", images, comparer.picture, (value) => {
      comparer.picture = Number(value);
      drawPicture();
    }),
    choice("Left", layers, comparer.left, (value) => pick("left", Number(value))),
    choice("Right", layers, comparer.right, (value) => pick("right", Number(value))),
    errors,
  );
}

function startImages() {
  startPointer();
  byId("images-nearer").addEventListener("click", () => zoom(1));
  byId("images-further").addEventListener("click", () => zoom(-1));
  new ResizeObserver(() => paint()).observe(byId("images-stage"));
  follow(drawImages);
}
