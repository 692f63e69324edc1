// The plots of a page, drawn by uPlot: units on both axes, smoothing, a logarithmic scale, values read out.

/* global uPlot */
import { smoothed } from "./measured.js";

const HEIGHT = 230;
const FONT = "12px system-ui, sans-serif";
const DASHES = [[], [7, 4], [2, 3], [10, 4, 2, 4], [4, 2], [1, 4]];      // lines are told apart by more than colour

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const ink = (index) => colour(`--s${index % 6}`);
const short = (value, digits = 4) => {
  if (value == null || !Number.isFinite(value)) return "–";
  const small = value !== 0 && Math.abs(value) < 1e-3;
  return (small ? Number(value.toPrecision(digits - 1)).toExponential() : Math.abs(value) >= 1e4 ? Math.round(value).toLocaleString("en")
    : String(Number(value.toPrecision(digits)))).replaceAll("-", "−");
};
// The numbers at an axis: with as many digits as tell them apart.
const ticked = (plot, ticks) => {
  const told = ticks.filter((tick) => tick != null), step = told.length > 1 ? Math.abs(told[1] - told[0]) : Infinity;
  let digits = 4;
  while (digits < 12 && told.some((tick) => Math.abs(Number(tick.toPrecision(digits)) - tick) > step / 100)) digits += 1;
  return ticks.map((tick) => (tick == null ? "" : short(tick, digits)));
};
const height = (plot, low, high) => (low == null ? [null, null] : low === 0 && high === 0 ? [0, 1] : uPlot.rangeNum(low, high, 0.1, true));
const padded = (plot, low, high) => {
  const room = (high - low) * 0.05 || 1;
  return low == null ? [null, null] : [low - room, high + room];
};

export class Board {
  constructor(holder, measured, settings = { smoothing: 0, log: false }) {
    this.holder = holder;
    this.settings = settings;
    this.plots = [...holder.querySelectorAll(".plot")].map((figure) => new Plot(figure, measured, settings));
    this.names = new Set(this.plots.flatMap((plot) => plot.chart.lines.map((line) => line.name)));
    this.tools = holder.querySelector("[data-plot-tools]");
    this.asked = 0;
    this.ending = new AbortController();
    if (this.tools) this.tend();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(true), { signal: this.ending.signal });
  }

  tend() {
    const { smoothing, log, shown } = this.tools.elements;
    smoothing.value = this.settings.smoothing;
    log.checked = this.settings.log;
    shown.value = smoothing.value;
    const change = () => {
      shown.value = smoothing.value;
      Object.assign(this.settings, { smoothing: Number(smoothing.value), log: log.checked });
      this.draw(true);
    };
    this.tools.addEventListener("input", change);
    this.tools.addEventListener("submit", (event) => event.preventDefault());
  }

  get isEmpty() { return this.plots.length === 0; }

  knows(name) { return this.names.has(name); }

  // At most once a frame; `anew` where more than the data changed.
  draw(anew = false) {
    this.anew ||= anew;
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => {
      this.asked = 0;
      this.plots.forEach((plot) => plot.draw(this.anew));
      this.anew = false;
    });
  }

  end() {
    cancelAnimationFrame(this.asked);
    this.ending.abort();
    this.plots.forEach((plot) => plot.end());
  }
}

class Plot {
  constructor(figure, measured, settings) {
    this.chart = JSON.parse(figure.dataset.chart);
    this.canvas = figure.querySelector(".canvas");
    this.output = figure.querySelector(".readout");
    this.measured = measured;
    this.settings = settings;
    this.isFrontier = this.chart.lines.some((line) => line.over);
    this.plot = null;
    this.isZoomed = false;
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.canvas);
    this.canvas.addEventListener("keydown", (event) => this.step(event));
    this.canvas.addEventListener("dblclick", () => { this.isZoomed = false; });
  }

  draw(anew) {
    const lines = this.chart.lines.map((line) => this.measured.points(line));
    this.isLog = this.settings.log && !this.isFrontier && lines.some((line) => line.y.some((value) => value > 0));
    const data = this.data(lines);
    if (this.plot && !anew) {
      this.plot.setData(data, !this.isZoomed);
      if (this.isZoomed) this.plot.redraw();
    } else {
      this.plot?.destroy();
      this.isZoomed = false;
      this.plot = new uPlot(this.options(), data, this.canvas);
    }
    this.tell(lines);
  }

  // One column of steps, and for each line the values as measured and smoothed. What a logarithm cannot show is left out.
  data(lines) {
    const keep = (y) => (this.isLog ? y.map((value) => (value > 0 ? value : null)) : y);
    const tables = lines.map(({ x, y }) => (this.isFrontier ? inOrder(x, y) : [x, keep(y)]));
    const [x, ...columns] = tables.length > 1 ? uPlot.join(tables) : tables[0];
    const weight = this.isFrontier ? 0 : this.settings.smoothing;
    return [x, ...columns.flatMap((y) => [y, weight ? smoothed(Array.from(y), weight) : y])];
  }

  options() {
    const axis = { stroke: () => colour("--pico-muted-color"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false },
      font: FONT, labelFont: FONT, labelSize: 18 };
    const isFaint = this.settings.smoothing > 0 && !this.isFrontier;
    const series = this.chart.lines.flatMap((line, at) => {
      const stroke = () => ink(at), dash = DASHES[at % DASHES.length];
      const points = { show: (plot, index) => !this.isFrontier && plot.data[index].filter((value) => value != null).length < 3, size: 5, fill: stroke };
      return [{ stroke, width: 1, alpha: 0.3, spanGaps: true, show: isFaint, points: { show: false } },
        { stroke, width: 1.8, dash, spanGaps: true, points, ...(this.isFrontier ? { paths: () => null } : {}) }];
    });
    return {
      width: this.width, height: HEIGHT, series: [{}, ...series], legend: { show: false },
      scales: { x: { time: false, ...(this.isFrontier ? { range: padded } : {}) }, y: this.isLog ? { distr: 3 } : { range: height } },
      axes: [{ ...axis, label: this.chart.x, size: 30, values: ticked }, { ...axis, label: this.chart.unit, size: 64, values: ticked }],
      cursor: { drag: { x: true, y: false, setScale: true }, points: { size: 7 } },
      hooks: { setCursor: [() => this.read()], setSelect: [(plot) => { this.isZoomed = plot.select.width > 0; }],
        draw: this.isFrontier ? [(plot) => this.drawFrontier(plot)] : [] },
    };
  }

  get width() { return Math.max(160, Math.floor(this.canvas.clientWidth)); }

  fit() {
    if (this.plot && this.plot.width !== this.width) this.plot.setSize({ width: this.width, height: HEIGHT });
  }

  // Points in the order in which they were come to, older ones fainter, the last one ringed.
  drawFrontier(plot) {
    const { ctx } = plot, size = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(plot.bbox.left, plot.bbox.top, plot.bbox.width, plot.bbox.height);
    ctx.clip();
    this.chart.lines.forEach((line, at) => {
      const { x, y } = this.measured.points(line);
      const places = x.map((value, i) => [plot.valToPos(value, "x", true), plot.valToPos(y[i], "y", true)]);
      ctx.strokeStyle = ctx.fillStyle = ink(at);
      ctx.lineWidth = size;
      ctx.globalAlpha = 0.25;
      ctx.beginPath();
      places.forEach(([left, top], i) => (i ? ctx.lineTo(left, top) : ctx.moveTo(left, top)));
      ctx.stroke();
      places.forEach(([left, top], i) => {
        const isLast = i === places.length - 1;
        ctx.globalAlpha = 0.25 + 0.75 * (i + 1) / places.length;
        ctx.beginPath();
        ctx.arc(left, top, (isLast ? 5 : 3) * size, 0, 2 * Math.PI);
        ctx.fill();
      });
    });
    ctx.restore();
  }

  read() {
    const at = this.plot?.cursor.idx;
    if (at == null) { this.output.textContent = ""; return; }
    const values = this.chart.lines.map((line, index) => [line.label, this.plot.data[2 * index + 2][at]]);
    const said = values.filter(([, value]) => value != null).map(([label, value]) => (label ? `${label} ` : "") + short(value));
    this.output.textContent = `${this.chart.x} ${short(this.plot.data[0][at])}: ${said.join(" · ")}`;
  }

  // By keyboard: along the measured steps.
  step(event) {
    const move = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!this.plot || move === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const x = this.plot.data[0], end = x.length - 1;
    if (end < 0) return;
    const at = Math.min(end, Math.max(0, (this.plot.cursor.idx ?? (move < 0 ? end + 1 : -1)) + move));
    this.output.setAttribute("aria-live", "polite");
    this.plot.setCursor({ left: this.plot.valToPos(x[at], "x"), top: 10 });
  }

  // What the picture shows, for those who do not see it.
  tell(lines) {
    const said = lines.map(({ y }, at) => y.length && `${this.chart.lines[at].label} ${short(y[0])} → ${short(y.at(-1))}`.trim()).filter(Boolean);
    this.canvas.setAttribute("aria-label", `${this.chart.title} (${this.chart.unit})${said.length ? ": " : ""}${said.join("; ")}`);
  }

  end() {
    this.observer.disconnect();
    this.plot?.destroy();
  }
}

// Both columns in the order of the first, as uPlot wants them.
function inOrder(x, y) {
  const order = x.map((_, i) => i).sort((a, b) => x[a] - x[b]);
  return [order.map((i) => x[i]), order.map((i) => y[i])];
}
