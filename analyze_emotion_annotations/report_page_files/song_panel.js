// The panel at the foot of the window: it draws the song of the chosen row, shows the values of a bar, and plays it.

class SongPanel {
  constructor(panel, songs) {
    Object.assign(this, { panel, songs, line: null, bar: null, inSeconds: false, pointed: false, dragged: false });
    this.player = new Player(() => this.playingChanged());
    this.build();
    new ResizeObserver(() => this.redraw()).observe(this.chart);
    new ResizeObserver(() => this.makeRoom()).observe(panel);
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.line) this.close();
    });
  }

  build() {
    this.title = isolated("", { class: "title" });
    this.artist = isolated("", { class: "artist" });
    this.md5 = isolated("", { class: "md5" });
    const copyMd5 = make("button", { type: "button", id: "copy-md5" }, "Copy");
    copyMd5.addEventListener("click", () => copy(this.song.md5, copyMd5));
    const close = make("button", { type: "button", class: "close", "aria-label": "Close the song" }, "\u00d7");
    close.addEventListener("click", () => this.close());
    this.readout = make("p", { class: "readout" });
    this.chart = make("div", { class: "chart", role: "slider", tabindex: "0", "aria-label": "Bar" });
    this.listen();
    const md5 = make("span", { class: "md5-line" }, "md5 ", this.md5, " ", copyMd5);
    const names = make("div", { class: "names" }, make("h2", {}, this.title), this.artist, md5);
    const controls = make("div", { class: "controls" }, ...this.playControls(), this.axisSwitch());
    const head = make("div", { class: "head" }, names, close, controls);
    this.panel.append(head, this.readout, this.chart);
  }

  // The button that plays and pauses, the time, and in their place, where a song can't be heard, the reason.
  playControls() {
    this.playButton = make("button", { type: "button", class: "play" });
    this.playButton.addEventListener("click", () => this.player.toggle());
    this.time = make("span", { class: "time" });
    this.silent = make("span", { class: "silent" });
    return [this.playButton, this.time, this.silent];
  }

  axisSwitch() {
    const choice = (label, inSeconds) => {
      const radio = make("input", { type: "radio", name: "axis", value: label });
      radio.checked = inSeconds === this.inSeconds;
      radio.addEventListener("change", () => {
        this.inSeconds = inSeconds;
        this.redraw();
      });
      return make("label", {}, radio, make("span", {}, label));
    };
    const legend = make("legend", { class: "unseen" }, "Axis");
    return make("fieldset", { class: "switch" }, legend, choice("bars", false), choice("seconds", true));
  }

  listen() {
    const { chart } = this;
    chart.addEventListener("pointermove", (event) => this.point(event));
    chart.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.dragged = true;
      chart.setPointerCapture(event.pointerId);
      this.point(event);
    });
    for (const name of ["pointerup", "pointercancel"]) chart.addEventListener(name, () => { this.dragged = false; });
    chart.addEventListener("pointerleave", () => {
      this.pointed = false;
      if (document.activeElement !== chart) this.read(this.playedBar());
    });
    chart.addEventListener("focus", () => { if (this.bar === null) this.read(this.playedBar() ?? 0); });
    chart.addEventListener("blur", () => this.read(this.playedBar()));
    chart.addEventListener("keydown", (event) => {
      if (event.key === " " && this.song.played) {
        event.preventDefault();
        this.player.toggle();
      }
      const last = this.song.bar.length - 1;
      const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -8, PageUp: 8 };
      const from = this.bar ?? 0;
      const to = { Home: 0, End: last }[event.key] ?? (event.key in steps ? from + steps[event.key] : null);
      if (to === null) return;
      event.preventDefault();
      const bar = Math.min(last, Math.max(0, to));
      this.read(bar);
      this.seek(this.song.seconds[bar] ?? 0);
    });
  }

  point(event) {
    const pixels = event.clientX - this.chart.getBoundingClientRect().left;
    this.pointed = true;
    this.read(barAt(this.drawing.scene, pixels));
    if (this.dragged) this.seek(secondsAt(this.song, this.drawing.scene, pixels));
  }

  seek(seconds) {
    if (!this.song.played) return;
    this.player.seek(seconds);
    this.sought = true;
    this.showTime();
  }

  // The bar that plays or, after a pause, would play next; null if the song was not played.
  playedBar() {
    return this.sought && this.player.playing ? lastFrom(this.song.seconds, this.player.position) : null;
  }

  playingChanged() {
    const { playing } = this.player;
    this.sought ||= playing;
    const shape = playing ? "M3 2h4v12H3zM9 2h4v12H9z" : "M3 1.5v13l11-6.5z";
    const icon = draw("svg", { viewBox: "0 0 16 16", width: 14, height: 14, "aria-hidden": "true" });
    icon.append(draw("path", { d: shape }));
    this.playButton.replaceChildren(icon, playing ? "Pause" : "Play");
    this.playButton.setAttribute("aria-label", playing ? "Pause the song" : "Play the song");
    this.showTime();
    if (playing) requestAnimationFrame(() => this.follow());
  }

  // Moves the cursor and, unless the pointer or the keyboard is at another bar, the marker with the music.
  follow() {
    if (!this.player.playing) return;
    this.showTime();
    const bar = this.playedBar();
    if (!this.pointed && bar !== this.bar) this.read(bar);
    requestAnimationFrame(() => this.follow());
  }

  showTime() {
    const { position, length, isStuck } = this.player;
    const text = isStuck ? "no sound device?" : `${clock(position)} / ${clock(length)}`;
    if (this.time.textContent !== text) this.time.textContent = text;
    this.drawing?.point(this.sought ? position : null);
  }

  // Draws the song of a row; if that song is already open, closes the panel.
  open(md5, line) {
    if (line === this.line) return this.close();
    this.mark(false);
    this.line = line;
    this.mark(true);
    this.song = { md5, ...this.songs[md5] };
    this.bar = null;
    this.prepareSound();
    this.title.textContent = shown(this.song.title, "untitled");
    this.artist.textContent = shown(this.song.artist, "");
    this.md5.textContent = md5;
    this.chart.setAttribute("aria-valuemin", this.song.bar[0]);
    this.chart.setAttribute("aria-valuemax", this.song.bar.at(-1));
    this.panel.hidden = false;
    this.makeRoom();
    this.redraw();
    line.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  prepareSound() {
    const { played, whySilent, duration } = this.song;
    this.sought = false;
    this.player.load(played, duration);
    this.playButton.hidden = this.time.hidden = !played;
    this.silent.textContent = whySilent && `Can\u2019t be heard: ${whySilent}.`;
    this.silent.hidden = !whySilent;
    this.chart.setAttribute("aria-label", played ? "Bar; the space bar plays and pauses" : "Bar");
    this.playingChanged();
  }

  close() {
    this.player.pause();
    const inside = this.panel.contains(document.activeElement);
    const { line } = this;
    this.mark(false);
    this.line = null;
    this.panel.hidden = true;
    this.makeRoom();
    if (inside) line.querySelector("button.song").focus();
  }

  mark(chosen) {
    this.line?.classList.toggle("chosen", chosen);
    this.line?.querySelector("button.song").setAttribute("aria-expanded", String(chosen));
  }

  // Leaves room below the page, so that its end can be scrolled out from behind the panel.
  makeRoom() {
    document.documentElement.style.setProperty("--panel", `${this.panel.offsetHeight}px`);
  }

  redraw() {
    if (this.panel.hidden || !this.chart.clientWidth) return;
    const { clientWidth, clientHeight } = this.chart;
    this.drawing = drawSong(this.song, this.inSeconds, clientWidth, clientHeight);
    this.chart.replaceChildren(this.drawing.svg);
    this.read(this.bar);
    this.showTime();
  }

  read(bar) {
    this.bar = bar;
    this.drawing.mark(bar);
    this.readout.replaceChildren(...(bar === null ? this.summary() : this.values(bar)));
    this.chart.setAttribute("aria-valuenow", this.song.bar[bar ?? 0]);
    this.chart.setAttribute("aria-valuetext", this.readout.textContent);
  }

  summary() {
    const mean = (values) => {
      const known = values.filter((value) => value !== null);
      return known.length ? signed(known.reduce((sum, value) => sum + value, 0) / known.length, 2) : "\u2013";
    };
    const facts = [plural(this.song.bar.length, "bar")];
    if (this.song.duration !== null) facts.push(clock(this.song.duration));
    const means = CURVES.map(([name]) =>
      make("span", { class: `key ${name}` }, `${name} mean ${mean(this.song[name])}`));
    const band = make("span", { class: "hint" }, "bands: \u00b1 one standard deviation of the prediction's error");
    return [...facts.map((fact) => make("span", {}, fact)), ...means, band];
  }

  values(i) {
    const { song } = this;
    const readings = CURVES.map(([name, spread]) => {
      const value = song[name][i] === null ? "\u2013" : signed(song[name][i], 2);
      const error = song[spread][i] === null ? "" : ` \u00b1 ${fixed(song[spread][i], 2)}`;
      return make("span", { class: `key ${name}` }, `${name} `, make("b", {}, value), error);
    });
    const count = song.notes[i] === null ? [] : [make("span", {}, plural(song.notes[i], "note"))];
    const position = [make("span", {}, `bar ${song.bar[i]}`), make("span", {}, clock(song.seconds[i] ?? 0, 1))];
    return [...position, ...readings, ...count];
  }
}
