// Tables that a click on a column's name sorts, that can be filtered by words, and whose columns a menu hides and shows;
// long ones are first shown in part.

const ROWS_AT_FIRST = 50;
const ROWS_WITHOUT_FILTER = 12;
const COLUMNS_WITHOUT_MENU = 3;
const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

// A cell of numbers is null, a number, or [value, low, high].
function valueOf(cell) {
  return Array.isArray(cell) ? cell[0] : cell;
}

function numberFormat(column, values) {
  const { kind, decimals } = column;
  if (kind === "count") return (number) => fixed(number, 0);
  if (kind === "signed") return (number) => signed(number, decimals);
  if (kind === "share") return (number) => fixed(100 * number, decimals);
  if (kind === "seconds" && values.some((value) => value >= 60)) return (number) => clock(number);
  return (number) => fixed(number, decimals);
}

class TableView {
  // choose(md5, line) is called when a row is chosen, with the md5 of its song and its tr element.
  constructor(box, table, songs, choose) {
    Object.assign(this, { box, table, choose });
    this.songOfRow = table.rows.map((_, i) => (Object.hasOwn(songs, table.songs[i] ?? "") ? table.songs[i] : null));
    this.formats = table.columns.map((column, i) => numberFormat(column, table.rows.map((row) => valueOf(row[i]))));
    this.titleColumn = this.indexOfTitle();
    this.lines = new Array(table.rows.length);
    this.hiddenColumns = new Set();
    this.words = [];
    this.showAll = false;
    this.sortColumn = table.columns.findIndex((column) => column.key === table.sortBy);
    this.descending = table.descending;
    this.build();
    this.sort();
  }

  build() {
    const { columns, rows, caption } = this.table;
    this.heads = columns.map((column, i) => this.head(column, i));
    this.body = make("tbody");
    const table = make("table", { "aria-label": caption }, make("thead", {}, make("tr", {}, ...this.heads)), this.body);
    this.scroller = make("div", { class: "scroller", role: "region", "aria-label": caption, tabindex: "0" }, table);
    const over = make("div", { class: "over" }, make("p", { class: "caption" }, caption));
    if (rows.length > ROWS_WITHOUT_FILTER) over.append(this.filterField());
    this.status = make("span", { role: "status" });
    this.more = make("button", { type: "button", class: "more" });
    this.more.addEventListener("click", () => this.showAllRows());
    const under = make("div", { class: "under" }, this.status, this.more);
    this.box.append(over, ...this.columnMenu(), this.scroller, under, ...this.glossary());
  }

  // The column whose cells become buttons that draw the row's song: the title, or else the first column of text.
  indexOfTitle() {
    const title = this.table.columns.findIndex((column) => column.key === "title");
    return title >= 0 ? title : Math.max(0, this.table.columns.findIndex((column) => column.kind === "text"));
  }

  head(column, i) {
    const button = make("button", { type: "button" }, make("span", {}, column.label));
    button.addEventListener("click", () => this.sortBy(i));
    const head = make("th", { scope: "col", class: column.kind === "text" ? "text" : "numeric" }, button);
    if (column.help) head.title = column.help;
    return head;
  }

  filterField() {
    const field = make("input", { type: "search", placeholder: "Filter", autocomplete: "off", spellcheck: "false" });
    field.setAttribute("aria-label", `Filter the rows of: ${this.table.caption}`);
    field.addEventListener("input", () => {
      this.words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      this.show();
    });
    return field;
  }

  // Check boxes that show and hide columns, all but the one that names the rows.
  columnMenu() {
    const { columns, caption } = this.table;
    if (columns.length <= COLUMNS_WITHOUT_MENU) return [];
    const choices = columns.map((column, i) => this.columnChoice(column, i)).filter((_, i) => i !== this.titleColumn);
    const legend = make("legend", { class: "unseen" }, "Show columns");
    const boxes = make("fieldset", {}, legend, ...choices);
    const summary = make("summary", {}, "Columns");
    summary.setAttribute("aria-label", `Columns of: ${caption}`);
    return [make("details", { class: "column-menu" }, summary, boxes)];
  }

  columnChoice(column, i) {
    const box = make("input", { type: "checkbox", autocomplete: "off" });
    box.checked = true;
    box.addEventListener("change", () => this.showColumn(i, box.checked));
    return make("label", {}, box, make("span", {}, column.label));
  }

  showColumn(i, isShown) {
    this.hiddenColumns[isShown ? "delete" : "add"](i);
    this.heads[i].hidden = !isShown;
    this.lines.forEach((line) => { line.cells[i].hidden = !isShown; }); // lines not made yet are passed over
    this.texts = null; // a word that can't be seen is not to be found
    this.show();
  }

  glossary() {
    const explained = this.table.columns.filter((column) => column.help);
    if (!explained.length) return [];
    const entries = explained.map(({ label, help }) => make("div", {}, make("dt", {}, label), make("dd", {}, help)));
    const list = make("dl", {}, ...entries);
    return [make("details", { class: "glossary" }, make("summary", {}, "What the columns mean"), list)];
  }

  sortBy(i) {
    this.descending = this.sortColumn === i ? !this.descending : this.table.columns[i].kind !== "text";
    this.sortColumn = i;
    this.sort();
  }

  // Rows without a value come last in both directions; rows with equal values keep the order of the report.
  sort() {
    const i = this.sortColumn;
    this.order = this.table.rows.map((_, index) => index);
    if (i >= 0) {
      const values = this.table.rows.map((row) => valueOf(row[i]));
      const known = (index) => values[index] !== null && values[index] !== "";
      const compare = this.table.columns[i].kind === "text" ? collator.compare : (a, b) => a - b;
      const sign = this.descending ? -1 : 1;
      const ordered = this.order.filter(known).sort((a, b) => sign * compare(values[a], values[b]));
      this.order = [...ordered, ...this.order.filter((index) => !known(index))];
    }
    this.heads.forEach((head, index) => {
      const direction = this.descending ? "descending" : "ascending";
      head.setAttribute("aria-sort", index === i ? direction : "none");
    });
    this.show();
  }

  show() {
    const found = this.words.length ? this.order.filter((index) => this.matches(index)) : this.order;
    const shown = this.showAll ? found : found.slice(0, ROWS_AT_FIRST);
    this.body.replaceChildren(...shown.map((index) => this.line(index)));
    const total = this.table.rows.length;
    this.status.textContent = this.count(shown.length, found.length, total);
    this.more.hidden = shown.length === found.length;
    this.more.textContent = `Show all ${plural(found.length, "row")}`;
  }

  count(shown, found, total) {
    if (!total) return "no rows";
    if (shown < found) return `${fixed(shown, 0)} of ${plural(found, "row")}${found < total ? " that match" : ""}`;
    return found < total ? `${fixed(found, 0)} of ${plural(total, "row")} match` : "";
  }

  showAllRows() {
    this.showAll = true;
    this.scroller.classList.add("long");
    this.show();
    this.scroller.focus();
  }

  matches(index) {
    this.texts ??= this.table.rows.map((row) => row.map((cell, i) => this.text(cell, i)).join(" ").toLowerCase());
    return this.words.every((word) => this.texts[index].includes(word));
  }

  text(cell, i) {
    if (cell === null || this.hiddenColumns.has(i)) return "";
    return this.table.columns[i].kind === "text" ? cell : this.formats[i](valueOf(cell));
  }

  line(index) {
    return (this.lines[index] ??= this.makeLine(index));
  }

  makeLine(index) {
    const song = this.songOfRow[index];
    const cells = this.table.rows[index].map((cell, i) => this.makeCell(cell, i));
    for (const i of this.hiddenColumns) cells[i].hidden = true;
    const line = make("tr", {}, ...cells);
    if (song === null) return line;
    const title = cells[this.titleColumn];
    const button = make("button", { type: "button", class: "song", "aria-expanded": "false", "aria-controls": "song" });
    button.append(...title.childNodes);
    title.append(button);
    line.classList.add("choosable");
    line.addEventListener("click", () => this.choose(song, line));
    button.addEventListener("keydown", (event) => this.moveBy({ ArrowDown: 1, ArrowUp: -1 }[event.key], line, event));
    return line;
  }

  makeCell(cell, i) {
    const { kind } = this.table.columns[i];
    if (kind === "text") {
      const text = shown(cell, "\u2013");
      const size = text.length > 30 ? "long" : text.length > 14 ? "middle" : "short";
      return make("td", { class: "text" }, isolated(text, { class: size }));
    }
    const td = make("td", { class: "numeric" });
    if (cell === null) td.append("\u2013");
    else td.append(this.formats[i](valueOf(cell)), ...this.unit(kind), ...this.interval(cell, i));
    return td;
  }

  unit(kind) {
    return kind === "share" ? [make("span", { class: "unit" }, "\u202f%")] : [];
  }

  interval(cell, i) {
    if (!Array.isArray(cell)) return [];
    const [low, high] = cell.slice(1).map(this.formats[i]);
    return [" ", make("span", { class: "interval" }, `[${low}, ${high}]`)];
  }

  // Moves the focus to the next row with a song; if this row's song is open, opens that row's song instead.
  moveBy(step, line, event) {
    if (!step) return;
    event.preventDefault();
    let next = line;
    do next = step > 0 ? next.nextElementSibling : next.previousElementSibling;
    while (next && !next.classList.contains("choosable"));
    if (!next) return;
    next.querySelector("button.song").focus();
    if (line.classList.contains("chosen")) next.click();
  }
}
