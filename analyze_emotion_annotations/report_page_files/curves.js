// A song's valence, arousal and notes, drawn as SVG.

const CURVES = [["valence", "valenceErrorSd"], ["arousal", "arousalErrorSd"]];
const MARGIN = { left: 44, right: 14, top: 8, between: 26, bottom: 24 };
const NOTES_HEIGHT = 34;

// The end of each bar, in the unit of its start. A bar ends where the next begins, and is as long as any missing bars in
// between; the last ends at `end` or, if that is null, is as long as the bar before.
function barEnds(song, starts, end) {
  const ends = [];
  starts.forEach((start, i) => {
    const bars = i + 1 < starts.length ? Math.max(1, song.bar[i + 1] - song.bar[i]) : 1;
    const before = i > 0 ? ends[i - 1] - starts[i - 1] : 1;
    if (i + 1 < starts.length) ends.push(start + (starts[i + 1] - start) / bars);
    else ends.push(end !== null && end > start ? end : start + before);
  });
  return ends;
}

// Runs of bars that follow one another and have a value: [[0, 1, 2], [7, 8]].
function runsOf(song, values) {
  const runs = [];
  values.forEach((value, i) => {
    if (value === null) return;
    const last = runs.at(-1);
    if (last && last.at(-1) === i - 1 && song.bar[i] - song.bar[i - 1] <= 1) last.push(i);
    else runs.push([i]);
  });
  return runs;
}

const at = (number) => number.toFixed(1);

// A line that keeps each bar's value from its start to its end.
function steps(run, height, scene) {
  return run.map((i) => `V${at(height(i))}H${at(scene.x(scene.ends[i]))}`).join("");
}

function stepLine(run, height, scene) {
  return `M${at(scene.x(scene.starts[run[0]]))} ${at(height(run[0]))}${steps(run, height, scene)}`;
}

function stepArea(run, top, bottom, scene) {
  const back = [...run].reverse().map((i) => `V${at(bottom(i))}H${at(scene.x(scene.starts[i]))}`).join("");
  return `${stepLine(run, top, scene)}${back}Z`;
}

// Ticks at round numbers for an axis that is `pixels` long. smallest: the least step; nice: steps to choose from.
function ticks(end, pixels, smallest, nice) {
  const wanted = (end * 70) / pixels;
  const step = Math.max(smallest, nice.find((value) => value >= wanted) ?? Math.ceil(wanted / 600) * 600);
  return Array.from({ length: Math.floor(end / step) + 1 }, (_, i) => i * step);
}

const NICE_BARS = [1, 2, 4, 8, 16, 32, 64, 100, 200, 400, 800, 1600];
const NICE_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600];

// The drawing (svg), its measures (scene), mark(i), which marks bar i, and point(seconds), which moves the cursor there
// (null: none). width and height in pixels.
function drawSong(song, inSeconds, width, height) {
  const starts = inSeconds ? song.seconds : song.bar;
  const ends = barEnds(song, starts, inSeconds ? song.duration : null);
  const end = ends.reduce((latest, value) => Math.max(latest, value), 0) || 1;
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom - NOTES_HEIGHT - MARGIN.between;
  const scene = {
    starts, ends, end, right, bottom, width, height,
    floor: height - MARGIN.bottom,
    secondEnds: barEnds(song, song.seconds, song.duration),
    x: (position) => MARGIN.left + (position / end) * (right - MARGIN.left),
    y: (value) => MARGIN.top + ((1 - Math.min(1, Math.max(-1, value))) / 2) * (bottom - MARGIN.top),
  };
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true" });
  svg.append(...axes(scene, inSeconds), notes(song, scene), ...bands(song, scene), ...lines(song, scene));
  const marker = draw("g", { class: "marker" });
  const cursor = draw("line", { class: "cursor", y1: MARGIN.top, y2: scene.floor, visibility: "hidden" });
  svg.append(marker, cursor);
  return {
    svg, scene,
    mark: (i) => marker.replaceChildren(...(i === null ? [] : markerAt(song, scene, i))),
    point: (seconds) => pointAt(cursor, song, scene, seconds),
  };
}

function pointAt(cursor, song, scene, seconds) {
  cursor.setAttribute("visibility", seconds === null ? "hidden" : "visible");
  if (seconds === null) return;
  const x = at(scene.x(Math.min(scene.end, positionAt(song, scene, seconds))));
  cursor.setAttribute("x1", x);
  cursor.setAttribute("x2", x);
}

// A time in seconds as a position on the axis; and, below, a position as a time.
function positionAt(song, scene, seconds) {
  return between(seconds, song.seconds, scene.secondEnds, scene.starts, scene.ends);
}

function secondsAt(song, scene, pixels) {
  const position = ((pixels - MARGIN.left) / (scene.right - MARGIN.left)) * scene.end;
  return between(position, scene.starts, scene.ends, song.seconds, scene.secondEnds);
}

// A value on one scale as the value on another that is as far within the same bar or, where bars are missing, within the
// gap after it. Both scales are given by the starts and the ends of the bars; before the first bar both start at 0.
function between(value, starts, ends, otherStarts, otherEnds) {
  const share = (from, to) => (to > from ? (value - from) / (to - from) : 0);
  if (value < starts[0]) return Math.max(0, share(0, starts[0])) * otherStarts[0];
  const i = lastFrom(starts, value);
  const gap = value > ends[i] && i + 1 < starts.length;
  const [from, to, other, otherTo] = gap
    ? [ends[i], starts[i + 1], otherEnds[i], otherStarts[i + 1]]
    : [starts[i], ends[i], otherStarts[i], otherEnds[i]];
  return other + Math.min(1, share(from, to)) * (otherTo - other);
}

// The index of the last start that is not after a value; 0 if all are.
function lastFrom(starts, value) {
  let [low, high] = [0, starts.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (starts[middle] <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}

function axes(scene, inSeconds) {
  const { x, y, end, right, floor } = scene;
  const marks = [];
  for (const value of [-1, -0.5, 0, 0.5, 1]) {
    const ends = { x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) };
    marks.push(draw("line", { class: value ? "grid" : "zero", ...ends }));
    const text = value ? signed(value, 1) : "0";
    marks.push(draw("text", { class: "tick left", x: MARGIN.left - 8, y: y(value) }, text));
  }
  for (const value of ticks(end, right - MARGIN.left, 1, inSeconds ? NICE_SECONDS : NICE_BARS)) {
    marks.push(draw("line", { class: "grid", x1: x(value), x2: x(value), y1: floor, y2: floor + 4 }));
    const text = inSeconds ? clock(value) : String(value);
    marks.push(draw("text", { class: "tick below", x: x(value), y: floor + 17 }, text));
  }
  marks.push(draw("text", { class: "tick left", x: MARGIN.left - 18, y: floor + 13 }, inSeconds ? "m:s" : "bar"));
  return marks;
}

function notes(song, scene) {
  const most = Math.max(1, ...song.notes.filter((count) => count !== null));
  const top = (i) => scene.floor - (NOTES_HEIGHT * song.notes[i]) / most;
  const areas = runsOf(song, song.notes).map((run) => stepArea(run, top, () => scene.floor, scene)).join("");
  const label = { class: "tick", x: MARGIN.left, y: scene.floor - NOTES_HEIGHT - 5 };
  return draw(
    "g", {},
    draw("path", { class: "notes", d: areas }),
    draw("line", { class: "grid", x1: MARGIN.left, x2: scene.right, y1: scene.floor, y2: scene.floor }),
    draw("text", label, `up to ${plural(most, "note")} a bar`),
  );
}

function bands(song, scene) {
  return CURVES.map(([name, spread]) => {
    const edge = (sign) => (i) => scene.y(song[name][i] + sign * (song[spread][i] ?? 0));
    const areas = runsOf(song, song[name]).map((run) => stepArea(run, edge(1), edge(-1), scene));
    return draw("path", { class: `band ${name}`, d: areas.join("") });
  });
}

function lines(song, scene) {
  return CURVES.map(([name]) => {
    const height = (i) => scene.y(song[name][i]);
    const d = runsOf(song, song[name]).map((run) => stepLine(run, height, scene)).join("");
    return draw("path", { class: `line ${name}`, d });
  });
}

function markerAt(song, scene, i) {
  const [left, right] = [scene.x(scene.starts[i]), scene.x(scene.ends[i])];
  const size = { x: left, width: Math.max(1, right - left), y: MARGIN.top, height: scene.floor - MARGIN.top };
  const dots = CURVES.filter(([name]) => song[name][i] !== null).map(([name]) =>
    draw("circle", { class: name, cx: (left + right) / 2, cy: scene.y(song[name][i]), r: 4 }));
  return [draw("rect", size), ...dots];
}

// The index of the bar at a horizontal position in pixels; in a gap, of the nearest bar.
function barAt(scene, pixels) {
  const position = ((pixels - MARGIN.left) / (scene.right - MARGIN.left)) * scene.end;
  const low = lastFrom(scene.starts, position);
  const next = low + 1;
  const gap = next < scene.starts.length && position > scene.ends[low];
  return gap && scene.starts[next] - position < position - scene.ends[low] ? next : low;
}
