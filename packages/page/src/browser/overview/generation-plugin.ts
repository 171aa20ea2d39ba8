import { hatch } from '../canvas.js';
import { cssColor } from '../theme.js';
import type uPlot from '../vendor/uplot.js';
import type { GenerationMarks, XRange } from './generation-spans.js';

/** Minimum width of a generation for a label, in CSS pixels. */
const LABEL_PX = 44;
const HATCH_PX = 6;

/**
 * Draws the generations of a run behind the series of a plot: every second one is shaded, the beginning of
 * each is marked, and pauses are hatched. Lines and areas are interrupted by a pause.
 */
export function generationPlugin(marks: () => GenerationMarks): uPlot.Plugin {
  return {
    opts: (_, options) => {
      for (const series of options.series.slice(1))
        series.gaps = (plot, _series, _from, _to, gaps) => withPauses(plot, gaps, marks());
    },
    hooks: {
      drawClear: [(plot) => drawPauses(plot.ctx, marks(), frameOf(plot))],
      draw: [(plot) => drawBeginnings(plot.ctx, marks(), frameOf(plot))],
    },
  };
}

/** Adds a gap between the last row of a generation and the first row of the next, if there is a pause. */
function withPauses(
  plot: uPlot,
  gaps: uPlot.Series.Gaps,
  { generations, pauses }: GenerationMarks,
): uPlot.Series.Gaps {
  if (pauses.length === 0) return gaps;
  const xs = plot.data[0];
  const added = generations.slice(1).flatMap(({ range: [begin] }): uPlot.Series.Gaps => {
    const next = xs.findIndex((x) => x >= begin);
    if (next <= 0) return [];
    return [[plot.valToPos(xs[next - 1]!, 'x', true), plot.valToPos(xs[next]!, 'x', true)]];
  });
  return [...gaps, ...added].sort(([a], [b]) => a - b);
}

function frameOf(plot: uPlot): Frame {
  const { left, top, width, height } = plot.bbox;
  const place = { left, right: left + width, top, height, labelTop: top };
  const pixelOf = (x: number) => plot.valToPos(x, 'x', true);
  return { ...place, hasBands: true, scale: window.devicePixelRatio || 1, pixelOf };
}

/** The place of a drawing on a canvas, in canvas pixels. */
interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly height: number;
  readonly labelTop: number;
  /** Whether every second generation is shaded. */
  readonly hasBands: boolean;
  /** Canvas pixels per CSS pixel. */
  readonly scale: number;
  readonly pixelOf: (x: number) => number;
}

function pixelsOf([from, to]: XRange, { left, right, pixelOf }: Frame): XRange {
  const clip = (x: number) => (Number.isFinite(x) ? Math.max(left, Math.min(right, pixelOf(x))) : right);
  return [clip(from), clip(to)];
}

/** Shades every second generation and hatches the pauses, behind the data. */
export function drawPauses(
  ctx: CanvasRenderingContext2D,
  { generations, pauses }: GenerationMarks,
  frame: Frame,
): void {
  const { top, height, hasBands, scale } = frame;
  ctx.save();
  ctx.fillStyle = cssColor('--band');
  ctx.strokeStyle = cssColor('--generation');
  ctx.lineWidth = 1;
  ctx.setLineDash([]);
  for (const { range } of hasBands ? generations.filter((_, index) => index % 2 === 1) : []) {
    const [from, to] = pixelsOf(range, frame);
    ctx.fillRect(from, top, to - from, height);
  }
  for (const pause of pauses) {
    const [left, right] = pixelsOf(pause, frame);
    if (right > left) hatch(ctx, { left, top, width: right - left, height }, HATCH_PX * scale);
  }
  ctx.restore();
}

/** Draws the beginning and the number of each generation over the data. */
export function drawBeginnings(
  ctx: CanvasRenderingContext2D,
  { generations }: GenerationMarks,
  frame: Frame,
): void {
  const { left, right, top, height, labelTop, scale } = frame;
  ctx.save();
  ctx.font = `${10 * scale}px ${cssColor('--font')}`;
  ctx.textBaseline = 'top';
  ctx.textAlign = 'left';
  ctx.setLineDash([]);
  for (const { generation, range } of generations) {
    const [from, to] = pixelsOf(range, frame);
    ctx.fillStyle = cssColor('--generation');
    if (from > left && from < right) ctx.fillRect(from - scale / 2, labelTop, scale, top + height - labelTop);
    if (to - from < LABEL_PX * scale) continue;
    const place = [`gen ${generation}`, from + 3 * scale, labelTop + scale] as const;
    // An outline keeps the label legible on any area.
    ctx.lineWidth = 3 * scale;
    ctx.strokeStyle = cssColor('--card');
    ctx.strokeText(...place);
    ctx.fillStyle = cssColor('--text-dim');
    ctx.fillText(...place);
  }
  ctx.restore();
}
