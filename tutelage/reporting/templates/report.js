// Makes the plots answer to a pointer, and opens what is folded before printing. The page is whole without it.
"use strict";
(() => {
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
  const data = document.getElementById("curve-data");
  if (!data || typeof uPlot === "undefined") return;
  const curves = JSON.parse(data.textContent);
  const plots = [];
  const HEIGHT = 200;

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const faint = (hex) => hex + "29";                                     // 16 % of a #rrggbb
  const short = (value) => value == null ? "–" : String(Number(value.toPrecision(4))).replace("-", "−");
  const tick = (value) => Math.abs(value) >= 1000 ? value.toLocaleString("en")              // uPlot's own end at three decimals
    : value !== 0 && Math.abs(value) < 1e-3 ? Number(value.toPrecision(4)).toExponential().replaceAll("-", "−") : short(value);

  const flatOrFull = (plot, low, high) => low === high ? [low - 0.5, high + 0.5] : uPlot.rangeNum(low, high, 0.1, true);

  function readout(curve, output) {
    return (plot) => {
      const at = plot.cursor.idx;
      output.textContent = at == null ? "" : `${curve.xUnit} ${short(curve.x[at])}: ` + curve.lines.map((line) =>
        (curve.lines.length > 1 ? line.name + " " : "") + short(line.y[at])
        + (line.low ? ` [${short(line.low[at])}, ${short(line.high[at])}]` : "")).join(" · ");
    };
  }

  function options(curve, width, output) {
    const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--grid"), width: 1 }, ticks: { show: false },
                   font: "12px system-ui, sans-serif" };
    const series = [{}], bands = [];
    curve.lines.forEach((line, index) => {
      const ink = () => colour(`--s${index % 6}`);
      if (line.low) {
        bands.push({ series: [series.length, series.length + 1], fill: () => faint(ink()) });
        series.push({ stroke: "transparent", points: { show: false }, spanGaps: true },
                    { stroke: "transparent", points: { show: false }, spanGaps: true });
      }
      const alone = line.y.filter((value) => value != null).length < 2;                        // a dot, since there is no line
      series.push({ stroke: ink, width: 1.8, spanGaps: true, points: { show: alone, size: 8, fill: ink } });
    });
    return {
      width, height: HEIGHT, series, bands, legend: { show: false }, scales: { x: { time: false }, y: { range: flatOrFull } },
      axes: [{ ...axis, grid: { show: false }, label: curve.xUnit, labelSize: 16, labelFont: "11px system-ui, sans-serif", size: 26 },
             { ...axis, size: 50, values: (plot, ticks) => ticks.map(tick) }],
      hooks: { setCursor: [readout(curve, output)] },
    };
  }

  function draw(figure) {
    const curve = curves[Number(figure.dataset.curve)];
    const place = figure.querySelector(".canvas");
    const columns = [curve.x];
    curve.lines.forEach((line) => { if (line.low) columns.push(line.high, line.low); columns.push(line.y); });
    const plot = new uPlot(options(curve, place.clientWidth, figure.querySelector(".readout")), columns, place);
    plots.push({ plot, place });
  }

  document.documentElement.classList.add("live");
  document.querySelectorAll(".plot").forEach(draw);
  addEventListener("resize", () => plots.forEach(({ plot, place }) => plot.setSize({ width: place.clientWidth, height: HEIGHT })));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach(({ plot }) => plot.redraw(false, true)));
})();
