// A table that sorts and filters any number of rows and shows a page of them.

const PAGE = 100;
/** Tables of more rows scroll in a frame of their own, their heads in sight. */
const TALL = 30;

class SortableTable {
  /**
   * @param {HTMLElement} host is emptied
   * @param {{caption: string, columns: object[], count: number, bands?: object[]}} options
   *   A column has `head`, `cell(row)` (a text or node), and where it sorts `value(row)`: a number, or a text.
   */
  constructor(host, { caption, columns, count, bands = [], sort = null }) {
    Object.assign(this, { host, columns, count, page: 0, keep: null, order: null });
    this.sorted = sort ?? { place: -1, down: false };
    this.body = el("tbody");
    this.heads = columns.map((column, place) => this.#head(column, place));
    const head = el("thead");
    if (bands.length) head.append(el("tr", { class: "bands" }, ...bands.map((band) => this.#band(band))));
    head.append(el("tr", {}, ...this.heads));
    const table = el("table", {}, el("caption", { class: "unseen" }, caption), head, this.body);
    this.status = el("span", { class: "count", role: "status" });
    this.back = button("Previous", () => this.#turn(-1));
    this.next = button("Next", () => this.#turn(1));
    this.pager = el("div", { class: "pager" }, this.status, this.back, this.next);
    const frame = el(
      "div",
      {
        class: count > TALL ? "frame tall" : "frame",
        tabindex: "0",
        role: "region",
        "aria-label": `Table: ${caption}`,
      },
      table,
    );
    host.replaceChildren(frame, this.pager);
    this.refresh();
  }

  #head(column, place) {
    const attributes = { scope: "col", class: column.kind, title: column.hint };
    if (!column.value) return el("th", attributes, column.head);
    return el(
      "th",
      attributes,
      button(column.head, () => this.sort(place), { class: "sort" }),
    );
  }

  #band({ text, span, kind }) {
    return el("th", { colspan: span, class: kind, scope: span > 1 ? "colgroup" : "col" }, text);
  }

  #turn(step) {
    this.page += step;
    this.#show();
    this.host.firstChild.scrollTop = 0;
  }

  /** The first press shows the largest number or the first text on top, the next the other way round. */
  sort(place) {
    const down = this.sorted.place === place ? !this.sorted.down : this.columns[place].kind !== "text";
    this.sorted = { place, down };
    this.refresh();
  }

  /** Show the rows for which `keep(row)` holds. */
  filter(keep) {
    this.keep = keep;
    this.page = 0;
    this.refresh();
  }

  refresh() {
    const rows = [];
    for (let row = 0; row < this.count; row++) if (!this.keep || this.keep(row)) rows.push(row);
    const { place, down } = this.sorted;
    this.order = place < 0 ? rows : sortedBy(rows, this.columns[place].value, down);
    this.heads.forEach((head, at) => {
      head.setAttribute("aria-sort", at !== place ? "none" : down ? "descending" : "ascending");
    });
    this.#show();
  }

  #show() {
    const pages = Math.max(1, Math.ceil(this.order.length / PAGE));
    this.page = Math.min(Math.max(this.page, 0), pages - 1);
    const first = this.page * PAGE;
    const shown = this.order.slice(first, first + PAGE);
    this.body.replaceChildren(...shown.map((row) => this.#row(row)));
    if (!shown.length)
      this.body.append(el("tr", {}, el("td", { colspan: this.columns.length }, "Nothing fits the filter.")));
    const total = this.order.length;
    this.status.textContent =
      pages > 1
        ? `${(first + 1).toLocaleString("en")} to ${(first + shown.length).toLocaleString("en")} of ${total.toLocaleString("en")}`
        : total < this.count
          ? `${total} of ${this.count}`
          : "";
    this.back.hidden = this.next.hidden = pages < 2;
    this.back.disabled = this.page === 0;
    this.next.disabled = this.page === pages - 1;
  }

  #row(row) {
    const cells = this.columns.map((column, place) => {
      const found = column.cell(row);
      const attributes = { class: column.kind };
      return place ? el("td", attributes, found ?? "") : el("th", { ...attributes, scope: "row" }, found ?? "");
    });
    return el("tr", {}, ...cells);
  }
}

const collator = new Intl.Collator("en", { numeric: true });

/** Rows by a value of each, stable; rows without a value come last in both directions. */
function sortedBy(rows, value, down) {
  const values = rows.map(value);
  const full = [],
    empty = [];
  values.forEach((found, at) => (missing(found) || found === "" ? empty : full).push(at));
  const sign = down ? -1 : 1;
  if (full.some((at) => typeof values[at] === "string")) {
    full.sort((a, b) => sign * collator.compare(values[a], values[b]) || a - b);
  } else {
    const numbers = Float64Array.from(values, (found) => found ?? NaN);
    full.sort((a, b) => (numbers[a] === numbers[b] ? a - b : numbers[a] < numbers[b] ? -sign : sign));
  }
  return [...full, ...empty].map((at) => rows[at]);
}
