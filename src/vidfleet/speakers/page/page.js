// Shows what was found in a film. All text comes from strangers: it is set as text, nothing here makes HTML of it.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [WHO, LANGUAGE, WORDS] = [0, 1, 2];
  const [TEXT, BEGIN, END, DOUBT, OTHERS] = [0, 1, 2, 3, 4];
  const at = (id) => document.getElementById(id);
  const film = at("film"), list = at("lines");
  const lineStep_s = 5, sameWithin_ms = 15000, lookBack = 12;

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

  // How many of the sorted `values` are at most `limit`.
  function countUpTo(values, limit) {
    let low = 0, high = values.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] <= limit) low = middle + 1; else high = middle;
    }
    return low;
  }

  const state = { now_s: 0, line: -1, active: [], following: true, only: -1, query: "", from: 0, to: 1, length: 1 };
  state.length = state.to = data.turns.reduce((last, turn) => Math.max(last, turn[2] / 1000), Math.max(data.duration, 0.1));

  // ---- what was said ----

  const lines = data.lines.map((line) => ({
    who: line[WHO], words: line[WORDS], begin: line[WORDS][0][BEGIN],
    end: Math.max(...line[WORDS].map((word) => word[END])),
    text: line[WORDS].map((word) => word[TEXT]).join("").toLowerCase(), item: null,
  }));
  const faces = data.names.map((_, who) => document.querySelector(".row.p" + who + " .face"));
  const begins = lines.map((line) => line.begin);

  function wordElement(word) {
    const span = made("span", word[TEXT].trimStart());
    const doubts = word[DOUBT] ? [word[DOUBT]] : [];
    if (word[DOUBT]) span.className = "unsure";
    if (word[OTHERS]) doubts.push("at the same time: " + word[OTHERS].map((who) => data.names[who]).join(", "));
    if (doubts.length) span.title = doubts.join("\n");
    return span;
  }

  function lineElement(line, place) {
    const item = made("li", undefined, "p" + line.who), before = lines[place - 1];
    if (before && before.who === line.who && line.begin - before.end < sameWithin_ms) item.classList.add("same");
    const name = made("b"), bdi = made("bdi", data.names[line.who]), time = made("button", clock(line.begin / 1000), "at");
    name.append(bdi);
    time.type = "button";
    time.tabIndex = -1; // arrow keys go from line to line; thousands of stops would bar the way to what follows
    const face = faces[line.who].cloneNode(true), text = made("p");
    text.dir = "auto";
    if (data.lines[place][LANGUAGE]) text.lang = data.lines[place][LANGUAGE];
    text.textContent = line.words.map((word) => word[TEXT]).join("");
    item.append(face, name, time, text);
    item.dataset.place = place;
    line.item = item;
    return item;
  }

  // The elements of a line's words; made when they are first looked at, for a film has tens of thousands.
  function spansOf(line) {
    const text = line.item.querySelector("p");
    if (!text.children.length) {
      text.replaceChildren();
      for (const word of line.words) {
        if (word[TEXT].startsWith(" ")) text.append(" ");
        text.append(wordElement(word));
      }
    }
    return text.children;
  }

  const together = document.createDocumentFragment();
  lines.forEach((line, place) => together.append(lineElement(line, place)));
  list.append(together);
  const sight = new IntersectionObserver((changes) => {
    for (const change of changes) {
      const line = lines[change.target.dataset.place];
      line.isInSight = change.isIntersecting;
      if (line.isInSight) mark(line);
    }
  }, { root: list, rootMargin: "300px" });
  for (const line of lines) sight.observe(line.item);

  list.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (!item || !getSelection().isCollapsed) return;
    const line = lines[item.dataset.place], text = item.querySelector("p");
    const word = event.target.parentNode === text ? [...spansOf(line)].indexOf(event.target) : -1;
    setFollowing(true);
    seek((word >= 0 ? line.words[word][BEGIN] : line.begin) / 1000);
  });

  // ---- the clock ----

  function seek(seconds) {
    state.now_s = Math.min(Math.max(seconds, 0), state.length);
    film.currentTime = state.now_s;
    show();
  }

  function tick() {
    if (film.readyState > 0) state.now_s = film.currentTime;
    show();
    if (!film.paused && !film.ended) requestAnimationFrame(tick);
  }

  function show() {
    const now_ms = state.now_s * 1000 + 1, line = countUpTo(begins, now_ms) - 1;
    for (const span of state.active) span.classList.remove("now");
    state.active = [];
    for (let place = line; place >= 0 && place > line - lookBack; place -= 1) {
      if (lines[place].end <= now_ms) continue;
      lines[place].words.forEach((word, index) => {
        if (word[BEGIN] <= now_ms && now_ms < word[END]) state.active.push(spansOf(lines[place])[index]);
      });
    }
    for (const span of state.active) span.classList.add("now");
    if (line !== state.line) {
      if (state.line >= 0) lines[state.line].item.removeAttribute("aria-current");
      state.line = line;
      if (line >= 0) lines[line].item.setAttribute("aria-current", "true");
      keepInSight();
    }
    showNow();
  }

  function keepInSight() {
    if (!state.following || state.line < 0 || lines[state.line].item.hidden) return;
    const way = wayToLine();
    if (!way) return;
    const isFar = Math.abs(way) > list.clientHeight, still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    list.scrollTo({ top: list.scrollTop + way, behavior: isFar || still ? "instant" : "smooth" });
    // Lines out of sight have guessed heights: once they are laid out, the place may have moved.
    if (isFar) requestAnimationFrame(() => list.scrollTo({ top: list.scrollTop + wayToLine(), behavior: "instant" }));
  }

  // How far to scroll until the current line stands in the upper half; 0 where it stands well.
  function wayToLine() {
    const pane = list.getBoundingClientRect(), item = lines[state.line].item.getBoundingClientRect();
    const top = item.top - pane.top, isWell = top >= pane.height * 0.08 && top + item.height <= pane.height * 0.72;
    return isWell ? 0 : top - pane.height * 0.3;
  }

  function setFollowing(on) {
    state.following = on;
    at("follow").setAttribute("aria-pressed", String(on));
  }

  at("follow").addEventListener("click", () => { setFollowing(!state.following); keepInSight(); });
  for (const kind of ["wheel", "touchmove"]) list.addEventListener(kind, () => setFollowing(false), { passive: true });
  list.addEventListener("pointerdown", (event) => { if (event.target === list) setFollowing(false); });
  list.addEventListener("keydown", (event) => {
    if (["PageUp", "PageDown", "Home", "End"].includes(event.key)) setFollowing(false);
  });
  film.addEventListener("play", tick);
  for (const kind of ["seeking", "seeked", "timeupdate"]) film.addEventListener(kind, tick);
  film.addEventListener("error", () => { if (at("trouble")) { at("trouble").hidden = false; film.hidden = true; } });

  // ---- search, and one person alone ----

  function choose() {
    state.query = at("find").value.trim().replace(/\s+/g, " ").toLowerCase();
    let found = 0;
    for (const line of lines) {
      const fits = (state.only < 0 || line.who === state.only) && line.text.includes(state.query);
      line.item.hidden = !fits;
      found += fits;
      if (line.isInSight) mark(line);
    }
    list.classList.toggle("chosen", Boolean(state.query) || state.only >= 0);
    at("found").textContent = state.query ? (found === 1 ? "1 line" : found + " lines") : "";
    keepInSight();
  }

  // Mark the words of a line that are searched for.
  function mark(line) {
    const spans = spansOf(line), first = state.query ? line.text.indexOf(state.query) : -1;
    let begin = 0;
    line.words.forEach((word, index) => {
      const end = begin + word[TEXT].length, isSpaced = word[TEXT].startsWith(" ");
      const isHit = first >= 0 && begin + isSpaced < first + state.query.length && end > first;
      spans[index].classList.toggle("hit", isHit);
      begin = end;
    });
  }

  function setOnly(who) {
    state.only = state.only === who ? -1 : who;
    for (const button of document.querySelectorAll("[data-who]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.who) === state.only));
    }
    at("only").hidden = state.only < 0;
    at("only").querySelector("bdi").textContent = state.only < 0 ? "" : data.names[state.only];
    choose();
    draw();
  }

  at("find").addEventListener("input", choose);
  at("only").querySelector("button").addEventListener("click", () => setOnly(state.only));
  for (const button of document.querySelectorAll("[data-who]")) {
    button.addEventListener("click", () => setOnly(Number(button.dataset.who)));
  }

  // ---- who speaks when ----

  const canvas = at("turns"), axis_px = 20, row_px = 28, bar_px = 16, shortest_s = 5;
  const rows = data.names.map(() => []);
  for (const [who, begin, end] of data.turns) rows[who].push([begin / 1000, end / 1000]);
  const steps_s = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

  const width = () => canvas.clientWidth || 1;
  const toX = (seconds) => (seconds - state.from) / (state.to - state.from) * width();
  const toTime = (x) => state.from + x / width() * (state.to - state.from);

  function draw() {
    const ratio = window.devicePixelRatio || 1, height = axis_px + rows.length * row_px;
    canvas.style.height = height + "px";
    canvas.width = Math.round(width() * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    pen.scale(ratio, ratio);
    drawAxis(pen, style, height);
    rows.forEach((turns, who) => {
      const y = axis_px + who * row_px + (row_px - bar_px) / 2;
      pen.globalAlpha = 1;
      pen.fillStyle = style.getPropertyValue("--track");
      pen.fillRect(0, y, width(), bar_px);
      pen.globalAlpha = state.only < 0 || state.only === who ? 1 : 0.25;
      pen.fillStyle = getComputedStyle(faces[who]).borderTopColor;
      let drawn = -1;
      for (const [begin, end] of turns) {
        if (end < state.from || begin > state.to) continue;
        const left = Math.max(toX(begin), drawn), right = Math.max(toX(end), toX(begin) + 1);
        if (right <= drawn) continue;
        pen.fillRect(left, y, right - left, bar_px);
        drawn = right;
      }
    });
    at("pan").hidden = state.to - state.from >= state.length * 0.999;
    at("pan").value = 1000 * state.from / Math.max(state.length - (state.to - state.from), 1e-9);
    showNow();
  }

  function drawAxis(pen, style, height) {
    const span = state.to - state.from, room = width() / 70;
    const step = steps_s.find((candidate) => span / candidate <= room) || 14400;
    pen.font = "11px system-ui, sans-serif";
    pen.textBaseline = "top";
    for (let time = Math.ceil(state.from / step) * step; time <= state.to; time += step) {
      const x = toX(time), text = step < 1 ? clock(time) + "." + Math.round(time * 10) % 10 : clock(time);
      const half = pen.measureText(text).width / 2;
      pen.fillStyle = style.getPropertyValue("--quiet");
      pen.fillText(text, Math.min(Math.max(x - half, 0), width() - 2 * half), 0);
      pen.fillStyle = style.getPropertyValue("--line");
      pen.fillRect(Math.round(x), axis_px - 5, 1, height);
    }
  }

  function showNow() {
    const span = state.to - state.from;
    if (span < state.length * 0.999 && !film.paused && (state.now_s < state.from || state.now_s > state.to)) {
      return look(state.now_s - span * 0.05, span);
    }
    const x = toX(state.now_s);
    at("now").style.transform = `translateX(${x}px)`;
    at("now").hidden = x < -1 || x > width() + 1;
    canvas.setAttribute("aria-valuenow", String(Math.round(state.now_s)));
    canvas.setAttribute("aria-valuetext", clock(state.now_s));
  }

  // Show `span` seconds from `from` on.
  function look(from, span) {
    const length = Math.min(Math.max(span, Math.min(shortest_s, state.length)), state.length);
    state.from = Math.min(Math.max(from, 0), state.length - length);
    state.to = state.from + length;
    draw();
  }

  function zoom(factor, middle) {
    const span = (state.to - state.from) * factor;
    look(middle - (middle - state.from) * factor, span);
  }

  const middle = () => state.now_s >= state.from && state.now_s <= state.to ? state.now_s : (state.from + state.to) / 2;
  at("in").addEventListener("click", () => zoom(0.5, middle()));
  at("out").addEventListener("click", () => zoom(2, middle()));
  at("all").addEventListener("click", () => look(0, state.length));
  at("pan").addEventListener("input", () => {
    const span = state.to - state.from;
    look(at("pan").value / 1000 * (state.length - span), span);
  });
  canvas.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    zoom(event.deltaY > 0 ? 1.25 : 0.8, toTime(event.offsetX));
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    setFollowing(true);
    seek(toTime(event.offsetX));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.buttons) seek(toTime(event.offsetX)); else showTip(event);
  });
  canvas.addEventListener("pointerleave", () => { at("tip").hidden = true; });

  function showTip(event) {
    const seconds = toTime(event.offsetX), who = Math.floor((event.offsetY - axis_px) / row_px), tip = at("tip");
    const turn = (rows[who] || []).find(([begin, end]) => begin <= seconds && seconds < end);
    const spoken = lines.find((line) => line.who === who && line.begin <= seconds * 1000 && seconds * 1000 < line.end);
    const said = turn && spoken ? spoken.words.map((word) => word[TEXT]).join("") : "";
    const shown = said.length > 160 ? said.slice(0, 160) + "…" : said;
    tip.textContent = clock(seconds) + (turn ? "  " + data.names[who] : "") + (shown ? ": " + shown : "");
    tip.hidden = false;
    const left = Math.min(Math.max(event.offsetX - tip.offsetWidth / 2, 0), Math.max(width() - tip.offsetWidth, 0));
    tip.style.transform = `translate(${left}px, ${-tip.offsetHeight - 6}px)`;
    tip.style.top = axis_px + Math.max(who, 0) * row_px + "px";
  }

  new ResizeObserver(draw).observe(canvas.parentNode);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);

  // ---- keys ----

  function step(way) {
    let place = state.line + way;
    while (place >= 0 && place < lines.length && lines[place].item.hidden) place += way;
    if (place < 0 || place >= lines.length) return;
    setFollowing(true);
    seek(begins[place] / 1000);
  }

  const keys = {
    ArrowLeft: () => seek(state.now_s - lineStep_s),
    ArrowRight: () => seek(state.now_s + lineStep_s),
    ArrowUp: () => step(-1),
    ArrowDown: () => step(1),
    "/": () => at("find").focus(),
    " ": () => { if (film.paused) film.play().catch(() => {}); else film.pause(); },
  };

  document.addEventListener("keydown", (event) => {
    if (event.target === at("find") && event.key === "Escape") {
      at("find").value = "";
      choose();
      at("find").blur();
    }
    const isTyping = event.target.matches("input"), isButton = event.target.matches("button, a");
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    if (event.key === " " && isButton) return;
    event.preventDefault();
    keys[event.key]();
  }, { capture: true });

  // ---- subtitles in the player itself ----

  if (lines.length && film.addTextTrack && window.VTTCue) {
    const harmless = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
    const track = film.addTextTrack("subtitles", "who said what");
    track.mode = "hidden";
    for (const line of lines) {
      const text = data.names[line.who] + ": " + line.words.map((word) => word[TEXT]).join("");
      track.addCue(new VTTCue(line.begin / 1000, Math.max(line.end, line.begin + 1) / 1000, harmless(text)));
    }
  }

  const moment = /^#t=(\d+(?:\.\d+)?)$/.exec(location.hash);
  if (moment) seek(Number(moment[1])); else show();
})();
