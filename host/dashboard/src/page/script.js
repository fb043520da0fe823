"use strict";
const KEEP = 500;
const EVERY_MS = 2000;
const FRESH_MS = 2500;
const $ = id => document.getElementById(id);
const ASKS = {
  start: "May the workload start?",
  startup: "Has it started?",
  readiness: "May it be sent requests?",
  liveness: "Is it alive?",
};
const OWNERS = {self: "this replica", cluster: "the cluster", outrigger: "Outrigger"};

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children.filter(child => child !== undefined && child !== null));
  return node;
}
const chip = (text, kind) => el("span", {class: "chip " + kind}, text);
const plural = (count, one, many) => count + " " + (count === 1 ? one : many);
const short = digest => digest.slice(0, 12);
const clock = ms => new Date(ms).toLocaleTimeString([], {hour12: false});
const day = ms => new Date(ms).toLocaleDateString([], {weekday: "long", year: "numeric", month: "long", day: "numeric"});

/* The server's clock is what the times are compared with; the browser's may differ. */
let skew = 0;
function span(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return seconds + " s";
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  if (minutes < 60) return minutes + " min";
  return hours < 48 ? hours + " h " + minutes % 60 + " min" : Math.floor(hours / 24) + " days";
}
function ago(ms) {
  const node = el("time", {datetime: new Date(ms).toISOString(), title: new Date(ms).toLocaleString()});
  node.dataset.since = ms;
  return count(node);
}
function count(node) {
  const text = span(Date.now() + skew - Number(node.dataset.since)) + (node.dataset.plain ? "" : " ago");
  if (node.textContent !== text) node.textContent = text;
  return node;
}

/* A part is built anew only when what it shows has changed: selections and focus survive. */
const shown = new Map();
function part(id, value, build) {
  const now = JSON.stringify(value);
  if (shown.get(id) === now) return;
  shown.set(id, now);
  const nodes = [build(value)].flat().filter(Boolean);
  $(id).replaceChildren(...nodes);
}
function pairs(entries, empty) {
  if (!entries.length) return el("div", {}, el("dt", {}, empty), el("dd", {}));
  return entries.flatMap(([name, ...value]) => [el("dt", {}, name), el("dd", {}, ...value)]);
}

function show(status) {
  const pod = status["pod"], peers = status["peers"], files = status["files"];
  skew = status["unix-ms"] - Date.now();
  const ready = status["probes"].some(probe => probe.name === "readiness" && probe.pass);
  document.title = (ready ? "✓ " : "✕ ") + pod.name + " · Outrigger";
  icon(ready);
  part("name", pod.name, name => name);
  part("where", [pod["stateful-set"], pod.namespace, pod.ip], ([set, namespace, ip]) =>
    "Replica " + pod.ordinal + " of StatefulSet " + set + " in namespace " + namespace + (ip ? ", " + ip : ""));
  part("summary", [ready, status["role"], status["phase"]], ([ready, role, phase]) => [
    ready ? chip("ready", "good") : chip("not ready", "bad"),
    chip(role || "no role", "soft"),
    chip(phase, phase === "running" ? "soft" : "warn"),
  ]);
  troubles(status);
  replicas(peers, pod);
  part("probes", status["probes"], list => list.map(probe));
  part("attrs", status["attrs"], attrs => pairs(Object.entries(attrs), "nothing yet"));
  part("files-note", [files.set, files["committed-unix-ms"]], ([set, since]) =>
    set === null ? "No set is in place yet" : ["Set " + set + " is in place, last rendered ", since ? ago(since) : "at an unknown time"]);
  part("files", files.digests, digests => pairs(Object.entries(digests).map(([path, digest]) =>
    [el("span", {class: "mono"}, path), el("span", {class: "mono", title: digest}, "sha256 " + short(digest))]), "none"));
  part("use", [status["profile"], status["plugin"], status["sidecar"].version, status["sidecar"].revision], inUse(status));
  const uptime = $("uptime");
  if (uptime) { uptime.dataset.since = status["unix-ms"] - status["sidecar"]["uptime-ms"]; count(uptime); }
}

function troubles(status) {
  const found = [];
  for (const {name, pass, reasons} of status["probes"]) {
    const texts = reasons.filter(reason => pass || reason.counts).map(reason => reason.message);
    if (!pass) found.push(["bad", name + " fails", texts]);
    else if (texts.length) found.push(["warn", name + " passes, though", texts]);
  }
  const files = status["files"], profile = status["profile"], plugin = status["plugin"], stale = status["peers"].stale;
  if (files.refused.length) found.push(["warn", "The newest files are refused, the old ones stand", files.refused, files["refused-unix-ms"]]);
  if (profile.refused.length) found.push(["warn", "The newest profile is refused, the old one stands", profile.refused, profile["refused-unix-ms"]]);
  if (stale) found.push(["warn", "Look-ups of the replicas fail, what was known stands", [stale]]);
  if (plugin && plugin.refused.length) found.push(["warn", "The newest component is refused, the old one stands", plugin.refused]);
  if (plugin && plugin["quarantined-ms"]) found.push(["warn", "The plugin failed too often and is left alone for a while", [plugin["last-error"]].filter(Boolean)]);
  $("trouble").hidden = !found.length;
  $("trouble").className = found.some(([kind]) => kind === "bad") ? "bad" : "warn";
  part("trouble-title", found.some(([kind]) => kind === "bad"), bad => bad ? "What holds it back" : "What needs attention");
  part("troubles", found, list => list.map(([, title, texts, since]) =>
    el("li", {}, el("strong", {}, title), since ? " " : null, since ? ago(since) : null, texts.length ? el("ul", {}, ...texts.map(text => el("li", {}, text))) : null)));
}

function replicas(peers, pod) {
  part("peers-note", [peers.seen, peers.desired, peers.source, peers["confirmed-unix-ms"]], ([seen, desired, source, since]) =>
    [seen + " of " + plural(desired, "replica", "replicas") + " seen, known from " + source + ", confirmed ", since ? ago(since) : "never"]);
  part("peers", peers.replicas, list => list.map(replica => {
    const kind = {ready: "good", unknown: "soft", gone: "soft", "not-ready": "bad"}[replica.phase] || "warn";
    const own = replica.ordinal === pod.ordinal;
    return el("li", {class: own ? "own" : "", "data-replica": replica.name, title: replica.host},
      el("div", {class: "tile-head"}, el("strong", {}, replica.name), own ? el("span", {class: "soft-text"}, "this one") : null),
      el("div", {class: "chips"}, chip(replica.phase, kind), replica.role ? chip(replica.role, "soft") : null),
      el("div", {class: "mono soft-text"}, (replica.addresses || []).join(", ") || "no address yet"),
      ...Object.entries(replica.attrs || {}).map(([name, value]) => el("div", {class: "soft-text"}, name + " " + value)));
  }));
}

function probe({name, pass, reasons, "checked-unix-ms": checked}) {
  return el("li", {"data-probe": name},
    el("div", {class: "probe-head"}, chip(pass ? "passes" : "fails", pass ? "good" : "bad"), el("strong", {}, name),
      el("span", {class: "soft-text"}, ASKS[name] || ""), checked ? el("span", {class: "note"}, "checked ", ago(checked)) : null),
    reasons.length ? el("ul", {class: "reasons"}, ...reasons.map(reason => el("li", {class: reason.counts ? "bad" : "warn"},
      reason.message, " ", el("span", {class: "soft-text"}, el("span", {class: "mono"}, reason.code), " of " + (OWNERS[reason.scope] || reason.scope)
        + (reason.counts ? "" : ", does not take it out of service"))))) : null);
}

function inUse(status) {
  const profile = status["profile"], plugin = status["plugin"], sidecar = status["sidecar"];
  return () => {
    const rows = [["profile", profile.name + ", revision " + profile.revision + ", ", el("span", {class: "mono", title: profile.digest}, short(profile.digest))]];
    for (const warning of profile.warnings) rows.push(["warning", warning]);
    if (plugin) {
      const failures = Object.entries(plugin.failures).map(([kind, number]) => ", " + number + " " + kind).join("");
      rows.push(["plugin", plugin.name + " " + plugin.version + ", generation " + plugin.generation + ", ", el("span", {class: "mono", title: plugin.digest}, short(plugin.digest))]);
      rows.push(["", el("span", {class: "soft-text"}, plugin.summary)]);
      rows.push(["it does", plugin.exports.join(", ")]);
      rows.push(["calls", plugin.calls + failures]);
      if (plugin["not-granted"].length) rows.push(["not granted", plugin["not-granted"].join(", ")]);
      if (plugin["last-error"]) rows.push(["last error", plugin["last-error"] + ", ", ago(plugin["last-error-unix-ms"])]);
    } else rows.push(["plugin", "none"]);
    const up = el("span", {id: "uptime"});
    up.dataset.since = status["unix-ms"] - sidecar["uptime-ms"];
    up.dataset.plain = "1";
    rows.push(["sidecar", "outrigger " + sidecar.version + (sidecar.revision ? " (" + short(sidecar.revision) + ")" : "") + ", up ", count(up)]);
    return pairs(rows);
  };
}

/* The tab's icon tells readiness: many tabs are open when something is wrong. */
let drawn;
function icon(ready) {
  if (drawn === ready) return;
  drawn = ready;
  const canvas = el("canvas", {width: "32", height: "32"}), pen = canvas.getContext("2d");
  pen.fillStyle = ready ? "#1a8a42" : "#c62828";
  pen.beginPath();
  if (ready) pen.arc(16, 16, 13, 0, 7); else pen.rect(4, 4, 24, 24);
  pen.fill();
  document.querySelector("link").href = canvas.toDataURL();
}

/* Timeline */
let entries = [];
const kinds = new Set();
function line(entry) {
  const fields = Object.entries(entry.fields || {}), pass = (entry.fields || {}).pass;
  const tone = pass === true ? ((entry.fields.reasons || []).length ? "warn" : "good") : pass === false || /\b(refused|failed|cannot)\b/.test(entry.message) ? "bad" : "plain";
  const facts = pairs(fields.map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]));
  const node = el("li", {"data-seq": entry.seq},
    el("time", {datetime: new Date(entry.unix_ms).toISOString(), title: new Date(entry.unix_ms).toLocaleString()}, clock(entry.unix_ms)),
    el("span", {class: "kind"}, entry.kind),
    fields.length ? el("details", {class: "what"}, el("summary", {class: tone}, entry.message), el("dl", {}, ...facts))
      : el("div", {class: "what " + tone}, entry.message));
  return node;
}
function wanted(entry) {
  const kind = $("kind").value, text = $("text").value.trim().toLowerCase();
  return (!kind || entry.kind === kind) && (!text || (entry.kind + " " + entry.message + " " + JSON.stringify(entry.fields || {})).toLowerCase().includes(text));
}
function list() {
  const chosen = entries.filter(entry => wanted(entry.entry)), nodes = [];
  let last;
  for (const {entry, node} of chosen) {
    const now = day(entry.unix_ms);
    if (now !== last) nodes.push(el("li", {class: "day"}, last = now));
    nodes.push(node);
  }
  for (const {node, at} of chosen) {
    const age = Date.now() - at;
    node.classList.toggle("fresh", age < FRESH_MS);
    node.style.animationDelay = -age + "ms";
  }
  const focused = document.activeElement;
  $("timeline").replaceChildren(...nodes);
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({preventScroll: true});
  $("timeline-note").textContent = chosen.length < entries.length ? plural(chosen.length, "entry", "entries") + " of " + entries.length
    : entries.length ? "" : "nothing yet";
}
let listing = false;
function told(entry, fresh) {
  if (entries.some(known => known.entry.seq === entry.seq)) return;
  entries.unshift({entry, node: line(entry), at: fresh ? Date.now() : 0});
  entries.length = Math.min(entries.length, KEEP);
  if (!kinds.has(entry.kind)) {
    kinds.add(entry.kind);
    const sorted = [...kinds].sort().map(kind => el("option", {value: kind}, kind)), chosen = $("kind").value;
    $("kind").replaceChildren(el("option", {value: ""}, "all"), ...sorted);
    $("kind").value = chosen;
  }
  if (!listing) { listing = true; setTimeout(() => { listing = false; list(); }, 0); }
}

/* Connection */
let pending = false, again = false;
function linked(good, text) {
  $("link").className = good ? "good" : "bad";
  if ($("link").textContent !== text) $("link").textContent = text;
}
async function refresh() {
  if (pending) { again = true; return; }
  pending = true;
  try {
    const answer = await fetch("status", {cache: "no-store", signal: AbortSignal.timeout(5000)});
    if (!answer.ok) throw new Error(answer.statusText);
    show(await answer.json());
    linked(true, "live");
  } catch (error) {
    linked(false, "the sidecar does not answer: what is shown is old");
  } finally {
    pending = false;
    if (again) { again = false; refresh(); }
  }
}
function follow() {
  const opened = Date.now();
  const events = new EventSource("events?since=0");
  /* All is told again after a lost connection: a sidecar without its disk counts from 1 again. */
  events.addEventListener("open", () => { entries = []; });
  events.addEventListener("timeline", event => { told(JSON.parse(event.data), Date.now() - opened > 1500); refresh(); });
  events.addEventListener("peers", refresh);
  events.onerror = () => { events.close(); setTimeout(follow, EVERY_MS); refresh(); };
}
for (const id of ["kind", "text"]) $(id).addEventListener("input", list);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
setInterval(() => { if (!document.hidden) refresh(); }, EVERY_MS);
setInterval(() => { for (const node of document.querySelectorAll("[data-since]")) count(node); }, 1000);
refresh();
follow();
