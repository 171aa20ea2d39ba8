import { cssColor } from '../theme.js';
import type uPlot from '../vendor/uplot.js';
import type { GenerationMarks, XRange } from './generation-spans.js';

/** A label needs so many CSS pixels of its generation. */
const LABEL_PX = 44;
const HATCH_PX = 6;

/**
 * Shows the generations of a run behind the series of a plot: every second one shaded, where each begins, and pauses
 * hatched. Lines and areas end at a pause and begin again behind it.
 */
export function generationPlugin(marks: () => GenerationMarks): uPlot.Plugin {
  return {
    opts: (_, options) => {
      for (const series of options.series.slice(1))
        series.gaps = (plot, _series, _from, _to, gaps) => withPauses(plot, gaps, marks().pauses);
    },
    hooks: { drawClear: [(plot) => drawBehind(plot, marks())] },
  };
}

/** Adds the stretch between the last row before a pause and the first row behind it. */
function withPauses(plot: uPlot, gaps: uPlot.Series.Gaps, pauses: readonly XRange[]): uPlot.Series.Gaps {
  const xs = plot.data[0];
  const added = pauses.flatMap(([from, to]): uPlot.Series.Gaps => {
    const next = xs.findIndex((x) => x > (from + to) / 2);
    if (next <= 0) return [];
    return [[plot.valToPos(xs[next - 1], 'x', true), plot.valToPos(xs[next], 'x', true)]];
  });
  return added.length === 0 ? gaps : [...gaps, ...added].sort(([a], [b]) => a - b);
}

function drawBehind(plot: uPlot, marks: GenerationMarks): void {
  const { left, top, width, height } = plot.bbox;
  drawGenerations(plot.ctx, marks, {
    ...{ left, right: left + width, top, height, labelTop: top, hasBands: true },
    scale: window.devicePixelRatio || 1,
    pixelOf: (x) => plot.valToPos(x, 'x', true),
  });
}

/** The place of a drawing on a canvas, in its pixels. */
export interface Frame {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly height: number;
  readonly labelTop: number;
  /** Shades every second generation. */
  readonly hasBands: boolean;
  /** Canvas pixels of a CSS pixel. */
  readonly scale: number;
  readonly pixelOf: (x: number) => number;
}

export function drawGenerations(
  ctx: CanvasRenderingContext2D,
  { generations, pauses }: GenerationMarks,
  { left, right, top, height, labelTop, hasBands, scale, pixelOf }: Frame,
): void {
  const pixelsOf = ([from, to]: XRange): XRange => {
    const clip = (x: number) => (Number.isFinite(x) ? Math.max(left, Math.min(right, pixelOf(x))) : right);
    return [clip(from), clip(to)];
  };
  ctx.save();
  ctx.fillStyle = cssColor('--band');
  if (hasBands)
    for (const { range } of generations.filter((_, index) => index % 2 === 1)) {
      const [from, to] = pixelsOf(range);
      ctx.fillRect(from, top, to - from, height);
    }
  for (const pause of pauses) hatch(ctx, pixelsOf(pause), [top, height], HATCH_PX * scale);
  ctx.font = `${10 * scale}px ${cssColor('--font')}`;
  ctx.textBaseline = 'top';
  ctx.textAlign = 'left';
  ctx.fillStyle = cssColor('--text-dim');
  for (const { generation, range } of generations) {
    const [from, to] = pixelsOf(range);
    if (from > left && from < right) line(ctx, from, [labelTop, top + height], scale);
    if (to - from >= LABEL_PX * scale) ctx.fillText(`gen ${generation}`, from + 3 * scale, labelTop + scale);
  }
  ctx.restore();
}

function line(ctx: CanvasRenderingContext2D, x: number, [from, to]: XRange, width: number): void {
  ctx.strokeStyle = cssColor('--generation');
  ctx.lineWidth = width;
  ctx.setLineDash([]);
  ctx.beginPath();
  ctx.moveTo(x, from);
  ctx.lineTo(x, to);
  ctx.stroke();
}

/** Diagonal lines over a stretch. */
function hatch(ctx: CanvasRenderingContext2D, [from, to]: XRange, [top, height]: XRange, gap: number): void {
  if (to <= from) return;
  ctx.save();
  ctx.beginPath();
  ctx.rect(from, top, to - from, height);
  ctx.clip();
  ctx.strokeStyle = cssColor('--generation');
  ctx.lineWidth = 1;
  ctx.setLineDash([]);
  ctx.beginPath();
  for (let x = from - height; x < to; x += gap) {
    ctx.moveTo(x, top + height);
    ctx.lineTo(x + height, top);
  }
  ctx.stroke();
  ctx.restore();
}
