"use strict";

const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
const values = (figure) => JSON.parse(figure.querySelector("script").textContent);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const percent = (part) => `${100 * part}%`;
const digits = (value) => (Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 });
const shown = (value) => value?.toLocaleString("en", digits(value)).replace("-", "−") ?? "—";

function set(target, attributes) {
  for (const [name, value] of Object.entries(attributes)) target.setAttribute(name, value);
}

function element(tag, text = "", name = "") {
  return Object.assign(document.createElement(tag), { textContent: text, className: name });
}

function on(target, events, react) {
  for (const event of events) target.addEventListener(event, react);
}

// Reacts to the arrow keys as steps of [columns, rows].
function onArrows(target, react) {
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  on(target, ["keydown"], (event) => {
    const step = steps[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    react(step);
  });
}

// Hides the tip and clears the marks, but not when a finger is lifted: what it pointed at stays to be read.
function onLeave(target, clear) {
  on(target, ["pointerleave"], ({ pointerType }) => {
    if (pointerType === "touch") return;
    tip.hidden = true;
    clear();
  });
  on(target, ["blur"], clear);
}

// One tooltip for the whole page, beside a point of the window.
const tip = document.body.appendChild(element("div", "", "tip"));
set(tip, { role: "status", hidden: "" });

function showTip(x, y, lines) {
  tip.replaceChildren(...lines);
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = x + 16 + width > innerWidth - 8 ? x - 16 - width : x + 16;
  tip.style.left = `${scrollX + clamp(left, 8, innerWidth - 8 - width)}px`;
  tip.style.top = `${scrollY + clamp(y - height - 12, 8, innerHeight - 8 - height)}px`;
}

// Charts: the values nearest to the pointer, or at the place that the arrow keys reach.
function readChart(figure) {
  const plot = figure.querySelector(".plot");
  const data = values(figure);
  const cursor = plot.querySelector("line.cursor");
  const dots = all("circle.cursor", plot);
  const place = ([low, high, log], value) =>
    log ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
  const series = data.series.map((one) => ({ ...one, at: one.x.map((x) => place(data.x, x)) }));
  const stops = [...new Map(series.flatMap((one) => one.at.map((at, i) => [at, one.x[i]])))];
  stops.sort(([a], [b]) => a - b);
  const places = stops.map(([at]) => at);
  let current = -1;

  const nearest = (list, at) =>
    list.reduce((best, p, i) => (Math.abs(p - at) < Math.abs(list[best] - at) ? i : best), 0);

  function read(stop, pointerY) {
    current = stop;
    const [at, x] = stops[stop];
    const box = plot.getBoundingClientRect();
    const lines = [element("div", `${data.label} ${shown(x)}`)];
    series.forEach((one, index) => {
      const i = nearest(one.at, at);
      const close = one.at.length > 0 && Math.abs(one.at[i] - at) < 0.004;
      set(dots[index], { visibility: close ? "visible" : "hidden" });
      if (!close) return;
      set(dots[index], { cx: percent(one.at[i]), cy: percent(clamp(1 - place(data.y, one.y[i]), 0, 1)) });
      const interval = one.low?.[i] != null ? ` (${shown(one.low[i])} to ${shown(one.high[i])})` : "";
      const row = element("div");
      row.append(element("span", one.name, one.style), element("b", shown(one.y[i]) + interval));
      lines.push(row);
    });
    set(cursor, { x1: percent(at), x2: percent(at), visibility: "visible" });
    showTip(box.left + at * box.width, pointerY ?? box.top + box.height / 3, lines);
  }

  function clear() {
    for (const mark of [cursor, ...dots]) set(mark, { visibility: "hidden" });
  }

  function point(event) {
    const box = plot.getBoundingClientRect();
    read(nearest(places, (event.clientX - box.left) / box.width), event.clientY);
  }

  on(plot, ["pointermove", "pointerdown"], point);
  onLeave(plot, clear);
  onArrows(plot, ([step]) => read(clamp(current + step, 0, stops.length - 1)));
}

// Decoded text: the token under the pointer, and its margin.
function readText(paragraph) {
  let current;

  const clear = () => current?.classList.remove("read");

  function read(token) {
    if (!token) return;
    clear();
    current = token;
    token.classList.add("read");
    const box = token.getClientRects()[0];
    const text = token.textContent.replaceAll("↵\n", "↵").replaceAll("\t", "⇥").replaceAll(" ", "␣");
    showTip(box.right - 8, box.top + 4, [element("b", text), element("div", `margin ${token.dataset.m}`)]);
  }

  on(paragraph, ["pointerover", "pointerdown"], (event) => read(event.target.closest("[data-m]")));
  onLeave(paragraph, clear);
  onArrows(paragraph, ([step]) => {
    const way = step < 0 ? "previousElementSibling" : "nextElementSibling";
    const next = current ? current[way] : paragraph.firstElementChild;
    next?.scrollIntoView({ block: "nearest" });
    read(next);
  });
}

// Trajectories: a film's window is moved by its position, in percent of what is out of sight.
function playTrajectory(figure) {
  const labels = values(figure);
  const [slider, button, output] = ["input", "button", "output"].map((tag) => figure.querySelector(tag));
  const last = labels.length - 1;
  let timer;

  function show() {
    for (const film of all("img", figure)) film.style.objectPosition = `0 ${last ? (100 * slider.value) / last : 0}%`;
    output.textContent = labels[slider.value];
    set(slider, { "aria-valuetext": labels[slider.value] });
  }

  function pause() {
    timer = clearInterval(timer);
    button.textContent = "Play";
  }

  function play() {
    if (slider.valueAsNumber === last) slider.value = 0;
    button.textContent = "Pause";
    timer = setInterval(advance, clamp(4000 / labels.length, 40, 500));
    show();
  }

  function advance() {
    slider.stepUp();
    show();
    if (slider.valueAsNumber === last) pause();
  }

  on(slider, ["input"], () => (pause(), show()));
  on(button, ["click"], () => (timer ? pause() : play()));
  show();
}

// The inspector: the pixel under the pointer, and the cell and token that it is part of.
function inspect(figure) {
  const { width, height, pixels, cells, tokens, margins } = values(figure);
  const bytes = pixels.map((base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)));
  const cellOf = new Map(cells.flatMap((cell, index) => cell.map((pixel) => [pixel, index])));
  const view = figure.querySelector(".view");
  const buttons = all(".picker button", figure);
  const row = (name) => figure.querySelector(`.readout .${name}`);
  let [canvas, pixel] = [0, [cells[0][0] % width, Math.floor(cells[0][0] / width)]];

  // The sides of a cell's pixels that are not shared by two of them; a cell may go on in the next row.
  function outline(cell) {
    const inside = new Set(cell);
    const sides = (index) => {
      const [x, y] = [index % width, Math.floor(index / width)];
      return [
        inside.has(index - width) ? "" : `M${x} ${y}h1`,
        inside.has(index + width) ? "" : `M${x} ${y + 1}h1`,
        x > 0 && inside.has(index - 1) ? "" : `M${x} ${y}v1`,
        x < width - 1 && inside.has(index + 1) ? "" : `M${x + 1} ${y}v1`,
      ];
    };
    return cell.flatMap(sides).join("");
  }

  function read(x, y) {
    pixel = [clamp(x, 0, width - 1), clamp(y, 0, height - 1)];
    const flat = pixel[1] * width + pixel[0];
    const color = [...bytes[canvas].subarray(3 * flat, 3 * flat + 3)];
    const cell = cellOf.get(flat);
    const token = cell < tokens[canvas].length ? cell : undefined;
    const path = outline(token === undefined ? [flat] : cells[token]);
    for (const stroke of all("svg path", view)) set(stroke, { d: path });
    row("pixel").textContent = `x ${pixel[0]}, y ${pixel[1]}`;
    row("color").textContent = color.join(" ");
    figure.querySelector(".swatch").style.background = `rgb(${color.join(" ")})`;
    row("index").textContent = token ?? "—";
    row("token").textContent = tokens[canvas][token] ?? "—";
    row("margin").textContent = shown(margins[canvas][token]);
    const text = (from, to) => tokens[canvas].slice(Math.max(0, from), to).join("");
    const context = [text(token - 60, token), element("mark", text(token, token + 1)), text(token + 1, token + 60)];
    row("context").replaceChildren(...(token === undefined ? [] : context));
  }

  function choose(index) {
    canvas = index;
    const { src } = buttons[index].querySelector("img");
    Object.assign(view.querySelector("img"), { src, alt: buttons[index].textContent });
    buttons.forEach((button, i) => set(button, { "aria-pressed": i === index }));
    read(...pixel);
  }

  on(view, ["pointermove", "pointerdown"], ({ offsetX, offsetY }) => {
    read(Math.floor((offsetX * width) / view.clientWidth), Math.floor((offsetY * height) / view.clientHeight));
  });
  onArrows(view, ([right, down]) => read(pixel[0] + right, pixel[1] + down));
  buttons.forEach((button, index) => on(button, ["click"], () => choose(index)));
  choose(0);
}

// The section in sight is marked in the navigation.
function markSections() {
  function mark(entries) {
    for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
      for (const link of all("nav a")) set(link, { "aria-current": link.hash === `#${target.id}` });
    }
  }
  const watch = new IntersectionObserver(mark, { rootMargin: "-20% 0px -70% 0px" });
  for (const section of all("section")) watch.observe(section);
}

for (const event of ["pointerdown", "keydown", "resize"]) addEventListener(event, () => (tip.hidden = true), true);
all(".plot").forEach((plot) => readChart(plot.closest("figure")));
all(".shaded > p").forEach(readText);
all("figure.trajectory").forEach(playTrajectory);
all("figure.inspector").forEach(inspect);
markSections();
