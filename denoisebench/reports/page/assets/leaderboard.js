// The methods of one test set and noise, and all test sets beside each other.

const leaderboard = { table: null, text: "", alone: false };

function flagged(score) {
  if (!score.flag) return null;
  const [symbol, text] = data.flags[score.flag];
  return el("span", { class: "flag", title: text, "aria-label": text, role: "img" }, symbol);
}

function marked(text, mark) {
  return mark === "best"
    ? el("b", { title: "best" }, text)
    : mark === "second"
      ? el("u", { title: "second best" }, text)
      : text;
}

function methodCell(score) {
  const line = lineOf(score);
  const parts = [el("span", { class: "name" }, line.title)];
  if (!score.baseline) {
    parts.push(el("small", {}, line.training === "none" ? "not trained" : line.training));
    parts.push(el("small", {}, `told ${line.told}`));
  }
  return el("span", { class: "method" }, ...parts);
}

function psnrCell(score) {
  const spread = score.trainings > 1 ? el("small", {}, ` ± ${fixed(score.spread, 2)}`) : null;
  return el("span", {}, marked(fixed(valueOf(score.psnr), 2), score.marks[0]), spread, flagged(score));
}

/** A difference to the reference: number, interval, and the interval drawn on a scale that all rows share. */
function differenceCell(found, [from, to]) {
  if (!found || missing(found.psnr)) return "";
  const text = el("span", { class: found.detectable ? "" : "faint" }, signed(found.psnr, 2));
  if (!found.psnrInterval) return text;
  const [low, high] = found.psnrInterval;
  const x = (value) => 4 + (112 * (Math.max(from, Math.min(to, value)) - from)) / (to - from);
  const said =
    `${signed(found.psnr, 2)} dB, 95 % interval ${signed(low, 2)} to ${signed(high, 2)}, ` +
    `${found.detectable ? "detectable" : "no detectable difference"}`;
  const inside = found.psnr >= from && found.psnr <= to,
    edge = x(found.psnr),
    back = found.psnr < from ? 7 : -7;
  const mark = inside
    ? svg("circle", { cx: edge, cy: 7, r: 3.2 })
    : svg("path", { class: "beyond", d: `M${edge} 7l${back} -4v8z` });
  const bar = svg(
    "svg",
    { class: found.detectable ? "interval" : "interval open", viewBox: "0 0 120 14", role: "img", "aria-label": said },
    svg("title", {}, said),
    svg("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: 14 }),
    svg("line", { class: "range", x1: x(low), x2: x(high), y1: 7, y2: 7 }),
    mark,
  );
  return el("span", { class: "difference" }, text, bar, el("small", {}, `${signed(low, 2)} to ${signed(high, 2)}`));
}

function paperCell(score) {
  if (!score.paper) return "";
  const title = score.paper.odd
    ? "printed so, but looks like a misprint or an outlier"
    : `SSIM ${fixed(score.paper.ssim, 3)}`;
  return el("span", { title }, fixed(score.paper.psnr, 2), score.paper.odd ? " (odd)" : null);
}

const paperGap = (score) => (score.paper ? valueOf(score.psnr) - score.paper.psnr : null);

function leaderboardColumns(column) {
  const { scores } = column,
    of = (row) => scores[row];
  const found = scores.map((_, place) => differenceTo(column, place, state.reference));
  // The noisy input lies so far away that it would flatten all others.
  const ends = found.flatMap((d, place) => (d && !scores[place].baseline ? [d.psnr, ...(d.psnrInterval ?? [])] : []));
  const finite = [0, ...ends.filter(Number.isFinite)],
    room = 0.05 * (Math.max(...finite) - Math.min(...finite)) || 0.05;
  const reach = [Math.min(...finite) - room, Math.max(...finite) + room];
  const columns = [
    { head: "Method", kind: "text", value: (row) => lineOf(of(row)).title, cell: (row) => methodCell(of(row)) },
    { head: "PSNR, dB", kind: "number", value: (row) => valueOf(of(row).psnr), cell: (row) => psnrCell(of(row)) },
    {
      head: "SSIM",
      kind: "number",
      value: (row) => of(row).ssim,
      cell: (row) => marked(fixed(of(row).ssim, 3), of(row).marks[1]),
    },
  ];
  if (found.some((d) => d)) {
    const name = nameOf(scores[state.reference]);
    columns.push({
      head: `PSNR minus ${name}`,
      kind: "number wide",
      hint: "On the same noisy images, with the 95 % interval of the mean; a hollow dot: no detectable difference",
      value: (row) => (row === state.reference ? 0 : found[row]?.psnr),
      cell: (row) =>
        row === state.reference ? el("span", { class: "faint" }, "reference") : differenceCell(found[row], reach),
    });
  }
  if (scores.some((score) => score.paper)) {
    columns.push(
      {
        head: "Paper",
        kind: "number",
        hint: "PSNR in Wang et al. 2022, as printed",
        value: (row) => of(row).paper?.psnr,
        cell: (row) => paperCell(of(row)),
      },
      {
        head: "Minus paper",
        kind: "number",
        value: (row) => paperGap(of(row)),
        cell: (row) => signed(paperGap(of(row)), 2),
      },
    );
  }
  const costs = [
    ["Params", "parameters", short, "Parameters of the network"],
    ["MACs/pixel", "multiply_adds", short, "Multiply-adds of the passes through its network, per pixel of an image"],
    ["Memory", "memory", (value) => `${short(value)}B`, "At its peak while an image is denoised"],
    ["Crops seen", "training_images", short, "In its training"],
    ["Training", "training_seconds", duration, "Time of its training"],
    ["s/image", "seconds", (value) => fixed(value, 2), "Seconds of denoising"],
  ];
  for (const [head, key, text, hint] of costs) {
    if (scores.some((score) => !missing(score[key]))) {
      columns.push({
        head,
        kind: "number",
        hint,
        value: (row) => of(row)[key],
        cell: (row) => el("span", { title: of(row).machine }, missing(of(row)[key]) ? "" : text(of(row)[key])),
      });
    }
  }
  return columns;
}

function keepsScore(score) {
  const line = lineOf(score);
  if (leaderboard.alone && line.helped) return false;
  const text = leaderboard.text.toLowerCase();
  return !text || `${line.title} ${line.method} ${line.training} ${line.told}`.toLowerCase().includes(text);
}

function drawLeaderboard() {
  const column = here();
  byId("leaderboard-head").textContent = column.title;
  byId("protocol").textContent =
    `${column.scoring}; noise draws ${column.protocol.draws}, padding ${column.protocol.padding}; protocol ${column.fingerprint}`;
  const before = leaderboard.table?.sorted;
  const columns = leaderboardColumns(column);
  const place = before ? columns.findIndex((c) => c.head === leaderboard.head) : 1;
  leaderboard.table = new SortableTable(byId("leaderboard-table"), {
    caption: `Leaderboard: ${column.title}`,
    columns,
    count: column.scores.length,
    sort: { place: place < 0 ? 1 : place, down: before ? before.down : true },
  });
  const table = leaderboard.table,
    refresh = table.refresh.bind(table);
  table.refresh = () => {
    refresh();
    leaderboard.head = columns[table.sorted.place]?.head;
  };
  table.filter((row) => keepsScore(column.scores[row]));
  const flags = [...new Set(column.scores.map((score) => score.flag))].filter(Boolean);
  const warned = new Map();
  for (const score of column.scores)
    for (const text of score.cells.flatMap((cell) => cell.warnings))
      warned.set(text, (warned.get(text) ?? new Set()).add(nameOf(score)));
  byId("leaderboard-notes").replaceChildren(
    ...[...warned].map(([text, names]) => el("li", { class: "warning" }, `${[...names].join(", ")}: ${text}.`)),
    ...flags.map((flag) => el("li", {}, `${data.flags[flag][0]} ${data.flags[flag][1]}.`)),
    ...column.alike.map((run) =>
      el("li", {}, `No detectable difference where every pair is compared: ${run.join(", ")}.`),
    ),
    ...column.said.map((text) => el("li", {}, text)),
  );
}

function drawLeaderboardTools() {
  const column = here(),
    tools = [
      field("Filter", (text) => {
        leaderboard.text = text;
        leaderboard.table.filter((row) => keepsScore(here().scores[row]));
      }),
    ];
  if (column.scores.some((score) => lineOf(score).helped)) {
    tools.push(
      check("only methods that saw neither clean images nor second copies", (on) => {
        leaderboard.alone = on;
        leaderboard.table.filter((row) => keepsScore(here().scores[row]));
      }),
    );
  }
  const references = [...new Set(column.differences.map((packed) => packed[1]))].sort((a, b) => a - b);
  if (references.length) {
    const options = references.map((place) => [place, nameOf(column.scores[place])]);
    tools.push(
      choice("Compare with", options, state.reference, (value) => {
        state.reference = Number(value);
        changed();
      }),
    );
  }
  const copies = Object.entries(data.copies);
  if (copies.length) {
    tools.push(
      el(
        "span",
        { class: "tool" },
        "Copy all test sets as",
        ...copies.map(([name, text]) => button(name, () => copy(text, `the table as ${name}`))),
      ),
    );
  }
  leaderboard.text = "";
  leaderboard.alone = false;
  byId("leaderboard-tools").replaceChildren(...tools);
}

function overviewCell(score) {
  if (!score) return "";
  const line = lineOf(score);
  return el(
    "span",
    { title: score.baseline ? null : `${line.training === "none" ? "not trained" : line.training}; told ${line.told}` },
    marked(fixed(valueOf(score.psnr), 2), score.marks[0]),
    "/",
    marked(fixed(score.ssim, 3), score.marks[1]),
    flagged(score),
  );
}

/** All test sets; a wall stands where the protocol changes. */
function drawOverview() {
  const places = data.walls.flatMap((wall) => wall.columns);
  const starts = new Set(data.walls.slice(1).map((wall) => wall.columns[0]));
  const at = new Map(
    places.map((place) => [place, new Map(data.columns[place].scores.map((score) => [score.line, score]))]),
  );
  const titles = data.rows.map((lines) => data.lines[lines[0]].title);
  const uses = new Map();
  for (const title of titles) uses.set(title, (uses.get(title) ?? 0) + 1);
  const names = data.rows.map((lines, row) => (uses.get(titles[row]) > 1 ? data.lines[lines[0]].name : titles[row]));
  const scoreAt = (row, place) => data.rows[row].map((line) => at.get(place).get(line)).find(Boolean);
  const columns = [
    {
      head: "Method",
      kind: "text",
      value: (row) => names[row],
      cell: (row) => el("span", { class: "method plain" }, el("span", { class: "name" }, names[row])),
    },
  ];
  for (const place of places) {
    columns.push({
      head: data.columns[place].title,
      kind: starts.has(place) ? "number wall" : "number",
      value: (row) => valueOf(scoreAt(row, place)?.psnr),
      cell: (row) => overviewCell(scoreAt(row, place)),
    });
  }
  const bands =
    data.walls.length < 2
      ? []
      : [
          { text: "", span: 1, kind: "text" },
          ...data.walls.map((wall, number) => ({
            text: `${number ? "Not comparable with the left: " : ""}${wall.said}`,
            span: wall.columns.length,
            kind: number ? "wall" : "",
          })),
        ];
  const table = new SortableTable(byId("overview-table"), {
    caption: "All test sets",
    columns,
    count: data.rows.length,
    bands,
  });
  byId("overview-tools").replaceChildren(
    field("Filter", (text) => {
      const wanted = text.toLowerCase();
      table.filter((row) => names[row].toLowerCase().includes(wanted));
    }),
  );
}
