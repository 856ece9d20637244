// What all parts share: the data, elements made without HTML, numbers as texts.

const data = JSON.parse(document.getElementById("data").textContent);

/** The state that parts of the page follow; `changed` tells them. */
const state = { column: 0, reference: 0 };
const followers = [];
const follow = (draw) => followers.push(draw);
const changed = () => followers.forEach((draw) => draw());

const byId = (id) => document.getElementById(id);

/** An element. Texts are only ever text, so that no label can become markup. */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, call);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Numbers that were packed as base64 of little-endian bytes. */
function unpacked(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  if (new Uint8Array(Uint16Array.of(1).buffer)[0] === 1) return new Kind(bytes.buffer);
  const view = new DataView(bytes.buffer);
  const read = Kind === Float32Array ? view.getFloat32 : view.getUint32;
  return Kind.from({ length: bytes.length / 4 }, (_, place) => read.call(view, 4 * place, true));
}

/** The numbers of a column, unpacked when first asked for. */
function numbersOf(column) {
  column.numbers ??= {
    image: unpacked(column.image, Uint32Array),
    repeat: unpacked(column.repeat, Uint32Array),
    level: unpacked(column.level, Float32Array),
    of: column.scores.map(() => ({})),
  };
  return column.numbers;
}

function scoresOf(column, place, metric) {
  const found = numbersOf(column).of[place];
  found[metric] ??= unpacked(column.scores[place].of[metric], Float32Array);
  return found[metric];
}

const here = () => data.columns[state.column];
const lineOf = (score) => data.lines[score.line];
/** What a method is called among those of its test set: its title, and more only where two share it. */
function nameOf(score, column = here()) {
  if (!column.shared) {
    const seen = new Set();
    column.shared = new Set(
      column.scores.map((other) => lineOf(other).title).filter((title) => seen.has(title) || !seen.add(title)),
    );
  }
  const line = lineOf(score);
  return column.shared.has(line.title) ? line.name : line.title;
}

const missing = (value) => value === null || value === undefined || Number.isNaN(value);
const valueOf = (value) => (value === "inf" ? Infinity : value);

const MINUS = "\u2212";
const fixed = (value, digits) =>
  missing(value) ? "" : Number.isFinite(value) ? value.toFixed(digits).replace("-", MINUS) : "∞";
const signed = (value, digits) => (missing(value) ? "" : (value >= 0 ? "+" : MINUS) + Math.abs(value).toFixed(digits));
const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

function short(value) {
  if (missing(value)) return "";
  for (const [size, unit] of [
    [1e9, "G"],
    [1e6, "M"],
    [1e3, "k"],
  ]) {
    if (Math.abs(value) >= size) return `${Number((value / size).toPrecision(3))}${unit}`;
  }
  return `${Number(value.toPrecision(3))}`;
}

function duration(seconds) {
  if (missing(seconds)) return "";
  if (seconds < 60) return `${Number(seconds.toPrecision(2))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Number((seconds / 3600).toPrecision(2))} h`;
}

/** What `place` is minus the reference, as Python compared them; null where it did not. */
function differenceTo(column, place, reference) {
  column.found ??= new Map(column.differences.map((packed) => [`${packed[0]} ${packed[1]}`, packed]));
  const packed = column.found.get(`${place} ${reference}`);
  if (!packed) return null;
  const [, , images, psnr, psnrInterval, ssim, ssimInterval, won, p, detectable] = packed;
  return { images, psnr, psnrInterval, ssim, ssimInterval, won, p, detectable };
}

function say(text) {
  byId("said").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => (byId("said").textContent = ""), 4000);
}

/** Put a text on the clipboard, or show it where the browser forbids that. */
async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    say(`Copied: ${what}.`);
  } catch {
    byId("copy-text").value = text;
    byId("copy-dialog").showModal();
    byId("copy-text").select();
  }
}

function button(text, call, attributes = {}) {
  return el("button", { type: "button", on: { click: call }, ...attributes }, text);
}

/** A labelled choice; `options` are [value, text]. */
function choice(label, options, value, call) {
  const id = `choice-${(choice.count = (choice.count ?? 0) + 1)}`;
  const select = el("select", { id, on: { change: (event) => call(event.target.value) } });
  for (const [key, text] of options)
    select.append(el("option", { value: key, selected: `${key}` === `${value}` }, text));
  return el("span", { class: "tool" }, el("label", { for: id }, label), select);
}

function field(label, call) {
  const id = `choice-${(choice.count = (choice.count ?? 0) + 1)}`;
  const input = el("input", {
    id,
    type: "search",
    autocomplete: "off",
    on: { input: (event) => call(event.target.value) },
  });
  return el("span", { class: "tool" }, el("label", { for: id }, label), input);
}

function check(label, call) {
  const input = el("input", { type: "checkbox", on: { change: (event) => call(event.target.checked) } });
  return el("label", { class: "tool" }, input, label);
}
