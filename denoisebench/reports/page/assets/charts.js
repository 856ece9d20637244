// Charts: quality against cost, learning curves, image against image. uPlot draws axes and grid, this the marks.

const COLOURS = 7;
const DASHES = [[], [7, 3], [2, 2], [7, 2, 2, 2]];
const colours = new Map();

/** Colour, marker and dash of a method, the same in every chart. */
function lookOf(name) {
  if (!colours.has(name)) colours.set(name, colours.size);
  const number = colours.get(name),
    turn = Math.floor(number / COLOURS);
  return { colour: tone(`--s${number % COLOURS}`), marker: (number + turn) % 4, dash: DASHES[turn % DASHES.length] };
}

const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const FONT = '12px system-ui, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif';

/** Between the limits of a scale and beyond what is shown, so that no mark stands on the frame. */
function limits(values, log) {
  const finite = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  if (!finite.length) return log ? [1, 10] : [0, 1];
  const turn = log ? Math.log10 : (value) => value,
    back = log ? (value) => 10 ** value : (value) => value;
  const low = turn(Math.min(...finite)),
    high = turn(Math.max(...finite)),
    margin = 0.08 * (high - low) || (log ? 0.3 : 0.5);
  return [back(low - margin), back(high + margin)];
}

/** Ticks of a logarithmic scale: powers of ten, and more of them over a short range. */
function logTicks(low, high) {
  const decades = Math.log10(high / low),
    ticks = [];
  const parts =
    decades > 3.5 ? [1] : decades > 1.5 ? [1, 3] : decades > 0.6 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    for (const part of parts)
      if (part * 10 ** power >= low && part * 10 ** power <= high) ticks.push(Number(`${part}e${power}`));
  }
  return ticks;
}

function marker(context, look, x, y, size, hollow) {
  context.beginPath();
  if (look.marker === 0) context.arc(x, y, size, 0, 2 * Math.PI);
  else if (look.marker === 1) context.rect(x - size, y - size, 2 * size, 2 * size);
  else {
    const corners =
      look.marker === 2
        ? [
            [0, -1.3],
            [1.2, 0.9],
            [-1.2, 0.9],
          ]
        : [
            [0, -1.4],
            [1.4, 0],
            [0, 1.4],
            [-1.4, 0],
          ];
    corners.forEach(([dx, dy], place) => context[place ? "lineTo" : "moveTo"](x + dx * size, y + dy * size));
    context.closePath();
  }
  context.fillStyle = hollow ? tone("--card") : look.colour;
  context.fill();
  context.strokeStyle = look.colour;
  context.stroke();
}

/** Heights at least `gap` apart and as near as may be to those wanted, in the same order. */
function spread(wanted, gap) {
  const order = [...wanted.keys()].sort((a, b) => wanted[a] - wanted[b]);
  const blocks = [];
  for (const place of order) {
    blocks.push({ centre: wanted[place], members: [place] });
    while (blocks.length > 1) {
      const [below, above] = blocks.slice(-2);
      if (above.centre - below.centre >= (gap * (above.members.length + below.members.length)) / 2) break;
      const members = [...below.members, ...above.members];
      blocks.splice(-2, 2, { centre: members.reduce((sum, m) => sum + wanted[m], 0) / members.length, members });
    }
  }
  const found = [];
  for (const { centre, members } of blocks)
    members.forEach((m, at) => (found[m] = centre + gap * (at - (members.length - 1) / 2)));
  return found;
}

class Chart {
  /**
   * @param {HTMLElement} host
   * @param {{label: string, x: {label: string, log?: boolean}, y: {label: string},
   *   marks: {name: string, look?: string, points: number[][], titles?: string[], line?: boolean, hollow?: boolean, colours?: string[]}[],
   *   names: "ends" | "points" | "none", diagonal?: boolean, front?: number[][]}} spec
   */
  constructor(host, spec) {
    this.host = host;
    this.spec = spec;
    const { x, y, marks } = spec,
      points = marks.flatMap((mark) => mark.points);
    let xs = limits(
        points.map((point) => point[0]),
        x.log,
      ),
      ys = limits(
        points.map((point) => point[1]),
        false,
      );
    if (spec.diagonal) xs = ys = limits(points.flat(), false);
    // Names at the ends of lines stand outside of the frame.
    const context = document.createElement("canvas").getContext("2d");
    context.font = FONT;
    this.widths = marks.map((mark) => context.measureText(mark.name).width);
    const right = spec.names === "ends" ? Math.min(Math.max(0, ...this.widths) + 26, host.clientWidth * 0.42) : 14;
    this.tip = el("div", { class: "tip", hidden: true });
    const axis = (label, size, log) => ({
      ...(log ? { splits: (_, __, low, high) => logTicks(low, high), filter: (_, ticks) => ticks } : {}),
      label,
      size,
      labelSize: 18,
      labelGap: 2,
      font: FONT,
      labelFont: FONT,
      stroke: () => tone("--faint"),
      grid: { stroke: () => tone("--line"), width: 1 },
      ticks: { stroke: () => tone("--line"), width: 1, size: 4 },
      values: (_, ticks) =>
        ticks.map((value) => (value === null ? "" : log ? short(value) : `${Number(value.toPrecision(6))}`)),
    });
    host.replaceChildren();
    this.plot = new uPlot(
      {
        ...this.#size(),
        pxAlign: 0,
        padding: [10, right, 0, 4],
        legend: { show: false },
        cursor: { x: false, y: false, points: { show: false }, drag: { setScale: false, x: false, y: false } },
        scales: { x: { time: false, distr: x.log ? 3 : 1, range: () => xs }, y: { range: () => ys } },
        axes: [axis(x.label, 28, x.log), axis(y.label, 46)],
        series: [{}, { paths: () => null, points: { show: false } }],
        hooks: { draw: [() => this.#draw()], setCursor: [() => this.#point()] },
      },
      [xs, ys],
      host,
    );
    host.append(this.tip);
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", spec.label);
    this.watch = new ResizeObserver(() => this.plot.setSize(this.#size()));
    this.watch.observe(host);
  }

  destroy() {
    this.watch.disconnect();
    this.plot.destroy();
  }

  #size() {
    const width = Math.max(240, this.host.clientWidth);
    return { width, height: Math.round(Math.min(420, Math.max(260, width * (this.spec.diagonal ? 0.9 : 0.55)))) };
  }

  #draw() {
    const { ctx: context, bbox } = this.plot,
      scale = uPlot.pxRatio ?? devicePixelRatio;
    const at = ([x, y]) => [this.plot.valToPos(x, "x", true), this.plot.valToPos(y, "y", true)];
    context.save();
    context.lineWidth = 1.6 * scale;
    context.lineJoin = "round";
    if (this.spec.diagonal)
      this.#path(
        [
          [bbox.left, bbox.top + bbox.height],
          [bbox.left + bbox.width, bbox.top],
        ],
        tone("--faint"),
        [3, 3],
      );
    if (this.spec.front) {
      const steps = this.spec.front
        .map(at)
        .flatMap((point, place, all) => (place ? [[point[0], all[place - 1][1]], point] : [point]));
      this.#path(steps, tone("--faint"), [4, 3]);
    }
    const places = this.spec.marks.map((mark) => mark.points.map(at));
    this.spec.marks.forEach((mark, number) => {
      const look = lookOf(mark.look ?? mark.name);
      if (mark.line) this.#path(places[number], look.colour, look.dash);
      const size = (mark.line ? 2.2 : this.spec.names === "points" ? 5 : 3.2) * scale;
      places[number].forEach(([x, y], place) => {
        const drawn = mark.colours ? { marker: 0, colour: tone(mark.colours[place]) } : look;
        marker(context, drawn, x, y, size, mark.hollow);
      });
    });
    context.font = FONT.replace("12px", `${12 * scale}px`);
    context.textBaseline = "middle";
    context.textAlign = "left";
    if (this.spec.names === "ends") this.#ends(places, scale);
    if (this.spec.names === "points") this.#labels(places, scale);
    context.restore();
  }

  #path(points, colour, dash) {
    const context = this.plot.ctx,
      scale = uPlot.pxRatio ?? devicePixelRatio;
    context.beginPath();
    points.forEach(([x, y], place) => context[place ? "lineTo" : "moveTo"](x, y));
    context.setLineDash(dash.map((part) => part * scale));
    context.strokeStyle = colour;
    context.stroke();
    context.setLineDash([]);
  }

  #ends(places, scale) {
    const context = this.plot.ctx,
      { bbox } = this.plot,
      left = bbox.left + bbox.width;
    // Several seeds of a method share one name.
    const ends = new Map();
    this.spec.marks.forEach((mark, number) => ends.set(mark.name, [...places[number].at(-1), mark.look ?? mark.name]));
    const found = [...ends],
      heights = spread(
        found.map(([, end]) => end[1]),
        15 * scale,
      );
    found.forEach(([name, end], place) => {
      this.#path([end.slice(0, 2), [left + 10 * scale, heights[place]]], lookOf(end[2]).colour, []);
      context.fillStyle = tone("--ink");
      context.fillText(name, left + 14 * scale, heights[place]);
    });
  }

  /** Names beside points, each on the side where it covers least. */
  #labels(places, scale) {
    const context = this.plot.ctx,
      { bbox } = this.plot;
    const taken = places.flat().map(([x, y]) => [x - 6 * scale, y - 6 * scale, x + 6 * scale, y + 6 * scale]);
    const order = [...places.keys()].sort((a, b) => places[a][0][1] - places[b][0][1]);
    for (const number of order) {
      const [x, y] = places[number][0],
        width = this.widths[number] * scale,
        height = 14 * scale;
      const choices = [9, 18, 28, 40].flatMap((reach) =>
        [
          [1, 0],
          [-1, 0],
          [0, 1],
          [0, -1],
          [1, 1],
          [1, -1],
          [-1, 1],
          [-1, -1],
        ].map(([across, down]) => {
          const dx = across * reach * scale,
            dy = down * reach * scale;
          const from = x + dx - (across < 0 ? width : across ? 0 : width / 2),
            top = y + dy - height / 2;
          const box = [from, top, from + width, top + height];
          const outside =
            Math.max(0, bbox.left - box[0]) +
            Math.max(0, box[2] - bbox.left - bbox.width) +
            Math.max(0, bbox.top - box[1]) +
            Math.max(0, box[3] - bbox.top - bbox.height);
          return {
            box,
            y: y + dy,
            cost: taken.reduce((sum, other) => sum + shared(box, other), 0) + 1000 * outside + Math.hypot(dx, dy),
          };
        }),
      );
      const best = choices.reduce((a, b) => (b.cost < a.cost ? b : a));
      taken.push(best.box);
      context.globalAlpha = 0.8;
      context.fillStyle = tone("--card");
      context.fillRect(best.box[0] - 2 * scale, best.box[1], width + 4 * scale, height);
      context.globalAlpha = 1;
      context.fillStyle = tone("--ink");
      context.fillText(this.spec.marks[number].name, best.box[0], best.y);
    }
  }

  /** What lies under the mouse, in words. */
  #point() {
    const { left, top } = this.plot.cursor;
    let near = null,
      least = 16;
    if (left >= 0) {
      for (const mark of this.spec.marks) {
        mark.points.forEach(([x, y], place) => {
          const far = Math.hypot(this.plot.valToPos(x, "x") - left, this.plot.valToPos(y, "y") - top);
          if (far < least) {
            least = far;
            near = { mark, place, x, y };
          }
        });
      }
    }
    this.tip.hidden = !near;
    if (!near) return;
    const { mark, place, x, y } = near,
      { over } = this.plot;
    this.tip.textContent = mark.titles?.[place] ?? `${mark.name}: ${fixed(y, 2)} dB at ${short(x)}`;
    const wide = this.tip.offsetWidth,
      px = over.offsetLeft + this.plot.valToPos(x, "x");
    this.tip.style.left = `${Math.max(0, Math.min(px + 10, this.host.clientWidth - wide))}px`;
    this.tip.style.top = `${over.offsetTop + this.plot.valToPos(y, "y") - 34}px`;
  }
}

function shared(one, other) {
  const across = Math.min(one[2], other[2]) - Math.max(one[0], other[0]),
    down = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return across > 0 && down > 0 ? across * down : 0;
}

/** One chart of a host at a time; drawn anew when the scheme changes. */
const charts = new Map();
function drawChart(id, spec) {
  charts.get(id)?.destroy();
  charts.set(id, new Chart(byId(id), spec));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () =>
  charts.forEach((chart) => chart.plot.redraw()),
);

// --- quality against cost ---

const COSTS = [
  ["seconds", "Seconds per image"],
  ["parameters", "Parameters of the network"],
  ["multiply_adds", "Multiply-adds per pixel"],
  ["memory", "Memory at its peak, bytes"],
  ["training_images", "Training crops seen"],
  ["training_seconds", "Training time, seconds"],
];
const pareto = { cost: "seconds" };

function drawPareto() {
  // What was not measured has no place; what was not trained cost nothing.
  const measured = ["seconds", "multiply_adds", "memory"].includes(pareto.cost);
  const found = here().scores.filter(
    (score) =>
      !score.baseline && Number.isFinite(valueOf(score.psnr)) && !(measured && missing(score[pareto.cost])),
  );
  const [, label] = COSTS.find(([name]) => name === pareto.cost);
  const values = found.map((score) => score[pareto.cost] ?? 0);
  const positive = values.filter((value) => value > 0),
    none = (positive.length ? Math.min(...positive) : 1) / 4;
  const points = found.map((score, place) => [values[place] > 0 ? values[place] : none, score.psnr]);
  const beaten = (place) =>
    points.some(
      (other, at) =>
        at !== place &&
        other[0] <= points[place][0] &&
        other[1] >= points[place][1] &&
        (other[0] < points[place][0] || other[1] > points[place][1]),
    );
  const front = points.filter((_, place) => !beaten(place)).sort((a, b) => a[0] - b[0] || b[1] - a[1]);
  // Many names need room beside their points.
  byId("pareto").classList.toggle("full", found.length > 8);
  byId("pareto-empty").hidden = found.length > 0;
  byId("pareto-chart").hidden = !found.length;
  if (!found.length) return;
  drawChart("pareto-chart", {
    label: `PSNR against ${label.toLowerCase()}; the numbers stand in the leaderboard`,
    front,
    names: "points",
    x: { label: values.some((value) => !value) ? `${label} (left: none)` : label, log: true },
    y: { label: "PSNR, dB" },
    marks: found.map((score, place) => ({
      name: nameOf(score),
      look: lineOf(score).name,
      points: [points[place]],
      hollow: lineOf(score).helped,
      titles: [`${nameOf(score)}: ${fixed(score.psnr, 2)} dB, ${values[place] ? short(values[place]) : "none"}`],
    })),
  });
  byId("pareto-note").textContent = found.some((score) => lineOf(score).helped)
    ? "Hollow: trained on clean images or second noisy copies. Dashed: what no other method beats in both."
    : "Dashed: what no other method beats in both.";
}

// --- learning curves ---

const AXES = [
  ["images", "Training crops seen"],
  ["steps", "Training steps"],
  ["seconds", "Training time, seconds"],
];
const learning = { axis: "images", panel: 0 };

/** The networks of the noise that is looked at come first; others can be chosen. */
function chooseLearning() {
  const found = data.curves.findIndex((panel) => panel.noise === here().protocol.noise);
  byId("learning").hidden = !data.curves.length;
  learning.panel = Math.max(found, 0);
  const panels = data.curves.map((panel, place) => [place, panel.title]);
  byId("learning-tools").replaceChildren(
    choice("Against", AXES, learning.axis, (value) => {
      learning.axis = value;
      drawLearning();
    }),
    panels.length > 1
      ? choice("Noise", panels, learning.panel, (value) => {
          learning.panel = Number(value);
          drawLearning();
        })
      : "",
  );
}

function drawLearning() {
  const panel = data.curves[learning.panel];
  const [, label] = AXES.find(([name]) => name === learning.axis);
  byId("learning-title").textContent = `Learning curves: ${panel.title}`;
  drawChart("learning-chart", {
    label: `PSNR on held-out photographs against ${label.toLowerCase()}`,
    names: "ends",
    x: { label, log: true },
    y: { label: "PSNR, dB" },
    marks: panel.curves.map((curve) => ({
      name: curve.name,
      look: data.lines.find((line) => line.label === curve.label)?.name ?? curve.name,
      line: true,
      points: curve[learning.axis].map((x, place) => [x, curve.psnr[place]]),
      titles: curve.psnr.map(
        (y, place) => `${curve.name}: ${fixed(y, 2)} dB after ${short(curve[learning.axis][place])}`,
      ),
    })),
  });
  byId("learning-note").textContent =
    `On held-out photographs, which no training saw; noisy input ${fixed(Math.min(...panel.curves.map((curve) => curve.noisy)), 2)} dB. ` +
    data.unlearned.join(" ");
  new SortableTable(byId("learning-table"), {
    caption: "Ends of the learning curves",
    count: panel.curves.length,
    columns: [
      { head: "Method", kind: "text", value: (row) => panel.curves[row].name, cell: (row) => panel.curves[row].name },
      {
        head: "Last PSNR, dB",
        kind: "number",
        value: (row) => panel.curves[row].psnr.at(-1),
        cell: (row) => fixed(panel.curves[row].psnr.at(-1), 2),
      },
      ...AXES.map(([name, head]) => ({
        head,
        kind: "number",
        value: (row) => panel.curves[row][name].at(-1),
        cell: (row) => short(panel.curves[row][name].at(-1)),
      })),
    ],
  });
}

// --- image against image ---

const scatter = { one: 0, other: 1 };

/** Mean PSNR of every image over its repeats. */
function byImage(column, place) {
  const { image } = numbersOf(column),
    values = scoresOf(column, place, "psnr");
  const sums = new Float64Array(column.images.length),
    counts = new Uint32Array(column.images.length);
  values.forEach((value, row) => {
    if (!Number.isNaN(value)) {
      sums[image[row]] += value;
      counts[image[row]]++;
    }
  });
  return sums.map((sum, at) => (counts[at] ? sum / counts[at] : NaN));
}

function chooseScatter() {
  const column = here(),
    rated = column.scores.map((score, place) => ({ score, place })).filter(({ score }) => !score.baseline);
  rated.sort((a, b) => valueOf(b.score.psnr) - valueOf(a.score.psnr));
  const other = rated.find(({ place }) => place === state.reference) ?? rated[0];
  const one = rated.find(({ place }) => place !== other?.place);
  byId("scatter").hidden = !one;
  if (!one) return;
  [scatter.one, scatter.other] = [one.place, other.place];
  const options = column.scores.map((score, place) => [place, nameOf(score)]);
  byId("scatter-tools").replaceChildren(
    choice("Across", options, scatter.one, (value) => {
      scatter.one = Number(value);
      drawScatter();
    }),
    choice("Up", options, scatter.other, (value) => {
      scatter.other = Number(value);
      drawScatter();
    }),
  );
}

function drawScatter() {
  if (byId("scatter").hidden) return;
  const column = here(),
    { one, other } = scatter,
    xs = byImage(column, one),
    ys = byImage(column, other);
  const [a, b] = [one, other].map((place) => nameOf(column.scores[place]));
  const images = [...column.images.keys()].filter((at) => Number.isFinite(xs[at]) && Number.isFinite(ys[at]));
  const found = differenceTo(column, other, one),
    won = images.filter((at) => ys[at] > xs[at]).length;
  byId("scatter-note").textContent =
    one === other || !images.length
      ? "Choose two methods that share images."
      : `${b} minus ${a}: ${signed(images.reduce((sum, at) => sum + ys[at] - xs[at], 0) / images.length, 2)} dB` +
        (found?.psnrInterval
          ? `, 95 % interval ${signed(found.psnrInterval[0], 2)} to ${signed(found.psnrInterval[1], 2)}`
          : "") +
        `; higher on ${won} of ${counted(images.length, "image")}.`;
  drawChart("scatter-chart", {
    label: `PSNR of every image, ${a} against ${b}`,
    names: "none",
    diagonal: true,
    x: { label: `${a}, PSNR in dB` },
    y: { label: `${b}, PSNR in dB` },
    marks: [
      {
        name: `${b} against ${a}`,
        points: images.map((at) => [xs[at], ys[at]]),
        colours: images.map((at) => (ys[at] >= xs[at] ? "--s0" : "--s1")),
        titles: images.map(
          (at) => `${column.images[at]}: ${fixed(xs[at], 2)} and ${fixed(ys[at], 2)} dB, ${signed(ys[at] - xs[at], 2)}`,
        ),
      },
    ],
  });
  const gap = (row) => ys[images[row]] - xs[images[row]];
  new SortableTable(byId("scatter-table"), {
    caption: `Differences image by image: ${b} minus ${a}`,
    count: images.length,
    sort: { place: 3, down: true },
    columns: [
      {
        head: "Image",
        kind: "text",
        value: (row) => column.images[images[row]],
        cell: (row) => column.images[images[row]],
      },
      { head: a, kind: "number", value: (row) => xs[images[row]], cell: (row) => fixed(xs[images[row]], 2) },
      { head: b, kind: "number", value: (row) => ys[images[row]], cell: (row) => fixed(ys[images[row]], 2) },
      { head: "Difference, dB", kind: "number", value: gap, cell: (row) => signed(gap(row), 2) },
    ],
  });
}

function startCharts() {
  // Colours go by the order of the lines, whatever is looked at first.
  data.lines.forEach((line, place) => {
    if (!data.columns.some((c) => c.scores.some((s) => s.line === place && s.baseline))) lookOf(line.name);
  });
  byId("pareto-tools").replaceChildren(
    choice("Against", COSTS, pareto.cost, (value) => {
      pareto.cost = value;
      drawPareto();
    }),
  );
  follow(drawPareto);
  if (data.curves.length) follow(drawLearning);
  else if (data.unlearned.length) byId("charts-note").textContent = `No learning curves: ${data.unlearned.join(" ")}`;
  follow(drawScatter);
}
