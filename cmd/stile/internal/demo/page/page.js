"use strict";

// Everything that is shown goes through textContent: anybody who reaches etcd chooses names.
const $ = (id) => document.getElementById(id);

function element(tag, text, className) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

function row(cells, className) {
  const tr = element("tr", "", className);
  tr.append(...cells.map((c) => element("td", c)));
  return tr;
}

// Tokens are numbers too large for JavaScript's own.
const older = (a, b) => BigInt(a) < BigInt(b);

function ledger(id, entries) {
  const rows = (entries || []).map((e, i, all) => {
    const late = i > 0 && older(e.token, all[i - 1].token);
    return row([e.token, e.worker, e.text + (late ? "  ← late" : "")], late ? "late" : "");
  });
  $(id).replaceChildren(...rows.reverse());
}

function who(h, holds) {
  const name = (h.labels && h.labels.worker) ? "worker " + h.labels.worker : "somebody";
  const li = element("li", name, holds ? "holder" : "");
  li.append(element("small", (holds ? "holds it, token " + h.token : "waits") + " · " + h.host + ":" + h.pid));
  return li;
}

function show(s) {
  $("name").textContent = s.lock.name;
  $("endpoint").textContent = s.endpoint;
  const line = s.lock.holder ? [who(s.lock.holder, true)] : [element("li", "nobody holds it")];
  $("line").replaceChildren(...line, ...(s.lock.waiters || []).map((h) => who(h, false)));
  ledger("plain", s.plain);
  ledger("fenced", s.fenced);
  $("count").textContent = s.refused_count;
  const refused = (s.refused || []).map((r) => row([r.presented, r.seen, r.entry.worker, r.entry.text]));
  $("refused").replaceChildren(...refused.reverse());
}

function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = text === "";
}

async function look() {
  try {
    const resp = await fetch("state");
    if (!resp.ok) throw new Error(await resp.text());
    show(await resp.json());
    trouble("");
  } catch (err) {
    trouble("The demo doesn't answer: it has ended, or is about to. (" + err.message + ")");
  }
  setTimeout(look, 500);
}

look();
