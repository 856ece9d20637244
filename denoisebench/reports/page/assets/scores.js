// Every noisy image of a test set, a column per method.

const METRICS = [
  ["psnr", "PSNR, dB", 2],
  ["ssim", "SSIM", 4],
  ["seconds", "Seconds", 2],
];
const MOST_METHODS = 12;
const scores = { metric: "psnr", text: "", table: null };

function drawScores() {
  const column = here(),
    numbers = numbersOf(column);
  const [, , digits] = METRICS.find(([name]) => name === scores.metric);
  const names = column.images,
    image = (row) => names[numbers.image[row]];
  // Names are ranked once: comparing texts 100,000 times is slow.
  const ranks = new Uint32Array(names.length);
  [...names.keys()]
    .sort((a, b) => collator.compare(names[a], names[b]))
    .forEach((place, rank) => (ranks[place] = rank));
  const columns = [{ head: "Image", kind: "text", value: (row) => ranks[numbers.image[row]], cell: image }];
  if (numbers.repeat.some((value) => value > 0)) {
    columns.push({
      head: "Repeat",
      kind: "number",
      value: (row) => numbers.repeat[row],
      cell: (row) => `${numbers.repeat[row]}`,
    });
  }
  if (new Set(numbers.level.filter((value) => !Number.isNaN(value))).size > 1) {
    const gaussian = column.protocol.noise.startsWith("gauss");
    columns.push({
      head: gaussian ? "σ" : "Level",
      kind: "number",
      value: (row) => numbers.level[row],
      cell: (row) => fixed(gaussian ? 255 * numbers.level[row] : numbers.level[row], 1),
    });
  }
  column.scores.slice(0, MOST_METHODS).forEach((score, place) => {
    const values = scoresOf(column, place, scores.metric);
    columns.push({
      head: nameOf(score),
      kind: "number",
      value: (row) => values[row],
      cell: (row) => fixed(values[row], digits),
    });
  });
  scores.table = new SortableTable(byId("scores-table"), {
    caption: `Every image: ${column.title}`,
    columns,
    count: numbers.image.length,
  });
  if (scores.text) filterScores();
}

function filterScores() {
  const column = here(),
    numbers = numbersOf(column),
    wanted = scores.text.toLowerCase();
  const fits = column.images.map((name) => name.toLowerCase().includes(wanted));
  scores.table.filter((row) => fits[numbers.image[row]]);
}

function drawScoresTools() {
  const tools = [
    field("Filter", (text) => {
      scores.text = text;
      filterScores();
    }),
    choice(
      "Show",
      METRICS.map(([name, text]) => [name, text]),
      scores.metric,
      (value) => {
        scores.metric = value;
        drawScores();
      },
    ),
  ];
  const left = here().scores.length - MOST_METHODS;
  if (left > 0) tools.push(el("span", { class: "faint" }, `${counted(left, "method")} more in scores.csv`));
  scores.text = "";
  byId("scores-tools").replaceChildren(...tools);
}
