// The page from top to bottom.

/** Notes that begin with a word in capitals: WARNING, STALE. */
const isAlert = (note) => /^[A-Z]{4,}: /.test(note);

function drawTop() {
  const baselines = new Set(
    data.columns.flatMap((column) => column.scores.filter((score) => score.baseline).map((score) => score.line)),
  );
  const images = data.columns.reduce(
    (sum, column) => sum + column.scores.reduce((all, score) => all + score.rows * score.trainings, 0),
    0,
  );
  const parts = [
    counted(data.rows.filter((row) => !baselines.has(row[0])).length, "method"),
    counted(new Set(data.columns.map((c) => c.dataset)).size, "test set"),
    counted(new Set(data.columns.map((c) => c.noise)).size, "noise"),
    counted(images, "scored image"),
  ];
  byId("summary").textContent = data.columns.length ? parts.join(" · ") : "";
  const alerts = data.missing.length
    ? [el("ul", { class: "missing" }, ...data.missing.map((text) => el("li", {}, text)))]
    : [];
  if (data.walls.length > 1) {
    alerts.unshift(
      el(
        "p",
        { class: "warning" },
        `${data.walls.length} protocols in one folder: scores of different protocols are not comparable.`,
      ),
    );
  }
  alerts.unshift(...data.notes.filter(isAlert).map((text) => el("p", { class: "warning" }, text)));
  byId("alerts").replaceChildren(...alerts);
  byId("made").textContent = `Made by denoisebench ${data.version} from the stored rows of ${data.folder}.`;
}

function drawColumnChoice() {
  const select = byId("column");
  for (const wall of data.walls) {
    const options = wall.columns.map((place) => el("option", { value: place }, data.columns[place].title));
    if (data.walls.length > 1) select.append(el("optgroup", { label: wall.said }, ...options));
    else select.append(...options);
  }
  select.addEventListener("change", () => choose(Number(select.value)));
  for (const section of document.querySelectorAll("main > section:not([hidden])")) {
    const head = section.querySelector("h2").textContent;
    byId("nav").append(el("a", { href: `#${section.id}` }, section.id === "leaderboard" ? "Leaderboard" : head));
  }
  byId("bar").hidden = false;
}

function choose(place) {
  state.column = place;
  state.reference = here().reference;
  drawLeaderboardTools();
  drawScoresTools();
  chooseLearning();
  chooseScatter();
  changed();
}

function drawNotes() {
  byId("notes-list").replaceChildren(
    ...data.notes.map((note) => el("li", { class: isAlert(note) ? "warning" : "" }, note)),
  );
}

function drawProvenance() {
  const column = here(),
    facts = [["fingerprint", column.fingerprint], ["digest", column.digest], ...Object.entries(column.protocol)];
  byId("provenance-protocol").replaceChildren(
    ...facts.flatMap(([name, value]) => [el("dt", {}, name.replaceAll("_", " ")), el("dd", {}, value)]),
  );
  const cells = column.scores.flatMap((score) => score.cells.map((cell) => ({ score, cell })));
  const text = (head, value) => ({
    head,
    kind: "text",
    value: (row) => value(cells[row]),
    cell: (row) => value(cells[row]),
  });
  new SortableTable(byId("provenance-table"), {
    caption: `Provenance: ${column.title}`,
    count: cells.length,
    columns: [
      text("Method", ({ score }) => nameOf(score)),
      text("Cell", ({ cell }) => cell.key),
      text("Written", ({ cell }) => cell.written.slice(0, 19).replace("T", " ")),
      text("Seed", ({ cell }) => `${cell.seed}`),
      text("Weights", ({ cell }) => cell.weights.slice(0, 12)),
      text("Code", ({ cell }) => cell.code),
      text("Libraries", ({ cell }) => cell.versions),
      text("Computed on", ({ score }) => [score.machine, score.device].filter(Boolean).join(", ")),
    ],
  });
}

function drawCite() {
  const text = data.citations.map((entry) => entry.bibtex).join("\n\n");
  byId("bibtex").textContent = text;
  byId("cite-tools").replaceChildren(
    button("Copy BibTeX", () => copy(text, counted(data.citations.length, "BibTeX entry", "BibTeX entries"))),
  );
}

function start() {
  const some = data.columns.length > 0,
    methods = data.columns.some((column) => column.scores.some((score) => !score.baseline));
  const shown = {
    leaderboard: some,
    overview: data.columns.length > 1,
    charts: methods,
    images: methods,
    scores: some,
    notes: data.notes.length > 0,
    provenance: some,
    cite: data.citations.length > 0,
  };
  for (const [id, there] of Object.entries(shown)) byId(id).hidden = !there;
  byId("copy-close").addEventListener("click", () => byId("copy-dialog").close());
  drawTop();
  if (shown.notes) drawNotes();
  if (shown.cite) drawCite();
  if (!some) return;
  if (shown.overview) drawOverview();
  follow(drawLeaderboard);
  startCharts();
  startImages();
  follow(drawScores);
  follow(drawProvenance);
  drawColumnChoice();
  choose(0);
}

start();
