"use strict";
// Fills the table from the data. Text is only ever put in as text; nothing here makes HTML of it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const states = ["failed", "blocked", "interrupted", "not started", "done", "up to date"];
  const [NAME, STATE, KIND, REASON, FILM, LOG, TAIL, TRIES] = [0, 1, 2, 3, 4, 5, 6, 7];
  const perPage = 100;
  const at = (id) => document.getElementById(id);
  const tries = (row) => row[TRIES] || [];
  const took = (row) => tries(row).reduce((sum, attempt) => sum + attempt[2], 0);
  const lane = (index) => data.lanes[index] || "lane " + index;
  const words = data.videos.map((row) => [row[NAME], states[row[STATE]], row[KIND], row[REASON],
    ...tries(row).map((attempt) => lane(attempt[0]))].join("\n").toLowerCase());
  const names = new Intl.Collator(undefined, { numeric: true });
  const orders = {
    name: (a, b) => names.compare(a[NAME], b[NAME]),
    state: (a, b) => a[STATE] - b[STATE] || names.compare(a[KIND] || "", b[KIND] || ""),
    film: (a, b) => (a[FILM] || 0) - (b[FILM] || 0),
    took: (a, b) => took(a) - took(b),
    tries: (a, b) => tries(a).length - tries(b).length,
  };
  const view = { sort: "state", down: false, page: 0, state: "", only: -1, shown: [] };

  function made(tag, text, name) {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (name) element.className = name;
    return element;
  }

  function clock(seconds) {
    const whole = Math.max(Math.floor(seconds), 0), two = (n) => String(n).padStart(2, "0");
    const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
    return (hours ? hours + ":" + two(minutes) : minutes) + ":" + two(whole % 60);
  }

  function choose() {
    const text = at("find").value.trim().toLowerCase();
    view.shown = data.videos.map((_, place) => place).filter((place) => view.only >= 0 ? place === view.only
      : (!view.state || states[data.videos[place][STATE]] === view.state) && (!text || words[place].includes(text)));
    const order = orders[view.sort], sign = view.down ? -1 : 1;
    view.shown.sort((a, b) => sign * order(data.videos[a], data.videos[b]) || a - b);
    view.page = 0;
    show();
  }

  function show() {
    const pages = Math.max(Math.ceil(view.shown.length / perPage), 1);
    view.page = Math.min(Math.max(view.page, 0), pages - 1);
    const first = view.page * perPage, part = view.shown.slice(first, first + perPage);
    at("rows").replaceChildren(...part.map((place) => row(data.videos[place])));
    at("where").textContent = view.shown.length
      ? `${first + 1} to ${first + part.length} of ${view.shown.length}` : "no video matches";
    at("back").disabled = view.page === 0;
    at("next").disabled = view.page === pages - 1;
    for (const head of document.querySelectorAll("th")) {
      const sorted = head.firstChild.dataset.sort === view.sort;
      if (sorted) head.setAttribute("aria-sort", view.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    if (view.only >= 0 && part.length) toggle(at("rows").firstChild, data.videos[view.only]);
  }

  function row(video) {
    const line = made("tr"), button = made("button", video[NAME]), state = made("td");
    button.type = "button";
    button.dir = "auto";
    button.setAttribute("aria-expanded", "false");
    button.addEventListener("click", () => toggle(line, video));
    const cell = made("td");
    cell.append(button);
    const last = tries(video).at(-1);
    if (last) state.append(made("i", undefined, data.kinds[last[3]]));
    state.append(states[video[STATE]] + (video[KIND] ? ": " + video[KIND] : ""));
    if (video[REASON]) state.append(made("span", video[REASON], "quiet"));
    line.append(cell, state);
    const numbers = [["film", video[FILM] ? clock(video[FILM]) : ""],
      ["took", tries(video).length ? clock(took(video)) : ""],
      ["tries", tries(video).length || ""]];
    for (const [word, text] of numbers) {
      const number = made("td", text);
      number.dataset.word = word;
      line.append(number);
    }
    return line;
  }

  function toggle(line, video) {
    const open = line.classList.toggle("open");
    line.querySelector("button").setAttribute("aria-expanded", String(open));
    if (!open) {
      line.nextSibling.remove();
      return;
    }
    const more = made("tr", undefined, "more"), cell = made("td"), list = made("ul");
    cell.colSpan = 5;
    if (video[REASON]) cell.append(made("p", video[REASON]));
    const link = (text, where) => {
      const element = made("a", text);
      element.href = where;
      return element;
    };
    const told = ([index, start, seconds, kind, reason, log], what) => {
      const item = made("li", undefined, what ? "help" : ""), why = reason ? ": " + reason : "";
      item.append(made("i", undefined, data.kinds[kind]));
      item.append(`${lane(index)}, ${clock(start)} to ${clock(start + seconds)}, `
        + `${kind === "helped" ? "" : what}${kind.replaceAll("_", " ")}${why}`);
      if (what) item.append(" ", link("its log", log));
      return item;
    };
    for (const attempt of tries(video)) {
      list.append(told(attempt, ""), ...(attempt[5] || []).map((helper) => told(helper, "help: ")));
    }
    if (list.children.length) cell.append(list);
    if (video[TAIL]) {
      const log = made("pre", video[TAIL]);
      log.tabIndex = 0;
      cell.append(log);
    }
    if (video[LOG]) cell.append(link("the whole log", video[LOG]));
    if (!cell.children.length) cell.append(made("p", "Nothing ran for it.", "quiet"));
    more.append(cell);
    line.after(more);
  }

  at("find").addEventListener("input", () => { view.only = -1; choose(); });
  at("by").value = view.sort;
  at("by").addEventListener("change", () => { view.sort = at("by").value; view.down = false; choose(); });
  at("back").addEventListener("click", () => { view.page -= 1; show(); });
  at("next").addEventListener("click", () => { view.page += 1; show(); });
  for (const button of document.querySelectorAll("[data-sort]")) {
    button.addEventListener("click", () => {
      const numbers = !["name", "state"].includes(button.dataset.sort);
      view.down = view.sort === button.dataset.sort ? !view.down : numbers;
      view.sort = at("by").value = button.dataset.sort;
      choose();
    });
  }
  const chips = document.querySelectorAll("[data-state]");
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const word = chip.dataset.state.replaceAll("_", " ");
      view.state = view.state === word ? "" : word;
      view.only = -1;
      for (const other of chips) other.setAttribute("aria-pressed", String(other === chip && view.state === word));
      choose();
    });
  }
  for (const bar of document.querySelectorAll("rect[data-row]")) {
    bar.addEventListener("click", () => {
      view.only = Number(bar.dataset.row);
      at("find").value = data.videos[view.only][NAME];
      choose();
      at("all").scrollIntoView();
    });
  }
  choose();
})();
