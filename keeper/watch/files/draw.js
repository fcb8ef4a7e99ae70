// Elements from facts. Text is only ever set as text: nothing here, nor in the page's policy, lets it become markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (`dataset` and `on…` among them) and children, which are elements or text. */
export function el(name, given = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (key === "dataset") Object.assign(made.dataset, value);
    else if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function picture(height, label, ...children) {
  const box = {viewBox: `0 0 1000 ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label};
  return shape("svg", box, ...children);
}

const rect = (kind, x, y, width, height) =>
  shape("rect", {class: kind, x, y, width: Math.max(width, 0), height: Math.max(height, 0)});
const line = (kind, x1, y1, x2, y2) =>
  shape("line", {class: kind, x1, y1, x2, y2, "vector-effect": "non-scaling-stroke"});

export const known = mark => mark !== null && mark !== undefined && mark.at !== null;

/** Where a measure stands between its marks: a bar, the band on it, and a needle. */
export function gauge(measure, marks) {
  const named = ["low", "target", "high"].filter(name => known(marks[name]));
  const at = named.map(name => marks[name].at);
  const least = Math.min(...at), most = Math.max(...at);
  const span = most - least || Math.abs(most) || 1;
  const from = least - span * 0.4, to = most + span * 0.2;
  const x = value => Math.min(Math.max((value - from) / (to - from) * 1000, 0), 1000);
  const low = known(marks.low) ? x(marks.low.at) : 0, high = known(marks.high) ? x(marks.high.at) : 1000;
  const parts = [rect("below", 0, 6, low, 10), rect("band", low, 6, high - low, 10), rect("above", high, 6, 1000 - high, 10)];
  if (known(marks.target)) parts.push(line("mark", x(marks.target.at), 3, x(marks.target.at), 19));
  if (measure.at !== null) {
    const here = Math.min(Math.max(x(measure.at), 8), 992);
    parts.push(shape("rect", {class: "needle", x: here - 7, y: 1, width: 14, height: 20, rx: 4, "vector-effect": "non-scaling-stroke"}));
  }
  const said = named.map(name => `${name} ${marks[name].text}`);
  return el("div", {className: "gauge"},
    picture(22, `${measure.name} ${measure.text ?? "unknown"}; ${said.join(", ")}`, ...parts),
    el("p", {className: "legend"}, ...named.map(name => el("span", {}, `${name} `, el("b", {}, marks[name].text)))));
}

/** A measure's course over the blocks, the band behind it, and a strip below that tells the verdicts. */
export function course(points, marks) {
  if (points.length < 2) return null;
  const values = points.map(point => point.at);
  const bounds = marks ? ["low", "target", "high"].filter(name => known(marks[name])).map(name => marks[name].at) : [];
  const lowest = Math.min(...values), highest = Math.max(...values);
  // A mark far from everything that happened would flatten what did.
  const reach = Math.max(highest - lowest, Math.abs(highest) * 0.05) * 3;
  const near = bounds.filter(bound => bound > lowest - reach && bound < highest + reach);
  const least = Math.min(lowest, ...near), most = Math.max(highest, ...near);
  const room = (most - least || 1) * 0.08;
  const first = points[0].block, last = points.at(-1).block;
  const x = block => (block - first) / (last - first || 1) * 1000;
  const y = value => 54 - (value - least + room) / (most - least + 2 * room) * 52;
  const inside = value => Math.min(Math.max(value, 2), 54);
  const parts = [];
  if (marks && known(marks.low)) {
    const top = known(marks.high) ? inside(y(marks.high.at)) : 2, bottom = inside(y(marks.low.at));
    parts.push(rect("soft", 0, top, 1000, bottom - top));
    if (bottom < 54) parts.push(line("low", 0, bottom, 1000, bottom));
  }
  parts.push(shape("polyline", {class: "line", points: points.map(p => `${x(p.block)},${y(p.at)}`).join(" "), "vector-effect": "non-scaling-stroke"}));
  points.forEach((point, n) => {
    const next = n + 1 < points.length ? x(points[n + 1].block) : 1000;
    const width = Math.max(next - x(point.block), 6);
    parts.push(rect(`is-${point.verdict}`, Math.min(x(point.block), 1000 - width), 58, width, 5));
  });
  const down = value => Math.floor(value * 1e4 + 1e-6) / 1e4;
  const said = `blocks ${first} to ${last}: lowest ${down(lowest)}, highest ${down(highest)}`;
  return el("figure", {className: "course"}, picture(64, said, ...parts), el("figcaption", {}, said));
}

const GLYPHS = {breached: "!", blind: "?", barred: "–", within: "✓", final: "✓", reverted_final: "!"};

/** A verdict or a state as a word with a sign, so that colour is not all that tells it. */
export function badge(word) {
  const glyph = GLYPHS[word];
  return el("span", {className: "badge", dataset: {is: word}},
    glyph ? el("span", {"aria-hidden": "true"}, glyph) : null, word.replaceAll("_", " "));
}

/** Names and values; what has no value is left out. */
export function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", {}, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

export const short = address => `${address.slice(0, 8)}…${address.slice(-4)}`;
export const mono = text => el("span", {className: "mono"}, text);
