// The dashboard: one stream of states in, four views out.

import {badge, course, el, facts, gauge, mono, short} from "/files/draw.js";

const $ = id => document.getElementById(id);
const KINDS = ["breached", "blind", "barred", "within"];
const VIEWS = ["positions", "flights", "search", "explain"];
const MOST_POINTS = 400;

let state = null;
let only = null;

// What is asked for.

async function ask(path, parameters = {}, given = {}) {
  const query = new URLSearchParams(parameters).toString();
  let answer;
  try {
    answer = await fetch(query ? `${path}?${query}` : path, given);
  } catch {
    throw new Error("web: the keeper did not answer");
  }
  if (answer.status === 401) location.reload();
  const told = await answer.json();
  if (!answer.ok) throw new Error(told.error);
  return told;
}

// What a rule is about, where its contract is still watched.
function ruleOf({thresholds, rule}) {
  const kind = state?.kinds[thresholds];
  return kind ? `${kind} rule ${rule}` : `rule ${rule}`;
}

// Positions.

class Card {
  constructor(position) {
    this.points = [];
    this.element = el("li", {className: "card"});
    this.top = el("div", {className: "top"});
    this.title = el("h3");
    this.why = el("p", {className: "why"});
    this.drawn = el("div");
    this.past = el("div");
    this.details = el("div");
    this.link = el("a", {href: `#explain/${position.owner}`}, "Explain");
    this.link.setAttribute("aria-label", `Explain ${short(position.owner)} ${ruleOf(position)}`);
    const more = el("details", {}, el("summary", {}, "Rule"), this.details);
    more.firstChild.setAttribute("aria-label", `Rule: ${ruleOf(position)} of ${short(position.owner)}`);
    this.element.append(this.top, this.title, this.why, this.drawn, this.past,
      el("div", {className: "more"}, more, this.link));
    this.loaded = false;
    seen.observe(this.element);
    this.element.card = this;
  }

  update(position, block) {
    const before = this.position;
    this.position = position;
    const facts_ = JSON.stringify(position);
    if (block && this.points.length && this.points.at(-1).block !== block.number && position.measure.at !== null) {
      this.points = this.points.filter(point => point.block < block.number).slice(-MOST_POINTS);
      this.points.push({block: block.number, at: position.measure.at, verdict: position.verdict});
      this.paintCourse();
    }
    if (facts_ === this.facts) return;
    this.facts = facts_;
    if (before && before.verdict !== position.verdict) {
      if (position.verdict !== "within") {
        say(`${short(position.owner)} ${ruleOf(position)} is ${position.verdict}: ${position.why}`);
      }
      this.element.classList.toggle("fresh", position.verdict === "breached");
    }
    this.element.dataset.verdict = position.verdict;
    const {measure, marks, now, ahead} = position;
    this.top.replaceChildren(badge(position.verdict), el("p", {className: "measure"},
      el("b", {}, measure.text ?? "unknown"), " ", el("span", {}, measure.name)));
    this.title.replaceChildren(mono(short(position.owner)), ` ${ruleOf(position)}`);
    this.why.textContent = position.why;
    if (marks) this.drawn.replaceChildren(gauge(measure, marks));
    else this.drawn.replaceChildren(...(position.band ? [el("p", {className: "legend"}, `band ${position.band}`)] : []));
    this.details.replaceChildren(facts([
      ["owner", mono(position.owner)],
      ["contract", mono(position.thresholds)],
      ["band", position.band],
      ...Object.entries(position.fields).map(([name, value]) => [name.replaceAll("_", " "), value]),
      ["it says now", now && `${now.verdict}: ${now.why}`],
      ["would move", now && now.moves.join(", ")],
      ["breached", ahead && `perhaps in ${ahead.early}, more likely in ${ahead.median}`],
      ["would be stopped", ahead && ahead.obstacles.join("; ")],
    ]));
    if (before && JSON.stringify(before.marks) !== JSON.stringify(marks)) this.paintCourse();
  }

  async load() {
    if (this.loaded) return;
    this.loaded = true;
    const {thresholds, owner, rule} = this.position;
    try {
      this.points = (await ask("/api/course", {thresholds, owner, rule})).points;
      this.paintCourse();
    } catch {
      this.loaded = false;
    }
  }

  paintCourse() {
    const drawn = course(this.points, this.position.marks);
    this.past.replaceChildren(...(drawn ? [drawn] : []));
  }
}

const seen = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) entry.target.card.load();
});
const cards = new Map();

function paintPositions() {
  const counts = $("counts");
  if (!counts.childElementCount) {
    for (const kind of KINDS) {
      const button = el("button", {type: "button", onclick: () => {
        only = only === kind ? null : kind;
        paintPositions();
      }});
      counts.append(button);
    }
  }
  KINDS.forEach((kind, n) => {
    counts.children[n].replaceChildren(el("b", {}, String(state.counts[kind])), ` ${kind}`);
    counts.children[n].setAttribute("aria-pressed", String(only === kind));
  });
  const left = new Set(cards.keys());
  let place = null;
  for (const position of state.positions) {
    const key = [position.thresholds, position.owner, position.rule].join("/");
    left.delete(key);
    if (!cards.has(key)) cards.set(key, new Card(position));
    const card = cards.get(key);
    card.update(position, state.block);
    card.element.hidden = only !== null && position.verdict !== only;
    const next = place ? place.nextSibling : $("cards").firstChild;
    if (next !== card.element) $("cards").insertBefore(card.element, next);
    place = card.element;
  }
  for (const key of left) {
    seen.unobserve(cards.get(key).element);
    cards.get(key).element.remove();
    cards.delete(key);
  }
  const shown = state.positions.filter(position => only === null || position.verdict === only).length;
  $("no-cards").hidden = shown > 0 && !state.unshown;
  $("no-cards").textContent = state.unshown ? `${state.unshown} more are not shown: search finds them.`
    : state.block === null ? "The keeper has not taken a turn yet."
    : only ? `No rule is ${only} now.` : "None of the watched owners has written a rule yet.";
}

// Flights.

function flightRow(flight) {
  const row = el("li", {dataset: {id: flight.intent}});
  const story = el("div");
  const receipt = flight.receipt;
  const details = el("details", {}, el("summary", {}, "Story"), story);
  details.firstChild.setAttribute("aria-label", `Story of nonce ${flight.nonce}`);
  details.addEventListener("toggle", async () => {
    if (!details.open) return;
    try {
      const told = await ask("/api/flight", {id: flight.intent});
      story.replaceChildren(
        el("ol", {className: "story"}, ...told.story.map(step =>
          el("li", {}, el("b", {}, `block ${step.block} `), badge(step.state), ` ${step.why}`))),
        facts([
          ["decided because", told.verdict_why],
          ["owner", mono(told.owner)],
          ["sender", mono(told.sender)],
          ["expected after", told.after_text],
          ["gas limit", told.gas_limit.toLocaleString("en")],
          ...told.attempts.map(attempt => [`${attempt.purpose}, block ${attempt.block}`, mono(attempt.hash)]),
          ["gas used", told.receipt && told.receipt.gas_used.toLocaleString("en")],
          ["paid for gas", told.receipt && `${(Number(told.receipt.gas_cost_wei) / 1e18).toPrecision(4)} ether`],
        ]));
    } catch (error) {
      story.replaceChildren(el("p", {className: "trouble"}, error.message));
    }
  });
  row.append(
    el("p", {className: "line"}, badge(flight.state), el("span", {className: "what"}, flight.moves_text.join(", ")),
      el("span", {className: "where"}, mono(short(flight.owner)), ` ${ruleOf(flight)}, block ${flight.decided_block}, nonce ${flight.nonce}`)),
    el("p", {className: "why"}, flight.why + (receipt && !receipt.succeeded ? " (it reverted)" : "")), details);
  return row;
}

function paintFlights() {
  const list = $("flights");
  const rows = new Map([...list.children].map(row => [row.dataset.id, row]));
  const wanted = state.flights.map(flight => {
    const was = rows.get(flight.intent), facts_ = JSON.stringify(flight);
    if (was && was.facts === facts_) return was;
    const row = flightRow(flight);
    row.facts = facts_;
    if (was && was.querySelector("details").open) row.querySelector("details").open = true;
    return row;
  });
  if (wanted.length !== list.children.length || wanted.some((row, n) => row !== list.children[n])) {
    list.replaceChildren(...wanted);
  }
  $("no-flights").hidden = wanted.length > 0;
  const open = state.flights.filter(flight => !flight.ended).length;
  $("under-way").hidden = open === 0;
  $("under-way").replaceChildren(String(open), el("span", {className: "unseen"}, " under way"));
}

// Search.

function spanRow(span) {
  const blocks = span.first === span.last ? `block ${span.first}` : `blocks ${span.first} to ${span.last}`;
  return el("li", {}, el("p", {className: "line"}, badge(span.verdict),
    el("span", {className: "what"}, `${span.measure.name} ${span.measure.text ?? "unknown"}`),
    el("span", {className: "where"}, mono(short(span.owner)), ` ${ruleOf(span)}, ${blocks}, `,
      el("a", {href: `#explain/${span.owner}/${span.last}`}, `explain ${span.last}`))),
    el("p", {className: "why"}, span.why));
}

async function search(text) {
  const found = $("found");
  if (!text.trim()) {
    found.replaceChildren();
    return;
  }
  try {
    const told = await ask("/api/search", {q: text});
    const much = rows => rows.length === told.most ? `the newest ${told.most}` : String(rows.length);
    found.replaceChildren(
      el("h3", {}, `Flights: ${much(told.flights)}`), el("ol", {className: "rows"}, ...told.flights.map(flightRow)),
      el("h3", {}, `Verdicts: ${much(told.verdicts)}`), el("ol", {className: "rows"}, ...told.verdicts.map(spanRow)));
  } catch (error) {
    found.replaceChildren(el("p", {className: "trouble"}, error.message));
  }
}

// Explain.

function flightsUnder(title, flights) {
  return flights.length ? [el("h3", {}, title), el("ol", {className: "rows"}, ...flights.map(flightRow))] : [];
}

async function explain(owner, block) {
  const place = $("explained");
  if (!owner) {
    place.replaceChildren();
    return;
  }
  try {
    const told = await ask("/api/explain", block ? {owner, block} : {owner});
    const other = block && Number(block) !== told.block
      ? [el("p", {className: "note"}, `Block ${block} was not judged; the newest turn before it is of block ${told.block}.`)] : [];
    place.replaceChildren(...other,
      el("h3", {}, `Block ${told.block}`), mono(told.hash),
      ...(told.note ? [el("p", {className: "note"}, told.note)] : []),
      ...told.rivals.map(rival => el("p", {className: "note"}, "Another block of this number was seen: ", mono(rival))),
      el("h3", {}, "Verdicts"),
      el("ol", {className: "rows"}, ...told.verdicts.map(verdict => el("li", {},
        el("p", {className: "line"}, badge(verdict.verdict), el("span", {className: "what"}, verdict.measure_text),
          el("span", {className: "where"}, `${ruleOf(verdict)} in `, mono(short(verdict.thresholds)))),
        el("p", {className: "why"}, verdict.why)))),
      ...flightsUnder("Decided here", told.decided),
      ...flightsUnder("Under way then", told.under_way),
      ...(told.decided.length || !told.next ? [] : flightsUnder("Next", [told.next])),
      ...(told.stirred === null || told.stirred >= told.block ? [] : [el("p", {className: "after"},
        "A rule was last not within its band in ", el("a", {href: `#explain/${owner}/${told.stirred}`}, `block ${told.stirred}`))]),
      el("p", {className: "after"},
        el("a", {href: `#explain/${owner}/${Math.max(told.block - 1, 0)}`}, "The turn before")));
  } catch (error) {
    place.replaceChildren(el("p", {className: "trouble"}, error.message));
  }
}

// The frame around them.

function say(text) {
  $("said").textContent = text;
}

function paintHead() {
  if (!state || !state.block) return;
  const age = Math.round(Date.now() / 1000 - state.block.timestamp);
  const when = new Date(state.block.timestamp * 1000);
  const told = age < 0 || age >= 86400 ? when.toISOString().slice(0, 16).replace("T", " ") + " UTC"
    : age < 120 ? `${age} s ago` : age < 7200 ? `${Math.floor(age / 60)} min ago` : `${Math.floor(age / 3600)} h ago`;
  $("head").textContent = `chain ${state.chain}, block ${state.block.number}, ${told}`;
}

function paint() {
  paintHead();
  const trouble = $("trouble");
  trouble.hidden = !state.trouble;
  if (trouble.textContent !== state.trouble) trouble.textContent = state.trouble;
  $("latches").hidden = state.latches.length === 0;
  $("latches").replaceChildren(...state.latches.map(latch => el("li", {className: "trouble"},
    el("b", {}, latch.name === "pause" ? `Nothing is sent: paused at block ${latch.block}. `
      : `Nothing is sent: the breaker ${latch.name} tripped at block ${latch.block}. `), `${latch.why}. Go on with `,
    el("code", {}, `keeper resume ${latch.name}`), ".")));
  $("pause").hidden = !state.may_pause || Boolean(state.trouble);
  $("pause").textContent = isPaused() ? "Resume" : "Pause";
  $("note").hidden = !state.note;
  $("note").textContent = state.note;
  if (!state.trouble || !cards.size) paintPositions();
  if (!state.trouble) paintFlights();
  const {outlook} = state;
  $("balances").textContent = state.balances.map(each => `${short(each.account)} has ${each.ether} ether for gas`).join(", ");
  $("outlook").textContent = outlook.trouble ? `Bands and balances are of block ${outlook.block ?? "none"}: ${outlook.trouble}` : "";
  const owners = [...new Set(state.positions.map(position => position.owner))];
  if (owners.length !== $("owners").childElementCount) {
    $("owners").replaceChildren(...owners.map(owner => el("option", {value: owner})));
  }
  const breached = state.counts.breached;
  document.title = breached ? `(${breached}) keeper` : "keeper";
}

function route(isFirst) {
  const [view, ...rest] = location.hash.slice(1).split("/").map(decodeURIComponent);
  if (view === "main") {
    $("main").focus();
    return;
  }
  const shown = VIEWS.includes(view) ? view : "positions";
  for (const each of VIEWS) $(`view-${each}`).hidden = each !== shown;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${shown}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (shown === "explain") {
    $("owner").value = rest[0] ?? "";
    $("block").value = rest[1] ?? "";
    explain($("owner").value, $("block").value);
  }
  if (shown === "search" && rest[0]) {
    $("q").value = rest.join("/");
    search($("q").value);
  }
  if (!isFirst) {
    scrollTo(0, 0);
    $("main").focus({preventScroll: true});
  }
}

function follow() {
  const link = $("link");
  const stream = new EventSource("/api/live");
  stream.addEventListener("open", () => {
    link.dataset.is = "live";
    link.textContent = "live";
  });
  stream.addEventListener("message", event => {
    state = JSON.parse(event.data);
    paint();
  });
  stream.addEventListener("error", () => {
    link.dataset.is = "lost";
    link.textContent = "not connected: what you see may be old";
    if (stream.readyState === EventSource.CLOSED) {
      ask("/api/state").catch(() => {}).finally(() => setTimeout(follow, 5000));
    }
  });
}

const isPaused = () => state.latches.some(latch => latch.name === "pause");

$("pause").addEventListener("click", () => {
  const paused = isPaused();
  $("confirm").dataset.method = paused ? "DELETE" : "POST";
  $("confirm-title").textContent = paused ? "Resume the keeper?" : "Pause the keeper?";
  $("confirm-text").textContent = paused
    ? "From its next turn it acts on every rule that is breached, unless a breaker has tripped."
    : "Nothing more is sent for anyone until it is resumed, however near a loan is to liquidation. What is under way is followed to its end.";
  $("confirm-yes").textContent = paused ? "Resume" : "Pause";
  $("reason-field").hidden = paused;
  $("confirm-trouble").hidden = true;
  $("confirm").showModal();
});
$("confirm-no").addEventListener("click", () => $("confirm").close());
$("confirm-form").addEventListener("submit", async event => {
  event.preventDefault();
  const {method} = $("confirm").dataset;
  try {
    await ask("/api/pause", method === "POST" ? {reason: $("reason").value} : {}, {method, headers: {"x-keeper-confirm": "yes"}});
    $("confirm").close();
    $("reason").value = "";
  } catch (error) {
    $("confirm-trouble").textContent = error.message;
    $("confirm-trouble").hidden = false;
  }
});
$("search-form").addEventListener("submit", event => {
  event.preventDefault();
  const wanted = `#search/${encodeURIComponent($("q").value)}`;
  if (location.hash === wanted) search($("q").value);
  else location.hash = wanted;
});
$("explain-form").addEventListener("submit", event => {
  event.preventDefault();
  const owner = $("owner").value.trim(), block = $("block").value.trim();
  const wanted = `#explain/${encodeURIComponent(owner)}${block ? `/${block}` : ""}`;
  if (location.hash === wanted) explain(owner, block);
  else location.hash = wanted;
});
$("leave").addEventListener("click", async () => {
  await fetch("/api/session", {method: "DELETE"}).catch(() => {});
  location.reload();
});
addEventListener("hashchange", () => route(false));
setInterval(paintHead, 1000);
route(true);
follow();
